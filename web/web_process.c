#include "web/web_process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "base/text_clean.h"
#include "web/api.h"
#include "web/query_runner.h"
#include "web/web_confine.h"
#include "web/web_protocol.h"
#include "web/web_server.h"

#define STATUS_DONE    0
#define STATUS_SETUP   1
#define STATUS_MESSAGE 2
#define STATUS_QUERY   3 /* hearth-query died */

#define SECRETS_MS 5000 /* that they may take to come */

enum { SEVERITY_ERROR, SEVERITY_WARNING }; /* as enum log_level */

struct web_process {
	struct channel agent;
	const struct web_settings *settings;
	struct web_server *server;
	struct microhttpd mhd;
	const char *names[WEB_NAMES_MAX];
	char *token, *certificate, *key;
};

static void send_text(struct web_process *p, enum web_message kind, int result, unsigned severity, const char *text)
{
	struct message_head head = {.kind = (uint16_t)kind, .result = result};
	struct web_text message = {.severity = severity};

	text_clean(text, strlen(text), message.text, sizeof(message.text));
	channel_send(&p->agent, &head, &(struct iovec){&message, sizeof(message)}, 1, NULL, 0, false);
}

static void say(void *context, const char *text)
{
	send_text(context, WEB_EVENT, 0, SEVERITY_WARNING, text);
}

/* --- the beginning ---------------------------------------------------------------------------------------------- */

static bool is_text(const char *text, size_t room)
{
	return strnlen(text, room) < room;
}

static bool settings_are_sound(const struct web_settings *s)
{
	if (s->n_names > WEB_NAMES_MAX || !is_text(s->store, sizeof(s->store)) || !is_text(s->host, sizeof(s->host)))
		return false;
	for (size_t i = 0; i < s->n_names; i++)
		if (!is_text(s->names[i], sizeof(s->names[i])))
			return false;
	return true;
}

static char *take_secret(const uint8_t **at, size_t n)
{
	char *text = calloc(1, n + 1);

	if (text && n)
		memcpy(text, *at, n);
	*at += n;
	return text;
}

static int take_secrets(struct web_process *p)
{
	struct web_secrets_head head;
	struct message m;

	int err = channel_receive(&p->agent, clock_ns(CLOCK_MONOTONIC) + SECRETS_MS * NS_PER_MS, &m);
	if (err < 0)
		return err;
	const uint8_t *at = (const uint8_t *)m.payload + sizeof(head);
	if (m.head.kind != WEB_SECRETS || m.n_fds || m.head.payload_bytes < sizeof(head))
		err = -EBADMSG;
	else
		memcpy(&head, m.payload, sizeof(head));
	if (err == 0 && (head.token_bytes > WEB_TOKEN_MAX || head.certificate_bytes > WEB_CERTIFICATE_MAX || head.key_bytes > WEB_CERTIFICATE_MAX ||
			 m.head.payload_bytes != sizeof(head) + (uint64_t)head.token_bytes + head.certificate_bytes + head.key_bytes))
		err = -EBADMSG;
	if (err == 0) {
		p->token = take_secret(&at, head.token_bytes);
		p->certificate = take_secret(&at, head.certificate_bytes);
		p->key = take_secret(&at, head.key_bytes);
		err = p->token && p->certificate && p->key ? 0 : -ENOMEM;
	}
	/* The second lock: the agent has looked already. */
	if (err == 0 && p->settings->is_open && (!head.token_bytes || !head.certificate_bytes || !head.key_bytes))
		err = -EPERM;
	message_close(&m);
	return err;
}

/* hearth-query: forked before there are secrets or strangers; it has its socket, and nothing else of ours. */
static int fork_runner(struct web_process *p, const int *fds, int *socket_out)
{
	static const struct web_handlers HANDLERS = {.has = api_has, .answer = api_answer};
	const struct query_runner_options options = {.handlers = &HANDLERS, .store = p->settings->store, .host = p->settings->host, .version = HEARTH_VERSION,
						     .bare = p->settings->bare};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		close(fds[WEB_FD_AGENT]);
		close(fds[WEB_FD_LISTEN]);
		_exit(query_runner_run(pair[1], &options));
	}
	int err = pid < 0 ? -errno : 0;
	close(pair[1]);
	if (err < 0)
		close(pair[0]);
	else
		*socket_out = pair[0];
	return err;
}

static int open_server(struct web_process *p, const int *fds, int query_socket, struct why *why)
{
	const struct web_settings *s = p->settings;
	const struct web_server_options options = {
		.mhd = &p->mhd, .listen_fd = fds[WEB_FD_LISTEN], .query_socket = query_socket, .has = api_has, .token = p->token, .certificate = p->certificate,
		.key = p->key, .names = p->names, .n_names = s->n_names, .is_open = s->is_open, .window_ns = (uint64_t)s->window_s * NS_PER_S, .say = say, .context = p};

	for (size_t i = 0; i < s->n_names; i++)
		p->names[i] = s->names[i];
	return web_server_create(&options, &p->server, why);
}

static int begin(struct web_process *p, const int *fds, struct why *why)
{
	int query_socket = -1;

	web_confine_apart();
	int err = fork_runner(p, fds, &query_socket);
	if (err < 0)
		return why_set(why, err, "forking hearth-query: %s", strerror(-err));
	err = microhttpd_load(&p->mhd);
	if (err < 0) {
		close(query_socket);
		return why_set(why, err, "the page needs libmicrohttpd 0.9.75 or newer (Debian: libmicrohttpd12)");
	}
	err = web_confine_server(p->settings->bare);
	if (err < 0)
		why_set(why, err, "confining hearth-web: %s", strerror(-err));
	if (err == 0) {
		err = take_secrets(p);
		why_set(why, err, "the token and the certificate did not come: %s", strerror(-err));
	}
	if (err < 0) {
		close(query_socket);
		return err;
	}
	return open_server(p, fds, query_socket, why);
}

/* --- work ------------------------------------------------------------------------------------------------------- */

static int take_messages(struct web_process *p)
{
	struct message m;
	int err;

	while ((err = channel_receive(&p->agent, 1, &m)) == 0) {
		err = m.head.kind == WEB_STATE && !m.n_fds ? web_server_state(p->server, m.payload, m.head.payload_bytes) : -EBADMSG;
		message_close(&m);
		if (err < 0)
			return err;
	}
	return err == -ETIME ? 0 : err;
}

static int serve(struct web_process *p)
{
	struct pollfd fds[1 + WEB_SERVER_FDS];
	uint64_t due_ns;

	for (;;) {
		size_t n = web_server_poll(p->server, fds + 1, &due_ns);
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
		uint64_t left_ms = due_ns > now_ns ? (due_ns - now_ns) / NS_PER_MS + 1 : 0;
		fds[0] = (struct pollfd){.fd = p->agent.fd, .events = POLLIN};
		if (poll(fds, (nfds_t)(n + 1), due_ns == UINT64_MAX ? -1 : left_ms > 60000 ? 60000 : (int)left_ms) < 0 && errno != EINTR)
			return STATUS_SETUP;
		int err = fds[0].revents ? take_messages(p) : 0;
		if (err < 0)
			return err == -EPIPE ? STATUS_DONE : STATUS_MESSAGE;
		if (web_server_work(p->server, fds + 1, n) < 0) {
			send_text(p, WEB_EVENT, 0, SEVERITY_ERROR, "hearth-query died; the page is started again");
			return STATUS_QUERY;
		}
	}
}

int web_process_run(const int *fds, size_t n_fds, const void *argument, size_t n_bytes)
{
	struct web_process p = {.settings = argument};
	struct why why = {""};

	if (n_fds != WEB_FDS || n_bytes != sizeof(*p.settings) || !settings_are_sound(p.settings))
		return STATUS_MESSAGE;
	if (channel_init(&p.agent, fds[WEB_FD_AGENT], &WEB_RULES, WEB_STATE_MAX > WEB_SECRETS_MAX ? WEB_STATE_MAX : WEB_SECRETS_MAX) < 0)
		return STATUS_MESSAGE;
	int err = begin(&p, fds, &why);
	send_text(&p, WEB_READY, err, SEVERITY_ERROR, err < 0 ? why.text : "");
	int status = err < 0 ? STATUS_SETUP : serve(&p);
	web_server_destroy(p.server);
	channel_deinit(&p.agent);
	free(p.token);
	free(p.certificate);
	free(p.key);
	return status;
}
