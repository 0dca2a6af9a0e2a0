/* The HTTP server: one thread that waits for nobody. It knows connections, limits, who may see what, and files of the page; queries go to hearth-query.
 *
 * Limits: PEERS_MAX connections (PEERS_OF_ADDRESS of one address); a request, TLS included, is there WEB_REQUEST_NS after its connection began or the one before was answered; an answer is
 * taken at WEB_LEAST_RATE at least; WEB_HEADER_BYTES of headers; TARGET_BYTES_MAX of URL; QUERY_BODY_MAX of body. */
#ifndef HEARTH_WEB_WEB_SERVER_H
#define HEARTH_WEB_WEB_SERVER_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"
#include "web/microhttpd.h"
#include "web/query_queue.h"
#include "web/web_state.h"

#define WEB_SERVER_FDS	 (2 + QUERIES_WAITING_MAX + QUERIES_AT_ONCE)
#define WEB_HEADER_BYTES (16u << 10)
#define WEB_REQUEST_NS	 (10 * 1000000000ull)
#define WEB_LEAST_RATE	 (16u << 10) /* bytes a second */
#define WEB_CACHE_BYTES	 (16u << 20)
#define WEB_SENDING_BYTES (128u << 20) /* of answers that clients have not taken yet: above it no query is begun */

struct web_server;

struct web_server_options {
	const struct microhttpd *mhd; /* borrowed as long as the server lives */
	int listen_fd;	  /* listens; taken over on success */
	int query_socket; /* hearth-query's; taken over, also on failure */
	bool (*has)(const char *path); /* see struct web_handlers */
	const char *token; /* NULL or "": everybody may */
	const char *certificate, *key; /* PEM; NULL or "": plain HTTP */
	const char *const *names; /* see guard_host(); borrowed as long as the server lives */
	size_t n_names;
	bool is_open;	  /* reachable beyond this machine */
	uint64_t sending_bytes; /* 0: WEB_SENDING_BYTES */
	uint64_t window_ns; /* how often there is a new state */
	void (*say)(void *context, const char *text); /* a line to be logged; NULL: nobody listens */
	void *context;
};

/* Returns 0 or a negative errno with why: -EINVAL (the certificate does not fit, or cannot be read), -ENOTSUP (no TLS here), -ENOMEM. */
int web_server_create(const struct web_server_options *options, struct web_server **server_out, struct why *why);

/* What poll() is to look at, and until when, CLOCK_MONOTONIC; UINT64_MAX: for ever. Returns how many of fds (WEB_SERVER_FDS). */
size_t web_server_poll(const struct web_server *s, struct pollfd *fds, uint64_t *due_ns_out);

/* Do what is due. fds: as poll() left them. Returns 0, or -EPIPE: hearth-query is gone. */
int web_server_work(struct web_server *s, const struct pollfd *fds, size_t n);

/* A WEB_STATE message. Returns 0 or -EBADMSG. */
int web_server_state(struct web_server *s, const void *payload, size_t n);

/* NULL is legal. */
void web_server_destroy(struct web_server *s);

#endif
