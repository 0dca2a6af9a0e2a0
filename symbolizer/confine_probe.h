/* A process that tries what a confined one must not do, to show that it dies of it (SAFETY 2; `hearth check`). */
#ifndef HEARTH_SYMBOLIZER_CONFINE_PROBE_H
#define HEARTH_SYMBOLIZER_CONFINE_PROBE_H

enum confine_probe { PROBE_NOTHING, PROBE_OPEN, PROBE_SOCKET, PROBE_EXECUTE, PROBE_FORK, PROBE_TRACE, PROBE_MAP_CODE, PROBE_KILL, PROBES };

struct zygote;

/* "opens a file", ... */
const char *confine_probe_name(enum confine_probe probe);

/* Let a confined process try. Returns 0 when it died of that (of PROBE_NOTHING: when it did not die), -EPERM when it could do it or
 * only failed, or a negative errno. */
int confine_probe(struct zygote *zygote, enum confine_probe probe);

/* The process's main: the number of the probe comes over the socket. Returns the exit status. */
int confine_probe_run(int socket);

#endif
