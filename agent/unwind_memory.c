#include "agent/unwind_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 64u /* a cache line */

struct hole {
	uint32_t offset, bytes;
};

struct chunk {
	void *at; /* NULL: not created yet */
	struct hole *holes; /* sorted, none touches another */
	size_t n_holes, capacity;
};

struct unwind_memory {
	struct unwind_chunk_source source;
	struct chunk *chunks;
	uint32_t n_chunks, max_chunks;
	struct unwind_range *given_up;
	size_t n_given_up, given_up_capacity;
	uint64_t used;
};

int unwind_memory_create(uint64_t budget_bytes, const struct unwind_chunk_source *source, struct unwind_memory **memory_out)
{
	struct unwind_memory *m = calloc(1, sizeof(*m));
	uint64_t chunks = budget_bytes / UNWIND_CHUNK_BYTES;

	if (!m)
		return -ENOMEM;
	m->source = *source;
	m->max_chunks = chunks < 1 ? 1 : chunks > UNWIND_CHUNKS_MAX ? UNWIND_CHUNKS_MAX : (uint32_t)chunks;
	m->chunks = calloc(m->max_chunks, sizeof(m->chunks[0]));
	if (!m->chunks) {
		free(m);
		return -ENOMEM;
	}
	*memory_out = m;
	return 0;
}

/* Room for one more hole, so that taking and giving back never fails later. */
static int reserve_hole(struct chunk *chunk)
{
	if (chunk->n_holes < chunk->capacity)
		return 0;
	size_t capacity = chunk->capacity ? 2 * chunk->capacity : 16;
	struct hole *grown = realloc(chunk->holes, capacity * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	chunk->holes = grown;
	chunk->capacity = capacity;
	return 0;
}

/* The smallest hole that is large enough; -1: none. */
static int64_t best_hole(const struct chunk *chunk, uint32_t bytes)
{
	int64_t best = -1;

	for (size_t i = 0; i < chunk->n_holes; i++)
		if (chunk->holes[i].bytes >= bytes && (best < 0 || chunk->holes[i].bytes < chunk->holes[best].bytes))
			best = (int64_t)i;
	return best;
}

static void take_hole(struct chunk *chunk, size_t index, uint32_t bytes)
{
	struct hole *hole = &chunk->holes[index];

	hole->offset += bytes;
	hole->bytes -= bytes;
	if (!hole->bytes) {
		memmove(hole, hole + 1, (chunk->n_holes - index - 1) * sizeof(*hole));
		chunk->n_holes--;
	}
}

static int add_chunk(struct unwind_memory *m)
{
	struct chunk *chunk = &m->chunks[m->n_chunks];

	if (m->n_chunks == m->max_chunks)
		return -ENOSPC;
	int err = reserve_hole(chunk);
	if (err == 0)
		err = m->source.create(m->source.context, m->n_chunks, &chunk->at);
	if (err < 0)
		return err;
	chunk->holes[0] = (struct hole){0, UNWIND_CHUNK_BYTES};
	chunk->n_holes = 1;
	m->n_chunks++;
	return 0;
}

static int reserve_given_up(struct unwind_memory *m)
{
	if (m->n_given_up < m->given_up_capacity)
		return 0;
	size_t capacity = m->given_up_capacity ? 2 * m->given_up_capacity : 64;
	struct unwind_range *grown = realloc(m->given_up, capacity * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	m->given_up = grown;
	m->given_up_capacity = capacity;
	return 0;
}

int unwind_memory_alloc(struct unwind_memory *m, uint32_t bytes, struct unwind_range *range_out)
{
	uint32_t rounded = (bytes + ALIGN - 1) & ~(ALIGN - 1);

	if (bytes > UNWIND_CHUNK_BYTES)
		return -E2BIG;
	if (!rounded)
		rounded = ALIGN;
	for (uint32_t i = 0;; i++) {
		if (i == m->n_chunks) {
			int err = add_chunk(m);
			if (err < 0)
				return err;
		}
		int64_t hole = best_hole(&m->chunks[i], rounded);
		if (hole < 0)
			continue;
		*range_out = (struct unwind_range){i, m->chunks[i].holes[hole].offset, rounded};
		take_hole(&m->chunks[i], (size_t)hole, rounded);
		m->used += rounded;
		return 0;
	}
}

void *unwind_memory_at(const struct unwind_memory *m, uint32_t chunk, uint32_t offset)
{
	return chunk < m->n_chunks ? (uint8_t *)m->chunks[chunk].at + offset : NULL;
}

static void give_back(struct unwind_memory *m, const struct unwind_range *range)
{
	struct chunk *chunk = &m->chunks[range->chunk];
	size_t at = 0;

	m->used -= range->bytes;
	while (at < chunk->n_holes && chunk->holes[at].offset < range->offset)
		at++;
	bool joins_before = at && chunk->holes[at - 1].offset + chunk->holes[at - 1].bytes == range->offset;
	bool joins_after = at < chunk->n_holes && range->offset + range->bytes == chunk->holes[at].offset;
	if (joins_before) {
		chunk->holes[at - 1].bytes += range->bytes;
		if (joins_after) {
			chunk->holes[at - 1].bytes += chunk->holes[at].bytes;
			memmove(&chunk->holes[at], &chunk->holes[at + 1], (chunk->n_holes - at - 1) * sizeof(struct hole));
			chunk->n_holes--;
		}
	} else if (joins_after) {
		chunk->holes[at].offset = range->offset;
		chunk->holes[at].bytes += range->bytes;
	} else if (reserve_hole(chunk) == 0) {
		memmove(&chunk->holes[at + 1], &chunk->holes[at], (chunk->n_holes - at) * sizeof(struct hole));
		chunk->holes[at] = (struct hole){range->offset, range->bytes};
		chunk->n_holes++;
	} /* else out of memory: this range stays unused */
}

void unwind_memory_free(struct unwind_memory *m, const struct unwind_range *range)
{
	if (reserve_given_up(m) == 0)
		m->given_up[m->n_given_up++] = *range;
}

void unwind_memory_settle(struct unwind_memory *m)
{
	for (size_t i = 0; i < m->n_given_up; i++)
		give_back(m, &m->given_up[i]);
	m->n_given_up = 0;
}

bool unwind_memory_is_settled(const struct unwind_memory *m)
{
	return !m->n_given_up;
}

uint64_t unwind_memory_used(const struct unwind_memory *m)
{
	return m->used;
}

uint64_t unwind_memory_allocated(const struct unwind_memory *m)
{
	return (uint64_t)m->n_chunks * UNWIND_CHUNK_BYTES;
}

uint64_t unwind_memory_budget(const struct unwind_memory *m)
{
	return (uint64_t)m->max_chunks * UNWIND_CHUNK_BYTES;
}

void unwind_memory_destroy(struct unwind_memory *m)
{
	if (!m)
		return;
	for (uint32_t i = 0; i < m->n_chunks; i++) {
		m->source.destroy(m->source.context, i, m->chunks[i].at);
		free(m->chunks[i].holes);
	}
	free(m->chunks);
	free(m->given_up);
	free(m);
}
