#include "agent/cmd_top.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/arguments.h"
#include "agent/caught_messages.h"
#include "agent/log.h"
#include "agent/rate_limit.h"
#include "agent/session.h"
#include "agent/top_batch.h"
#include "agent/top_options.h"
#include "agent/top_screen.h"
#include "base/clock.h"

#define WINDOW_NS     (10 * NS_PER_S) /* what the arenas are sized for; fuller ones are drained early */
#define FIRST_NS      NS_PER_S	      /* the first picture comes no later than this */
#define MESSAGE_NS    (8 * NS_PER_S)  /* how long a message stands */
#define PIDS_LOOK_MS  200


struct top {
	struct top_options options;
	struct zygote *zygote;
	struct session *session;
	struct sample_targets targets;
	struct top_model *model;
	struct top_view *view;	   /* NULL: batches */
	struct top_screen *screen; /* the same */
	struct caught_messages messages;
	int signal_fd;
	uint64_t due_ns;	/* the end of the window at hand */
	uint64_t cpu_ns;	/* of hearth, when the window began */
	uint64_t batches;
	uint64_t message_end_ns;
	char message[512], what[64];
	bool is_paused, has_ended, is_done, must_draw, has_said_troubles;
};

static void handle_nothing(int number)
{
	(void)number;
}

/* Each signal that has to do with a terminal is read from a descriptor: no handler runs between two steps of the screen. */
static int catch_signals(struct top *t)
{
	static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT};
	sigset_t set;

	/* ncurses ignores SIGTSTP while it draws, and a ^Z that waits for our descriptor would be lost with that. It leaves the signal alone when that has a handler. */
	signal(SIGTSTP, handle_nothing);

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(SIGNALS) / sizeof(SIGNALS[0]); i++)
		sigaddset(&set, SIGNALS[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN); /* a reader that went is an error of writing */
	t->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return t->signal_fd < 0 ? -errno : 0;
}

static void describe_targets(struct top *t)
{
	const struct sample_options *o = &t->options.sample;

	if (o->n_pids == 1)
		snprintf(t->what, sizeof(t->what), "process %d", o->pids[0]);
	else if (o->n_pids)
		snprintf(t->what, sizeof(t->what), "%zu processes", o->n_pids);
	else if (o->cgroup)
		snprintf(t->what, sizeof(t->what), "cgroup %.40s", o->cgroup);
	else
		snprintf(t->what, sizeof(t->what), "the whole machine");
}

static void say(struct top *t, const char *message)
{
	snprintf(t->message, sizeof(t->message), "%s", message);
	t->message_end_ns = clock_ns(CLOCK_MONOTONIC) + MESSAGE_NS;
	t->must_draw = true;
}

static int open_session(struct top *t)
{
	const struct sample_options *o = &t->options.sample;
	struct session_options options;
	struct why why;

	sample_options_session(o, &t->targets, t->zygote, &options);
	options.sampler.window_ns = WINDOW_NS;
	int err = session_open(&options, &t->session, &why);
	for (size_t i = 0; err == 0 && i < o->n_pids; i++) {
		err = session_target(t->session, o->pids[i], false);
		if (err < 0)
			why_set(&why, err, "too many processes for -p");
	}
	if (err == 0)
		err = session_start(t->session, &why);
	if (err < 0)
		fprintf(stderr, "hearth: %s\n", why.text);
	return err;
}

/* Only when the session is there: what is wrong with it is said on the terminal as it was. */
static int open_screen(struct top *t)
{
	struct why why = {"out of memory"};

	int err = top_screen_open(&t->screen, &why);
	if (err < 0) {
		fprintf(stderr, "hearth: %s\n", why.text);
		return err;
	}
	err = caught_messages_begin(&t->messages);
	if (err == 0)
		err = top_view_create(t->model, t->options.sort, t->options.side, &t->view);
	if (err == 0)
		err = top_view_filter(t->view, t->options.filter, &why);
	if (err < 0)
		fprintf(stderr, "hearth: preparing the screen: %s\n", strerror(-err));
	return err;
}

static struct top_status status(const struct top *t)
{
	struct session_stats stats;

	session_stats(t->session, &stats);
	return (struct top_status){
		.what = t->what,
		.event = t->options.sample.event.name,
		.rate_hz = t->options.sample.event.is_time ? session_rate(t->session) : 0,
		.refresh_ns = t->options.refresh_ns,
		.span_ns = t->options.span_ns,
		.cpus = stats.cpus,
		.is_paused = t->is_paused,
		.has_ended = t->has_ended,
		.message = t->message,
	};
}

static void draw(struct top *t, bool anew)
{
	struct top_canvas canvas;
	struct top_status s = status(t);

	top_screen_clear(t->screen, &canvas);
	top_view_draw(t->view, &canvas, &s);
	top_screen_show(t->screen, anew);
	t->must_draw = false;
}

static int write_batch(struct top *t, FILE *stream)
{
	struct top_status s = status(t);
	struct top_batch batch = {.model = t->model, .status = &s, .rows = (size_t)t->options.rows,
				  .query = {.sort = t->options.sort, .side = t->options.side}};
	struct why why;
	int err = *t->options.filter ? top_filter_compile(t->options.filter, &batch.query.filter, &why) : 0;

	if (err == 0)
		err = t->options.json ? top_batch_write_json(&batch, stream) : top_batch_write_text(&batch, stream);
	regex_destroy(batch.query.filter);
	t->is_done |= t->options.iterations && ++t->batches >= t->options.iterations;
	if (err == -EPIPE) { /* the reader has seen enough */
		t->is_done = true;
		return 0;
	}
	if (err < 0)
		fprintf(stderr, "hearth: writing to standard output: %s\n", strerror(-err));
	return err;
}

/* End the window at hand. keep: it is shown. */
static int end_window(struct top *t, bool keep)
{
	struct profile *profile = NULL;
	struct accounting account;

	int err = session_end_window(t->session, &account, &profile);
	uint64_t cpu_ns = session_cpu_ns(t->session), own_ns = cpu_ns - t->cpu_ns + account.program_ns;
	t->cpu_ns = cpu_ns;
	t->due_ns = clock_ns(CLOCK_MONOTONIC) + t->options.refresh_ns;
	if (err == 0 && keep)
		err = top_model_add(t->model, profile, &account, own_ns);
	profile_free(profile);
	if (t->view && top_view_refresh(t->view) < 0 && err == 0)
		err = -ENOMEM;
	if (err == -ENOMEM) {
		log_line(LOG_ERROR, "out of memory: a window is missing");
		return 0;
	}
	if (err < 0) {
		log_line(LOG_ERROR, "building a window: %s", strerror(-err));
		return err;
	}
	if (!accounting_holds(&account))
		log_line(LOG_ERROR, "the accounting of a window does not add up; please report this");
	return 0;
}

static void say_troubles(struct top *t)
{
	const char *trouble = session_names_trouble(t->session);

	if (trouble)
		log_line(LOG_WARNING, "%s; names are found all the same, and cost more", trouble);
	if (session_lacks_kernel_names(t->session))
		log_line(LOG_WARNING, "kernel symbols cannot be read; run as root with CAP_SYSLOG and kernel.kptr_restrict=0 or 1");
}

static int refresh(struct top *t)
{
	if (sample_targets_ended(&t->targets))
		t->has_ended = true;
	int err = end_window(t, true);
	if (err == 0 && !t->has_said_troubles) {
		say_troubles(t);
		t->has_said_troubles = true;
	}
	if (err < 0)
		return err;
	if (!t->screen) {
		t->is_done |= t->has_ended;
		return write_batch(t, stdout);
	}
	if (t->has_ended)
		session_pause(t->session, true);
	draw(t, false);
	return 0;
}

/* --- what keys ask for ----------------------------------------------------------------------------------------- */

/* Nothing is sampled and the picture stands: a pause costs nothing, and is no gap in what is shown. */
static int set_paused(struct top *t, bool is_paused)
{
	if (t->has_ended || t->is_paused == is_paused)
		return 0;
	int err = end_window(t, is_paused);
	session_pause(t->session, is_paused);
	t->is_paused = is_paused;
	t->must_draw = true;
	return err;
}

static void change_refresh(struct top *t, bool longer)
{
	static const uint64_t STEPS_MS[] = {200, 500, 1000, 2000, 5000, 10000, 30000, 60000};
	const size_t n = sizeof(STEPS_MS) / sizeof(STEPS_MS[0]);
	uint64_t now_ms = t->options.refresh_ns / NS_PER_MS, to_ms = now_ms;

	for (size_t i = 0; i < n; i++) {
		uint64_t step = STEPS_MS[longer ? i : n - 1 - i];
		if (longer ? step > now_ms : step < now_ms) {
			to_ms = step;
			break;
		}
	}
	t->options.refresh_ns = to_ms * NS_PER_MS;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	if (t->due_ns > now_ns + t->options.refresh_ns)
		t->due_ns = now_ns + t->options.refresh_ns;
	t->must_draw = true;
}

/* A window has one rate: the one at hand ends. */
static int change_rate(struct top *t, bool higher)
{
	static const uint64_t RATES[] = {1, 5, 9, 19, 49, 99, 199, 499, 997, 1999, 4999, 9973};
	const size_t n = sizeof(RATES) / sizeof(RATES[0]);
	uint64_t now_hz = session_rate(t->session), to_hz = now_hz, limit_hz = rate_limit_hz();
	char text[128];

	if (!t->options.sample.event.is_time) {
		say(t, "this event has no rate: it is sampled every so many occurrences (-c)");
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t rate = RATES[higher ? i : n - 1 - i];
		if (higher ? rate > now_hz : rate < now_hz) {
			to_hz = rate;
			break;
		}
	}
	if (to_hz > limit_hz) {
		snprintf(text, sizeof(text), "this machine's limit is %" PRIu64 " Hz (sysctl kernel.perf_event_max_sample_rate)", limit_hz);
		say(t, text);
		return 0;
	}
	int err = t->is_paused || t->has_ended ? 0 : end_window(t, true);
	if (session_set_rate(t->session, to_hz) < 0)
		say(t, "the rate could not be changed");
	t->must_draw = true;
	return err;
}

static int grant(struct top *t, enum top_wish wish)
{
	switch (wish) {
	case TOP_NOTHING:
		return 0;
	case TOP_QUIT:
		t->is_done = true;
		return 0;
	case TOP_PAUSE:
		return set_paused(t, !t->is_paused);
	case TOP_FASTER:
	case TOP_SLOWER:
		change_refresh(t, wish == TOP_SLOWER);
		return 0;
	case TOP_RATE_UP:
	case TOP_RATE_DOWN:
		return change_rate(t, wish == TOP_RATE_UP);
	}
	return 0;
}

static int read_keys(struct top *t)
{
	uint32_t key;
	int err = 0;

	while (err == 0 && !t->is_done && (key = top_screen_key(t->screen))) {
		t->must_draw = true;
		if (key == TOP_KEY_REDRAW)
			draw(t, true);
		else if (key != TOP_KEY_OTHER)
			err = grant(t, top_view_key(t->view, key));
	}
	return err;
}

/* --- signals ----------------------------------------------------------------------------------------------------- */

/* As the shell's ^Z wants it: the terminal as it was, then stopped like any other program. Meanwhile nothing is sampled. */
static int suspend(struct top *t)
{
	bool was_paused = t->is_paused;
	sigset_t stop;

	int err = set_paused(t, true);
	if (t->screen)
		top_screen_leave(t->screen);
	signal(SIGTSTP, SIG_DFL);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, NULL); /* stops here */
	sigprocmask(SIG_BLOCK, &stop, NULL);
	signal(SIGTSTP, handle_nothing);
	if (t->screen)
		top_screen_return(t->screen);
	if (err == 0 && !was_paused)
		err = set_paused(t, false);
	t->must_draw = true;
	return err;
}

static int read_signals(struct top *t)
{
	struct signalfd_siginfo info;
	int err = 0;

	while (err == 0 && read(t->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch ((int)info.ssi_signo) {
		case SIGWINCH:
			if (t->screen) {
				top_screen_resize(t->screen);
				draw(t, true);
			}
			break;
		case SIGTSTP:
			err = suspend(t);
			break;
		case SIGCONT:
			/* Stopped by SIGSTOP: whoever used the terminal meanwhile left modes of its own. */
			if (t->screen) {
				top_screen_leave(t->screen);
				top_screen_return(t->screen);
				draw(t, true);
			}
			break;
		default:
			t->is_done = true;
		}
	}
	return err;
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

static int wait_for_something(struct top *t, uint64_t now_ns)
{
	uint64_t due_ns = t->is_paused || t->has_ended ? now_ns + 60 * NS_PER_S : t->due_ns;
	struct pollfd fds[] = {
		{.fd = session_fd(t->session), .events = POLLIN},
		{.fd = t->signal_fd, .events = POLLIN},
		{.fd = t->screen ? STDIN_FILENO : -1, .events = POLLIN},
		{.fd = t->messages.fd, .events = POLLIN},
	};

	if (t->message[0] && t->message_end_ns < due_ns)
		due_ns = t->message_end_ns;
	uint64_t left_ms = due_ns > now_ns ? (due_ns - now_ns) / NS_PER_MS + 1 : 0;
	if (t->targets.n_pids && left_ms > PIDS_LOOK_MS)
		left_ms = PIDS_LOOK_MS;
	if (poll(fds, sizeof(fds) / sizeof(fds[0]), (int)left_ms) < 0 && errno != EINTR)
		return -errno;
	if (fds[2].revents & (POLLHUP | POLLERR | POLLNVAL))
		t->is_done = true; /* the terminal has gone */
	return 0;
}

static int step(struct top *t)
{
	int err = wait_for_something(t, clock_ns(CLOCK_MONOTONIC));
	if (err == 0)
		err = read_signals(t);
	if (err == 0 && t->screen && !t->is_done)
		err = read_keys(t);
	if (err == 0 && !t->is_done && (err = session_work(t->session)) < 0)
		log_line(LOG_ERROR, "sampling ended: %s", strerror(-err));
	if (err < 0 || t->is_done)
		return err;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	const char *line = t->screen ? caught_messages_read(&t->messages) : NULL;
	if (line)
		say(t, line);
	if (t->message[0] && now_ns >= t->message_end_ns) {
		t->message[0] = '\0';
		t->must_draw = true;
	}
	if (!t->is_paused && !t->has_ended && (now_ns >= t->due_ns || sample_targets_ended(&t->targets)))
		return refresh(t);
	if (t->must_draw && t->screen)
		draw(t, false);
	return 0;
}

static int run(struct top *t)
{
	uint64_t first_ns = t->screen && t->options.refresh_ns > FIRST_NS ? FIRST_NS : t->options.refresh_ns;
	int err = 0;

	t->due_ns = clock_ns(CLOCK_MONOTONIC) + first_ns;
	t->cpu_ns = session_cpu_ns(t->session);
	if (t->screen)
		draw(t, false);
	while (err == 0 && !t->is_done)
		err = step(t);
	return err;
}

static int top(struct top *t)
{
	describe_targets(t);
	int err = sample_targets_open(&t->targets, &t->options.sample);
	if (err == 0)
		err = catch_signals(t);
	if (err == 0 && (err = top_model_create((int64_t)t->options.span_ns, &t->model)) < 0)
		fprintf(stderr, "hearth: out of memory\n");
	if (err == 0)
		err = open_session(t);
	if (err == 0 && !t->options.is_batch)
		err = open_screen(t);
	return err == 0 ? run(t) : err;
}

int cmd_top(int argc, char **argv, struct zygote *zygote)
{
	struct top *t = calloc(1, sizeof(*t));

	if (!t)
		return STATUS_FAILED;
	t->zygote = zygote;
	t->signal_fd = t->messages.fd = t->messages.stderr_fd = -1;
	sample_targets_init(&t->targets);
	int status = top_options_parse(argc, argv, &t->options);
	if (status) {
		free(t);
		return status - 1;
	}
	t->options.is_batch |= !isatty(STDOUT_FILENO);
	int err = top(t);
	top_screen_close(t->screen);
	caught_messages_end(&t->messages);
	top_view_destroy(t->view);
	session_close(t->session);
	top_model_destroy(t->model);
	sample_targets_close(&t->targets);
	if (t->signal_fd >= 0)
		close(t->signal_fd);
	free(t);
	return err < 0 ? STATUS_FAILED : STATUS_OK;
}
