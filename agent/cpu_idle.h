/* How long CPUs were idle. Source: /proc/stat, proc(5): columns "idle" and "iowait", in 1/USER_HZ s. */
#ifndef HEARTH_AGENT_CPU_IDLE_H
#define HEARTH_AGENT_CPU_IDLE_H

#include <stdint.h>
#include <stdio.h>

#define CPU_IDLE_RESOLUTION_NS 10000000ull /* USER_HZ is 100 on every Linux */

/* Idle time since boot of each CPU. idle_ns_out[0..n_cpus): CPUs that are not listed (offline) keep their value.
 * Returns 0 or a negative errno. */
int cpu_idle_read(uint64_t *idle_ns_out, int n_cpus);

/* The same from an open stream, for tests. */
int cpu_idle_parse(FILE *stream, uint64_t *idle_ns_out, int n_cpus);

#endif
