#include "agent/cmd_agent.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/agent_options.h"
#include "agent/arguments.h"
#include "agent/governor.h"
#include "agent/jit_report.h"
#include "agent/log.h"
#include "agent/output_dir.h"
#include "agent/session.h"
#include "agent/stack_report.h"
#include "base/clock.h"
#include "base/scope.h"
#include "pprof/encode.h"

#define INCOMPLETE_MAX	     5	 /* programs named a window */
#define INCOMPLETE_PER_MILLE 999 /* complete stacks below which a program is named */
#define JIT_PER_MILLE	     10	 /* JIT code without names in fewer samples of a window is not spoken of */
#define SLOW_FILES_PART	     2	 /* of a window may be spent waiting for files that are slow to read */

struct agent {
	struct agent_options options;
	struct zygote *zygote;
	struct session *session;
	struct output_dir *dir;
	struct governor governor;
	int signal_fd;
	uint64_t cpu_ns; /* own, at the end of the last window */
	uint64_t window_end_ns;
	struct accounting total;
	bool said_no_kernel;
	struct jit_report jit; /* programs that were spoken of */
	bool writing_fails;
	bool names_trouble, names_late;
	uint64_t requests_late; /* for names, until the last window */
};

static int catch_signals(struct agent *a)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return a->signal_fd < 0 ? -errno : 0;
}

static int start(struct agent *a)
{
	const struct agent_options *o = &a->options;
	struct session_options options = {
		.sampler = {.event = o->event,
			    .rate_hz = o->rate_hz,
			    .period = 1,
			    .window_ns = o->window_ns,
			    .sample_idle = o->idle,
			    .by_thread = o->tid,
			    .unwind_budget_bytes = o->unwind_budget_bytes,
			    .cgroup_fd = -1},
		.kernel_addresses = o->kernel_addresses,
		.zygote = a->zygote,
		.demangle = (enum demangle_style)o->demangle,
		.name_cache = o->name_cache,
		.name_cache_bytes = o->name_cache_bytes,
		.host_root = o->host_root,
		.debuginfod_urls = o->debuginfod_urls,
		.slow_files_ns = o->window_ns / SLOW_FILES_PART,
	};
	struct why why;

	int err = catch_signals(a);
	if (err < 0)
		why_set(&why, err, "setting up signals: %s", strerror(-err));
	if (err == 0)
		err = output_dir_open(o->output, o->output_bytes, &a->dir, &why);
	if (err == 0)
		err = session_open(&options, &a->session, &why);
	if (err == 0)
		err = session_start(a->session, &why);
	if (err < 0) {
		log_line(LOG_ERROR, "%s", why.text);
		return err;
	}
	governor_init(&a->governor, o->max_share, o->rate_hz);
	a->cpu_ns = session_cpu_ns(a->session);
	a->window_end_ns = clock_ns(CLOCK_MONOTONIC) + o->window_ns;
	log_line(LOG_INFO, "sampling %s on the whole machine at %" PRIu64 " Hz, windows of %.1f s into %s", o->event.name,
		 o->rate_hz, (double)o->window_ns / 1e9, o->output);
	if (cgroup_names_is_inside(NULL))
		log_line(LOG_WARNING, "hearth is in a cgroup namespace of its own: labels know containers and units below it only; give its "
				      "container the host's (docker: --cgroupns=host)");
	return 0;
}

static void govern(struct agent *a, const struct accounting *account, uint64_t duration_ns)
{
	struct session_stats stats;
	uint64_t cpu_ns = session_cpu_ns(a->session), own_ns = cpu_ns - a->cpu_ns + account->program_ns;
	uint64_t before_hz = a->governor.rate_hz;

	a->cpu_ns = cpu_ns;
	session_stats(a->session, &stats);
	if (!governor_update(&a->governor, own_ns, duration_ns, stats.cpus))
		return;
	session_set_rate(a->session, a->governor.rate_hz);
	log_line(a->governor.rate_hz < before_hz ? LOG_WARNING : LOG_INFO,
		 "own CPU was %.3f %% of the machine in this window (budget %.3f %% over a minute): sampling at %" PRIu64
		 " Hz now, was %" PRIu64,
		 100 * (double)own_ns / ((double)duration_ns * stats.cpus), 100 * a->governor.max_share,
		 a->governor.rate_hz, before_hz);
}

/* A full disk is said when it begins and when it is over, not in every window. */
static void write_window(struct agent *a, const struct profile *profile, const struct accounting *account)
{
	const char *path;
	char text[1024];
	struct why why;

	AUTO_FREE uint8_t *bytes = NULL;
	size_t n = 0;

	int err = profile_encode(profile, &bytes, &n);
	if (err < 0)
		why_set(&why, err, "encoding a window: %s", strerror(-err));
	else
		err = output_dir_write(a->dir, profile->time_ns, bytes, n, &path, &why);
	accounting_describe(account, text, sizeof(text));
	if (err < 0) {
		if (!a->writing_fails)
			log_line(LOG_ERROR, "%s; sampling goes on, windows are lost until this is mended", why.text);
		log_line(LOG_INFO, "window lost: %s", text);
	} else {
		if (a->writing_fails)
			log_line(LOG_WARNING, "writing works again");
		log_line(LOG_INFO, "window %s: %s", path, text);
	}
	a->writing_fails = err < 0;
}

/* JIT code without names: once for each program, not in every window. */
static void say_jit(struct agent *a, const struct accounting *account)
{
	const struct jit_report_row *row;
	char text[512];

	for (size_t i = 0; i < a->jit.n; i++)
		a->jit.rows[i].samples = a->jit.rows[i].unnamed = a->jit.rows[i].most = 0;
	session_jit(a->session, jit_report_add, &a->jit);
	while ((row = jit_report_next(&a->jit, account->samples, JIT_PER_MILLE))) {
		jit_report_describe(row, text, sizeof(text));
		log_line(LOG_INFO, "%s", text);
	}
}

/* The programs whose stacks were cut most in this window: a line each, so that someone can do something about them. */
static void say_incomplete(const struct profile *profile)
{
	AUTO_FREE struct stack_report_row *rows = NULL;
	size_t n;

	if (stack_report(profile, &rows, &n) < 0)
		return;
	for (size_t i = 0; i < n && i < INCOMPLETE_MAX; i++) {
		char text[1024];
		if (rows[i].complete * 1000 >= rows[i].samples * INCOMPLETE_PER_MILLE)
			continue;
		stack_report_describe(&rows[i], text, sizeof(text));
		log_line(LOG_INFO, "incomplete stacks: %s", text);
	}
}

/* As with a full disk: said when it begins. */
static void say_late_names(struct agent *a)
{
	struct session_stats stats;

	session_stats(a->session, &stats);
	bool late = stats.symbolizer.requests_late != a->requests_late;
	if (late && !a->names_late)
		log_line(LOG_WARNING, "files that are slow to read took too much of a window: %" PRIu64 " requests for names were put off",
			 stats.symbolizer.requests_late - a->requests_late);
	a->names_late = late;
	a->requests_late = stats.symbolizer.requests_late;
}

/* The same. */
static void say_names_trouble(struct agent *a)
{
	const char *trouble = session_names_trouble(a->session);

	if (trouble && !a->names_trouble)
		log_line(LOG_WARNING, "%s; names are found all the same, and cost more", trouble);
	a->names_trouble = trouble;
}

static int end_window(struct agent *a)
{
	struct profile *profile = NULL;
	struct accounting account;

	int err = session_end_window(a->session, &account, &profile);
	accounting_add(&a->total, &account);
	if (err < 0) {
		log_line(LOG_ERROR, "building a window: %s; its %" PRIu64 " samples are counted as dropped", strerror(-err),
			 account.dropped[ACCOUNT_OUT_OF_MEMORY]);
		return err == -ENOMEM ? 0 : err;
	}
	if (!accounting_holds(&account))
		log_line(LOG_ERROR, "the accounting of a window does not add up; please report this");
	if (session_lacks_kernel_names(a->session) && !a->said_no_kernel) {
		log_line(LOG_WARNING, "kernel symbols cannot be read: kernel frames are [kernel+0x...]; give hearth CAP_SYSLOG, and set "
				      "kernel.kptr_restrict to 0 or 1");
		a->said_no_kernel = true;
	}
	say_names_trouble(a);
	say_late_names(a);
	write_window(a, profile, &account);
	say_incomplete(profile);
	say_jit(a, &account);
	govern(a, &account, (uint64_t)profile->duration_ns);
	profile_free(profile);
	return 0;
}

static bool told_to_stop(const struct agent *a)
{
	struct signalfd_siginfo info;

	return read(a->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

static int run(struct agent *a)
{
	int err = 0;

	while (err == 0) {
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
		if (now_ns >= a->window_end_ns) {
			err = end_window(a);
			/* Windows keep their beat; one that was missed altogether is not made up for. */
			a->window_end_ns += a->options.window_ns;
			if (a->window_end_ns <= now_ns)
				a->window_end_ns = now_ns + a->options.window_ns;
			continue;
		}
		struct pollfd fds[] = {
			{.fd = session_fd(a->session), .events = POLLIN},
			{.fd = a->signal_fd, .events = POLLIN},
		};
		uint64_t left_ms = (a->window_end_ns - now_ns) / 1000000 + 1;
		if (poll(fds, 2, (int)left_ms) < 0 && errno != EINTR)
			return -errno;
		if (told_to_stop(a))
			break;
		err = session_work(a->session);
	}
	session_stop(a->session);
	int last_err = end_window(a);
	return err < 0 ? err : last_err;
}

int cmd_agent(int argc, char **argv, struct zygote *zygote)
{
	struct agent a = {.signal_fd = -1, .zygote = zygote};
	char text[1024];

	int status = agent_options_parse(argc, argv, &a.options);
	if (status)
		return status - 1;
	log_setup(a.options.log_format == 1, a.options.quiet);
	int err = start(&a);
	if (err == 0) {
		err = run(&a);
		if (err < 0)
			log_line(LOG_ERROR, "sampling ended: %s", strerror(-err));
		accounting_describe(&a.total, text, sizeof(text));
		log_line(LOG_INFO, "stopped after %" PRIu64 " windows: %s", a.total.windows, text);
	}
	session_close(a.session);
	output_dir_close(a.dir);
	agent_options_deinit(&a.options);
	if (a.signal_fd >= 0)
		close(a.signal_fd);
	return err < 0 ? STATUS_FAILED : STATUS_OK;
}
