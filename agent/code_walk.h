/* From code without CFI and without a frame pointer to its caller, where there is evidence for it.
 *
 * A step is taken only when the function's own instructions tell where its return address is (symbolizer/code_frame.h), and the code before
 * that address is a call that may have led here: a direct one to this very function, also through a PLT entry or a jump, or an indirect one.
 * Where the instructions do not tell, the stack is searched for the return address of a direct call to this very function; it counts if
 * there is one only. Who walks on from there must come to the outermost frame, or drop what this found. */
#ifndef HEARTH_AGENT_CODE_WALK_H
#define HEARTH_AGENT_CODE_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "symbolizer/symbolizer.h"

#define CODE_WALK_SCAN_BYTES 4096

struct code_walk {
	struct symbolizer *symbolizer;
	/* Memory of the process: copied stack, or code. Returns 0 or a negative errno. */
	int (*read)(void *context, void *to, uint32_t bytes, uint64_t address);
	void *context;
};

struct code_image {
	uint64_t id;
	int fd;
	uint64_t bias; /* vaddr = pc - bias */
};

struct code_place {
	uint64_t pc, sp, fp;
	bool exact; /* interrupted there; else pc is a return address */
};

/* By the function's instructions. Returns 0, or -ENOENT. */
int code_walk_by_code(const struct code_walk *w, const struct code_image *image, const struct code_place *at,
		      struct code_place *caller_out);

/* By a search of the stack. The caller's fp is 0 where it is not known. Returns 0, or -ENOENT. */
int code_walk_by_scan(const struct code_walk *w, const struct code_image *image, const struct code_place *at,
		      struct code_place *caller_out);

#endif
