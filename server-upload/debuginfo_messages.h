/* Messages of Parca's DebuginfoService: may we upload a build id's debug information, and if so, how. Source: PROTOCOLS.md, "Debug info".
 * Each is the bare message; gRPC's frame is put around it where it is sent. */
#ifndef HEARTH_SERVER_UPLOAD_DEBUGINFO_MESSAGES_H
#define HEARTH_SERVER_UPLOAD_DEBUGINFO_MESSAGES_H

#include <stdbool.h>

#include "server-upload/wire_writer.h"

#define DEBUGINFO_SERVICE	"/parca.debuginfo.v1alpha1.DebuginfoService/"
#define DEBUGINFO_UPLOAD_ID_MAX 256
#define DEBUGINFO_REASON_MAX	256
#define DEBUGINFO_URL_MAX	4096

enum debuginfo_strategy { DEBUGINFO_BY_GRPC = 1, DEBUGINFO_BY_SIGNED_URL = 2 };

struct debuginfo_instructions {
	char upload_id[DEBUGINFO_UPLOAD_ID_MAX + 1];
	char signed_url[DEBUGINFO_URL_MAX + 1]; /* "" when there is none */
	uint32_t strategy;			/* enum debuginfo_strategy, or one that this version does not know */
};

/* build_id: lower-case hex of a GNU build id. hash: of the file's content, any text that changes when it does. Errors: wire_error(). */
void debuginfo_put_should_initiate(struct wire *to, const char *build_id, const char *hash);
void debuginfo_put_initiate(struct wire *to, const char *build_id, const char *hash, uint64_t bytes);
/* Upload is a stream: this one first, then the chunks. */
void debuginfo_put_upload_info(struct wire *to, const char *build_id, const char *upload_id);
void debuginfo_put_upload_chunk(struct wire *to, const void *bytes, size_t n);
void debuginfo_put_finished(struct wire *to, const char *build_id, const char *upload_id);

/* What the server answers. Returns 0, or -EBADMSG: not the message; out-parameters are untouched then. reason_out: DEBUGINFO_REASON_MAX bytes, clean text. */
int debuginfo_get_should_initiate(const void *bytes, size_t n, bool *should_out, char *reason_out);
/* Also -EBADMSG: of another build id, or without an upload id; -E2BIG: an upload id or URL that is too long; -EPROTO: characters in them that no header
 * and no log should see. */
int debuginfo_get_instructions(const void *bytes, size_t n, const char *build_id, struct debuginfo_instructions *instructions_out);

#endif
