/* A confined process and the way to it: forked when it is needed, ended when it misbehaved, forked again, but not without a pause when
 * processes die one after the other. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_WORKER_LINK_H
#define HEARTH_SYMBOLIZER_WORKER_LINK_H

#include "base/channel.h"
#include "symbolizer/zygote.h"

#define WORKER_DEATHS_MAX      20		     /* in a minute, before pauses begin */
#define WORKER_PAUSE_FIRST_NS  (1 * 1000000000ull)   /* doubles with each death */
#define WORKER_PAUSE_LONGEST_NS (60 * 1000000000ull)

struct worker_link {
	struct zygote *zygote; /* borrowed */
	unsigned job;
	uint64_t payload_max;
	struct channel channel;
	pid_t pid; /* 0: there is none */
	int last_status; /* of the one that was ended last; see zygote_end() */
	uint64_t minute_ns; /* when the minute at hand began */
	uint32_t deaths;    /* in it */
	uint64_t pause_ns, pause_end_ns;
	uint64_t restarts, pauses, descriptors_extra; /* counters */
	uint64_t ended_cpu_ns;			      /* CPU time of the processes before this one */
};

void worker_link_init(struct worker_link *l, struct zygote *zygote, unsigned job, uint64_t payload_max);

/* Have a process. is_new_out: it was forked just now and knows nothing. Returns 0, or -ECHILD (no process now). */
int worker_link_open(struct worker_link *l, bool *is_new_out);

/* It died, or must: end it. */
void worker_link_fail(struct worker_link *l);

/* CPU time since it was forked, in ns; 0: there is none, or it is gone. */
uint64_t worker_link_used_ns(const struct worker_link *l);

/* CPU time of this process and of all before it. */
uint64_t worker_link_cpu_ns(const struct worker_link *l);

/* Is it on a CPU, or would it be if one were free? */
bool worker_link_is_runnable(const struct worker_link *l);

/* How long it was ready to run and had no CPU, since it was forked, in ns; 0 where the kernel does not tell. A wait is added when it is over. */
uint64_t worker_link_starved_ns(const struct worker_link *l);

/* End the process, in peace. */
void worker_link_close(struct worker_link *l);
void worker_link_deinit(struct worker_link *l);

#endif
