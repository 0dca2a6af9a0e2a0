/* hearth-web: serves the page, its API and metrics (docs/web.md). Started by the agent's keeper with WEB_FDS descriptors and a struct web_settings (web/web_protocol.h). */
#ifndef HEARTH_WEB_WEB_PROCESS_H
#define HEARTH_WEB_WEB_PROCESS_H

#include <stddef.h>

/* The main of a service (agent/services.h): the rest of its life. Returns the exit status. */
int web_process_run(const int *fds, size_t n_fds, const void *argument, size_t n_bytes);

#endif
