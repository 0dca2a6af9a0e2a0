/* The sampler: loads the kernel program, keeps one perf event on every online CPU, and hands over what each window
 * counted. Two generations of arenas: one is filled by the kernel while the other is read.
 * Not thread-safe. */
#ifndef HEARTH_AGENT_SAMPLER_H
#define HEARTH_AGENT_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/event.h"
#include "base/why.h"
#include "bpf/records.h"

struct sampler;

struct sampler_options {
	struct event event;
	uint64_t rate_hz;     /* for events by time */
	uint64_t period;      /* for events by occurrence: a sample every so many */
	uint64_t window_ns;   /* how long a generation is filled, for the size of the arenas */
	bool sample_idle;
	bool only_targets;    /* sample only processes given to sampler_target() */
	bool inherit;	      /* children of targets are targets */
	uint64_t unwind_budget_bytes; /* of unwind tables in the kernel */
	bool by_thread;	      /* tell threads apart: a stack of each */
	int cgroup_fd;	      /* sample only below this cgroup v2 folder; -1: all */
};

/* What one drain found; sums over CPUs. All in ticks. */
struct sampler_counts {
	uint64_t fired;	    /* runs of the program */
	uint64_t idle;	    /* not asked for: the CPU was idle */
	uint64_t filtered;  /* not asked for: other processes */
	uint64_t samples;   /* in entries */
	uint64_t unindexed; /* entries stored more than once because their index was full */
	uint64_t deferred;  /* walks left to user space */
	uint64_t deferred_no_room; /* ... for which there was no room */
	uint64_t dropped[DROP_REASONS];
	uint64_t expected;  /* since the start, by the clock, while events were enabled; 0 when the event has no clock */
	uint64_t missed;    /* ticks that never reached the program (throttling, late timers, a nested program). An idle CPU may
			     * sleep through ticks; what its idle time explains is not counted here. */
	uint64_t cost_ns;   /* estimated run time of the program: measured on one sample in 16 */
	uint64_t early;	    /* 1 when a full arena, not the clock, ended this generation */
};

/* One distinct stack: frames are entry->n_kernel kernel pcs, then entry->n_user user pcs, each leaf first.
 * Borrowed for the call. A negative return ends the drain with that error; what was not handed over is
 * counted in *lost_out of sampler_drain(). */
typedef int (*sampler_entry_fn)(void *context, const struct arena_entry *entry, const uint64_t *frames);

/* Load the program; nothing samples yet.
 * Returns 0 or a negative errno; *why then says what to do. */
int sampler_open(const struct sampler_options *options, struct sampler **sampler_out, struct why *why);

/* Let a process be sampled. from_exec: from its next exec on. -E2BIG when there are too many. */
int sampler_target(struct sampler *s, pid_t pid, bool from_exec);

/* Open and enable the events of all online CPUs. Errors as above. */
int sampler_start(struct sampler *s, struct why *why);

/* Readable (epoll) when an arena fills up and should be drained before its window ends. */
int sampler_wake_fd(const struct sampler *s);

/* Retire the current generation: the other one is filled from now on, and when this returns nothing writes the retired one
 * any more (waits some milliseconds for the kernel, without CPU). */
int sampler_retire(struct sampler *s);

/* Hand over what the retired generation counted, and clear it. Once after each sampler_retire().
 * lost_out: samples in entries that were not handed over because fn failed. */
int sampler_drain(struct sampler *s, sampler_entry_fn fn, void *context, struct sampler_counts *counts_out,
		  uint64_t *lost_out);

/* Look for CPUs that went or came (SAFETY 18); call about once a second. Returns the number of events that were opened again. */
int sampler_check_cpus(struct sampler *s);

/* Hand over the cgroups (v2) that were made since the last call. path: of bytes; may not end in NUL. */
typedef void (*sampler_cgroup_fn)(void *context, uint64_t id, const char *path, size_t bytes);
void sampler_read_cgroups(struct sampler *s, sampler_cgroup_fn fn, void *context);

/* Change the rate of the running events. */
int sampler_set_rate(struct sampler *s, uint64_t rate_hz);

/* No ticks until it is taken back; what was counted can be drained. */
void sampler_pause(struct sampler *s, bool is_paused);

/* Stop ticking; what was counted can still be drained. */
void sampler_stop(struct sampler *s);

int sampler_cpus(const struct sampler *s);	     /* that are sampled now */
uint64_t sampler_map_bytes(const struct sampler *s); /* kernel memory of the maps */
uint64_t sampler_children_lost(const struct sampler *s); /* children of targets that did not fit the map */
/* Run time of the program while statistics are on (kernel.bpf_stats_enabled): total ns and runs. */
int sampler_run_time(const struct sampler *s, uint64_t *ns_out, uint64_t *runs_out);

/* Detaches everything. NULL is legal. */
void sampler_close(struct sampler *s);

/* What the kernel program finds its way through user stacks with (bpf/records.h). The arrays are shared memory, borrowed
 * until sampler_close(). */
struct sampler_unwind {
	struct unwind_slot *slots;
	struct unwind_mapset *mapsets;
	uint32_t n_slots, n_mapsets;
	int processes_fd;  /* a map: tgid -> struct unwind_process */
	int deferrals_fd;  /* a ring buffer of struct deferred_record */
	volatile unsigned long long *epoch;
};
void sampler_unwind(const struct sampler *s, struct sampler_unwind *unwind_out);

/* Memory for unwind tables; see struct unwind_chunk_source. context: the sampler. */
int sampler_chunk_create(void *context, uint32_t index, void **at_out);
void sampler_chunk_destroy(void *context, uint32_t index, void *at);

/* Wait until no kernel program runs that began before this call. */
void sampler_settle(struct sampler *s);

#endif
