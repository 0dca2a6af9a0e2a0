/* Windows as the agent would record them on a busy machine, made up: the same number gives the same window, byte for byte. */
#ifndef HEARTH_TESTS_UPLOAD_SYNTHETIC_H
#define HEARTH_TESTS_UPLOAD_SYNTHETIC_H

#include <stdint.h>

#include "pprof/profile.h"

struct synthetic {
	uint32_t processes;
	uint32_t stacks;      /* of one process; a window has about a third of them */
	uint32_t depth;	      /* frames of a stack */
	uint32_t name_bytes;  /* a function's name is at least that long */
	int64_t duration_ns;
};

/* Half of the processes are containers of a pod, the rest units. Some frames are the kernel's, some have no names.
 * Returns 0 or a negative errno. */
int synthetic_window(const struct synthetic *shape, uint64_t number, int64_t time_ns, struct profile **window_out);

#endif
