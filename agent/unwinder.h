/* Complete stacks without frame pointers: keeps the tables and address spaces that the kernel program needs where it finds them, and
 * finishes the walks that it could not. Owns unwind_memory, unwind_images, unwind_spaces and the deferred walker. Not thread-safe. */
#ifndef HEARTH_AGENT_UNWINDER_H
#define HEARTH_AGENT_UNWINDER_H

#include "agent/deferred_walk.h"
#include "agent/sampler.h"
#include "agent/unwind_images.h"
#include "agent/unwind_spaces.h"

#define UNWIND_BUDGET_DEFAULT (64ull << 20)
#define UNWIND_BUDGET_MIN     (2ull << 20)
#define UNWIND_BUDGET_MAX     ((uint64_t)UNWIND_CHUNKS_MAX * UNWIND_CHUNK_BYTES)

struct unwinder;

struct unwinder_stats {
	struct unwind_images_stats images;
	struct unwind_spaces_stats spaces;
	struct deferred_walk_stats walks;
	uint64_t memory_used, memory_allocated, memory_budget; /* bytes */
	uint64_t requests;	/* of the kernel program: a process or a table that it does not have */
};

/* sampler, images, symbolizer, processes: borrowed; the process table's watch is taken. */
int unwinder_create(struct sampler *sampler, struct image_table *images, struct symbolizer *symbolizer,
		    struct process_table *processes, uint64_t budget_bytes, struct unwinder **unwinder_out);

/* Becomes readable (epoll) when the kernel program lacks something. */
int unwinder_fd(const struct unwinder *u);

/* Take what the kernel program deferred since, finish it, and load what it lacked. Process records up to now must have been applied.
 * window, epoch: see process_table_find(). */
void unwinder_work(struct unwinder *u, uint64_t window, uint64_t epoch);

/* A generation was retired, and process records up to now were applied: finish everything that was deferred. */
void unwinder_begin_drain(struct unwinder *u, uint64_t window, uint64_t epoch);

/* How a sample's stack was walked. Borrowed until unwinder_end_drain(). */
struct unwinder_walk {
	const struct deferred_stack *deferred; /* user space finished it; NULL: it did not */
	struct mapset *mappings;	       /* of the process at that time; NULL: not known */
};

/* walk: arena_entry.walk. */
void unwinder_find(const struct unwinder *u, uint64_t walk, struct unwinder_walk *walk_out);
void unwinder_end_drain(struct unwinder *u);

void unwinder_stats(const struct unwinder *u, struct unwinder_stats *stats_out);

/* NULL is legal. */
void unwinder_destroy(struct unwinder *u);

#endif
