#include "agent/web_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/service_end.h"
#include "base/clock.h"
#include "base/scope.h"
#include "base/text_clean.h"

#define TOKEN_LEAST   16
#define RETRY_NS      (NS_PER_S)
#define SOCKET_BUFFER (512 << 10) /* a state that is not taken at once waits there */

enum { TOKEN, CERTIFICATE, KEY, FILES };

static const struct {
	const char *what, *option;
	size_t max;
} KINDS[FILES] = {
	[TOKEN] = {"token", "--listen-token", WEB_TOKEN_MAX},
	[CERTIFICATE] = {"certificate", "--listen-cert", WEB_CERTIFICATE_MAX},
	[KEY] = {"key", "--listen-key", WEB_CERTIFICATE_MAX},
};

/* A file that was read, and what tells whether it is another one now. */
struct secret {
	const char *path; /* NULL: none */
	char *text;
	size_t n;
	struct stat status;
};

struct web_client {
	struct web_client_options options;
	struct web_settings settings;
	struct channel channel; /* fd -1: no process */
	int listen_fd;		/* -1: the port is taken */
	char url[96];
	struct secret secrets[FILES];
	bool may_go, is_ready, wants_state, is_condemned, is_let_go;
	bool said_taken, said_failed, said_files;
	uint64_t retry_ns;
};

__attribute__((format(printf, 3, 4))) static void say(const struct web_client *c, enum log_level level, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	c->options.say(c->options.context, level, text);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void wipe(struct secret *s)
{
	if (s->text)
		explicit_bzero(s->text, s->n);
	free(s->text);
	s->text = NULL;
	s->n = 0;
}

/* A token is one line; what stands around it does not count. */
static int trim_token(struct secret *s)
{
	size_t begin = strspn(s->text, " \t\r\n"), n = strcspn(s->text + begin, " \t\r\n");
	bool is_one = !s->text[begin + n + strspn(s->text + begin + n, " \t\r\n")];

	for (size_t i = begin; i < begin + n; i++)
		is_one = is_one && s->text[i] > ' ' && s->text[i] <= '~';
	if (!is_one || n < TOKEN_LEAST)
		return -EBADMSG;
	memmove(s->text, s->text + begin, n);
	memset(s->text + n, 0, s->n - n);
	s->n = n;
	return 0;
}

static const char *why_not(unsigned kind, int err)
{
	switch (err) {
	case -EINVAL:
		return "it is no regular file";
	case -EFBIG:
		return "it is too large";
	case -EBADMSG:
		return kind == TOKEN ? "it is not one word of 16 characters and more; make one: openssl rand -hex 32" : "it is empty, or no text";
	default:
		return strerror(-err);
	}
}

static int read_file(const char *path, unsigned kind, struct secret *s)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct secret read_now = {.path = path};
	ssize_t got;

	if (fd < 0 || fstat(fd, &read_now.status) < 0)
		return -errno;
	if (!S_ISREG(read_now.status.st_mode))
		return -EINVAL;
	read_now.text = calloc(1, KINDS[kind].max + 2);
	if (!read_now.text)
		return -ENOMEM;
	while ((got = read(fd, read_now.text + read_now.n, KINDS[kind].max + 1 - read_now.n)) > 0)
		read_now.n += (size_t)got;
	int err = got < 0 ? -errno : read_now.n > KINDS[kind].max ? -EFBIG : 0;
	if (err == 0 && (!read_now.n || strlen(read_now.text) != read_now.n))
		err = -EBADMSG;
	if (err == 0 && kind == TOKEN)
		err = trim_token(&read_now);
	if (err < 0) {
		wipe(&read_now);
		return err;
	}
	wipe(s);
	*s = read_now;
	return 0;
}

static int read_all(struct web_client *c, struct why *why)
{
	for (unsigned i = 0; i < FILES; i++) {
		struct secret *s = &c->secrets[i];
		int err = s->path ? read_file(s->path, i, s) : 0;
		if (err < 0)
			return why_set(why, err, "the page's %s ('%.200s', %s): %s", KINDS[i].what, s->path, KINDS[i].option, why_not(i, err));
		if (s->path && i != CERTIFICATE && s->status.st_mode & 07)
			say(c, LOG_WARNING, "everybody on this machine may read the page's %s '%s': chmod 600 it", KINDS[i].what, s->path);
	}
	return 0;
}

static bool is_changed(const struct secret *s)
{
	struct stat now;

	if (!s->path || stat(s->path, &now) < 0)
		return false;
	return now.st_dev != s->status.st_dev || now.st_ino != s->status.st_ino || now.st_size != s->status.st_size ||
	       now.st_mtim.tv_sec != s->status.st_mtim.tv_sec || now.st_mtim.tv_nsec != s->status.st_mtim.tv_nsec;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

int web_names_parse(const char *names, struct web_settings *settings, struct why *why)
{
	settings->n_names = 0;
	for (const char *at = names ? names : ""; *(at += strspn(at, ", \t\n"));) {
		size_t n = strcspn(at, ", \t\n");
		if (settings->n_names == WEB_NAMES_MAX)
			return why_set(why, -EINVAL, "more than %d names", WEB_NAMES_MAX);
		if (n >= WEB_NAME_MAX || strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") < n)
			return why_set(why, -EINVAL, "'%.*s' is no name of a host; it is given without http:// and without a port", (int)(n < 100 ? n : 100), at);
		memcpy(settings->names[settings->n_names], at, n);
		settings->names[settings->n_names++][n] = '\0';
		at += n;
	}
	return 0;
}

static void bind_now(struct web_client *c)
{
	struct why why;
	int fd = listen_address_open(&c->options.address, &why);

	if (fd < 0) {
		if (!c->said_taken)
			say(c, LOG_WARNING, "%s; sampling goes on without the page, and it is tried again", why.text);
		c->said_taken = true;
		return;
	}
	c->listen_fd = fd;
	c->said_taken = false;
	listen_address_url(fd, c->secrets[CERTIFICATE].text != NULL, c->url, sizeof(c->url));
}

int web_client_create(const struct web_client_options *options, struct web_client **client_out, struct why *why)
{
	struct web_client *c = calloc(1, sizeof(*c));

	if (!c)
		return why_set(why, -ENOMEM, "out of memory");
	c->options = *options;
	c->channel.fd = c->listen_fd = -1;
	c->secrets[TOKEN].path = options->token_file;
	c->secrets[CERTIFICATE].path = options->certificate_file;
	c->secrets[KEY].path = options->key_file;
	c->settings = (struct web_settings){.is_open = options->address.is_open, .window_s = (uint32_t)(options->window_ns / NS_PER_S + 1), .bare = options->bare};
	snprintf(c->settings.store, sizeof(c->settings.store), "%s", options->store ? options->store : "");
	snprintf(c->settings.host, sizeof(c->settings.host), "%s", options->host);
	int err = web_names_parse(options->names, &c->settings, why);
	if (err == 0)
		err = read_all(c, why);
	if (err < 0) {
		web_client_destroy(c);
		return err;
	}
	bind_now(c);
	*client_out = c;
	return 0;
}

void web_client_destroy(struct web_client *c)
{
	if (!c)
		return;
	channel_deinit(&c->channel);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	for (unsigned i = 0; i < FILES; i++)
		wipe(&c->secrets[i]);
	free(c);
}

static int send_secrets(struct web_client *c)
{
	struct message_head head = {.kind = WEB_SECRETS};
	const struct secret *s = c->secrets;
	struct web_secrets_head sizes = {.token_bytes = (uint32_t)s[TOKEN].n, .certificate_bytes = (uint32_t)s[CERTIFICATE].n, .key_bytes = (uint32_t)s[KEY].n};
	const struct iovec parts[] = {{&sizes, sizeof(sizes)}, {s[TOKEN].text, s[TOKEN].n}, {s[CERTIFICATE].text, s[CERTIFICATE].n}, {s[KEY].text, s[KEY].n}};

	return channel_send(&c->channel, &head, parts, 4, NULL, 0, false);
}

static int start_process(struct web_client *c)
{
	int pair[2], bytes = SOCKET_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	int err = channel_init(&c->channel, pair[0], &WEB_RULES, CHANNEL_INLINE_MAX);
	if (err == 0)
		err = services_start(c->options.services, c->options.service, (int[]){[WEB_FD_AGENT] = pair[1], [WEB_FD_LISTEN] = c->listen_fd}, WEB_FDS, &c->settings,
				     sizeof(c->settings));
	close(pair[1]);
	if (err == 0)
		err = send_secrets(c);
	if (err < 0)
		channel_deinit(&c->channel);
	c->is_ready = false;
	return err;
}

void web_client_go(struct web_client *c)
{
	c->may_go = true;
}

/* --- work --------------------------------------------------------------------------------------------------------- */

int web_client_fd(const struct web_client *c)
{
	return c->channel.fd;
}

static bool wants_process(const struct web_client *c)
{
	return c->may_go && !c->is_let_go && c->listen_fd >= 0 && !services_runs(c->options.services, c->options.service);
}

static uint64_t again_ns(const struct web_client *c)
{
	uint64_t again = services_again_ns(c->options.services, c->options.service);

	return again > c->retry_ns ? again : c->retry_ns;
}

uint64_t web_client_due_ns(const struct web_client *c)
{
	return wants_process(c) ? again_ns(c) : UINT64_MAX;
}

static bool take_text(const struct message *m, struct web_text *text_out)
{
	if (m->head.payload_bytes != sizeof(*text_out) || m->n_fds)
		return false;
	memcpy(text_out, m->payload, sizeof(*text_out));
	size_t n = strnlen(text_out->text, sizeof(text_out->text));
	return n < sizeof(text_out->text) && text_is_clean(text_out->text, n) && text_out->severity <= LOG_INFO;
}

static int take_message(void *context, const struct message *m)
{
	struct web_client *c = context;
	struct web_text text;

	if (!take_text(m, &text))
		return -EBADMSG;
	if (m->head.kind == WEB_EVENT) {
		say(c, (enum log_level)text.severity, "%s", text.text);
		return 0;
	}
	if (m->head.kind != WEB_READY || c->is_ready || m->head.result > 0)
		return -EBADMSG;
	if (m->head.result < 0) {
		if (!c->said_failed)
			say(c, LOG_ERROR, "the page cannot be served: %s; sampling goes on, and it is tried again", text.text);
		c->said_failed = true;
		return 0;
	}
	c->is_ready = c->wants_state = true;
	c->said_failed = false;
	say(c, LOG_INFO, "the page is at %s%s", c->url, c->secrets[TOKEN].text ? " (with the token)" : "");
	return 0;
}

static void receive(struct web_client *c)
{
	int err = channel_take_all(&c->channel, take_message, c);

	if (err == 0)
		return;
	if (err != -EPIPE) {
		say(c, LOG_ERROR, "hearth-web says what cannot be; it is started again");
		c->is_condemned = true;
		services_end(c->options.services, c->options.service);
	}
	c->is_ready = false;
}

void web_client_work(struct web_client *c)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	receive(c);
	if (wants_process(c) && again_ns(c) <= now_ns && start_process(c) < 0)
		c->retry_ns = now_ns + RETRY_NS;
}

void web_client_event(struct web_client *c, const struct service_event *event)
{
	char text[SERVICE_END_MAX];

	if (event->started)
		return;
	receive(c); /* its last words */
	channel_deinit(&c->channel);
	c->is_ready = false;
	bool is_said = event->expected || c->is_condemned || c->said_failed;
	c->is_condemned = false;
	if (is_said)
		return;
	say(c, LOG_ERROR, "hearth-web %s; it is started again, and nothing is lost", service_end_text(event->status, text));
}

void web_client_refresh(struct web_client *c)
{
	bool changed = false;
	struct why why;

	if (c->listen_fd < 0)
		bind_now(c);
	for (unsigned i = 0; i < FILES; i++)
		changed = changed || is_changed(&c->secrets[i]);
	if (!changed)
		return;
	if (read_all(c, &why) < 0) {
		if (!c->said_files)
			say(c, LOG_ERROR, "%s; what it said before is used", why.text);
		c->said_files = true;
		return;
	}
	c->said_files = false;
	if (!services_runs(c->options.services, c->options.service))
		return;
	say(c, LOG_INFO, "the page's token or certificate was changed: hearth-web is started again");
	services_let_go(c->options.services, c->options.service);
	channel_deinit(&c->channel);
	c->is_ready = false;
}

bool web_client_wants_state(const struct web_client *c)
{
	return c->is_ready && c->wants_state;
}

void web_client_state(struct web_client *c, const struct web_samples *samples, const char *json, size_t n, const char *why)
{
	struct message_head head = {.kind = WEB_STATE};
	struct web_state_head state = {.n_samples = (uint32_t)samples->n, .json_bytes = (uint32_t)n, .is_ready = !why};
	const struct iovec parts[] = {
		{&state, sizeof(state)}, {(void *)(uintptr_t)samples->list, samples->n * sizeof(samples->list[0])}, {(void *)(uintptr_t)json, n}};

	if (!c->is_ready || n > WEB_JSON_MAX)
		return;
	if (why)
		text_clean(why, strlen(why), state.why, sizeof(state.why));
	c->wants_state = channel_send(&c->channel, &head, parts, 3, NULL, 0, false) == -EAGAIN && c->wants_state;
}

void web_client_let_go(struct web_client *c)
{
	c->is_let_go = true;
	services_let_go(c->options.services, c->options.service);
	receive(c);
	channel_deinit(&c->channel);
	c->is_ready = false;
}
