/* The profiler is a good guest (DESIGN.md, promise 6): its own CPU, the kernel program's included, has a budget. After each window
 * the governor says at which rate the next one samples. */
#ifndef HEARTH_AGENT_GOVERNOR_H
#define HEARTH_AGENT_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

struct governor {
	double max_share;     /* of the machine: 0.01 is 1 % of all CPUs */
	uint64_t wanted_hz;   /* the user's rate: never above it */
	uint64_t rate_hz;     /* now */
	double share;	      /* mean over about the last minute: a start or a new kernel module is no reason to sample less */
	uint64_t lowered;     /* times that the rate was lowered */
};

void governor_init(struct governor *g, double max_share, uint64_t wanted_hz);

/* own_ns: CPU time of this window: of hearth's processes and of the kernel program. window_ns: its wall time.
 * Returns true when rate_hz changed. Lowers at 90 % of the budget, so that it is not exceeded; raises again below half, in
 * steps, so that it does not swing. */
bool governor_update(struct governor *g, uint64_t own_ns, uint64_t window_ns, int cpus);

#endif
