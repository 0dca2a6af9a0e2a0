/* Responses: each has the headers that keep a browser from doing more with it than to show it. */
#ifndef HEARTH_WEB_WEB_REPLY_H
#define HEARTH_WEB_WEB_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "web/microhttpd.h"

struct web_reply {
	unsigned status;
	const char *content_type;
	bool is_gzip;
	const char *cache;    /* Cache-Control; NULL: no-store */
	const char *etag, *allow, *location, *cookie, *authenticate; /* NULL: none */
	const char *filename; /* of an attachment; NULL or "": none */
	unsigned retry_after_s; /* 0: none */
};

/* bytes: copied. Return NULL when there is no memory; else MHD_destroy_response() it. */
struct MHD_Response *web_reply_text(const struct microhttpd *mhd, const struct web_reply *reply, const void *bytes, size_t n);
/* bytes: of malloc(), taken over, also on failure. */
struct MHD_Response *web_reply_owned(const struct microhttpd *mhd, const struct web_reply *reply, void *bytes, size_t n);
/* bytes: that stay. */
struct MHD_Response *web_reply_static(const struct microhttpd *mhd, const struct web_reply *reply, const void *bytes, size_t n);
/* fd: taken over, also on failure. */
struct MHD_Response *web_reply_file(const struct microhttpd *mhd, const struct web_reply *reply, int fd, uint64_t n);

#endif
