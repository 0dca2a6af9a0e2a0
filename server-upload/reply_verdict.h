/* What a reply means for the window. Pure. The table is in docs/uploading.md.
 * Sources: gRPC's statuscodes.md; OTLP specification 1.9, "Failures"; Prometheus' remote-write specification, "Retries & Backoff". */
#ifndef HEARTH_SERVER_UPLOAD_REPLY_VERDICT_H
#define HEARTH_SERVER_UPLOAD_REPLY_VERDICT_H

#include <stdint.h>

#include "server-upload/http_reply.h"
#include "server-upload/sink_config.h"

enum verdict_kind {
	VERDICT_TAKEN,	  /* next */
	VERDICT_SOON,	  /* not now: again, with backoff */
	VERDICT_BUSY,	  /* the same; it has too much to do */
	VERDICT_SLOWLY,	  /* it will not have us (token, certificate, wrong port): the window stays, somebody must act */
	VERDICT_REFUSED,  /* it will never have this window */
	VERDICT_TOO_LARGE, /* it would have smaller requests */
	VERDICT_UNPACKED, /* it would have the body without gzip */
};

struct verdict {
	enum verdict_kind kind;
	uint64_t retry_after_ns; /* 0: it said nothing */
	uint64_t rejected;	 /* of VERDICT_TAKEN: profiles that it took the rest without */
	uint32_t reason;	 /* equal for replies that say the same, whatever their words */
	/* Clean, for people; "" of VERDICT_TAKEN unless it rejected something. From the server: redact secrets before it is shown. */
	char text[256];
};

/* packed: the request was. */
void reply_verdict(enum sink_kind kind, const struct http_reply *reply, bool packed, struct verdict *verdict_out);

#endif
