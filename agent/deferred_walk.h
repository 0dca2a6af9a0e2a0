/* A walk that the kernel program left to user space: the same steps (bpf/unwind.h), over the registers and the copied top of the stack.
 * Where the tables do not express a rule, libunwind evaluates it over the same bytes (symbolizer/libunwind_walk.h), and the tables
 * go on from the caller. Where code has neither CFI nor a frame pointer, its instructions may tell (agent/code_walk.h): such frames are
 * marked as inferred. Not thread-safe. */
#ifndef HEARTH_AGENT_DEFERRED_WALK_H
#define HEARTH_AGENT_DEFERRED_WALK_H

#include "agent/image_table.h"
#include "agent/process_table.h"
#include "agent/unwind_images.h"
#include "agent/unwind_memory.h"

#define LIBUNWIND_EPOCH_NS 250000000u /* of an epoch's 5 s that libunwind may have: a strange program must not make us busy */

struct deferred_walker;

/* A finished walk. */
struct deferred_stack {
	uint16_t n;
	uint16_t inferred; /* index of the first frame that was inferred from code: it and those behind it are as sure as that. 0: none */
	uint8_t end; /* enum stack_end */
	uint64_t frames[USER_FRAMES_MAX]; /* leaf first: an interrupted pc, then return addresses */
};

struct deferred_walk_stats {
	uint64_t walks;
	uint64_t complete;	/* that reached the outermost frame */
	uint64_t by_libunwind;	/* steps that the tables could not do */
	uint64_t inferred;	/* stacks with such frames */
	uint64_t libunwind_ns;	/* spent on them, and on what failed */
	uint64_t libunwind_refused; /* steps that its time was used up for; their stacks stay as they were */
};

/* All borrowed. */
int deferred_walker_create(struct symbolizer *symbolizer, struct image_table *images, struct unwind_images *tables, struct unwind_memory *memory,
			   struct unwind_slot *slots, uint32_t n_slots, const uint32_t *epoch,
			   struct deferred_walker **walker_out);

/* process: whose stack it is; NULL: not known, the walk ends where it began.
 * stack: record->n_bytes bytes. */
void deferred_walk(struct deferred_walker *w, struct process *process, const struct deferred_record *record,
		   const uint8_t *stack, struct deferred_stack *stack_out);

void deferred_walk_stats(const struct deferred_walker *w, struct deferred_walk_stats *stats_out);

/* NULL is legal. */
void deferred_walker_destroy(struct deferred_walker *w);

#endif
