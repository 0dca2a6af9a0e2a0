#include "agent/cmd_record.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
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
	struct sample_targets targets;
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
	struct session_options options;
	struct why why;

	sample_options_session(&o->sample, &r->targets, r->zygote, &options);
	options.sampler.window_ns = o->duration_ns && o->duration_ns < WINDOW_NS ? o->duration_ns : WINDOW_NS;
	options.sampler.by_thread = o->tid;
	options.sampler.only_targets |= o->command != NULL;
	options.sampler.inherit |= o->command != NULL;
	options.kernel_addresses = o->kernel_addresses;
	int err = session_open(&options, &r->session, &why);
	for (size_t i = 0; err == 0 && i < o->sample.n_pids; i++) {
		err = session_target(r->session, o->sample.pids[i], false);
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
	else if (o->sample.n_pids)
		snprintf(what, sizeof(what), "%zu process%s", o->sample.n_pids, o->sample.n_pids == 1 ? "" : "es");
	else if (o->sample.cgroup)
		snprintf(what, sizeof(what), "cgroup %.40s", o->sample.cgroup);
	if (o->sample.event.is_time)
		snprintf(how, sizeof(how), "at %" PRIu64 " Hz", o->sample.rate_hz);
	else
		snprintf(how, sizeof(how), "every %" PRIu64 " occurrences", o->sample.period);
	if (o->duration_ns)
		snprintf(long_text, sizeof(long_text), "for %.1f s (Ctrl-C ends early)", (double)o->duration_ns / 1e9);
	else if (o->command)
		snprintf(long_text, sizeof(long_text), "until it ends");
	fprintf(stderr, "hearth: sampling %s on %.40s %s, %s\n", what, o->sample.event.name, how, long_text);
}

/* Whether everything that was asked for has ended. */
static bool targets_ended(struct recording *r)
{
	return r->options.command ? command_reap(&r->command, false) : sample_targets_ended(&r->targets);
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
		int timeout_ms = terminal || r->options.sample.n_pids ? PROGRESS_MS : 1000;
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
		.event = &r->options.sample.event,
		.rate_hz = r->options.sample.rate_hz,
		.period = r->options.sample.period,
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
	sample_targets_close(&r->targets);
	if (r->signal_fd >= 0)
		close(r->signal_fd);
}

static int record(struct recording *r)
{
	int err = sample_targets_open(&r->targets, &r->options.sample);
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
	struct recording r = {.signal_fd = -1, .zygote = zygote};

	sample_targets_init(&r.targets);
	int status = record_options_parse(argc, argv, &r.options);
	if (status)
		return status - 1;
	int err = record(&r);
	int result = err < 0 ? STATUS_FAILED : r.command.status;
	close_recording(&r);
	return result;
}
