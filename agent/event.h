/* What makes a CPU take a sample: perf's software events, cycles, or a tracepoint. */
#ifndef HEARTH_AGENT_EVENT_H
#define HEARTH_AGENT_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#define EVENT_NAME_MAX 128

struct event {
	char name[EVENT_NAME_MAX]; /* as users write it, for example "cpu-clock", "sched:sched_switch" */
	uint32_t type;		   /* perf_event_attr.type */
	uint64_t config;	   /* perf_event_attr.config */
	bool is_time;		   /* ticks by time: -F applies, values are CPU time. Else ticks by occurrences: -c applies */
	bool is_clock;		   /* an exact clock: the number of ticks to expect is known (not so for cycles) */
};

/* Find an event by name.
 * name: NULL for the best CPU-time event of this machine: cycles where there is a PMU, cpu-clock otherwise.
 * Returns 0, -ENOENT (no event of that name), -EOPNOTSUPP (this machine has no such counter), -EACCES or another errno
 * (the tracepoint's id cannot be read). */
int event_find(const char *name, struct event *event_out);

/* The names that event_find() knows, tracepoints aside; ends in NULL. */
const char *const *event_names(void);

/* Whether this machine can count cycles in hardware. */
bool event_has_cycles(void);

#endif
