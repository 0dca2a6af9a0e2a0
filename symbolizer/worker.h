/* What the confined processes do: answer requests over their socket until it is closed. */
#ifndef HEARTH_SYMBOLIZER_WORKER_H
#define HEARTH_SYMBOLIZER_WORKER_H

/* Names, headers, unwind tables (symbolizer/engine.h), for symbolizer/symbolizer.c. Returns the exit status. */
int worker_run(int socket);

/* Name tables (symbolizer/name_compiler.h), for symbolizer/name_service.c. Returns the exit status. */
int name_worker_run(int socket);

/* What libraries do once and confined processes may not: call it before. */
void worker_warm_up(void);

#endif
