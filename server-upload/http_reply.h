/* What a server answered, or why it did not. All texts are clean and cut; none is believed. */
#ifndef HEARTH_SERVER_UPLOAD_HTTP_REPLY_H
#define HEARTH_SERVER_UPLOAD_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_BODY_MAX	 (64u << 10) /* of a reply that is kept */
#define HTTP_HEADERS_MAX (64u << 10) /* of a reply's headers and trailers together */

enum http_failure {
	HTTP_ANSWERED,	  /* status is set */
	HTTP_UNREACHABLE, /* its name, its address, a proxy */
	HTTP_TIMED_OUT,
	HTTP_BROKEN,	  /* reset, cut, not HTTP */
	HTTP_DISTRUSTED,  /* certificates: its or ours */
	HTTP_UNUSABLE,	  /* the URL, or libcurl cannot do it */
	HTTP_NO_MEMORY,
};

struct http_reply {
	enum http_failure failure;
	char error[192];	   /* of a failure: libcurl's words */
	int status;		   /* of the last response; 0: none came */
	char content_type[64];	   /* lower case, without parameters */
	int grpc_status;	   /* -1: none came */
	char grpc_message[256];
	char redirect[192];	   /* where to, without its query; "" */
	uint64_t retry_after_ns;
	const uint8_t *body;	   /* up to HTTP_BODY_MAX; valid until the next request */
	size_t n_body;
	bool is_cut;		   /* there was more, and the connection was closed */
	uint64_t bytes_sent;	   /* of the body */
	uint64_t took_ns;
};

/* One line of a response's head or trailer, as libcurl hands it over; a status line begins anew. Fills status, content_type, grpc_status, grpc_message. */
void http_reply_take_line(struct http_reply *reply, const char *line, size_t n);

/* Percent-decode and clean. Source: gRPC over HTTP2, "Status-Message". */
void grpc_message_decode(const char *text, size_t n, char *out, size_t out_bytes);

#endif
