#include "symbolizer/name_sweep.h"

#include <string.h>

#define RADIX_BITS 11
#define RADIX	   (1u << RADIX_BITS)

static bool is_sorted(const struct name_claim *claims, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (claims[i].start < claims[i - 1].start)
			return false;
	return true;
}

static void radix_pass(const struct name_claim *from, struct name_claim *to, size_t n, uint64_t base, unsigned shift)
{
	size_t places[RADIX] = {0}, sum = 0;

	for (size_t i = 0; i < n; i++)
		places[(from[i].start - base) >> shift & (RADIX - 1)]++;
	for (size_t i = 0; i < RADIX; i++) {
		size_t count = places[i];
		places[i] = sum;
		sum += count;
	}
	for (size_t i = 0; i < n; i++)
		to[places[(from[i].start - base) >> shift & (RADIX - 1)]++] = from[i];
}

void name_claims_sort(struct name_claim *claims, struct name_claim *scratch, size_t n)
{
	struct name_claim *from = claims, *to = scratch;
	uint64_t low = UINT64_MAX, high = 0;

	if (is_sorted(claims, n))
		return;
	for (size_t i = 0; i < n; i++) {
		low = claims[i].start < low ? claims[i].start : low;
		high = claims[i].start > high ? claims[i].start : high;
	}
	for (unsigned shift = 0; shift < 64 && (high - low) >> shift; shift += RADIX_BITS) {
		radix_pass(from, to, n, low, shift);
		struct name_claim *swap = from;
		from = to;
		to = swap;
	}
	if (from != claims)
		memcpy(claims, from, n * sizeof(*claims));
}

/* --- heap -------------------------------------------------------------------------------------------------------- */

static bool goes_before(const struct name_sweep *s, size_t a, size_t b)
{
	return s->before(s->context, s->heap[a], s->heap[b]);
}

static void swap(struct name_sweep *s, size_t a, size_t b)
{
	uint32_t claim = s->heap[a];

	s->heap[a] = s->heap[b];
	s->heap[b] = claim;
}

static void push(struct name_sweep *s, uint32_t claim)
{
	size_t at = s->n_heap++;

	s->heap[at] = claim;
	for (; at && goes_before(s, at, (at - 1) / 2); at = (at - 1) / 2)
		swap(s, at, (at - 1) / 2);
}

static void pop(struct name_sweep *s)
{
	size_t at = 0;

	s->heap[0] = s->heap[--s->n_heap];
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= s->n_heap)
			return;
		if (child + 1 < s->n_heap && goes_before(s, child + 1, child))
			child++;
		if (!goes_before(s, child, at))
			return;
		swap(s, at, child);
		at = child;
	}
}

/* --- sweep ------------------------------------------------------------------------------------------------------- */

static uint64_t end_of(const struct name_claim *claim)
{
	return claim->start + claim->bytes;
}

static void begin_claims(struct name_sweep *s)
{
	for (; s->next < s->n && s->claims[s->next].start <= s->at; s->next++) {
		if (s->n_heap && s->rivals(s->context, s->claims[s->heap[0]].owner, s->claims[s->next].owner))
			s->overlaps++;
		push(s, (uint32_t)s->next);
	}
}

bool name_sweep_next(struct name_sweep *s, struct name_segment *segment_out)
{
	while (s->n_heap && end_of(&s->claims[s->heap[0]]) <= s->at)
		pop(s);
	if (!s->n_heap && s->next == s->n)
		return false;
	if (!s->n_heap)
		s->at = s->claims[s->next].start;
	begin_claims(s);
	const struct name_claim *first = &s->claims[s->heap[0]];
	uint64_t end = end_of(first);
	if (s->next < s->n && s->claims[s->next].start < end)
		end = s->claims[s->next].start;
	*segment_out = (struct name_segment){s->at, end, first->owner};
	s->at = end;
	return true;
}
