/* The deferred walker on this very process: its images, its tables, and snapshots of its own registers and stack. */
#ifndef HEARTH_TESTS_WALK_FIXTURE_H
#define HEARTH_TESTS_WALK_FIXTURE_H

#include "agent/deferred_walk.h"
#include "agent/process_table.h"
#include "symbolizer/symbolizer.h"

/* What the kernel program would send: the order of the members is known to stack_capture(). */
struct snapshot {
	uint64_t registers[UNWIND_REGISTERS];
	uint64_t pc;
	uint64_t stack; /* address of bytes[0] */
	uint32_t n_bytes;
	int n_trace;
	void *trace[128]; /* of glibc: innermost first, from the function that stack_capture() calls on */
	uint8_t bytes[DEFERRED_STACK_MAX];
};

/* Take the registers and the stack here; the innermost frame is stack_capture() itself, a leaf without a frame. */
void stack_capture(struct snapshot *snapshot);

/* The stack's top above a stack pointer, read as the kernel program reads it: what is not mapped ends it. */
void snapshot_copy_stack(struct snapshot *snapshot, uint64_t sp, uint32_t bytes_max);

struct walk_fixture {
	struct symbolizer *symbolizer;
	struct image_table *images;
	struct process_table *processes;
	struct process *process;
	struct unwind_memory *memory;
	struct unwind_images *tables;
	struct unwind_slot *slots;
	uint32_t epoch;
	uint32_t chunks;	 /* that the memory has taken */
	unsigned settled;	 /* times that the kernel was waited for */
	struct deferred_walker *walker;
	uint64_t window;
};

#define FIXTURE_SLOTS 1024

void walk_fixture_init(struct walk_fixture *f, uint64_t budget_bytes);
/* Read this process's mappings again. */
void walk_fixture_reread(struct walk_fixture *f);
void walk_fixture_deinit(struct walk_fixture *f);
/* Kill the symbolizer's process. No other symbolizer may be there. Returns whether it was found. */
bool walk_fixture_kill_process(void);

/* A chunk source of malloc'ed memory; context: the number of chunks that are out (uint32_t). */
int fake_chunk_create(void *context, uint32_t index, void **at_out);
void fake_chunk_destroy(void *context, uint32_t index, void *at);
/* Does nothing but count; context: a struct walk_fixture. */
void fixture_settle(void *context);

/* Walk a snapshot whose stack is cut to n_bytes. The copy ends right before memory that may not be touched. */
void walk_snapshot(struct walk_fixture *f, const struct snapshot *snapshot, uint32_t n_bytes, struct deferred_stack *out);

/* The name of the function of a frame; "?" when there is none. Borrowed until the next call. */
const char *frame_name(struct walk_fixture *f, const struct deferred_stack *stack, size_t frame);

/* Print a stack as TAP comments. */
void print_walk(struct walk_fixture *f, const struct deferred_stack *stack);

/* By CFI, or by the ABI's 0. */
bool is_outermost(const struct deferred_stack *stack);

/* Fail unless the walk is complete and equal to glibc's. */
void assert_walk_is_trace(struct walk_fixture *f, const struct snapshot *snapshot);

#endif
