/* The memory that unwind tables and mapsets live in: chunks of 1 MiB, created on demand within a byte budget, and byte ranges in them.
 * The kernel reads it while we write: a range that was given up is used again only after unwind_memory_settle(). Not thread-safe. */
#ifndef HEARTH_AGENT_UNWIND_MEMORY_H
#define HEARTH_AGENT_UNWIND_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/records.h"

struct unwind_memory;

/* Where chunks come from; index: 0, 1, ... create: at_out becomes UNWIND_CHUNK_BYTES + UNWIND_CHUNK_SLACK writable bytes. */
struct unwind_chunk_source {
	int (*create)(void *context, uint32_t index, void **at_out);
	void (*destroy)(void *context, uint32_t index, void *at);
	void *context;
};

struct unwind_range {
	uint32_t chunk, offset, bytes;
};

/* budget_bytes: rounded down to whole chunks, at least one. */
int unwind_memory_create(uint64_t budget_bytes, const struct unwind_chunk_source *source, struct unwind_memory **memory_out);

/* A range of bytes, aligned to 64. Returns 0, -E2BIG (over a chunk), -ENOSPC (give something up), or the error of create(). */
int unwind_memory_alloc(struct unwind_memory *m, uint32_t bytes, struct unwind_range *range_out);

void *unwind_memory_at(const struct unwind_memory *m, uint32_t chunk, uint32_t offset);

/* Give a range up; free again after unwind_memory_settle(). */
void unwind_memory_free(struct unwind_memory *m, const struct unwind_range *range);

/* No kernel program reads ranges any more that were given up before. */
void unwind_memory_settle(struct unwind_memory *m);
bool unwind_memory_is_settled(const struct unwind_memory *m);

uint64_t unwind_memory_used(const struct unwind_memory *m);	 /* bytes in ranges, those given up included */
uint64_t unwind_memory_allocated(const struct unwind_memory *m); /* bytes of chunks */
uint64_t unwind_memory_budget(const struct unwind_memory *m);

/* NULL is legal. */
void unwind_memory_destroy(struct unwind_memory *m);

#endif
