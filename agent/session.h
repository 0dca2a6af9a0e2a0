/* A session: sampler, processes, images, names and fold, wired together. `hearth record` is one window long, `hearth agent`
 * has one after the other. Not thread-safe. */
#ifndef HEARTH_AGENT_SESSION_H
#define HEARTH_AGENT_SESSION_H

#include "agent/accounting.h"
#include "agent/debug_downloads.h"
#include "agent/fold.h"
#include "agent/sampler.h"
#include "base/why.h"

struct session;

struct zygote;

struct session_options {
	struct zygote *zygote; /* borrowed; forks what reads binaries */
	struct sampler_options sampler;
	bool kernel_addresses;
	enum demangle_style demangle;
	const char *name_cache;	      /* folder of name tables; NULL: name_cache_folder() */
	uint64_t name_cache_bytes;    /* its budget; 0: no folder */
	const char *host_root;	      /* see struct cgroup_names_options; NULL: none */
	const char *debuginfod_urls;  /* servers of debug files, as in DEBUGINFOD_URLS; NULL or "": none */
};

struct session_stats {
	struct sampler_counts last;
	struct process_table_stats processes;
	struct image_table_stats images;
	struct task_events_stats task_events;
	struct symbolizer_stats symbolizer;
	struct unwinder_stats unwinder;
	struct frame_cache_stats frame_cache;
	struct name_tables_stats name_tables;
	struct name_cache_stats name_cache; /* zeros when there is none */
	struct jit_files_stats jit;
	struct debug_downloads_stats downloads; /* the same */
	struct cgroup_names_stats cgroups;
	uint64_t map_bytes;
	uint64_t children_lost;
	uint64_t cpus_reopened;
	int cpus;
};

/* Loads everything; nothing samples yet. Forks what downloads, so that it is to be called before memory is taken. Returns 0 or a
 * negative errno with why. */
int session_open(const struct session_options *options, struct session **session_out, struct why *why);

/* See sampler_target(). */
int session_target(struct session *s, pid_t pid, bool from_exec);

/* Begin to sample; the first window begins now. Then reads the processes that are there. */
int session_start(struct session *s, struct why *why);

/* Readable (epoll) when session_work() has something to do. */
int session_fd(const struct session *s);

/* Do what is due: process records, early drains, CPUs that came or went. Returns 0, or a negative errno that means that the
 * session cannot go on. */
int session_work(struct session *s);

/* End the window, and begin the next at the same moment unless the session was stopped.
 * account_out: of the window. profile_out: owned by the caller. On failure the samples of the window are in
 * account_out's out_of_memory. */
int session_end_window(struct session *s, struct accounting *account_out, struct profile **profile_out);

/* Stop sampling; one session_end_window() then gives the rest. */
void session_stop(struct session *s);

/* Take what was sampled until now out of the kernel, and look for the names of it: for who wants to wait for names before the end of the
 * window. Returns as session_end_window(). */
int session_collect(struct session *s);

/* Images that wait for their debug information to be read, and the path of the one at hand ("": none). session_work() goes on with
 * them. */
size_t session_names_outstanding(const struct session *s, const char **path_out);

/* Somebody waits for them now: what is begun from here on is not read at the lowest priority. */
void session_names_hurry(struct session *s);

/* Have the debug information of an image written for a server: see debug_exports.h, whose done() and context these are; always the same. build_id: lower-case hex.
 * done() is called from session_work(). Returns 0, -EBUSY (one at a time), -EINVAL, or another negative errno. */
typedef void session_debug_fn(void *context, const char *build_id, int err, int fd, uint64_t bytes, const char *hash);
int session_want_debug(struct session *s, const char *build_id, uint64_t bytes_max, session_debug_fn *done, void *context);

/* What is wrong with the folder of name tables, NULL: nothing. Names come all the same, and cost more. Borrowed until the next call. */
const char *session_names_trouble(struct session *s);

/* What files that are slow to read may cost a window, from the next one on; 0, as at the beginning: no limit. */
void session_limit_slow_files(struct session *s, uint64_t ns);

/* A new rate, from the next window on. */
int session_set_rate(struct session *s, uint64_t rate_hz);
/* No samples until it is taken back: call right behind session_end_window(), so that a window has all or none. */
void session_pause(struct session *s, bool is_paused);

/* How many windows the one at hand stands for, 1 or more: goes into its profile (docs/profiles.md). */
void session_set_weight(struct session *s, double weight);

uint64_t session_rate(const struct session *s);

/* Ticks counted so far in this window, early drains aside; for a progress line. */
uint64_t session_window_ns(const struct session *s); /* age of the window */
bool session_lacks_kernel_names(const struct session *s);
/* CPU time of this process and of the one that names, since the beginning. What is compiled in the background is not in it: sampling less
 * often would not make it less. */
uint64_t session_cpu_ns(const struct session *s);
void session_stats(const struct session *s, struct session_stats *stats_out);

/* Call fn for each process with JIT code in the window that ended last. */
void session_jit(const struct session *s, void (*fn)(void *context, const struct jit_process *process), void *context);

/* NULL is legal. */
void session_close(struct session *s);

#endif
