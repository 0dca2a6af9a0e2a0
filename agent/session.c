#include "agent/session.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "agent/debug_exports.h"
#include "base/clock.h"

#define TASK_BUFFER_BYTES    (256u << 10) /* of each CPU: 2,000 mappings */
#define PROCESS_BUDGET_BYTES (8u << 20)
#define IMAGES_MAX	     4096
#define FILES_MAX	     1024
#define FILES_RESERVED	     128
#define TASK_PAUSE_NS	     (5 * NS_PER_MS) /* between two looks at the process records while they stream */
#define TASK_SETTLE_NS	     (1 * NS_PER_MS) /* a record is in its buffer this long after its time stamp */
#define CGROUP_BUDGET_BYTES  (2u << 20)
#define CGROUP_EXECS_MAX     512 /* whose /proc/PID/cgroup is read between two drains */
#define CPU_CHECK_NS	     NS_PER_S
#define FIRST_LOOK_NS	     NS_PER_S /* at what is sampled: its names are looked for while sampling goes on; then twice as late */

enum source { SOURCE_TASKS, SOURCE_WAKE, SOURCE_DEFERRED, SOURCE_TASK_TIMER, SOURCE_CPU_TIMER, SOURCE_NAMES, SOURCE_EXPORTS };

struct session {
	struct session_options options;
	struct symbolizer *symbolizer;
	struct image_table *images;
	struct process_table *processes;
	struct task_events *tasks;
	struct sampler *sampler;
	struct unwinder *unwinder;
	struct name_cache *name_cache;	 /* NULL: none */
	struct debuginfod_fetcher *fetcher; /* until downloads own it; NULL: none */
	struct debug_downloads *downloads;  /* NULL: none */
	struct name_tables *name_tables;
	struct debug_exports *exports; /* NULL: nobody asked for any yet */
	struct frame_cache *frame_cache;
	struct why names_trouble; /* "": none */
	struct jit_files *jit;
	struct cgroup_names *cgroups;
	unsigned cgroup_execs; /* read since the last drain */
	struct fold *fold;
	int epoll_fd, task_timer_fd, cpu_timer_fd;
	bool tasks_paused;
	bool stopped;
	double weight; /* of the window at hand */
	uint64_t window;
	uint64_t window_start_ns; /* CLOCK_MONOTONIC */
	int64_t window_time_ns;	  /* CLOCK_REALTIME of the same moment */
	struct accounting account; /* of this window's early drains */
	struct sampler_counts last;
	uint64_t cpus_reopened;
	uint64_t drained_ns; /* CLOCK_MONOTONIC of the last drain */
	uint64_t look_ns;    /* CLOCK_MONOTONIC of the next look at what is sampled; 0: windows are enough */
	uint64_t slow_files_ns; /* that they may cost a window; 0: no limit */
};

static int watch(struct session *s, int fd, enum source source)
{
	struct epoll_event interest = {.events = EPOLLIN, .data.u32 = source};

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &interest) < 0 ? -errno : 0;
}

static int set_timer(int fd, uint64_t first_ns, uint64_t interval_ns)
{
	struct itimerspec when = {
		.it_value = {(time_t)(first_ns / NS_PER_S), (long)(first_ns % NS_PER_S)},
		.it_interval = {(time_t)(interval_ns / NS_PER_S), (long)(interval_ns % NS_PER_S)},
	};

	return timerfd_settime(fd, 0, &when, NULL) < 0 ? -errno : 0;
}

/* Open files are kept of every image that is in use: as many as the hard limit allows. */
static size_t file_budget(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return FILES_RESERVED;
	if (limit.rlim_cur < limit.rlim_max && limit.rlim_cur < FILES_MAX + 4 * FILES_RESERVED) {
		struct rlimit raised = limit;
		raised.rlim_cur = limit.rlim_max < FILES_MAX + 4 * FILES_RESERVED ? limit.rlim_max
										  : FILES_MAX + 4 * FILES_RESERVED;
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit = raised;
	}
	size_t room = limit.rlim_cur > 2 * FILES_RESERVED ? (size_t)limit.rlim_cur - 2 * FILES_RESERVED : FILES_RESERVED / 2;
	return room < FILES_MAX ? room : FILES_MAX;
}

static int open_timers(struct session *s)
{
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0)
		return -errno;
	s->task_timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->task_timer_fd < 0)
		return -errno;
	s->cpu_timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return s->cpu_timer_fd < 0 ? -errno : 0;
}

/* Before anything else is: it is forked from here, and takes nothing along. */
static int start_fetcher(struct session *s, struct why *why)
{
	struct debuginfod_options options = {.urls = s->options.debuginfod_urls};

	if (!options.urls || !options.urls[strspn(options.urls, " \t")])
		return 0;
	int err = debuginfod_start(&options, &s->fetcher);
	if (err == -EINVAL)
		return why_set(why, err, "debuginfod: '%.200s' holds no URL that begins with http:// or https://", options.urls);
	return err < 0 ? why_set(why, err, "debuginfod: starting the process that downloads: %s", strerror(-err)) : 0;
}

/* Downloads lie below the folder of name tables. */
static void open_downloads(struct session *s)
{
	char folder[PATH_MAX], path[PATH_MAX + 16];

	if (!s->fetcher || !s->name_cache)
		return;
	if (s->options.name_cache)
		snprintf(folder, sizeof(folder), "%s", s->options.name_cache);
	else if (name_cache_folder(folder, sizeof(folder)) < 0)
		return;
	snprintf(path, sizeof(path), "%s/debuginfod", folder);
	if (debug_downloads_create(s->fetcher, path, DEBUG_DOWNLOADS_BYTES, NULL, &s->downloads, &s->names_trouble) < 0)
		s->downloads = NULL;
	s->fetcher = NULL;
}

static int open_names(struct session *s)
{
	struct name_tables_options options = {0};

	/* Without the folder names cost more, and come all the same. */
	if (s->options.name_cache_bytes &&
	    name_cache_open(s->options.name_cache, s->options.name_cache_bytes, &s->name_cache, &s->names_trouble) < 0)
		s->name_cache = NULL;
	open_downloads(s);
	options.cache = s->name_cache;
	options.downloads = s->downloads;
	int err = name_tables_create(s->options.zygote, s->images, &options, &s->name_tables);
	return err < 0 ? err : frame_cache_create(FRAME_CACHE_BYTES, &s->frame_cache);
}

static void foresee_jit(void *context, const struct process *process)
{
	struct session *s = context;

	jit_files_foresee(s->jit, process, s->window);
}

/* What runs for a moment is gone when it is asked for. */
static void foresee_cgroup(void *context, struct process *process)
{
	struct session *s = context;

	process->cgroup_ns = 0;
	if (!cgroup_names_by_process(s->cgroups) || s->cgroup_execs >= CGROUP_EXECS_MAX)
		return;
	s->cgroup_execs++;
	uint64_t id = cgroup_names_read(s->cgroups, process->tgid);
	if (id)
		process->cgroup = id;
}

static int open_cgroups(struct session *s)
{
	struct cgroup_names_options options = {
		.host_root = s->options.host_root ? s->options.host_root : "",
		.budget_bytes = CGROUP_BUDGET_BYTES,
	};

	int err = cgroup_names_create(&options, &s->cgroups);
	if (err == 0)
		process_table_watch_exec(s->processes, foresee_cgroup, s);
	return err;
}

static void learn_cgroup(void *context, uint64_t id, const char *path, size_t bytes)
{
	cgroup_names_learn(context, id, path, bytes);
}

static int open_parts(struct session *s, struct why *why)
{
	struct fold_options fold = {
		.event = s->options.sampler.event,
		.rate_hz = s->options.sampler.rate_hz,
		.period = s->options.sampler.period,
		.kernel_addresses = s->options.kernel_addresses,
	};

	int err = start_fetcher(s, why);
	if (err < 0)
		return err;
	err = open_timers(s);
	if (err == 0)
		err = symbolizer_create(s->options.zygote, &(struct symbolizer_options){.demangle = s->options.demangle}, &s->symbolizer);
	if (err == 0)
		err = image_table_create(s->symbolizer, IMAGES_MAX, file_budget(), &s->images);
	if (err == 0)
		err = process_table_create(s->images, PROCESS_BUDGET_BYTES, &s->processes);
	if (err < 0)
		return why_set(why, err, "setting up: %s", strerror(-err));
	err = sampler_open(&s->options.sampler, &s->sampler, why);
	if (err < 0)
		return err;
	err = unwinder_create(s->sampler, s->images, s->symbolizer, s->processes, s->options.sampler.unwind_budget_bytes,
			      &s->unwinder);
	if (err == 0)
		err = open_names(s);
	if (err == 0)
		err = jit_files_create(s->images, &s->jit);
	if (err == 0)
		process_table_watch_jit(s->processes, foresee_jit, s);
	if (err == 0)
		err = open_cgroups(s);
	fold.cgroups = s->cgroups;
	struct name_sources sources = {s->symbolizer, s->name_tables, s->frame_cache, s->jit};
	if (err == 0)
		err = fold_create(&fold, s->processes, s->images, &sources, s->unwinder, &s->fold);
	if (err < 0)
		return why_set(why, err, "setting up: %s", strerror(-err));
	return task_events_open(TASK_BUFFER_BYTES, &s->tasks, why);
}

int session_open(const struct session_options *options, struct session **session_out, struct why *why)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return why_set(why, -ENOMEM, "out of memory");
	s->options = *options;
	s->epoll_fd = s->task_timer_fd = s->cpu_timer_fd = -1;
	int err = open_parts(s, why);
	if (err < 0) {
		session_close(s);
		return err;
	}
	*session_out = s;
	return 0;
}

int session_target(struct session *s, pid_t pid, bool from_exec)
{
	return sampler_target(s->sampler, pid, from_exec);
}

static void begin_window(struct session *s, uint64_t now_ns)
{
	s->window_start_ns = now_ns;
	s->window_time_ns = (int64_t)clock_ns(CLOCK_REALTIME);
	s->account = (struct accounting){0};
	s->window++;
	symbolizer_begin_window(s->symbolizer, s->slow_files_ns);
}

int session_start(struct session *s, struct why *why)
{
	begin_window(s, clock_ns(CLOCK_MONOTONIC));
	s->drained_ns = s->window_start_ns;
	s->look_ns = s->window_start_ns + FIRST_LOOK_NS;
	int err = sampler_start(s->sampler, why);
	if (err < 0)
		return err;
	/* Sampling already: a machine with many processes loses no tick to the reading of /proc. */
	process_table_scan(s->processes);
	cgroup_names_scan(s->cgroups);
	err = watch(s, task_events_fd(s->tasks), SOURCE_TASKS);
	if (err == 0)
		err = watch(s, sampler_wake_fd(s->sampler), SOURCE_WAKE);
	if (err == 0)
		err = watch(s, unwinder_fd(s->unwinder), SOURCE_DEFERRED);
	if (err == 0)
		err = watch(s, name_tables_fd(s->name_tables), SOURCE_NAMES);
	if (err == 0)
		err = watch(s, s->task_timer_fd, SOURCE_TASK_TIMER);
	if (err == 0)
		err = watch(s, s->cpu_timer_fd, SOURCE_CPU_TIMER);
	if (err == 0)
		err = set_timer(s->cpu_timer_fd, CPU_CHECK_NS, CPU_CHECK_NS);
	return err < 0 ? why_set(why, err, "setting up timers: %s", strerror(-err)) : 0;
}

int session_fd(const struct session *s)
{
	return s->epoll_fd;
}

static void apply_record(void *context, const struct task_record *record)
{
	process_table_apply(context, record);
}

/* Returns true when records were read, or are left for later. */
static bool read_tasks(struct session *s, uint64_t until_ns)
{
	struct task_events_stats before, after;

	task_events_stats(s->tasks, &before);
	bool left = task_events_read(s->tasks, until_ns, apply_record, s->processes);
	task_events_stats(s->tasks, &after);
	return left || after.records != before.records;
}

/* A storm of processes would wake us once for each record; one look every few milliseconds is soon enough to find their files. So
 * while records come, a timer looks for them and the wake-ups are not listened to. */
static void look_at_tasks(struct session *s)
{
	bool busy = read_tasks(s, clock_ns(CLOCK_MONOTONIC) - TASK_SETTLE_NS);

	if (busy) {
		if (!s->tasks_paused)
			s->tasks_paused = epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, task_events_fd(s->tasks), NULL) == 0;
		set_timer(s->task_timer_fd, TASK_PAUSE_NS, 0);
	} else if (s->tasks_paused) {
		s->tasks_paused = watch(s, task_events_fd(s->tasks), SOURCE_TASKS) < 0;
	}
}

/* A sample's process or table is not in the kernel: its records first, then what it needs. */
static void look_at_deferred(struct session *s)
{
	struct task_events_stats tasks;

	read_tasks(s, clock_ns(CLOCK_MONOTONIC));
	task_events_stats(s->tasks, &tasks);
	unwinder_work(s->unwinder, s->window, tasks.lost);
}

static int drain(struct session *s, struct accounting *account)
{
	struct task_events_stats tasks;
	struct sampler_counts counts;
	uint64_t lost;

	int err = sampler_retire(s->sampler);
	if (err < 0)
		return err;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	/* The wait for the retired generation was longer than a record needs to arrive. */
	read_tasks(s, now_ns);
	task_events_stats(s->tasks, &tasks);
	unwinder_begin_drain(s->unwinder, s->window, tasks.lost);
	sampler_read_cgroups(s->sampler, learn_cgroup, s->cgroups);
	fold_begin_drain(s->fold, s->window, tasks.lost, now_ns);
	s->cgroup_execs = 0;
	err = sampler_drain(s->sampler, fold_add, s->fold, &counts, &lost);
	unwinder_end_drain(s->unwinder);
	accounting_add_counts(account, &counts, lost);
	s->last = counts;
	s->drained_ns = now_ns;
	name_tables_look(s->name_tables, s->window);
	process_table_end_window(s->processes, now_ns, s->window);
	process_table_sweep_images(s->processes, s->window);
	return err;
}

static void work_exports(struct session *s)
{
	const char *path;

	if (s->exports)
		debug_exports_work(s->exports, name_tables_outstanding(s->name_tables, &path) == 0);
}

int session_want_debug(struct session *s, const char *build_id, uint64_t bytes_max, session_debug_fn *done, void *context)
{
	struct debug_exports_options options = {.bytes_max = bytes_max, .done = done, .context = context};
	int err = 0;

	options.downloads = s->downloads ? debug_downloads_folder(s->downloads) : NULL;
	if (!s->exports) {
		err = debug_exports_create(s->options.zygote, s->images, &options, &s->exports);
		if (err == 0 && (err = watch(s, debug_exports_fd(s->exports), SOURCE_EXPORTS)) < 0) {
			debug_exports_destroy(s->exports);
			s->exports = NULL;
		}
	}
	return err < 0 ? err : debug_exports_want(s->exports, build_id);
}

static void check_cpus(struct session *s)
{
	uint64_t ticks;

	if (read(s->cpu_timer_fd, &ticks, sizeof(ticks)) < 0 || s->stopped)
		return;
	/* A window longer than the arenas are sized for, as that of `hearth record`, is drained in steps: what processes
	 * left behind does not pile up. */
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	bool look = s->look_ns && now_ns >= s->look_ns;
	if (look || now_ns - s->drained_ns > s->options.sampler.window_ns + CPU_CHECK_NS)
		drain(s, &s->account);
	if (look) {
		uint64_t age_ns = now_ns - s->window_start_ns;
		s->look_ns = age_ns < s->options.sampler.window_ns && s->window == 1 ? now_ns + age_ns : 0;
	}
	work_exports(s);
	sampler_read_cgroups(s->sampler, learn_cgroup, s->cgroups);
	int reopened = sampler_check_cpus(s->sampler);
	if (reopened > 0)
		s->cpus_reopened += (uint64_t)reopened;
	/* What is still in the ring of a CPU that went goes with it. */
	read_tasks(s, clock_ns(CLOCK_MONOTONIC) - (reopened > 0 ? 0 : TASK_SETTLE_NS));
	/* Also a ring that could not be opened last time: another profiler may have used up what a user may lock. */
	task_events_follow(s->tasks, reopened > 0);
}

int session_work(struct session *s)
{
	struct epoll_event ready[8];
	uint64_t ticks;
	int err = 0;

	int n = epoll_wait(s->epoll_fd, ready, 8, 0);
	for (int i = 0; err == 0 && i < n; i++) {
		switch ((enum source)ready[i].data.u32) {
		case SOURCE_TASKS:
			break;
		case SOURCE_TASK_TIMER:
			/* No tick to read: it was set again meanwhile. */
			if (read(s->task_timer_fd, &ticks, sizeof(ticks)) < 0)
				break;
			look_at_tasks(s);
			break;
		case SOURCE_WAKE:
			err = drain(s, &s->account);
			if (err == -ENOMEM)
				err = 0; /* counted as lost */
			break;
		case SOURCE_DEFERRED:
			look_at_deferred(s);
			break;
		case SOURCE_CPU_TIMER:
			check_cpus(s);
			break;
		case SOURCE_NAMES:
			name_tables_work(s->name_tables);
			break;
		case SOURCE_EXPORTS:
			work_exports(s);
			break;
		}
	}
	/* Polling a perf event forgets its wake-up (perf_poll() of the kernel), and the caller has polled: so look, whatever
	 * epoll says now. An empty look costs a few loads. */
	if (!s->tasks_paused)
		look_at_tasks(s);
	return err;
}

int session_end_window(struct session *s, struct accounting *account_out, struct profile **profile_out)
{
	struct accounting account = s->account;

	int drain_err = drain(s, &account);
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct fold_window window = {
		.time_ns = s->window_time_ns,
		.duration_ns = (int64_t)(now_ns - s->window_start_ns),
		.rate_hz = s->options.sampler.rate_hz,
		.cpus = sampler_cpus(s->sampler),
		.weight = s->weight,
	};
	account.windows = 1;
	begin_window(s, now_ns);
	int err = fold_finish(s->fold, &window, &account, profile_out);
	/* What is in the profile is counted again, from the profile itself: the identity compares two independent sums. */
	if (err == 0)
		account.samples = (uint64_t)profile_total(*profile_out, 0);
	*account_out = account;
	return err < 0 ? err : drain_err == -ENOMEM ? 0 : drain_err;
}

void session_stop(struct session *s)
{
	sampler_stop(s->sampler);
	s->stopped = true;
}

int session_collect(struct session *s)
{
	int err = drain(s, &s->account);

	return err == -ENOMEM ? 0 : err; /* counted as lost */
}

size_t session_names_outstanding(const struct session *s, const char **path_out)
{
	return name_tables_outstanding(s->name_tables, path_out);
}

void session_names_hurry(struct session *s)
{
	name_tables_hurry(s->name_tables);
}

const char *session_names_trouble(struct session *s)
{
	struct name_tables_stats stats;

	name_tables_stats(s->name_tables, &stats);
	if (s->name_cache && stats.cache_errno && stats.cache_errno != E2BIG)
		why_set(&s->names_trouble, -stats.cache_errno, "keeping a name table on disk: %s", strerror(stats.cache_errno));
	else if (s->name_cache)
		s->names_trouble.text[0] = '\0';
	return s->names_trouble.text[0] ? s->names_trouble.text : NULL;
}

int session_set_rate(struct session *s, uint64_t rate_hz)
{
	s->options.sampler.rate_hz = rate_hz;
	return sampler_set_rate(s->sampler, rate_hz);
}

void session_limit_slow_files(struct session *s, uint64_t ns)
{
	s->slow_files_ns = ns;
}

void session_pause(struct session *s, bool is_paused)
{
	sampler_pause(s->sampler, is_paused);
}

void session_set_weight(struct session *s, double weight)
{
	s->weight = weight;
}

uint64_t session_rate(const struct session *s)
{
	return s->options.sampler.rate_hz;
}

uint64_t session_window_ns(const struct session *s)
{
	return clock_ns(CLOCK_MONOTONIC) - s->window_start_ns;
}

bool session_lacks_kernel_names(const struct session *s)
{
	return fold_lacks_kernel_names(s->fold);
}

uint64_t session_cpu_ns(const struct session *s)
{
	struct symbolizer_stats stats;

	symbolizer_stats(s->symbolizer, &stats);
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID) + stats.worker_cpu_ns;
}

void session_jit(const struct session *s, void (*fn)(void *context, const struct jit_process *process), void *context)
{
	jit_files_each(s->jit, s->window - 1, fn, context);
}

void session_stats(const struct session *s, struct session_stats *stats_out)
{
	struct session_stats stats = {
		.last = s->last,
		.map_bytes = sampler_map_bytes(s->sampler),
		.children_lost = sampler_children_lost(s->sampler),
		.cpus_reopened = s->cpus_reopened,
		.cpus = sampler_cpus(s->sampler),
	};

	process_table_stats(s->processes, &stats.processes);
	image_table_stats(s->images, &stats.images);
	task_events_stats(s->tasks, &stats.task_events);
	symbolizer_stats(s->symbolizer, &stats.symbolizer);
	unwinder_stats(s->unwinder, &stats.unwinder);
	frame_cache_stats(s->frame_cache, &stats.frame_cache);
	name_tables_stats(s->name_tables, &stats.name_tables);
	if (s->name_cache)
		name_cache_stats(s->name_cache, &stats.name_cache);
	jit_files_stats(s->jit, &stats.jit);
	cgroup_names_stats(s->cgroups, &stats.cgroups);
	if (s->downloads)
		debug_downloads_stats(s->downloads, &stats.downloads);
	*stats_out = stats;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	fold_destroy(s->fold);
	cgroup_names_destroy(s->cgroups);
	frame_cache_destroy(s->frame_cache);
	debug_exports_destroy(s->exports);
	name_tables_destroy(s->name_tables);
	name_cache_close(s->name_cache);
	jit_files_destroy(s->jit);
	debug_downloads_destroy(s->downloads);
	debuginfod_stop(s->fetcher);
	unwinder_destroy(s->unwinder);
	sampler_close(s->sampler);
	task_events_close(s->tasks);
	process_table_destroy(s->processes);
	image_table_destroy(s->images);
	symbolizer_destroy(s->symbolizer);
	if (s->cpu_timer_fd >= 0)
		close(s->cpu_timer_fd);
	if (s->task_timer_fd >= 0)
		close(s->task_timer_fd);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	free(s);
}
