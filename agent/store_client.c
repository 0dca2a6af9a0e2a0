#include "agent/store_client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utlist.h>

#include "agent/service_end.h"
#include "base/clock.h"
#include "base/scope.h"
#include "base/text_clean.h"

/* A window that is not stored yet. */
struct waiting {
	struct waiting *prev, *next;
	uint64_t serial;
	uint8_t *bytes;
	size_t n;
	char *account;
	bool maybe;	  /* it was handed over to a process that died */
	bool in_folders;  /* the folders have it */
	bool tried_folders;
	bool repeated;
	unsigned strikes;
};

struct store_client {
	struct store_client_options options;
	struct store_settings settings;
	bool has_folders, has_store;
	struct channel channel; /* fd -1: no process */
	bool ready, shut;
	bool condemned; /* its end has been said */
	bool replacing; /* it was told to end: another one is to come */
	bool goes_on; /* past the start: what fails is said */
	uint64_t generation;
	struct waiting *windows; /* oldest first */
	struct waiting *flight;	 /* of these: the one that was handed over and is not answered */
	uint64_t flight_ns;
	uint64_t serial, retry_ns;
	uint64_t start_ns; /* not before this: a start has failed */
	int err;	  /* of the last try to store or to begin; 0: it works */
	struct why why;	  /* of it */
	bool said, said_slow;
	uint64_t dropped_said;
	struct store_client_stats stats;
};

__attribute__((format(printf, 3, 4))) static void say(const struct store_client *c, enum log_level level, const char *format, ...)
{
	char text[2048];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	c->options.say(c->options.context, level, text);
}

/* --- the process ------------------------------------------------------------------------------------------------ */

static int start_process(struct store_client *c)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	int err = channel_init(&c->channel, pair[0], &STORE_RULES, CHANNEL_INLINE_MAX);
	if (err == 0)
		err = services_start(c->options.services, c->options.service, &pair[1], 1, &c->settings, sizeof(c->settings));
	close(pair[1]);
	if (err < 0)
		channel_deinit(&c->channel);
	c->ready = false;
	return err;
}

static void take_settings(struct store_client *c, const struct store_settings *settings)
{
	c->settings = *settings;
	c->has_store = settings->folder[0];
	c->has_folders = false;
	for (size_t i = 0; i < settings->n_sinks; i++)
		c->has_folders = c->has_folders || settings->sinks[i].folder[0];
}

int store_client_create(const struct store_client_options *options, const struct store_settings *settings, struct store_client **client_out)
{
	struct store_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->options = *options;
	c->channel.fd = -1;
	if (!c->options.backlog_bytes)
		c->options.backlog_bytes = STORE_CLIENT_BACKLOG_BYTES;
	if (!c->options.retry_ns)
		c->options.retry_ns = STORE_CLIENT_RETRY_NS;
	take_settings(c, settings);
	int err = start_process(c);
	if (err < 0) {
		free(c);
		return err;
	}
	*client_out = c;
	return 0;
}

enum store_client_state store_client_state(const struct store_client *c, int *err_out, struct why *why)
{
	if (c->ready)
		return STORE_CLIENT_WORKS;
	if (c->err == 0)
		return STORE_CLIENT_STARTING;
	*err_out = c->err;
	*why = c->why;
	return STORE_CLIENT_FAILS;
}

/* --- windows that wait ------------------------------------------------------------------------------------------ */

static void remove_window(struct store_client *c, struct waiting *w)
{
	if (c->flight == w)
		c->flight = NULL;
	DL_DELETE(c->windows, w);
	c->stats.waiting--;
	c->stats.waiting_bytes -= w->n;
	free(w->bytes);
	free(w->account);
	free(w);
}

static void drop(struct store_client *c, struct waiting *w, const char *cause)
{
	c->stats.dropped++;
	say(c, LOG_INFO, "window lost (%s): %s", cause, w->account);
	remove_window(c, w);
}

/* Said when it begins, not for every window. */
static void say_failing(struct store_client *c)
{
	if (c->said || !c->goes_on)
		return;
	say(c, LOG_ERROR, "%s; sampling goes on, and windows wait in memory (up to %" PRIu64 " MiB, the oldest go first) until this is mended", c->why.text,
	    c->options.backlog_bytes >> 20);
	c->said = true;
	c->dropped_said = c->stats.dropped;
}

bool store_client_fails(const struct store_client *c, struct why *why)
{
	if (c->err)
		*why = c->why;
	return c->err;
}

void store_client_go_on(struct store_client *c)
{
	c->goes_on = true;
	if (c->err)
		say_failing(c);
}

static void say_working(struct store_client *c)
{
	c->err = 0;
	if (!c->said)
		return;
	say(c, LOG_WARNING, "writing works again; %" PRIu64 " windows were lost, %" PRIu64 " wait", c->stats.dropped - c->dropped_said, c->stats.waiting - 1);
	c->said = false;
}

/* The one at hand is not taken away from under the process that has it. */
static void keep_budget(struct store_client *c)
{
	while (c->stats.waiting_bytes > c->options.backlog_bytes) {
		struct waiting *oldest = c->windows == c->flight ? c->windows->next : c->windows;
		if (!oldest)
			return;
		drop(c, oldest, "no room in memory");
	}
}

/* --- handing over ----------------------------------------------------------------------------------------------- */

/* What can be done now: the oldest; or, as long as storing fails, what the folders have not seen. */
static struct waiting *choose(const struct store_client *c, uint32_t *flags_out)
{
	struct waiting *w = c->windows;

	*flags_out = 0;
	if (!w || c->err == 0 || clock_ns(CLOCK_MONOTONIC) >= c->retry_ns)
		return w;
	*flags_out = STORE_WINDOW_FILES_ONLY;
	if (!c->has_store || !c->has_folders)
		return NULL;
	while (w && w->tried_folders)
		w = w->next;
	return w;
}

static void hand_over(struct store_client *c)
{
	struct message_head head = {.kind = STORE_WINDOW};
	AUTO_CLOSE int fd = -1;

	if (!c->ready || c->flight || c->shut || c->replacing)
		return;
	struct waiting *w = choose(c, &head.detail);
	if (!w)
		return;
	head.serial = w->serial;
	head.detail |= (w->maybe ? STORE_WINDOW_MAYBE : 0) | (w->in_folders ? STORE_WINDOW_STORE_ONLY : 0);
	int err = sealed_create(&(struct iovec){w->bytes, w->n}, 1, &fd);
	if (err == 0)
		err = channel_send(&c->channel, &head, NULL, 0, &fd, 1, false);
	if (err < 0) {
		/* A process that died is an event; the rest may be better later. */
		c->err = why_set(&c->why, err, "handing a window over to hearth-store: %s", strerror(-err));
		c->retry_ns = clock_ns(CLOCK_MONOTONIC) + c->options.retry_ns;
		return;
	}
	c->stats.repeated += w->repeated;
	w->repeated = true;
	c->flight = w;
	c->flight_ns = clock_ns(CLOCK_MONOTONIC);
}

void store_client_lose(struct store_client *c, const char *cause, const char *account)
{
	c->stats.dropped++;
	say(c, LOG_ERROR, "window lost (%s): %s", cause, account);
}

void store_client_put(struct store_client *c, uint8_t *bytes, size_t n, const char *account)
{
	struct waiting *w = calloc(1, sizeof(*w));
	char *copy = strdup(account);

	if (!w || !copy || n > STORE_WINDOW_BYTES) {
		store_client_lose(c, n > STORE_WINDOW_BYTES ? "it is too large" : "out of memory", account);
		free(w);
		free(copy);
		free(bytes);
		return;
	}
	w->serial = ++c->serial;
	w->bytes = bytes;
	w->n = n;
	w->account = copy;
	DL_APPEND(c->windows, w);
	c->stats.waiting++;
	c->stats.waiting_bytes += n;
	keep_budget(c);
	hand_over(c);
}

/* --- answers ---------------------------------------------------------------------------------------------------- */

/* What another try may mend: the disk, or memory. */
static bool may_be_mended(int err)
{
	static const int MENDED[] = {ENOSPC, EDQUOT, EIO, EROFS, ENOMEM, EAGAIN, EMFILE, ENFILE, EACCES, EPERM, ENOENT, EBUSY, ESTALE, EINTR, ETIMEDOUT};

	for (size_t i = 0; i < sizeof(MENDED) / sizeof(MENDED[0]); i++)
		if (err == -MENDED[i])
			return true;
	return false;
}

static void is_written(struct store_client *c, struct waiting *w, const struct store_written *written)
{
	say_working(c);
	c->stats.stored++;
	if (written->number)
		say(c, LOG_INFO, "window %" PRIu64 " (%zu KiB, stored in %.1f ms): %s", written->number, (w->n + 1023) / 1024,
		    (double)written->append_ns / 1e6, w->account);
	else
		say(c, LOG_INFO, "window (%zu KiB): %s", (w->n + 1023) / 1024, w->account);
	remove_window(c, w);
}

static int take_written(struct store_client *c, const struct message *m)
{
	const struct store_written *written = m->payload;
	struct waiting *w = c->flight;

	if (m->head.payload_bytes != sizeof(*written) || !w || m->head.serial != w->serial || written->store_err > 0 || written->files_err > 0 ||
	    !text_is_clean(written->why, strnlen(written->why, sizeof(written->why))) || !memchr(written->why, 0, sizeof(written->why)))
		return -EBADMSG;
	int err = c->has_store ? written->store_err : written->files_err;
	c->flight = NULL;
	c->said_slow = false;
	w->tried_folders = true;
	w->in_folders = written->files_err == 0;
	if (err == 0) {
		is_written(c, w, written);
	} else if (!may_be_mended(err)) {
		say(c, LOG_ERROR, "%s", written->why);
		drop(c, w, strerror(-err));
	} else if (err != -EAGAIN) {
		c->err = why_set(&c->why, err, "%s", written->why[0] ? written->why : strerror(-err));
		c->retry_ns = clock_ns(CLOCK_MONOTONIC) + c->options.retry_ns;
		say_failing(c);
	}
	keep_budget(c);
	return 0;
}

static bool take_text(const struct message *m, struct store_text *text_out)
{
	if (m->head.payload_bytes != sizeof(*text_out))
		return false;
	memcpy(text_out, m->payload, sizeof(*text_out));
	size_t n = strnlen(text_out->text, sizeof(text_out->text));
	return n < sizeof(text_out->text) && text_is_clean(text_out->text, n) && text_out->severity <= LOG_INFO;
}

static int take_ready(struct store_client *c, const struct message *m)
{
	struct store_text text;

	if (!take_text(m, &text) || m->head.result > 0 || c->ready)
		return -EBADMSG;
	if (m->head.result < 0) {
		c->err = why_set(&c->why, m->head.result, "%s", text.text[0] ? text.text : strerror(-m->head.result));
		return 0; /* it ends now */
	}
	if (text.text[0])
		say(c, LOG_WARNING, "%s", text.text);
	c->ready = true;
	c->generation++;
	c->retry_ns = 0;
	/* Said as failing was: when the first window is stored. */
	if (!c->said)
		c->err = 0;
	return 0;
}

static int take_message(void *context, const struct message *m)
{
	struct store_client *c = context;
	struct store_text text;

	if (m->n_fds)
		return -EBADMSG;
	switch (m->head.kind) {
	case STORE_READY:
		return take_ready(c, m);
	case STORE_WRITTEN:
		return take_written(c, m);
	case STORE_EVENT:
		if (!take_text(m, &text))
			return -EBADMSG;
		say(c, (enum log_level)text.severity, "%s", text.text);
		return 0;
	case STORE_STATS:
		if (m->head.payload_bytes != sizeof(c->stats.report))
			return -EBADMSG;
		memcpy(&c->stats.report, m->payload, sizeof(c->stats.report));
		return 0;
	default:
		return -EBADMSG;
	}
}

static void receive(struct store_client *c)
{
	int err = channel_take_all(&c->channel, take_message, c);

	if (err == 0)
		return;
	/* Closed: its end is an event, which comes when it is reaped. Nonsense: its end is near. */
	if (err != -EPIPE) {
		say(c, LOG_ERROR, "hearth-store says what cannot be; it is started again");
		c->condemned = true;
		services_end(c->options.services, c->options.service);
	}
	c->ready = false;
}

int store_client_fd(const struct store_client *c)
{
	return c->channel.fd;
}

/* When a process that is not there may be started. */
static uint64_t again_ns(const struct store_client *c)
{
	uint64_t again = services_again_ns(c->options.services, c->options.service);

	return again > c->start_ns ? again : c->start_ns;
}

uint64_t store_client_due_ns(const struct store_client *c)
{
	uint64_t due_ns = UINT64_MAX;

	if (c->shut)
		return due_ns;
	if (!services_runs(c->options.services, c->options.service))
		return again_ns(c);
	if (c->ready && c->windows && !c->flight)
		due_ns = c->err ? c->retry_ns : 0;
	if (c->flight && !c->said_slow)
		due_ns = c->flight_ns + STORE_CLIENT_SLOW_NS;
	return due_ns;
}

void store_client_work(struct store_client *c)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	receive(c);
	if (!c->shut && !services_runs(c->options.services, c->options.service) && again_ns(c) <= now_ns && start_process(c) < 0)
		c->start_ns = now_ns + c->options.retry_ns;
	if (c->flight && !c->said_slow && now_ns >= c->flight_ns + STORE_CLIENT_SLOW_NS) {
		say(c, LOG_WARNING, "hearth-store has been writing one window for %u s; those that follow wait in memory",
		    (unsigned)(STORE_CLIENT_SLOW_NS / NS_PER_S));
		c->said_slow = true;
	}
	hand_over(c);
}

void store_client_event(struct store_client *c, const struct service_event *event)
{
	struct waiting *w;
	char text[SERVICE_END_MAX];

	if (event->started)
		return;
	receive(c); /* its last words */
	channel_deinit(&c->channel);
	c->ready = false;
	c->replacing = false;
	w = c->flight;
	c->flight = NULL;
	if (w)
		w->maybe = true;
	if (event->expected)
		return;
	/* One that could not begin has said why. */
	if (c->condemned)
		c->condemned = false;
	else if (c->err == 0 || !(event->status >= 0 && WIFEXITED(event->status) && WEXITSTATUS(event->status) == 1))
		say(c, LOG_ERROR, "hearth-store %s; it is started again, and %" PRIu64 " windows wait for it", service_end_text(event->status, text),
		    c->stats.waiting);
	else
		say_failing(c);
	if (w && ++w->strikes >= STORE_CLIENT_STRIKES)
		drop(c, w, "hearth-store died of it");
}

uint64_t store_client_generation(const struct store_client *c)
{
	return c->ready && !c->replacing ? c->generation : 0;
}

int store_client_sinks(struct store_client *c, const struct store_sinks *sinks, int upload_socket)
{
	struct message_head head = {.kind = STORE_SINKS};

	if (!c->ready || c->replacing)
		return -EAGAIN;
	return channel_send(&c->channel, &head, &(struct iovec){(void *)(uintptr_t)sinks, sizeof(*sinks)}, 1, &upload_socket, upload_socket >= 0, false);
}

void store_client_replace(struct store_client *c, const struct store_settings *settings)
{
	take_settings(c, settings);
	if (!services_runs(c->options.services, c->options.service))
		return;
	c->replacing = true;
	services_let_go(c->options.services, c->options.service);
	if (c->channel.fd >= 0)
		shutdown(c->channel.fd, SHUT_WR);
}

bool store_client_is_idle(const struct store_client *c)
{
	return !c->windows || (!c->flight && c->err);
}

void store_client_shut(struct store_client *c)
{
	c->shut = true;
	services_let_go(c->options.services, c->options.service);
	if (c->channel.fd >= 0)
		shutdown(c->channel.fd, SHUT_WR);
}

void store_client_stats(const struct store_client *c, struct store_client_stats *stats_out)
{
	*stats_out = c->stats;
}

void store_client_destroy(struct store_client *c)
{
	if (!c)
		return;
	while (c->windows)
		drop(c, c->windows, "the agent ends");
	channel_deinit(&c->channel);
	free(c);
}
