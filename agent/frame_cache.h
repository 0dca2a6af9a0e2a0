/* Names of frames over windows: (image, table, vaddr) -> frames, within a budget of bytes, so that a window asks the symbolizer
 * only for what is new in it.
 *
 * Two generations of half the budget each: what is found in the older one moves to the younger one; when that is full the older one
 * goes, with all that was not asked for in the meantime. So nothing is freed one by one, and the budget holds to the byte. An
 * image's answers carry the serial of its name table (agent/name_tables.h): when a table arrives the old answers are not found any
 * more. Keys are hashed with a random seed (SAFETY 29). Not thread-safe. */
#ifndef HEARTH_AGENT_FRAME_CACHE_H
#define HEARTH_AGENT_FRAME_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbolizer/symbolizer.h"

#define FRAME_CACHE_BYTES     (16u << 20)
#define FRAME_CACHE_BYTES_MIN (64u << 10)
#define FRAME_CACHE_KERNEL    UINT64_MAX /* as image: the kernel; serial: of its symbols */

struct frame_cache;

struct frame_key {
	uint64_t image; /* struct image's id */
	uint64_t serial;
	uint64_t vaddr;
};

struct frame_cache_stats {
	uint64_t bytes; /* in use, both generations */
	uint64_t entries;
	uint64_t hits, misses;
	uint64_t generations; /* so many times the older half went */
	uint64_t too_large;   /* answers that were not kept */
};

/* budget_bytes: at least FRAME_CACHE_BYTES_MIN (-EINVAL). */
int frame_cache_create(uint64_t budget_bytes, struct frame_cache **cache_out);

/* The frames of an address. n_out 0: known to have no name. Borrowed until the next call. */
bool frame_cache_find(struct frame_cache *c, const struct frame_key *key, const struct symbolizer_frame **frames_out, size_t *n_out);

/* Keep an answer that was not found; copied. */
void frame_cache_add(struct frame_cache *c, const struct frame_key *key, const struct symbolizer_frame *frames, size_t n);

void frame_cache_stats(const struct frame_cache *c, struct frame_cache_stats *stats_out);

/* NULL is legal. */
void frame_cache_destroy(struct frame_cache *c);

#endif
