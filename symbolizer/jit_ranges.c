#include "symbolizer/jit_ranges.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_RANGES 256

_Static_assert(sizeof(struct jit_range) == 16, "the memory budget counts on it");

struct jit_block {
	size_t n;
	struct jit_range ranges[BLOCK_RANGES];
};

/* A place in the list: of a range, or behind the last one of a block. */
struct place {
	size_t block;
	size_t at;
};

static uint64_t end_of(const struct jit_range *range)
{
	return range->start + range->bytes;
}

/* The block that pc lies in, or that comes before it. */
static size_t block_of(const struct jit_ranges *r, uint64_t pc)
{
	size_t low = 0, high = r->n_blocks;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (r->blocks[middle]->ranges[0].start <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : 0;
}

/* The first range that ends behind pc; the place behind the last one of a block when that is in the next block, or nowhere. */
static struct place place_of(const struct jit_ranges *r, uint64_t pc)
{
	struct place place = { .block = block_of(r, pc) };
	size_t high = r->n_blocks ? r->blocks[place.block]->n : 0;

	while (place.at < high) {
		size_t middle = place.at + (high - place.at) / 2;
		if (end_of(&r->blocks[place.block]->ranges[middle]) <= pc)
			place.at = middle + 1;
		else
			high = middle;
	}
	return place;
}

const struct jit_range *jit_ranges_find(const struct jit_ranges *r, uint64_t pc)
{
	struct place place = place_of(r, pc);

	if (place.block == r->n_blocks || place.at == r->blocks[place.block]->n)
		return NULL;
	const struct jit_range *range = &r->blocks[place.block]->ranges[place.at];
	return range->start <= pc ? range : NULL;
}

static int insert_block(struct jit_ranges *r, size_t index)
{
	if (r->n_blocks == r->capacity) {
		size_t capacity = r->capacity ? 2 * r->capacity : 16;
		struct jit_block **grown = reallocarray(r->blocks, capacity, sizeof(struct jit_block *));
		if (!grown)
			return -ENOMEM;
		r->blocks = grown;
		r->capacity = capacity;
	}
	struct jit_block *block = malloc(sizeof(*block));
	if (!block)
		return -ENOMEM;
	block->n = 0;
	memmove(&r->blocks[index + 1], &r->blocks[index], (r->n_blocks - index) * sizeof(struct jit_block *));
	r->blocks[index] = block;
	r->n_blocks++;
	return 0;
}

/* Make room at a place of a full block: half of it moves to a new one; at the very end nothing does, so that a list that comes in order
 * fills its blocks. */
static int split_block(struct jit_ranges *r, struct place *place)
{
	bool last = place->block + 1 == r->n_blocks && place->at == BLOCK_RANGES;
	size_t keep = last ? BLOCK_RANGES : BLOCK_RANGES / 2;

	int err = insert_block(r, place->block + 1);
	if (err < 0)
		return err;
	struct jit_block *from = r->blocks[place->block], *to = r->blocks[place->block + 1];
	to->n = BLOCK_RANGES - keep;
	memcpy(to->ranges, &from->ranges[keep], to->n * sizeof(to->ranges[0]));
	from->n = keep;
	if (place->at > keep || last) {
		place->block++;
		place->at -= keep;
	}
	return 0;
}

static int insert(struct jit_ranges *r, struct place place, const struct jit_range *range)
{
	int err = 0;

	if (!r->n_blocks)
		err = insert_block(r, 0);
	else if (r->blocks[place.block]->n == BLOCK_RANGES)
		err = split_block(r, &place);
	if (err < 0)
		return err;
	struct jit_block *block = r->blocks[place.block];
	memmove(&block->ranges[place.at + 1], &block->ranges[place.at], (block->n - place.at) * sizeof(*range));
	block->ranges[place.at] = *range;
	block->n++;
	r->n++;
	return 0;
}

static void remove_blocks(struct jit_ranges *r, size_t first, size_t n)
{
	if (!n)
		return;
	for (size_t i = first; i < first + n; i++) {
		r->n -= r->blocks[i]->n;
		free(r->blocks[i]);
	}
	r->n_blocks -= n;
	memmove(&r->blocks[first], &r->blocks[first + n], (r->n_blocks - first) * sizeof(struct jit_block *));
}

/* Take away the ranges of a block from a place on that end at or before end. */
static void remove_ranges(struct jit_ranges *r, struct place place, uint64_t end)
{
	struct jit_block *block = r->blocks[place.block];
	size_t to = place.at;

	while (to < block->n && end_of(&block->ranges[to]) <= end)
		to++;
	memmove(&block->ranges[place.at], &block->ranges[to], (block->n - to) * sizeof(block->ranges[0]));
	block->n -= to - place.at;
	r->n -= to - place.at;
}

static void cut_begin(struct jit_range *range, uint64_t start)
{
	if (range->start >= start)
		return;
	range->bytes -= (uint32_t)(start - range->start);
	range->start = start;
}

/* Nothing is left between start and end from a place on. */
static void clear_between(struct jit_ranges *r, struct place place, uint64_t end)
{
	size_t whole = 0;

	if (place.block == r->n_blocks)
		return;
	remove_ranges(r, place, end);
	if (place.at < r->blocks[place.block]->n) {
		cut_begin(&r->blocks[place.block]->ranges[place.at], end);
		return;
	}
	/* Blocks that are hidden altogether go at once. */
	size_t next = place.block + 1;
	while (next + whole < r->n_blocks &&
	       end_of(&r->blocks[next + whole]->ranges[r->blocks[next + whole]->n - 1]) <= end)
		whole++;
	remove_blocks(r, next, whole);
	if (next < r->n_blocks) {
		remove_ranges(r, (struct place){ .block = next }, end);
		cut_begin(&r->blocks[next]->ranges[0], end);
	}
}

int jit_ranges_put(struct jit_ranges *r, uint64_t start, uint32_t bytes, uint32_t code)
{
	struct jit_range range = { start, bytes, code };

	if (!bytes || start > UINT64_MAX - bytes)
		return -EINVAL;
	if (r->n + 2 > JIT_RANGES_MAX)
		return -E2BIG;
	uint64_t end = end_of(&range);
	struct place place = place_of(r, start);
	if (place.block < r->n_blocks && place.at < r->blocks[place.block]->n) {
		struct jit_range *first = &r->blocks[place.block]->ranges[place.at];
		uint64_t first_end = end_of(first);
		if (first->start < start) {
			struct jit_range rest = { end, first_end > end ? (uint32_t)(first_end - end) : 0, first->code };
			first->bytes = (uint32_t)(start - first->start);
			place.at++;
			int err = rest.bytes ? insert(r, place, &rest) : 0;
			if (err < 0)
				return err;
			/* The insertion may have split the block. */
			place = place_of(r, start);
		}
	}
	clear_between(r, place, end);
	int err = insert(r, place, &range);
	if (err < 0 && r->n_blocks && !r->blocks[place.block]->n)
		remove_blocks(r, place.block, 1);
	return err;
}

size_t jit_ranges_bytes(const struct jit_ranges *r)
{
	return r->n_blocks * sizeof(struct jit_block) + r->capacity * sizeof(struct jit_block *);
}

void jit_ranges_clear(struct jit_ranges *r)
{
	remove_blocks(r, 0, r->n_blocks);
	free(r->blocks);
	*r = (struct jit_ranges){ 0 };
}
