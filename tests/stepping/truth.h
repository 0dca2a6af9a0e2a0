/* The true callers of a thread at every instruction, from what its instructions did: a call pushes a return address, and what lies
 * below the stack pointer is gone. That covers ret, longjmp and exceptions alike. Signals push what they interrupted.
 *
 * Code may have several stacks (signal stacks, coroutines, goroutines). Each is a range that grows with what was seen of it; a stack
 * that did not begin with a thread is known only from where it was first seen. No CFI is used. */
#ifndef HEARTH_STEPPING_TRUTH_H
#define HEARTH_STEPPING_TRUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct truth_frame {
	uint64_t slot; /* address of the return address */
	uint64_t pc;   /* return address, or an interrupted pc */
	uint64_t hash; /* of this frame and all behind it */
};

struct truth_stack {
	uint64_t low, high; /* stack pointers that were seen on it */
	bool has_root;	    /* nothing is behind its first frame; else something unknown may be */
	struct truth_stack *below; /* a signal stack: what it interrupted */
	size_t n, capacity;
	struct truth_frame *frames; /* root first */
	struct truth_stack *next;
};

/* All stacks of a process. */
struct truth {
	struct truth_stack *stacks;
};

/* What an instruction may do to the stack pointer, by its kind. */
enum truth_move {
	MOVE_LOCAL,    /* stays on its stack: push, pop, add, sub, ret */
	MOVE_REGISTER, /* a register's value: mostly the same stack */
	MOVE_MEMORY,   /* a value from memory: mostly another stack; or a system call */
};

/* A thread's first stack. NULL when out of memory. */
struct truth_stack *truth_begin(struct truth *t, uint64_t sp);

/* The stack that sp lies on after a move; frames that it left behind are dropped. NULL when out of memory. */
struct truth_stack *truth_move(struct truth *t, struct truth_stack *now, uint64_t sp, enum truth_move move);

/* A return address was pushed. Returns 0 or -ENOMEM. */
int truth_push(struct truth_stack *stack, uint64_t slot, uint64_t pc);

/* A signal handler begins. sp: where its return address is; interrupted_slot: where the interrupted pc is saved.
 * Returns the handler's stack; NULL when out of memory. */
struct truth_stack *truth_signal(struct truth *t, struct truth_stack *now, uint64_t sp, uint64_t restorer,
				 uint64_t interrupted_slot, uint64_t interrupted_pc);

/* The callers, leaf first, at most max. Returns how many; *complete_out: nothing unknown is behind them. */
size_t truth_chain(const struct truth_stack *stack, struct truth_frame *frames, size_t max, bool *complete_out);
uint64_t truth_hash(const struct truth_stack *stack);

void truth_deinit(struct truth *t);

#endif
