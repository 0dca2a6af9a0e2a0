#include "agent/mapset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

struct mapset {
	uint32_t references;
	size_t n_sorted; /* mappings[0..n_sorted): sorted, disjoint */
	size_t n;	 /* the rest was added since, in that order */
	size_t capacity;
	struct mapping *mappings;
};

struct mapset *mapset_create(void)
{
	struct mapset *set = calloc(1, sizeof(*set));

	if (set)
		set->references = 1;
	return set;
}

struct mapset *mapset_ref(struct mapset *set)
{
	set->references++;
	return set;
}

void mapset_unref(struct mapset *set)
{
	if (!set || --set->references)
		return;
	free(set->mappings);
	free(set);
}

static struct mapset *copy_of(const struct mapset *set)
{
	struct mapset *copy = mapset_create();

	if (!copy || !set->n)
		return copy;
	copy->mappings = malloc(set->n * sizeof(*copy->mappings));
	if (!copy->mappings) {
		free(copy);
		return NULL;
	}
	memcpy(copy->mappings, set->mappings, set->n * sizeof(*copy->mappings));
	copy->n = copy->capacity = set->n;
	copy->n_sorted = set->n_sorted;
	return copy;
}

static int grow(struct mapset *set, size_t capacity)
{
	struct mapping *grown = realloc(set->mappings, capacity * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	set->mappings = grown;
	set->capacity = capacity;
	return 0;
}

/* One end of an interval, for the sweep in merge(). */
struct edge {
	uint64_t at;
	uint32_t index; /* of the mapping */
	uint32_t opens;
};

static int by_place(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (int)x->opens - (int)y->opens; /* ends before beginnings */
}

/* A max-heap of the mappings that are open at the sweep's place: the newest one shows. */
struct heap {
	uint32_t *items;
	size_t n;
};

static void heap_push(struct heap *heap, uint32_t item)
{
	size_t at = heap->n++;

	for (; at && heap->items[(at - 1) / 2] < item; at = (at - 1) / 2)
		heap->items[at] = heap->items[(at - 1) / 2];
	heap->items[at] = item;
}

static void heap_pop(struct heap *heap)
{
	uint32_t item = heap->items[--heap->n];
	size_t at = 0;

	for (size_t child = 1; child < heap->n; child = 2 * at + 1) {
		if (child + 1 < heap->n && heap->items[child + 1] > heap->items[child])
			child++;
		if (heap->items[child] <= item)
			break;
		heap->items[at] = heap->items[child];
		at = child;
	}
	heap->items[at] = item;
}

static size_t emit(struct mapping *out, size_t n, const struct mapping *from, uint64_t start, uint64_t end)
{
	struct mapping piece = *from;

	piece.start = start;
	piece.end = end;
	piece.file_offset = from->file_offset + (start - from->start);
	/* What was only cut by an edge that is hidden belongs together. */
	if (n && out[n - 1].end == start && out[n - 1].image == piece.image &&
	    out[n - 1].file_offset + (start - out[n - 1].start) == piece.file_offset) {
		out[n - 1].end = end;
		return n;
	}
	out[n] = piece;
	return n + 1;
}

/* Sweep over all edges; between two of them the newest open mapping is the one that the process sees. */
static int merge_all(struct mapset *set)
{
	size_t n = set->n, n_out = 0;
	AUTO_FREE struct edge *edges = malloc(2 * n * sizeof(*edges));
	AUTO_FREE uint32_t *items = malloc(n * sizeof(*items));
	AUTO_FREE uint8_t *closed = calloc(n, 1);
	AUTO_FREE struct mapping *out = malloc(2 * n * sizeof(*out));
	if (!edges || !items || !closed || !out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		edges[2 * i] = (struct edge){set->mappings[i].start, (uint32_t)i, 1};
		edges[2 * i + 1] = (struct edge){set->mappings[i].end, (uint32_t)i, 0};
	}
	qsort(edges, 2 * n, sizeof(*edges), by_place);
	struct heap heap = {items, 0};
	for (size_t i = 0; i < 2 * n; i++) {
		if (edges[i].opens)
			heap_push(&heap, edges[i].index);
		else
			closed[edges[i].index] = 1;
		while (heap.n && closed[heap.items[0]])
			heap_pop(&heap);
		if (heap.n && i + 1 < 2 * n && edges[i].at < edges[i + 1].at)
			n_out = emit(out, n_out, &set->mappings[heap.items[0]], edges[i].at, edges[i + 1].at);
	}
	free(set->mappings);
	set->mappings = take_ptr(out);
	set->capacity = 2 * n;
	set->n = set->n_sorted = n_out;
	return 0;
}

/* Where the first mapping that ends behind a pc is, among the sorted ones. */
static size_t lower(const struct mapset *set, uint64_t pc)
{
	size_t low = 0, high = set->n_sorted;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (set->mappings[middle].end <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The common case: a few new mappings that overlap nothing are moved into place. */
static int merge(struct mapset *set)
{
	while (set->n_sorted < set->n && set->n - set->n_sorted <= 32) {
		struct mapping mapping = set->mappings[set->n_sorted];
		size_t at = lower(set, mapping.start);
		if (at < set->n_sorted && set->mappings[at].start < mapping.end)
			break;
		memmove(&set->mappings[at + 1], &set->mappings[at], (set->n_sorted - at) * sizeof(mapping));
		set->mappings[at] = mapping;
		set->n_sorted++;
	}
	return set->n_sorted < set->n ? merge_all(set) : 0;
}

int mapset_add(struct mapset **set, const struct mapping *mapping)
{
	if (mapping->end <= mapping->start)
		return -EINVAL;
	if ((*set)->references > 1) {
		struct mapset *own = copy_of(*set);
		if (!own)
			return -ENOMEM;
		mapset_unref(*set);
		*set = own;
	}
	struct mapset *s = *set;
	if (s->n >= MAPSET_MAX) {
		int err = merge(s); /* what is hidden goes */
		if (err < 0)
			return err;
		if (s->n >= MAPSET_MAX)
			return -E2BIG;
	}
	if (s->n == s->capacity) {
		int err = grow(s, s->capacity ? 2 * s->capacity : 8);
		if (err < 0)
			return err;
	}
	s->mappings[s->n++] = *mapping;
	return 0;
}

const struct mapping *mapset_find(struct mapset *set, uint64_t pc)
{
	if (merge(set) < 0)
		return NULL;
	size_t at = lower(set, pc);
	if (at == set->n_sorted || set->mappings[at].start > pc)
		return NULL;
	return &set->mappings[at];
}

size_t mapset_count(struct mapset *set)
{
	merge(set);
	return set->n_sorted;
}

size_t mapset_bytes(const struct mapset *set)
{
	return sizeof(*set) + set->capacity * sizeof(set->mappings[0]);
}

void mapset_each(struct mapset *set, void (*fn)(void *context, const struct mapping *mapping), void *context)
{
	merge(set);
	for (size_t i = 0; i < set->n_sorted; i++)
		fn(context, &set->mappings[i]);
}
