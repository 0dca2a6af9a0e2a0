#include "agent/outbox_server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "pprof/encode.h"

struct recent {
	uint64_t number; /* 0: free */
	int fd;
	size_t bytes;
};

struct sink {
	char name[STORE_SINK_NAME_MAX];
	uint64_t mark; /* 0: not known here */
	uint64_t given; /* the window that it has and has not shaped yet; 0: none */
	uint64_t struck; /* the window that hearth-upload died of */
	unsigned strikes;
	uint64_t passed_over;
};

struct outbox_server {
	struct store *store;
	outbox_say_fn *say;
	void *context;
	struct channel channel;
	uint64_t serial;
	struct sink sinks[STORE_SINKS_MAX];
	size_t n_sinks;
	struct recent recent[OUTBOX_RECENT_MAX];
	size_t recent_next, recent_bytes;
	bool trouble; /* was said */
};

__attribute__((format(printf, 3, 4))) static void say(struct outbox_server *o, enum log_level level, const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	o->say(o->context, level, text);
}

int outbox_server_create(struct store *store, outbox_say_fn *say_fn, void *context, struct outbox_server **server_out)
{
	struct outbox_server *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->store = store;
	o->say = say_fn;
	o->context = context;
	o->channel.fd = -1;
	*server_out = o;
	return 0;
}

/* --- recent windows --------------------------------------------------------------------------------------------- */

static void forget(struct outbox_server *o, struct recent *r)
{
	if (!r->number)
		return;
	close(r->fd);
	o->recent_bytes -= r->bytes;
	*r = (struct recent){0};
}

void outbox_server_new_window(struct outbox_server *o, uint64_t number, int fd, size_t bytes)
{
	struct message_head head = {.kind = UPLOAD_NEWS};

	/* Too large to be kept, or nobody is there: it comes out of the store again. */
	int kept = bytes <= OUTBOX_RECENT_BYTES && o->channel.fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (kept >= 0) {
		struct recent *r = &o->recent[o->recent_next];
		forget(o, r);
		for (size_t i = 1; i < OUTBOX_RECENT_MAX && o->recent_bytes + bytes > OUTBOX_RECENT_BYTES; i++)
			forget(o, &o->recent[(o->recent_next + i) % OUTBOX_RECENT_MAX]);
		*r = (struct recent){number, kept, bytes};
		o->recent_bytes += bytes;
		o->recent_next = (o->recent_next + 1) % OUTBOX_RECENT_MAX;
	}
	/* A socket that is full has something to be read, after which there are questions. */
	if (o->channel.fd >= 0)
		channel_send(&o->channel, &head, NULL, 0, NULL, 0, false);
}

static const struct recent *find_recent(const struct outbox_server *o, uint64_t number)
{
	for (size_t i = 0; number && i < OUTBOX_RECENT_MAX; i++)
		if (o->recent[i].number == number)
			return &o->recent[i];
	return NULL;
}

/* --- the socket ------------------------------------------------------------------------------------------------- */

static void pass_over(struct outbox_server *o, size_t i, const char *cause)
{
	struct sink *sink = &o->sinks[i];

	sink->passed_over++;
	store_outbox_mark(o->store, i, sink->struck);
	say(o, LOG_ERROR, "%s: window %" PRIu64 " is not sent: %s", sink->name, sink->struck, cause);
}

/* Whoever had a window and did not get as far as shaping it may have died of it. */
static void disconnect(struct outbox_server *o)
{
	if (o->channel.fd < 0)
		return;
	channel_deinit(&o->channel);
	for (size_t i = 0; i < o->n_sinks; i++) {
		struct sink *sink = &o->sinks[i];
		if (!sink->given)
			continue;
		sink->strikes = sink->struck == sink->given ? sink->strikes + 1 : 1;
		sink->struck = sink->given;
		sink->given = 0;
		if (sink->strikes >= UPLOAD_STRIKES)
			pass_over(o, i, "the process that uploads died of it three times");
	}
}

int outbox_server_fd(const struct outbox_server *o)
{
	return o->channel.fd;
}

void outbox_server_sinks(struct outbox_server *o, uint64_t serial, const char *const *names, size_t n)
{
	struct sink before[STORE_SINKS_MAX];
	size_t n_before = o->n_sinks;

	memcpy(before, o->sinks, sizeof(before));
	memset(o->sinks, 0, sizeof(o->sinks));
	o->serial = serial;
	o->n_sinks = n;
	for (size_t i = 0; i < n; i++) {
		snprintf(o->sinks[i].name, sizeof(o->sinks[i].name), "%s", names[i]);
		for (size_t k = 0; k < n_before; k++)
			if (strcmp(before[k].name, names[i]) == 0)
				o->sinks[i] = before[k];
		o->sinks[i].mark = o->sinks[i].given = 0;
	}
	int err = store_set_sinks(o->store, names, n);
	if (err < 0)
		say(o, LOG_ERROR, "setting the sinks of the store: %s", strerror(-err));
}

static int give(struct outbox_server *o, const struct upload_next *next, uint64_t number, int fd, size_t bytes)
{
	const struct upload_window window = {.serial = o->serial, .number = number, .bytes = bytes, .sink = next->sink};
	struct message_head head = {.kind = UPLOAD_WINDOW};
	struct sink *sink = &o->sinks[next->sink];

	int err = channel_send(&o->channel, &head, &(struct iovec){(void *)(uintptr_t)&window, sizeof(window)}, 1, &fd, 1, false);
	if (err == 0 && !sink->given)
		sink->given = number;
	return err;
}

static int give_none(const struct outbox_server *o, const struct upload_next *next)
{
	struct message_head head = {.kind = UPLOAD_NONE};

	return channel_send(&o->channel, &head, &(struct iovec){(void *)(uintptr_t)next, sizeof(*next)}, 1, NULL, 0, false);
}

/* One that is not among the recent: out of the store. */
static int give_stored(struct outbox_server *o, const struct upload_next *next)
{
	struct sink *sink = &o->sinks[next->sink];
	AUTO_FREE uint8_t *bytes = NULL;
	AUTO_CLOSE int fd = -1;
	struct profile *profile = NULL;
	uint64_t number;
	size_t n = 0;

	int err = store_outbox_next(o->store, next->sink, next->after, &number, &profile);
	if (err < 0) {
		if (err != -ENOENT && !o->trouble)
			say(o, LOG_ERROR, "%s: reading a window out of the store: %s", sink->name, strerror(-err));
		o->trouble = err != -ENOENT;
		return give_none(o, next);
	}
	o->trouble = false;
	err = profile_encode(profile, &bytes, &n);
	profile_free(profile);
	if (err == -ENOMEM)
		return give_none(o, next);
	if (err < 0 || n > UPLOAD_WINDOW_BYTES) {
		sink->struck = number;
		pass_over(o, next->sink, "it is too large");
		return give_none(o, next);
	}
	err = sealed_create(&(struct iovec){bytes, n}, 1, &fd);
	return err < 0 ? give_none(o, next) : give(o, next, number, fd, n);
}

static int answer(struct outbox_server *o, const struct upload_next *next)
{
	uint64_t after = next->after > o->sinks[next->sink].mark ? next->after : o->sinks[next->sink].mark;
	const struct recent *recent = find_recent(o, after ? after + 1 : 0);

	return recent ? give(o, next, recent->number, recent->fd, recent->bytes) : give_stored(o, next);
}

static void take_mark(struct outbox_server *o, const struct upload_mark *mark, bool is_shaped)
{
	struct sink *sink = &o->sinks[mark->sink];

	if (sink->given && sink->given <= mark->number) {
		sink->given = 0;
		sink->strikes = 0;
	}
	if (is_shaped)
		return;
	int err = store_outbox_mark(o->store, mark->sink, mark->number);
	if (err == 0)
		sink->mark = mark->number;
	else if (!o->trouble)
		say(o, LOG_ERROR, "%s: marking window %" PRIu64 " as sent: %s; it may be sent again", sink->name, mark->number, strerror(-err));
	o->trouble = err < 0;
}

static int serve(struct outbox_server *o, const struct message *m)
{
	const struct upload_next *next = m->payload;
	const struct upload_mark *mark = m->payload;

	if (upload_message_check(m) < 0)
		return -EBADMSG;
	switch (m->head.kind) {
	case UPLOAD_NEXT:
		return next->serial != o->serial ? 0 : next->sink < o->n_sinks ? answer(o, next) : -EBADMSG;
	case UPLOAD_MARK:
	case UPLOAD_SHAPED:
		if (mark->serial == o->serial && mark->sink >= o->n_sinks)
			return -EBADMSG;
		if (mark->serial == o->serial)
			take_mark(o, mark, m->head.kind == UPLOAD_SHAPED);
		return 0;
	default:
		return -EBADMSG;
	}
}

bool outbox_server_work(struct outbox_server *o)
{
	struct message m;

	int err = channel_receive(&o->channel, 1, &m);
	if (err == -ETIME)
		return false;
	if (err == 0) {
		err = serve(o, &m);
		message_close(&m);
	}
	if (err == 0)
		return true;
	if (err != -EPIPE)
		say(o, LOG_ERROR, "the process that uploads: %s; it is started again", err == -EBADMSG ? "a message that cannot be" : strerror(-err));
	disconnect(o);
	return false;
}

int outbox_server_connect(struct outbox_server *o, int socket)
{
	/* The marks that it left; and did it die, or is it only replaced? */
	while (o->channel.fd >= 0 && outbox_server_work(o))
		;
	for (size_t i = 0; i < o->n_sinks; i++)
		o->sinks[i].given = 0;
	channel_deinit(&o->channel);
	return channel_init(&o->channel, socket, &UPLOAD_RULES, CHANNEL_INLINE_MAX);
}

uint64_t outbox_server_passed_over(const struct outbox_server *o, size_t sink)
{
	return o->sinks[sink].passed_over;
}

void outbox_server_destroy(struct outbox_server *o)
{
	if (!o)
		return;
	channel_deinit(&o->channel);
	for (size_t i = 0; i < OUTBOX_RECENT_MAX; i++)
		forget(o, &o->recent[i]);
	free(o);
}
