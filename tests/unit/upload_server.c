#include "tests/unit/upload_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/cmocka_prelude.h"

#define PREFACE_BYTES 24
#define FRAME_HEAD    9

enum frame_type { FRAME_DATA, FRAME_HEADERS, FRAME_SETTINGS = 4, FRAME_PING = 6, FRAME_WINDOW_UPDATE = 8 };

static bool read_all(int fd, void *to, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = read(fd, (uint8_t *)to + at, n - at);
		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

static bool write_all(int fd, const void *from, size_t n)
{
	return send(fd, from, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static void reset(int fd)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	_exit(0);
}

static struct upload_server_request *new_request(struct upload_server_shared *shared, int connection)
{
	static struct upload_server_request too_many;
	size_t i = atomic_load(&shared->n_requests);
	struct upload_server_request *request = i < UPLOAD_SERVER_REQUESTS ? &shared->requests[i] : &too_many;

	request->connection = connection;
	request->pid = getpid();
	request->at_ns = clock_ns(CLOCK_MONOTONIC);
	return request;
}

static const struct upload_server_reply *next_reply(struct upload_server_shared *shared)
{
	size_t n = atomic_load(&shared->n_replies), i = atomic_fetch_add(&shared->next_reply, 1);

	atomic_fetch_add(&shared->n_requests, 1);
	return &shared->replies[i < n ? i : n - 1];
}

static void pour(int fd, const char *head, const char *piece, unsigned pause_s)
{
	write_all(fd, head, strlen(head));
	while (write_all(fd, piece, strlen(piece)))
		sleep(pause_s);
	_exit(0);
}

/* --- HTTP/1.1 ------------------------------------------------------------------------------------------------------------- */

static void answer(int fd, const struct upload_server_reply *reply)
{
	char text[4096];
	const char *body = strstr(reply->text, "\r\n\r\n");
	size_t head = body ? (size_t)(body - reply->text) : strlen(reply->text);

	body = body ? body + 4 : "";
	int n = snprintf(text, sizeof(text), "HTTP/1.1 %.*s\r\nContent-Length: %zu\r\n\r\n%s", (int)head, *reply->text ? reply->text : "200 OK", strlen(body),
			 body);
	if (!*reply->text)
		n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	write_all(fd, text, (size_t)n);
}

static void act(int fd, const struct upload_server_reply *reply)
{
	char many[65];

	memset(many, 'x', sizeof(many) - 1);
	many[64] = '\0';
	switch (reply->how) {
	case RESET:
	case RESET_EARLY:
		reset(fd);
		break;
	case MUTE:
		sleep(1000);
		break;
	case TRICKLE:
		pour(fd, "HTTP/1.1 200 OK\r\n\r\n", "x", 1);
		break;
	case ENDLESS:
		pour(fd, "HTTP/1.1 200 OK\r\n\r\n", many, 0);
		break;
	case ENDLESS_HEAD:
		pour(fd, "HTTP/1.1 200 OK\r\n", "X-Again: and again and again and again\r\n", 0);
		break;
	case CUT:
		write_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.", 50);
		_exit(0);
	default:
		answer(fd, reply);
	}
}

static void serve_http(struct upload_server_shared *shared, int fd, int connection)
{
	static char rest[1 << 16];
	char byte;

	for (;;) {
		char head[sizeof(((struct upload_server_request *)NULL)->head)] = "";
		for (size_t n = 0; n < sizeof(head) - 1 && !strstr(head, "\r\n\r\n") && read_all(fd, &byte, 1); n++)
			head[n] = byte;
		if (!strstr(head, "\r\n\r\n"))
			_exit(0);
		struct upload_server_request *request = new_request(shared, connection);
		memcpy(request->head, head, sizeof(head));
		const char *length = strcasestr(request->head, "\r\ncontent-length:");
		request->n_body = length ? (size_t)atol(length + 17) : 0;
		size_t i = atomic_load(&shared->next_reply), n_replies = atomic_load(&shared->n_replies);
		if (shared->replies[i < n_replies ? i : n_replies - 1].how == RESET_EARLY) {
			next_reply(shared);
			reset(fd);
		}
		size_t begin = request->n_body < sizeof(request->body) ? request->n_body : sizeof(request->body);
		if (!read_all(fd, request->body, begin))
			_exit(0);
		for (size_t at = begin, some; at < request->n_body; at += some) {
			some = request->n_body - at < sizeof(rest) ? request->n_body - at : sizeof(rest);
			if (!read_all(fd, rest, some))
				_exit(0);
		}
		act(fd, next_reply(shared));
	}
}

/* --- HTTP/2, as much as gRPC needs: RFC 9113; header fields are literals without indexing: RFC 7541, 6.2.2 ------------------ */

static void write_frame(int fd, enum frame_type type, uint8_t flags, uint32_t stream, const void *payload, size_t n)
{
	uint8_t frame[FRAME_HEAD + 4096] = {(uint8_t)(n >> 16),	     (uint8_t)(n >> 8),	     (uint8_t)n,	    (uint8_t)type,  flags,
					    (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};

	if (n)
		memcpy(frame + FRAME_HEAD, payload, n);
	write_all(fd, frame, FRAME_HEAD + n);
}

static size_t put_field(uint8_t *to, const char *name, const char *value)
{
	size_t n = 0;

	to[n++] = 0;
	to[n++] = (uint8_t)strlen(name);
	memcpy(to + n, name, strlen(name));
	n += strlen(name);
	to[n++] = (uint8_t)strlen(value);
	memcpy(to + n, value, strlen(value));
	return n + strlen(value);
}

static size_t put_trailers(uint8_t *to, const char *text)
{
	char status[8] = "";
	const char *space = strchr(text, ' ');
	size_t n_status = space ? (size_t)(space - text) : strlen(text);

	memcpy(status, text, n_status);
	size_t n = put_field(to, "grpc-status", status);
	return space ? n + put_field(to + n, "grpc-message", space + 1) : n;
}

static void answer_grpc(int fd, uint32_t stream, const struct upload_server_reply *reply)
{
	uint8_t block[1024], frame[5 + sizeof(reply->body)] = {0, 0, 0, (uint8_t)(reply->n_body >> 8), (uint8_t)reply->n_body};

	if (reply->how == MUTE)
		sleep(1000);
	if (reply->how == RESET)
		reset(fd);
	size_t n = put_field(block, ":status", "200");
	n += put_field(block + n, "content-type", reply->how == ANSWER ? "text/html" : "application/grpc");
	if (reply->how == ANSWER_GRPC_ONLY) {
		n += put_trailers(block + n, reply->text);
		write_frame(fd, FRAME_HEADERS, 0x5, stream, block, n);
		return;
	}
	write_frame(fd, FRAME_HEADERS, 0x4, stream, block, n);
	memcpy(frame + 5, reply->body, reply->n_body);
	write_frame(fd, FRAME_DATA, reply->how == ANSWER, stream, frame, 5 + reply->n_body);
	if (reply->how == ANSWER)
		return;
	n = put_trailers(block, reply->text);
	write_frame(fd, FRAME_HEADERS, 0x5, stream, block, n);
}

static void serve_grpc(struct upload_server_shared *shared, int fd, int connection)
{
	static uint8_t payload[1 << 24];
	uint8_t head[FRAME_HEAD];
	struct upload_server_request *request = NULL;

	if (!read_all(fd, payload, PREFACE_BYTES) || memcmp(payload, "PRI * HTTP/2.0", 14) != 0)
		_exit(0);
	write_frame(fd, FRAME_SETTINGS, 0, 0, NULL, 0);
	while (read_all(fd, head, sizeof(head))) {
		size_t n = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
		uint32_t stream = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
		uint8_t room[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
		if (!read_all(fd, payload, n))
			break;
		if (head[3] == FRAME_SETTINGS && !(head[4] & 1))
			write_frame(fd, FRAME_SETTINGS, 1, 0, NULL, 0);
		if (head[3] == FRAME_PING && !(head[4] & 1))
			write_frame(fd, FRAME_PING, 1, 0, payload, n);
		if (head[3] == FRAME_HEADERS) {
			request = new_request(shared, connection);
			request->n_body = 0;
		}
		if (head[3] != FRAME_DATA || !request)
			continue;
		for (size_t i = 0; i < n; i++, request->n_body++)
			if (request->n_body < sizeof(request->body))
				request->body[request->n_body] = payload[i];
		if (n) {
			write_frame(fd, FRAME_WINDOW_UPDATE, 0, 0, room, 4);
			write_frame(fd, FRAME_WINDOW_UPDATE, 0, stream, room, 4);
		}
		if (head[4] & 1)
			answer_grpc(fd, stream, next_reply(shared));
	}
	_exit(0);
}

/* --- the process ---------------------------------------------------------------------------------------------------------- */

static void serve(struct upload_server_shared *shared, int listener, bool grpc)
{
	signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (;;) {
		int fd = accept(listener, NULL, NULL), connection = (int)atomic_fetch_add(&shared->n_connections, 1);
		if (fd < 0)
			continue;
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
			(grpc ? serve_grpc : serve_http)(shared, fd, connection);
		}
		close(fd);
	}
}

void upload_server_start(struct upload_server *server, bool grpc)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, n), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &n), 0);
	assert_int_equal(listen(listener, 16), 0);
	server->port = ntohs(address.sin_port);
	server->shared = mmap(NULL, sizeof(*server->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(server->shared != MAP_FAILED);
	upload_server_say_one(server, grpc ? ANSWER_GRPC : ANSWER, grpc ? "0" : "");
	server->pid = fork();
	if (server->pid == 0)
		serve(server->shared, listener, grpc);
	close(listener);
}

void upload_server_say(struct upload_server *server, size_t n, const struct upload_server_reply *replies)
{
	memcpy(server->shared->replies, replies, n * sizeof(*replies));
	atomic_store(&server->shared->n_replies, n);
	atomic_store(&server->shared->next_reply, 0);
}

void upload_server_say_one(struct upload_server *server, enum upload_server_how how, const char *text)
{
	struct upload_server_reply reply = {.how = how};

	strcpy(reply.text, text);
	upload_server_say(server, 1, &reply);
}

void upload_server_stop(struct upload_server *server)
{
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	munmap(server->shared, sizeof(*server->shared));
}
