/* Answers that stay as they are, for the next who ask the same: within a budget of bytes; the least recently used goes first. Not thread-safe. */
#ifndef HEARTH_WEB_ANSWER_CACHE_H
#define HEARTH_WEB_ANSWER_CACHE_H

#include <stddef.h>
#include <stdint.h>

#define ANSWER_CACHE_ENTRIES_MAX 128
#define ANSWER_CACHE_AGE_NS	 (600 * 1000000000ull) /* windows expire; they are merged */

struct answer_cache;

struct answer_cache_stats {
	uint64_t bytes, entries; /* now */
	uint64_t hits, misses, evicted;
};

/* destroy: of an answer that goes. */
int answer_cache_create(uint64_t budget_bytes, void (*destroy)(void *context, void *answer), void *context, struct answer_cache **cache_out);

/* Times: CLOCK_MONOTONIC. Returns NULL when there is none; borrowed until the next call. */
void *answer_cache_find(struct answer_cache *c, const void *key, size_t n, uint64_t now_ns);

/* The same without counting, and whatever its age. */
void *answer_cache_peek(struct answer_cache *c, const void *key, size_t n);

/* key: copied. answer: taken over on success. Returns 0, -E2BIG (more than a quarter of the budget), or -ENOMEM. */
int answer_cache_add(struct answer_cache *c, const void *key, size_t n, void *answer, uint64_t bytes, uint64_t now_ns);

void answer_cache_stats(const struct answer_cache *c, struct answer_cache_stats *stats_out);
void answer_cache_destroy(struct answer_cache *c); /* NULL is legal */

#endif
