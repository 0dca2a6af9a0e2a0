/* One perf event on every online CPU, with the sampling program attached. */
#ifndef HEARTH_AGENT_CPU_EVENTS_H
#define HEARTH_AGENT_CPU_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/event.h"
#include "base/why.h"

struct cpu_events;

/* n_cpus: possible CPUs. program_fd: borrowed until cpu_events_close(). */
int cpu_events_create(const struct event *event, uint64_t rate_hz, uint64_t period, int program_fd, int n_cpus,
		      struct cpu_events **events_out);

/* Open events on CPUs that are online and have none; close those of CPUs that went.
 * Returns the number opened, or a negative errno when not one CPU can be sampled. */
int cpu_events_follow(struct cpu_events *e, struct why *why);

/* Open the event of one CPU again: an old descriptor gives no sample after its CPU was off (SAFETY 18). */
int cpu_events_reopen(struct cpu_events *e, int cpu);

int cpu_events_set_rate(struct cpu_events *e, uint64_t rate_hz);
void cpu_events_disable(struct cpu_events *e);

/* No ticks, nor any expected, until it is taken back. CPUs that come meanwhile are paused too. */
void cpu_events_pause(struct cpu_events *e, bool is_paused);

/* Whether the event of a CPU has stood still since the last call for it: the CPU was off in between. Asks the CPU, so do
 * not call it for those that are seen ticking. */
bool cpu_events_is_dead(struct cpu_events *e, int cpu);
int cpu_events_open_count(const struct cpu_events *e);

/* Ticks that this CPU's clock, or its counter, says must have come since the start; 0 when the event has no known
 * relation of the two (cycles in frequency mode). Exact to one tick. */
uint64_t cpu_events_expected(struct cpu_events *e, int cpu);

/* NULL is legal. */
void cpu_events_close(struct cpu_events *e);

#endif
