#include "agent/cmd_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/arguments.h"
#include "agent/command.h"
#include "agent/log.h"
#include "agent/record_options.h"
#include "agent/session.h"
#include "agent/summary.h"
#include "base/clock.h"
#include "base/scope.h"

#define WINDOW_NS	(10 * NS_PER_S) /* the arenas are drained at least this often */
#define PROGRESS_MS	200

struct recording {
	struct record_options options;
	struct zygote *zygote;
	struct session *session;
	struct command command;
	int signal_fd;
	int cgroup_fd;
	int pidfds[RECORD_PIDS_MAX]; /* -1: ended */
	uint64_t start_ns;
	bool interrupted;
};

/* Ctrl-C ends the recording, not hearth. A command that is run gets it too, from the terminal. */
static int catch_signals(struct recording *r)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN); /* a reader of standard output that went is an error of writing */
	r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signal_fd < 0 ? -errno : 0;
}

/* -p takes processes. The id of a thread is told apart, because it would sample nothing. */
static int check_pid(pid_t pid)
{
	char path[64], line[256];
	int tgid = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	if (!file) {
		fprintf(stderr, "hearth: there is no process %d; 'ps -e' lists them\n", pid);
		return -ESRCH;
	}
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Tgid: %d", &tgid) == 1)
			break;
	if (tgid == pid)
		return 0;
	fprintf(stderr, "hearth: %d is a thread of process %d; use -p %d, which samples all its threads\n", pid, tgid, tgid);
	return -ESRCH;
}

static int open_targets(struct recording *r)
{
	for (size_t i = 0; i < r->options.n_pids; i++)
		r->pidfds[i] = -1;
	for (size_t i = 0; i < r->options.n_pids; i++) {
		pid_t pid = r->options.pids[i];
		int err = check_pid(pid);
		if (err < 0)
			return err;
		r->pidfds[i] = (int)syscall(SYS_pidfd_open, pid, 0);
		if (r->pidfds[i] < 0) {
			fprintf(stderr, "hearth: watching process %d: %s\n", pid, strerror(errno));
			return -errno;
		}
	}
	return 0;
}

static int open_cgroup(struct recording *r)
{
	static const char *const ROOTS[] = {"", "/sys/fs/cgroup/", "/sys/fs/cgroup/unified/"};
	const char *name = r->options.cgroup;
	char path[4096];

	r->cgroup_fd = -1;
	if (!name)
		return 0;
	for (size_t i = 0; i < sizeof(ROOTS) / sizeof(ROOTS[0]); i++) {
		snprintf(path, sizeof(path), "%s%s/cgroup.procs", ROOTS[i], name);
		/* The file tells a cgroup from any other folder. */
		if (access(path, F_OK) < 0)
			continue;
		*strrchr(path, '/') = '\0';
		r->cgroup_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (r->cgroup_fd >= 0)
			return 0;
	}
	fprintf(stderr, "hearth: there is no cgroup (v2) '%s'; 'systemd-cgls' or 'ls /sys/fs/cgroup' lists them\n", name);
	return -ENOENT;
}

static int check_outputs(const struct recording *r)
{
	for (size_t i = 0; i < r->options.n_outputs; i++) {
		struct why why;
		int err = output_check(r->options.outputs[i].path, &why);
		if (err < 0) {
			fprintf(stderr, "hearth: %s\n", why.text);
			return err;
		}
	}
	return 0;
}

static int open_session(struct recording *r)
{
	const struct record_options *o = &r->options;
	struct session_options options = {
		.sampler = {.event = o->event,
			    .rate_hz = o->rate_hz,
			    .period = o->period,
			    .window_ns = o->duration_ns && o->duration_ns < WINDOW_NS ? o->duration_ns : WINDOW_NS,
			    .sample_idle = o->idle,
			    .by_thread = o->tid,
			    .only_targets = o->n_pids || o->command,
			    .inherit = o->inherit || o->command,
			    .unwind_budget_bytes = o->unwind_budget_bytes,
			    .cgroup_fd = r->cgroup_fd},
		.kernel_addresses = o->kernel_addresses,
		.zygote = r->zygote,
		.demangle = o->naming.demangle,
		.name_cache = o->naming.cache,
		.name_cache_bytes = o->naming.cache_bytes,
		.host_root = o->host_root,
		.debuginfod_urls = o->naming.debuginfod_urls,
	};
	struct why why;

	int err = session_open(&options, &r->session, &why);
	for (size_t i = 0; err == 0 && i < o->n_pids; i++) {
		err = session_target(r->session, o->pids[i], false);
		if (err < 0)
			why_set(&why, err, "too many processes for -p");
	}
	if (err == 0 && o->command) {
		err = command_prepare(o->command, &r->command);
		if (err == 0)
			err = session_target(r->session, r->command.pid, true);
		if (err < 0)
			why_set(&why, err, "starting '%s': %s", o->command[0], strerror(-err));
	}
	if (err == 0) {
		r->start_ns = clock_ns(CLOCK_MONOTONIC);
		err = session_start(r->session, &why);
	}
	if (err < 0)
		fprintf(stderr, "hearth: %s\n", why.text);
	return err;
}

static int release_command(struct recording *r)
{
	if (!r->options.command)
		return 0;
	int err = command_release(&r->command);
	if (err < 0)
		fprintf(stderr, "hearth: cannot run '%s': %s\n", r->options.command[0], strerror(-err));
	return err;
}

static void show_progress(const struct recording *r, bool terminal)
{
	double elapsed = (double)(clock_ns(CLOCK_MONOTONIC) - r->start_ns) / 1e9;

	if (!terminal)
		return;
	if (r->options.duration_ns) {
		double whole = (double)r->options.duration_ns / 1e9;
		int filled = elapsed < whole ? (int)(20 * elapsed / whole) : 20;
		fprintf(stderr, "\rsampling  [%.*s%*s]  %.1f of %.1f s ", filled, "####################", 20 - filled, "",
			elapsed < whole ? elapsed : whole, whole);
	} else {
		fprintf(stderr, "\rsampling  %.1f s; Ctrl-C ends ", elapsed);
	}
	fflush(stderr);
}

static void say_start(const struct recording *r)
{
	const struct record_options *o = &r->options;
	char what[64] = "the whole machine", how[64], long_text[64] = "until Ctrl-C";

	if (o->command)
		snprintf(what, sizeof(what), "'%.40s' and its children", o->command[0]);
	else if (o->n_pids)
		snprintf(what, sizeof(what), "%zu process%s", o->n_pids, o->n_pids == 1 ? "" : "es");
	else if (o->cgroup)
		snprintf(what, sizeof(what), "cgroup %.40s", o->cgroup);
	if (o->event.is_time)
		snprintf(how, sizeof(how), "at %" PRIu64 " Hz", o->rate_hz);
	else
		snprintf(how, sizeof(how), "every %" PRIu64 " occurrences", o->period);
	if (o->duration_ns)
		snprintf(long_text, sizeof(long_text), "for %.1f s (Ctrl-C ends early)", (double)o->duration_ns / 1e9);
	else if (o->command)
		snprintf(long_text, sizeof(long_text), "until it ends");
	fprintf(stderr, "hearth: sampling %s on %.40s %s, %s\n", what, o->event.name, how, long_text);
}

/* Whether everything that was asked for has ended. */
static bool targets_ended(struct recording *r)
{
	bool any = false;

	if (r->options.command)
		return command_reap(&r->command, false);
	for (size_t i = 0; i < r->options.n_pids; i++) {
		struct pollfd ended = {.fd = r->pidfds[i], .events = POLLIN};
		if (r->pidfds[i] >= 0 && poll(&ended, 1, 0) > 0) {
			close(r->pidfds[i]);
			r->pidfds[i] = -1;
		}
		any = any || r->pidfds[i] >= 0;
	}
	return r->options.n_pids && !any;
}

static bool interrupted(struct recording *r)
{
	struct signalfd_siginfo info;

	while (read(r->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		/* The command got the terminal's Ctrl-C as well, and ends the recording by ending. */
		if (r->options.command && info.ssi_signo == SIGINT && !r->interrupted)
			r->interrupted = true;
		else
			return true;
	}
	return false;
}

/* Sample until the time is over, what is sampled has ended, or a signal came. */
static int run(struct recording *r)
{
	bool terminal = isatty(STDERR_FILENO) && !r->options.quiet;
	int err = 0;

	while (err == 0) {
		uint64_t elapsed_ns = clock_ns(CLOCK_MONOTONIC) - r->start_ns;
		uint64_t limit_ns = r->options.duration_ns;
		if ((limit_ns && elapsed_ns >= limit_ns) || interrupted(r) || targets_ended(r))
			break;
		struct pollfd fds[] = {
			{.fd = session_fd(r->session), .events = POLLIN},
			{.fd = r->signal_fd, .events = POLLIN},
			{.fd = r->options.command ? r->command.pidfd : -1, .events = POLLIN},
		};
		/* Pids given with -p are looked at when the time-out ends; -d is kept to the millisecond. */
		int timeout_ms = terminal || r->options.n_pids ? PROGRESS_MS : 1000;
		if (limit_ns && (limit_ns - elapsed_ns) / 1000000 < (uint64_t)timeout_ms)
			timeout_ms = (int)((limit_ns - elapsed_ns) / 1000000) + 1;
		if (poll(fds, sizeof(fds) / sizeof(fds[0]), timeout_ms) < 0 && errno != EINTR)
			return -errno;
		err = session_work(r->session);
		show_progress(r, terminal);
	}
	if (terminal)
		fprintf(stderr, "\r%70s\r", "");
	return err;
}

static int write_outputs(const struct recording *r, const struct profile *profile)
{
	int result = 0;

	for (size_t i = 0; i < r->options.n_outputs; i++) {
		const struct record_output *output = &r->options.outputs[i];
		struct why why;
		const char *title = r->options.command ? r->options.command[0] : NULL;
		int err = output_write(profile, output->path, output->format, title, &why);
		if (err < 0) {
			fprintf(stderr, "hearth: %s\n", why.text);
			result = err;
		}
	}
	return result;
}

static void summarize(struct recording *r, const struct accounting *account, const struct profile *profile, bool written)
{
	const char *files[RECORD_OUTPUTS_MAX];
	struct session_stats stats;
	struct jit_report jit = {0};

	session_jit(r->session, jit_report_add, &jit);
	for (size_t i = 0; i < r->options.n_outputs; i++)
		files[i] = r->options.outputs[i].path;
	session_stats(r->session, &stats);
	struct summary summary = {
		.account = account,
		.stats = &stats,
		.profile = profile,
		.jit = &jit,
		.event = &r->options.event,
		.rate_hz = r->options.rate_hz,
		.period = r->options.period,
		.time_ns = profile->time_ns,
		.duration_ns = (uint64_t)profile->duration_ns,
		.own_cpu_ns = session_cpu_ns(r->session),
		.files = files,
		.n_files = written ? r->options.n_outputs : 0,
		.command = r->options.command ? r->options.command[0] : NULL,
		.exit_status = r->command.status,
	};
	const char *trouble = session_names_trouble(r->session);
	if (trouble && !r->options.quiet)
		log_line(LOG_WARNING, "%s; names are found all the same, and cost more", trouble);
	if (r->options.json)
		summary_write_json(&summary, stdout);
	if (r->options.quiet || r->options.json)
		return;
	if (session_lacks_kernel_names(r->session))
		log_line(LOG_WARNING, "kernel symbols cannot be read; run as root with CAP_SYSLOG and kernel.kptr_restrict=0 or 1");
	summary_write_text(&summary, stderr);
	summary_write_top(profile, RECORD_TOP, stderr);
}

static void say_waiting(const struct recording *r, const char *path, size_t outstanding)
{
	char more[64] = "";

	if (outstanding > 1)
		snprintf(more, sizeof(more), " and of %zu more files", outstanding - 1);
	if (!r->options.quiet)
		fprintf(stderr, "hearth: reading the debug information of %s%s; Ctrl-C does without\n",
			*path ? path : "what was sampled", more);
}

/* What was sampled is named when its debug information has been read, which began while sampling went on. */
static int wait_for_names(struct recording *r)
{
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC), waited_ns = 0;
	const char *path;
	bool said = false;
	size_t left;

	session_names_hurry(r->session);
	int err = session_collect(r->session);
	while (err == 0 && (left = session_names_outstanding(r->session, &path)) > 0) {
		waited_ns = clock_ns(CLOCK_MONOTONIC) - start_ns;
		if (waited_ns >= r->options.names_wait_ns || interrupted(r))
			break;
		if (waited_ns >= NS_PER_S && !said) {
			say_waiting(r, path, left);
			said = true;
		}
		struct pollfd fds[] = {
			{.fd = session_fd(r->session), .events = POLLIN},
			{.fd = r->signal_fd, .events = POLLIN},
		};
		if (poll(fds, 2, PROGRESS_MS) < 0 && errno != EINTR)
			return -errno;
		err = session_work(r->session);
	}
	return err;
}

static int finish(struct recording *r)
{
	struct profile *profile = NULL;
	struct accounting account;

	session_stop(r->session);
	int err = wait_for_names(r);
	if (err == 0)
		err = session_end_window(r->session, &account, &profile);
	if (err < 0) {
		fprintf(stderr, "hearth: building the profile: %s\n", strerror(-err));
		return err;
	}
	err = write_outputs(r, profile);
	command_reap(&r->command, true);
	summarize(r, &account, profile, err == 0);
	if (err == 0 && !accounting_holds(&account)) {
		fprintf(stderr, "hearth: ticks are not samples + dropped; the profile was written, please report this\n");
		err = -EPROTO;
	}
	profile_free(profile);
	return err;
}

static void close_recording(struct recording *r)
{
	command_close(&r->command);
	session_close(r->session);
	for (size_t i = 0; i < r->options.n_pids; i++)
		if (r->pidfds[i] >= 0)
			close(r->pidfds[i]);
	if (r->cgroup_fd >= 0)
		close(r->cgroup_fd);
	if (r->signal_fd >= 0)
		close(r->signal_fd);
}

static int record(struct recording *r)
{
	int err = open_targets(r);
	if (err == 0)
		err = open_cgroup(r);
	if (err == 0)
		err = check_outputs(r);
	if (err == 0)
		err = catch_signals(r);
	if (err == 0)
		err = open_session(r);
	if (err == 0)
		err = release_command(r);
	if (err < 0)
		return err;
	if (!r->options.quiet)
		say_start(r);
	err = run(r);
	int finish_err = finish(r);
	return err < 0 ? err : finish_err;
}

int cmd_record(int argc, char **argv, struct zygote *zygote)
{
	struct recording r = {.signal_fd = -1, .cgroup_fd = -1, .zygote = zygote};

	int status = record_options_parse(argc, argv, &r.options);
	if (status)
		return status - 1;
	int err = record(&r);
	int result = err < 0 ? STATUS_FAILED : r.command.status;
	close_recording(&r);
	return result;
}
