/* Steps of a stack walk by libunwind, over recorded registers and a copy of the stack: for rules that unwind tables do not express.
 *
 * libunwind sees no file. For each frame it gets the CFI of that one function, found and screened by symbolizer/frame_entry.h and
 * written anew; it reads words of the stack's copy, and of the read-only segments of the frame's image through pread.
 * All of it is bounds-checked, and a walk's steps, reads and time have budgets. Nothing is cached in libunwind. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_LIBUNWIND_WALK_H
#define HEARTH_SYMBOLIZER_LIBUNWIND_WALK_H

#include <stdbool.h>
#include <stdint.h>

#define LIBUNWIND_REGISTERS 16 /* general registers, by their DWARF numbers */
#define LIBUNWIND_STEPS_MAX 512
#define LIBUNWIND_READS_MAX 262144 /* words, of a walk: some 300 a step */
#define LIBUNWIND_NS_MAX    100000000u /* of a walk's steps; for files that come from a slow disk: the reads alone are some 10 ms */

struct libunwind_walk;

/* The image that a pc lies in. fd: borrowed until libunwind_walk_rest(). vaddr = pc - bias. Returns 0 or a negative errno. */
typedef int (*libunwind_image_fn)(void *context, uint64_t pc, int *fd_out, uint64_t *bias_out);

/* All borrowed during the walk. */
struct libunwind_input {
	const uint64_t *registers;
	uint64_t pc;
	const uint8_t *stack;
	uint64_t stack_address; /* of stack[0] */
	uint32_t stack_bytes;
	libunwind_image_fn find_image;
	void *context;
};

struct libunwind_frame {
	uint64_t registers[LIBUNWIND_REGISTERS]; /* those that the callees did not save are as they were further in */
	uint64_t pc;
	bool exact; /* interrupted there: not a return address */
};

/* -EOPNOTSUPP on machines without registers known here. */
int libunwind_walk_create(struct libunwind_walk **walk_out);

int libunwind_walk_begin(struct libunwind_walk *w, const struct libunwind_input *input);

/* One step, to the caller. Returns 1, 0 (there is none), or a negative errno: -ENOENT (no CFI), -EFAULT (a word that was
 * not copied), -EOPNOTSUPP, -EBADMSG, -ETIME (over a budget); after it the walk is over. */
int libunwind_walk_step(struct libunwind_walk *w, struct libunwind_frame *frame_out);

/* Let go of the descriptors that find_image() gave: they may be closed. The walk can go on; it asks for them again. */
void libunwind_walk_rest(struct libunwind_walk *w);

/* NULL is legal. */
void libunwind_walk_destroy(struct libunwind_walk *w);

#endif
