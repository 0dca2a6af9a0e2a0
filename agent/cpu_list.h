/* Lists of CPUs as the kernel writes them: "0-3,5,7-8". */
#ifndef HEARTH_AGENT_CPU_LIST_H
#define HEARTH_AGENT_CPU_LIST_H

#include <stdbool.h>

/* Parse a list. cpus_out[0..n_cpus): set to true for those named; larger numbers are left out.
 * Returns 0 or -EBADMSG (cpus_out then holds what came before the error). */
int cpu_list_parse(const char *text, bool *cpus_out, int n_cpus);

/* The CPUs that are online now. Returns 0 or a negative errno. */
int cpu_list_online(bool *cpus_out, int n_cpus);

#endif
