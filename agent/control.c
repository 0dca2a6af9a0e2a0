#include "agent/control.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/values.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/scope.h"

#define SOCKET_NAME  "control.sock"
#define RATE_MAX     1000000
#define ASK_TIMEOUT_MS 5000

struct client {
	int fd; /* -1: none */
	uint64_t since_ns;
	char line[CONTROL_LINE_MAX + 1];
	size_t n;
};

struct control {
	int listen_fd, epoll_fd;
	struct client clients[CONTROL_CLIENTS_MAX];
	struct sockaddr_un address;
	dev_t device; /* of the socket's file, so that another's is not removed */
	ino_t inode;
	uint64_t deaf_until_ns; /* nobody could be accepted (no descriptors left): not asked again at once, which would take all of a CPU */
};

/* --- requests and replies ------------------------------------------------------------------------------------ */

static int take_time(const char *word, uint64_t *ns_out, struct why *why)
{
	int err = value_duration(word, ns_out, why);

	if (err == 0 && *ns_out > CONTROL_BOOST_MAX_NS)
		err = why_set(why, -EINVAL, "'%.40s' is more than 1h", word);
	return err;
}

int control_parse(const char *line, struct control_request *request_out, struct why *why)
{
	static const char *const VERBS[] = {"status", "rate", "pause", "resume", NULL};
	char copy[CONTROL_LINE_MAX + 1], *words[4] = {NULL}, *rest = NULL;
	struct control_request request = {.for_ns = 0};
	size_t n = 0;
	int verb, err = 0;

	if (strlen(line) > CONTROL_LINE_MAX)
		return why_set(why, -EINVAL, "longer than %d bytes", CONTROL_LINE_MAX);
	memcpy(copy, line, strlen(line) + 1);
	for (char *word = strtok_r(copy, " ", &rest); word && n < 4; word = strtok_r(NULL, " ", &rest))
		words[n++] = word;
	if (n == 0)
		return why_set(why, -EINVAL, "nothing is asked");
	if (value_choice(words[0], VERBS, &verb, why) < 0)
		return -EINVAL;
	request.verb = (enum control_verb)verb;
	size_t least = request.verb == CONTROL_RATE ? 3 : 1, most = request.verb == CONTROL_RATE ? 3 : request.verb == CONTROL_PAUSE ? 2 : 1;
	if (n < least || n > most)
		return why_set(why, -EINVAL, "it is: status, rate HZ SECONDS, pause [SECONDS] or resume");
	if (request.verb == CONTROL_RATE)
		err = value_uint(words[1], 1, RATE_MAX, &request.rate_hz, why);
	if (err == 0 && n > 1)
		err = take_time(words[n - 1], &request.for_ns, why);
	if (err == 0)
		*request_out = request;
	return err;
}

void control_reply_add(struct control_reply *reply, const char *name, const char *format, ...)
{
	char value[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(value, sizeof(value), format, arguments);
	va_end(arguments);
	for (char *at = value; *at; at++)
		if (*at == '\n')
			*at = ' ';
	size_t room = sizeof(reply->text) - reply->n;
	int n = snprintf(reply->text + reply->n, room, "%s%s %s\n", reply->n ? "" : "ok\n", name, value);
	if (n > 0 && (size_t)n < room)
		reply->n += (size_t)n;
}

void control_reply_json(const char *text, struct json_writer *writer)
{
	char name[64], value[512], *end;

	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n"), at = strcspn(line, " \n");
		if (at < n && at < sizeof(name)) {
			snprintf(name, sizeof(name), "%.*s", (int)at, line);
			snprintf(value, sizeof(value), "%.*s", (int)(n - at - 1), line + at + 1);
			double number = strtod(value, &end);
			if (*value && !*end && strspn(value, "0123456789.") == strlen(value))
				json_double(writer, name, number);
			else
				json_string(writer, name, value);
		}
		line += n + (line[n] == '\n');
	}
}

void control_reply_fail(struct control_reply *reply, const char *format, ...)
{
	va_list arguments;

	memcpy(reply->text, "error ", 6);
	va_start(arguments, format);
	int n = vsnprintf(reply->text + 6, sizeof(reply->text) - 8, format, arguments);
	va_end(arguments);
	n = n < 0 ? 0 : n;
	reply->n = 6 + ((size_t)n < sizeof(reply->text) - 8 ? (size_t)n : sizeof(reply->text) - 9);
	reply->text[reply->n++] = '\n';
}

/* --- listening ----------------------------------------------------------------------------------------------- */

int control_path(char *out, size_t out_bytes)
{
	const char *runtime = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
	int n;

	if (runtime && *runtime == '/' && !strchr(runtime, ':'))
		n = snprintf(out, out_bytes, "%s/" SOCKET_NAME, runtime);
	else if (geteuid() == 0)
		n = snprintf(out, out_bytes, "/run/hearth/" SOCKET_NAME);
	else if (user && *user == '/')
		n = snprintf(out, out_bytes, "%s/hearth/" SOCKET_NAME, user);
	else
		return -ENOENT;
	return n > 0 && (size_t)n < out_bytes ? 0 : -ENOENT;
}

static int set_address(const char *path, struct sockaddr_un *address_out, struct why *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (*path != '/')
		return why_set(why, -EINVAL, "control socket: '%s' is no absolute path", path);
	if (strlen(path) >= sizeof(address.sun_path))
		return why_set(why, -ENAMETOOLONG, "control socket: a path of a socket has at most %zu bytes", sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	*address_out = address;
	return 0;
}

static int make_folder(const char *path, struct why *why)
{
	AUTO_FREE char *folder = strdup(path);
	struct stat stat;

	if (!folder)
		return why_set(why, -ENOMEM, "out of memory");
	*strrchr(folder, '/') = '\0';
	if (!*folder)
		return why_set(why, -EPERM, "control socket: not in the root folder");
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return why_set(why, -errno, "control socket: creating %s: %s", folder, strerror(errno));
	if (lstat(folder, &stat) < 0)
		return why_set(why, -errno, "control socket: %s: %s", folder, strerror(errno));
	if (!S_ISDIR(stat.st_mode) || (stat.st_uid != geteuid() && stat.st_uid != 0) || (stat.st_mode & (S_IWGRP | S_IWOTH)))
		return why_set(why, -EPERM, "control socket: others may write to %s", folder);
	return 0;
}

static bool is_answered(const struct sockaddr_un *address)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN);
}

static int listen_at(struct control *c, struct why *why)
{
	struct epoll_event event = {.events = EPOLLIN};
	const char *path = c->address.sun_path;
	struct stat stat;

	if (is_answered(&c->address))
		return why_set(why, -EADDRINUSE, "control socket: another agent answers at %s", path);
	/* Only a socket: a file that somebody named by mistake stays. */
	if (lstat(path, &stat) == 0 && S_ISSOCK(stat.st_mode))
		unlink(path);
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->epoll_fd < 0 || c->listen_fd < 0)
		return why_set(why, -errno, "control socket: %s", strerror(errno));
	mode_t before = umask(0177);
	int err = bind(c->listen_fd, (const struct sockaddr *)&c->address, sizeof(c->address)) < 0 ? -errno : 0;
	umask(before);
	if (err == 0 && (lstat(path, &stat) < 0 || listen(c->listen_fd, CONTROL_CLIENTS_MAX) < 0 ||
			 epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->listen_fd, &event) < 0))
		err = -errno;
	if (err < 0)
		return why_set(why, err, "control socket: %s: %s", path, strerror(-err));
	c->device = stat.st_dev;
	c->inode = stat.st_ino;
	return 0;
}

int control_open(const char *path, struct control **control_out, struct why *why)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c)
		return why_set(why, -ENOMEM, "out of memory");
	c->listen_fd = c->epoll_fd = -1;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		c->clients[i].fd = -1;
	int err = set_address(path, &c->address, why);
	if (err == 0)
		err = make_folder(path, why);
	if (err == 0)
		err = listen_at(c, why);
	if (err < 0) {
		control_close(c);
		return err;
	}
	*control_out = c;
	return 0;
}

int control_fd(const struct control *c)
{
	return c->epoll_fd;
}

static void drop(struct client *client)
{
	close(client->fd); /* epoll forgets it with that */
	client->fd = -1;
}

void control_close(struct control *c)
{
	struct stat stat;

	if (!c)
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].fd >= 0)
			drop(&c->clients[i]);
	if (c->inode && lstat(c->address.sun_path, &stat) == 0 && stat.st_ino == c->inode && stat.st_dev == c->device)
		unlink(c->address.sun_path);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	free(c);
}

/* --- serving ------------------------------------------------------------------------------------------------- */

/* The socket's buffer holds a reply; where it should not, the client gets less and its connection ends. */
static void answer(int fd, const struct control_reply *reply)
{
	send(fd, reply->text, reply->n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static struct client *find_place(struct control *c, uint64_t now_ns)
{
	struct client *oldest = &c->clients[0];

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (c->clients[i].fd < 0)
			return &c->clients[i];
		if (c->clients[i].since_ns < oldest->since_ns)
			oldest = &c->clients[i];
	}
	if (now_ns - oldest->since_ns < CONTROL_PATIENCE_NS)
		return NULL;
	drop(oldest);
	return oldest;
}

static void accept_client(struct control *c, uint64_t now_ns)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct control_reply reply = {.n = 0};

	AUTO_CLOSE int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED && epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, c->listen_fd, NULL) == 0)
			c->deaf_until_ns = now_ns + CONTROL_PATIENCE_NS;
		return;
	}
	struct client *client = may_ask(fd) ? find_place(c, now_ns) : NULL;
	if (!client) {
		control_reply_fail(&reply, may_ask(fd) ? "too many ask at once; try again" : "only root and the agent's own user may ask");
		answer(fd, &reply);
		return;
	}
	if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return;
	*client = (struct client){.fd = take_fd(&fd), .since_ns = now_ns};
}

static void serve(struct client *client, control_fn fn, void *context)
{
	struct control_reply reply = {.n = 0};
	struct control_request request;
	struct why why;

	ssize_t got = recv(client->fd, client->line + client->n, CONTROL_LINE_MAX + 1 - client->n, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		drop(client);
		return;
	}
	client->n += (size_t)got;
	char *end = memchr(client->line, '\n', client->n);
	if (!end && client->n <= CONTROL_LINE_MAX)
		return;
	if (end)
		*end = '\0';
	if (!end)
		control_reply_fail(&reply, "longer than %d bytes", CONTROL_LINE_MAX);
	else if (memchr(client->line, '\0', client->n) != end || control_parse(client->line, &request, &why) < 0)
		control_reply_fail(&reply, "%s", memchr(client->line, '\0', client->n) != end ? "a NUL in it" : why.text);
	else
		fn(context, &request, &reply);
	if (reply.n == 0)
		reply.n = (size_t)snprintf(reply.text, sizeof(reply.text), "ok\n");
	answer(client->fd, &reply);
	drop(client);
}

void control_work(struct control *c, uint64_t now_ns, control_fn fn, void *context)
{
	struct epoll_event ready, event = {.events = EPOLLIN};

	if (c->deaf_until_ns && now_ns >= c->deaf_until_ns && epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->listen_fd, &event) == 0)
		c->deaf_until_ns = 0;
	if (epoll_wait(c->epoll_fd, &ready, 1, 0) <= 0)
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].fd >= 0)
			serve(&c->clients[i], fn, context);
	/* One at a time: whoever comes often does not keep the agent from its windows. */
	accept_client(c, now_ns);
}

/* --- asking -------------------------------------------------------------------------------------------------- */

static int explain_connect(int err, const char *path, struct why *why)
{
	if (err == -ENOENT || err == -ECONNREFUSED)
		return why_set(why, err, "no agent answers at %s; is 'hearth agent' running?", path);
	if (err == -EACCES)
		return why_set(why, err, "%s: only root and the agent's own user may ask", path);
	return why_set(why, err, "%s: %s", path, strerror(-err));
}

static int receive(int fd, char reply[CONTROL_REPLY_MAX], struct why *why)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + ASK_TIMEOUT_MS * 1000000ull;
	size_t n = 0;

	for (;;) {
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		/* An answer that came while this process had no CPU is one. */
		if (poll(&poll_fd, 1, now_ns < end_ns ? (int)((end_ns - now_ns) / 1000000) + 1 : 0) == 0)
			return why_set(why, -ETIMEDOUT, "the agent did not answer within %d s", ASK_TIMEOUT_MS / 1000);
		ssize_t got = recv(fd, reply + n, CONTROL_REPLY_MAX - 1 - n, MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got < 0 && errno != ECONNRESET)
			return why_set(why, -errno, "the agent's answer: %s", strerror(errno));
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	reply[n] = '\0';
	return 0;
}

int control_ask(const char *path, const char *line, char reply_out[CONTROL_REPLY_MAX], struct why *why)
{
	struct sockaddr_un address;
	char text[CONTROL_LINE_MAX + 2], reply[CONTROL_REPLY_MAX];

	int n = snprintf(text, sizeof(text), "%s\n", line);
	if (n < 0 || (size_t)n >= sizeof(text))
		return why_set(why, -EBADMSG, "longer than %d bytes", CONTROL_LINE_MAX);
	int err = set_address(path, &address, why);
	if (err < 0)
		return err;
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return explain_connect(-errno, path, why);
	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n && errno != EPIPE)
		return why_set(why, -errno, "%s: %s", path, strerror(errno));
	err = receive(fd, reply, why);
	if (err < 0)
		return err;
	if (strncmp(reply, "error ", 6) == 0)
		return why_set(why, -EREMOTEIO, "%.*s", (int)strcspn(reply + 6, "\n"), reply + 6);
	if (strncmp(reply, "ok\n", 3) != 0)
		return why_set(why, -EBADMSG, "%s: what answers there is no agent of this version", path);
	memcpy(reply_out, reply + 3, strlen(reply + 3) + 1);
	return 0;
}
