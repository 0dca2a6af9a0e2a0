#include "web/web_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Referrer-Policy is not no-referrer: the form's POST would have "Origin: null" then. Source: Fetch, "append a request Origin header". */
static const char *const ALWAYS[][2] = {
	{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
				    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "same-origin"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
};

/* Returns response, or NULL after destroying it. */
static struct MHD_Response *add_headers(const struct microhttpd *mhd, const struct web_reply *r, struct MHD_Response *response)
{
	char disposition[192], retry[16];
	bool ok = response != NULL;

	snprintf(disposition, sizeof(disposition), "attachment; filename=\"%.128s\"", r->filename ? r->filename : "");
	snprintf(retry, sizeof(retry), "%u", r->retry_after_s);
	const char *const own[][2] = {
		{"Content-Type", r->content_type},
		{"Content-Encoding", r->is_gzip ? "gzip" : NULL},
		{"Vary", "Accept-Encoding, Cookie, Authorization"},
		{"Cache-Control", r->cache ? r->cache : "no-store"},
		{"ETag", r->etag},
		{"Allow", r->allow},
		{"Location", r->location},
		{"Set-Cookie", r->cookie},
		{"WWW-Authenticate", r->authenticate},
		{"Content-Disposition", r->filename && r->filename[0] ? disposition : NULL},
		{"Retry-After", r->retry_after_s ? retry : NULL},
	};
	for (size_t i = 0; ok && i < sizeof(ALWAYS) / sizeof(ALWAYS[0]); i++)
		ok = mhd->add_response_header(response, ALWAYS[i][0], ALWAYS[i][1]) == MHD_YES;
	for (size_t i = 0; ok && i < sizeof(own) / sizeof(own[0]); i++)
		if (own[i][1])
			ok = mhd->add_response_header(response, own[i][0], own[i][1]) == MHD_YES;
	if (ok)
		return response;
	if (response)
		mhd->destroy_response(response);
	return NULL;
}

struct MHD_Response *web_reply_text(const struct microhttpd *mhd, const struct web_reply *reply, const void *bytes, size_t n)
{
	return add_headers(mhd, reply, mhd->create_response_from_buffer(n, (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY));
}

struct MHD_Response *web_reply_static(const struct microhttpd *mhd, const struct web_reply *reply, const void *bytes, size_t n)
{
	return add_headers(mhd, reply, mhd->create_response_from_buffer(n, (void *)(uintptr_t)bytes, MHD_RESPMEM_PERSISTENT));
}

struct MHD_Response *web_reply_owned(const struct microhttpd *mhd, const struct web_reply *reply, void *bytes, size_t n)
{
	struct MHD_Response *response = mhd->create_response_from_buffer(n, bytes, MHD_RESPMEM_MUST_FREE);

	if (!response)
		free(bytes);
	return add_headers(mhd, reply, response);
}

struct MHD_Response *web_reply_file(const struct microhttpd *mhd, const struct web_reply *reply, int fd, uint64_t n)
{
	struct MHD_Response *response = mhd->create_response_from_fd64(n, fd);

	if (!response)
		close(fd);
	return add_headers(mhd, reply, response);
}
