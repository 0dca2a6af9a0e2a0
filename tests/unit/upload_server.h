/* A server on loopback that answers as a test says: HTTP/1.1, or gRPC over HTTP/2 by prior knowledge. A process of its own; what it got and what it is to say lie in
 * shared memory. */
#ifndef HEARTH_TESTS_UPLOAD_SERVER_H
#define HEARTH_TESTS_UPLOAD_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define UPLOAD_SERVER_REPLIES  64
#define UPLOAD_SERVER_REQUESTS 512

enum upload_server_how {
	ANSWER,	       /* text: the whole response; NULL head: 200 */
	ANSWER_GRPC,   /* text: "STATUS MESSAGE" of the trailers */
	ANSWER_GRPC_ONLY, /* the same, without a body: in the headers */
	RESET,	       /* when the request was read */
	RESET_EARLY,   /* in the middle of its body */
	MUTE,	       /* never answers */
	TRICKLE,       /* 200, and a byte a second for ever */
	ENDLESS,       /* 200, and bytes as fast as they go */
	ENDLESS_HEAD,
	CUT,	       /* 200 with Content-Length 100 and ten bytes */
};

struct upload_server_reply {
	enum upload_server_how how;
	char text[1024];
	uint8_t body[256]; /* of ANSWER_GRPC: the message in the frame */
	size_t n_body;
};

struct upload_server_request {
	char head[2048];
	int connection;
	pid_t pid; /* of the process that serves it */
	size_t n_body;
	uint8_t body[4096]; /* its beginning */
	uint64_t at_ns;
};

struct upload_server_shared {
	struct upload_server_reply replies[UPLOAD_SERVER_REPLIES]; /* one after the other; the last again and again */
	_Atomic size_t n_replies;
	_Atomic size_t next_reply;
	_Atomic size_t n_requests, n_connections;
	struct upload_server_request requests[UPLOAD_SERVER_REQUESTS];
};

struct upload_server {
	struct upload_server_shared *shared;
	pid_t pid;
	int port;
};

void upload_server_start(struct upload_server *server, bool grpc);
/* From now on: these. text: of ANSWER the status line and headers that differ from "200 OK", such as "503 No\r\nRetry-After: 3" and, after an empty line, the body. */
void upload_server_say(struct upload_server *server, size_t n, const struct upload_server_reply *replies);
void upload_server_say_one(struct upload_server *server, enum upload_server_how how, const char *text);
void upload_server_stop(struct upload_server *server);

#endif
