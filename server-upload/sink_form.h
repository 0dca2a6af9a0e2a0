/* What requests of each kind of sink look like on the wire (PROTOCOLS.md). */
#ifndef HEARTH_SERVER_UPLOAD_SINK_FORM_H
#define HEARTH_SERVER_UPLOAD_SINK_FORM_H

#include "server-upload/http_exchange.h"

struct sink_form {
	struct http_form http;
	const char *path; /* behind the sink's URL */
	bool packs;	  /* the body goes through gzip; bodies with a pprof in them are packed already */
};

/* NULL: dir has none. */
const struct sink_form *sink_form_of(enum sink_kind kind);

/* The whole URL: with the path, unless it ends in it already. url_out: owned by the caller. Returns 0 or -ENOMEM. */
int sink_form_url(const struct sink_form *form, const char *url, char **url_out);

#endif
