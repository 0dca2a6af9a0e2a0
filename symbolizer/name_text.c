#include "symbolizer/name_text.h"
#include "symbolizer/name_table_format.h"
#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DICTIONARY_SHARE 8   /* of the strings' bytes one part in so many; best on C++ and Rust among 8 to 64 */
#define CANDIDATES_SHARE 4    /* strings looked at for the dictionary: so many times its size */
#define NARROW_MAX	 65536u
#define LITERALS_MAX	 64u
#define COPY_MIN	 5u
#define COPY_MAX	 (COPY_MIN + 191)
#define CHAIN_MAX	 12 /* places that are tried for a copy */
#define NOWHERE		 UINT32_MAX

struct text_packer {
	uint8_t *dictionary;
	size_t n, capacity;
	bool is_wide; /* offsets have 3 bytes */
	uint32_t *heads; /* of chains of places with one hash */
	uint32_t *next;
	size_t n_heads; /* a power of two */
};

static uint32_t hash_at(const struct text_packer *p, const uint8_t *at)
{
	uint32_t low;

	memcpy(&low, at, sizeof(low));
	uint64_t value = (uint64_t)at[4] << 32 | low;
	return (uint32_t)(value * 0x9e3779b97f4a7c15ULL >> 40) & (uint32_t)(p->n_heads - 1);
}

static size_t match_bytes(const uint8_t *a, const uint8_t *b, size_t most)
{
	size_t n = 0;

	for (; n + 8 <= most; n += 8) {
		uint64_t x, y;
		memcpy(&x, a + n, sizeof(x));
		memcpy(&y, b + n, sizeof(y));
		if (x != y)
			return n + (unsigned)__builtin_ctzll(x ^ y) / 8;
	}
	while (n < most && a[n] == b[n])
		n++;
	return n;
}

/* The longest piece of the dictionary that text begins with, of those that are tried. */
static size_t find_copy(const struct text_packer *p, const uint8_t *text, size_t left, uint32_t *offset_out)
{
	size_t best = 0;

	if (left < COPY_MIN)
		return 0;
	uint32_t at = p->heads[hash_at(p, text)];
	for (unsigned tried = 0; at != NOWHERE && tried < CHAIN_MAX; tried++, at = p->next[at]) {
		size_t most = left < COPY_MAX ? left : COPY_MAX;
		most = most < p->n - at ? most : p->n - at;
		size_t n = match_bytes(p->dictionary + at, text, most);
		if (n > best) {
			best = n;
			*offset_out = at;
		}
	}
	return best >= COPY_MIN ? best : 0;
}

static uint8_t *put_literals(uint8_t *out, const uint8_t *from, size_t n)
{
	while (n) {
		size_t part = n < LITERALS_MAX ? n : LITERALS_MAX;
		*out++ = (uint8_t)(part - 1);
		memcpy(out, from, part);
		out += part;
		from += part;
		n -= part;
	}
	return out;
}

size_t text_pack(const struct text_packer *p, const char *text, size_t bytes, uint8_t *out)
{
	const uint8_t *from = (const uint8_t *)text, *literals = from, *end = from + bytes;
	uint8_t *at = uleb_put(out, bytes);
	uint32_t offset = 0;

	while (from < end) {
		size_t n = find_copy(p, from, (size_t)(end - from), &offset);
		if (!n) {
			from++;
			continue;
		}
		at = put_literals(at, literals, (size_t)(from - literals));
		*at++ = (uint8_t)(LITERALS_MAX + n - COPY_MIN);
		memcpy(at, &offset, 3);
		at += p->is_wide ? 3 : 2;
		from += n;
		literals = from;
	}
	return (size_t)(put_literals(at, literals, (size_t)(end - literals)) - out);
}

/* --- the dictionary ---------------------------------------------------------------------------------------------- */

static void add_to_dictionary(struct text_packer *p, const char *text, size_t bytes)
{
	size_t start = p->n;

	bytes = bytes < p->capacity - p->n ? bytes : p->capacity - p->n;
	memcpy(p->dictionary + p->n, text, bytes);
	p->n += bytes;
	for (size_t at = start; at + COPY_MIN <= p->n; at++) {
		uint32_t *head = &p->heads[hash_at(p, p->dictionary + at)];
		p->next[at] = *head;
		*head = (uint32_t)at;
	}
}

/* Strings from all over the table, but only those that the dictionary does not tell already. */
static int fill_dictionary(struct text_packer *p, const struct name_strings *strings, const uint32_t *order, size_t n, uint64_t all)
{
	uint64_t seen = 0, looked_at = 0;
	size_t bytes;
	AUTO_FREE uint8_t *packed = malloc(NAME_TEXT_PACKED_MAX(8192 + 1));

	if (!packed)
		return -ENOMEM;
	for (size_t i = 0; i < n && p->n < p->capacity; i++) {
		const char *text = name_strings_text(strings, order[i], &bytes);
		seen += bytes;
		if (bytes < 2 * COPY_MIN || bytes > 8192 || looked_at * all > seen * CANDIDATES_SHARE * p->capacity)
			continue;
		looked_at += bytes;
		if (text_pack(p, text, bytes, packed) * 3 > bytes)
			add_to_dictionary(p, text, bytes);
	}
	return 0;
}

int text_packer_create(const struct name_strings *strings, const uint32_t *order, size_t n, struct text_packer **packer_out)
{
	struct text_packer *p = calloc(1, sizeof(*p));
	uint64_t all = 0;
	size_t bytes;

	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		name_strings_text(strings, order[i], &bytes);
		all += bytes;
	}
	p->capacity = all / DICTIONARY_SHARE < NAME_DICTIONARY_MAX ? (size_t)(all / DICTIONARY_SHARE) : NAME_DICTIONARY_MAX;
	for (p->n_heads = 256; p->n_heads < p->capacity;)
		p->n_heads *= 2;
	p->dictionary = malloc(p->capacity + 1);
	p->heads = malloc(p->n_heads * sizeof(*p->heads));
	p->next = malloc((p->capacity + 1) * sizeof(*p->next));
	int err = p->dictionary && p->heads && p->next ? 0 : -ENOMEM;
	if (err == 0) {
		memset(p->heads, 0xff, p->n_heads * sizeof(*p->heads));
		err = fill_dictionary(p, strings, order, n, all);
		p->is_wide = p->n > NARROW_MAX;
	}
	if (err < 0) {
		text_packer_destroy(p);
		return err;
	}
	*packer_out = p;
	return 0;
}

const uint8_t *text_packer_dictionary(const struct text_packer *p, size_t *bytes_out)
{
	*bytes_out = p->n;
	return p->dictionary;
}

void text_packer_destroy(struct text_packer *p)
{
	if (!p)
		return;
	free(p->dictionary);
	free(p->heads);
	free(p->next);
	free(p);
}

/* --- unpacking --------------------------------------------------------------------------------------------------- */

bool text_unpack_head(const uint8_t **at, const uint8_t *end, size_t max, size_t *bytes_out)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 28 && *at < end; shift += 7) {
		uint8_t byte = *(*at)++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*bytes_out = (size_t)value;
			return value <= max;
		}
	}
	return false;
}

/* Most pieces are short: two fixed copies cost less than one whose length is only now known. end: of what may be read. */
static inline void copy_piece(char *out, const uint8_t *from, size_t n, const uint8_t *end)
{
	if (n > NAME_TEXT_SLACK || (size_t)(end - from) < NAME_TEXT_SLACK) {
		memcpy(out, from, n);
		return;
	}
	memcpy(out, from, NAME_TEXT_SLACK / 2);
	memcpy(out + NAME_TEXT_SLACK / 2, from + NAME_TEXT_SLACK / 2, NAME_TEXT_SLACK / 2);
}

bool text_unpack(const uint8_t *dictionary, size_t dictionary_bytes, const uint8_t *at, const uint8_t *end, char *out, size_t bytes)
{
	size_t offset_bytes = dictionary_bytes > NARROW_MAX ? 3 : 2;

	while (bytes) {
		if (at == end)
			return false;
		size_t n = *at++, offset = 0;
		const uint8_t *from = at, *from_end = end;
		if (n < LITERALS_MAX) {
			n++;
			if (n > (size_t)(end - at))
				return false;
			at += n;
		} else {
			n = n - LITERALS_MAX + COPY_MIN;
			if (offset_bytes > (size_t)(end - at))
				return false;
			offset = (size_t)(at[0] | at[1] << 8);
			if (offset_bytes == 3)
				offset |= (size_t)at[2] << 16;
			at += offset_bytes;
			if (offset > dictionary_bytes || n > dictionary_bytes - offset)
				return false;
			from = dictionary + offset;
			from_end = dictionary + dictionary_bytes;
		}
		if (n > bytes)
			return false;
		copy_piece(out, from, n, from_end);
		out += n;
		bytes -= n;
	}
	*out = 0;
	return true;
}
