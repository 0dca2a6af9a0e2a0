/* A CLOCK_MONOTONIC that goes on by STEADY_STEP_NS whenever it is read: what may take so long does not depend on who else has the CPU. Linked with --wrap for
 * clock_gettime, and so in processes that are forked, too. */
#ifndef HEARTH_TESTS_UNIT_STEADY_CLOCK_H
#define HEARTH_TESTS_UNIT_STEADY_CLOCK_H

#include "base/clock.h"

#define STEADY_STEP_NS 20000ull

int __real_clock_gettime(clockid_t clock, struct timespec *time_out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time_out);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time_out)
{
	static uint64_t now_ns = 1000 * NS_PER_S;

	if (clock != CLOCK_MONOTONIC)
		return __real_clock_gettime(clock, time_out);
	now_ns += STEADY_STEP_NS;
	*time_out = (struct timespec){(time_t)(now_ns / NS_PER_S), (long)(now_ns % NS_PER_S)};
	return 0;
}

#endif
