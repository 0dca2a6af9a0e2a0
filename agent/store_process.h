/* hearth-store: the process that owns the store and the folders of pprof files (docs/storing.md). It has the agent's user, its folders, and the sockets that it
 * was given: no capability, no network, no other process (agent/folders_only.h). */
#ifndef HEARTH_AGENT_STORE_PROCESS_H
#define HEARTH_AGENT_STORE_PROCESS_H

#include <stddef.h>

/* Its main (agent/services.h). fds: the agent's socket. argument: struct store_settings. Returns the exit status: 0 when the agent closed its end; 1: it could not
 * begin (READY says why); 2: a message that cannot be. */
int store_process_run(const int *fds, size_t n_fds, const void *argument, size_t n_bytes);

#endif
