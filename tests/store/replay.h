/* Windows of a host that does not exist, the same ones for the same seed: for tests and measurements of the store.
 *
 * Programs have call trees whose first frames are always the same, and which branch below with Zipf's law: some stacks come in every window, and each window has some that never
 * were before. A quarter of the samples ends in the kernel. Some processes live for one window only. */
#ifndef HEARTH_TESTS_REPLAY_H
#define HEARTH_TESTS_REPLAY_H

#include "pprof/profile.h"

struct replay_options {
	uint64_t seed;
	unsigned processes;	 /* that stay */
	unsigned brief;		 /* that are there for one window */
	unsigned ticks;		 /* samples of a window */
	unsigned depth;		 /* of user stacks, on average */
	int64_t period;		 /* ns */
	unsigned ballast;	 /* bytes of a comment that nothing compresses: large windows that are made quickly */
	unsigned branching;	 /* where calls branch (at each fourth frame below the first ones): how many of 100 take another than the usual way */
};

extern const struct replay_options replay_host; /* 100 processes, two busy cores at 19 Hz */

struct replay;

struct replay *replay_create(const struct replay_options *options);
/* The next window; owned by the caller. Aborts without memory. */
struct profile *replay_window(struct replay *r, int64_t time_ns, int64_t duration_ns);
void replay_destroy(struct replay *r);

#endif
