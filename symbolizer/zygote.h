/* A small process that forks the confined ones. It is forked itself at the very beginning of hearth, when nothing is loaded: what it
 * forks is cheap (a fraction of a millisecond) and holds nothing of the agent: no descriptor, no mapping, no byte that was read.
 * It gives up its own rights before the first order (symbolizer/confine.h). It ends, and all that it forked, when the agent's end of its
 * socket closes. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_ZYGOTE_H
#define HEARTH_SYMBOLIZER_ZYGOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "symbolizer/confine.h"

#define ZYGOTE_PROCESSES_MAX 16 /* at a time */

struct zygote;

/* A kind of process. */
struct zygote_job {
	const char *name; /* of the process; at most 15 bytes */
	int (*run)(int socket); /* its main; returns the exit status */
	struct confine_limits limits;
	bool background; /* at the lowest priority */
};

/* The jobs of hearth. */
enum { ZYGOTE_NAMES, ZYGOTE_COMPILER, ZYGOTE_COMPILER_NOW, ZYGOTE_PROBE, ZYGOTE_JOBS };

struct zygote_options {
	const struct zygote_job *jobs; /* NULL: hearth's. Borrowed as long as the zygote lives */
	size_t n_jobs;
	bool bare; /* no list of system calls and no limit of memory: valgrind lives with neither */
};

/* Fork it. Call it before anything else: no thread may run. */
int zygote_start(struct zygote **zygote_out);
int zygote_start_with(const struct zygote_options *options, struct zygote **zygote_out);

/* A new process, and the other end of its socket (SOCK_SEQPACKET). Returns 0, -ECHILD (the zygote is gone, or could not give up its
 * rights), -EAGAIN (too many at a time), or a negative errno. */
int zygote_fork(struct zygote *z, unsigned job, int *socket_out, pid_t *pid_out);

/* It gets cpu_s more seconds of CPU from now on (SAFETY 3). Does not wait. */
int zygote_renew(struct zygote *z, pid_t pid, unsigned cpu_s);

/* End a process, if it has not ended. Each one that was forked must come to this, once.
 * status_out: as of waitpid(); -1: it does not die (it hangs in the kernel). NULL is legal. Returns 0, -ESRCH, or -ECHILD. */
int zygote_end(struct zygote *z, pid_t pid, int *status_out);

/* Its pid, for who measures. */
pid_t zygote_pid(const struct zygote *z);

/* Ends it and all that it forked. NULL is legal. */
void zygote_stop(struct zygote *z);

#endif
