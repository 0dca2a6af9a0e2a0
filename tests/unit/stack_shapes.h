/* Functions with stacks of all shapes, compiled without frame pointers. Each takes a snapshot at its end, through stack_capture(). */
#ifndef HEARTH_TESTS_STACK_SHAPES_H
#define HEARTH_TESTS_STACK_SHAPES_H

#include "tests/unit/walk_fixture.h"

void shape_plain(struct snapshot *snapshot);
/* A frame of a size that is known at run time only: the CFA hangs on rbp. */
void shape_alloca(struct snapshot *snapshot, size_t bytes);
/* A frame that is aligned at run time: the CFA is what a word on the stack says. */
void shape_realigned(struct snapshot *snapshot, size_t bytes);
/* A call that does not return is the last instruction. Comes back by longjmp. */
void shape_noreturn(struct snapshot *snapshot);
/* A signal in a leaf without a frame; its handler takes the snapshot. */
void shape_signal(struct snapshot *snapshot);
/* The same on a stack of the handler's own. */
void shape_alternate(struct snapshot *snapshot);
/* In a coroutine with a stack of its own. */
void shape_coroutine(struct snapshot *snapshot);
/* In a thread, and in what clone() begins. */
void shape_thread(struct snapshot *snapshot);
void shape_clone(struct snapshot *snapshot);
/* Its CFA is **rsp: an expression that tables do not have a form for. */
void shape_odd(struct snapshot *snapshot);
/* n frames of recursion. */
void shape_deep(struct snapshot *snapshot, int n);

/* Single-step through work() on a small stack of its own, and take a snapshot before each instruction.
 * Returns how many there were; the first max of them are in snapshots. */
size_t shape_steps(struct snapshot **snapshots, size_t max, void (*work)(void));

/* Code without CFI and without a frame pointer, from a caller with CFI. */
enum bare_shape {
	BARE_LOOP,	      /* pushes, then subtracts: its instructions tell */
	BARE_ALIGNED,	      /* aligns rsp at run time, and keeps what it was in another register: they do not */
	BARE_ALIGNED_INDIRECT, /* the same, called through a pointer */
	BARE_ALIGNED_TWICE,   /* the same, and an older return address of such a call lies in its frame */
	BARE_LOOP_JUMPED,     /* as BARE_LOOP, but what looks like its return address does not follow a call */
	BARE_LOOP_FOREIGN,    /* ... follows a call of another function */
	BARE_LOOP_BY_JUMP,    /* ... follows a call of a function that jumps to it */
	BARE_LOOP_POINTER,    /* ... follows a call through a pointer */
};
void shape_bare(struct snapshot *snapshot, enum bare_shape shape);

/* A leaf without CFI, reached from shape_no_cfi(); the signal handler takes the snapshot there. */
void shape_jit(struct snapshot *snapshot, const void *code);

#endif
