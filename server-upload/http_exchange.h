/* Requests to servers and their replies, by libcurl, in one loop.
 *
 * A client holds all connections; an exchange is one sink's: one request at a time, over a connection that is kept. HTTP/1.1, or HTTP/2 by ALPN; gRPC always by
 * HTTP/2, without TLS by prior knowledge. What is bounded: the time of a request, the bytes of a reply's head and body, redirects.
 *
 * Trust: certificates and names are always verified, TLS is 1.2 or newer. Redirects are followed by 307 and 308 only, up to three times, and only within the
 * same scheme, host and port: so secrets never reach another host, and https never becomes http. Nothing is unpacked, no cookie is kept, no .netrc is read.
 * Proxies: as the sink says, else by the environment (http_proxy, https_proxy, all_proxy, no_proxy); gRPC goes through one by CONNECT.
 * Not thread-safe. */
#ifndef HEARTH_SERVER_UPLOAD_HTTP_EXCHANGE_H
#define HEARTH_SERVER_UPLOAD_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "server-upload/curl_library.h"
#include "server-upload/http_reply.h"
#include "server-upload/sink_config.h"
#include "server-upload/sink_secrets.h"

struct http_client;
struct http_exchange;

/* A body that is made while it is sent. */
struct http_source {
	int64_t (*read)(void *context, void *buffer, size_t n); /* returns bytes, 0 at the end, or a negative errno: the request fails then */
	void (*rewind)(void *context);
	void *context;
	uint64_t n_bytes;     /* of all of it */
	uint64_t bytes_per_s; /* it is sent at most as fast; 0: no limit */
};

/* What kind of requests, besides what the sink's settings say. Strings are borrowed. */
struct http_form {
	const char *content_type; /* NULL: none */
	const char *header; /* one more, "Name: value"; NULL: none */
	bool is_grpc;
	bool is_put;
};

/* Returns 0, -ENOMEM. library: borrowed. */
int http_client_create(const struct curl_library *library, struct http_client **client_out);

/* url: copied. form, sink, secrets: borrowed until it is destroyed. Returns 0, -ENOMEM, -EINVAL with why (libcurl will not have a setting). */
int http_exchange_create(struct http_client *client, const char *url, const struct http_form *form, const struct sink_config *sink,
			 const struct sink_secrets *secrets, struct http_exchange **exchange_out, struct why *why);

/* query: copied, "?a=b" or NULL. body: borrowed until the reply is taken or the exchange destroyed. gzip: the body, or the message in the gRPC frame, is packed.
 * Returns 0, -EBUSY (one is under way), -E2BIG (4 GiB and more), -ENOMEM. */
int http_exchange_begin(struct http_exchange *e, const char *query, const uint8_t *body, size_t n_body, bool gzip);

/* source: copied; its context is borrowed as a body is. gRPC's frames are in it. Errors as above. */
int http_exchange_begin_stream(struct http_exchange *e, const char *query, const struct http_source *source);

/* Bytes that go over the wire, of the request that began last. */
uint64_t http_exchange_bytes(const struct http_exchange *e);

bool http_exchange_is_busy(const struct http_exchange *e);

/* Returns whether a request has ended. reply_out->body is valid until the next one begins. */
bool http_exchange_take(struct http_exchange *e, struct http_reply *reply_out);

/* Ends a request that is under way. NULL is legal. */
void http_exchange_destroy(struct http_exchange *e);

/* Wait until something can be done, one of fds is readable (ready_out), or timeout_ms are over; then do it. n_fds: up to 4. */
void http_client_wait(struct http_client *client, const int *fds, bool *ready_out, size_t n_fds, int timeout_ms);

/* After its exchanges. NULL is legal. */
void http_client_destroy(struct http_client *client);

#endif
