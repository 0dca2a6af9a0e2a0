/* The distinct frames of a window: what a pc means, before it has a name. */
#ifndef HEARTH_AGENT_FRAME_TABLE_H
#define HEARTH_AGENT_FRAME_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum frame_kind {
	FRAME_KERNEL, /* address: of the kernel */
	FRAME_IMAGE,  /* address: vaddr in an image */
	FRAME_OFFSET, /* address: byte of an image's file that no known segment covers */
	FRAME_MARK,   /* address: enum frame_mark */
	FRAME_JIT,    /* address: pc in code that the process made itself; image: its slot in the JIT files */
};

/* Frames that stand for something that has no code. */
enum frame_mark {
	MARK_ANONYMOUS, /* executable memory without a file: a JIT */
	MARK_UNMAPPED,	/* a pc in no mapping */
	MARK_INFERRED,	/* between a frame and its caller that its code tells, not CFI or a frame pointer */
	MARK_CUT,	/* + enum account_cut: why the rest of a stack is missing */
};

#define FRAME_NO_IMAGE UINT32_MAX

struct frame {
	uint64_t address;
	uint32_t image; /* index into the image table, or of kind */
	uint8_t kind;
	uint32_t location; /* in the profile that is being built */
	uint32_t name;	   /* profile_str of the outermost function, for the test of entry functions; 0 for JIT code */
	uint64_t time_ns;  /* JIT: of its first sample */
};

struct frame_table {
	struct frame *frames;
	size_t n, capacity;
	uint32_t *slots; /* index + 1; 0: free */
	size_t n_slots;	 /* a power of two */
	uint64_t seed;
};

int frame_table_init(struct frame_table *t);
/* The index of a frame, or a negative errno. */
int64_t frame_table_add(struct frame_table *t, enum frame_kind kind, uint32_t image, uint64_t address);
void frame_table_clear(struct frame_table *t);
void frame_table_deinit(struct frame_table *t);

#endif
