/* The steps of one build id's debug information on its way to a server: whether it is wanted, the file, how it is to be sent, sending it, saying so. Knows what to ask
 * and what the answers mean; whoever has the connection sends, and whoever has files brings the file. Not thread-safe.
 *
 *   ASK -> (not wanted: DONE) -> FILE -> (there is none: DONE) -> INITIATE -> UPLOAD -> FINISH -> DONE */
#ifndef HEARTH_SERVER_UPLOAD_DEBUGINFO_UPLOAD_H
#define HEARTH_SERVER_UPLOAD_DEBUGINFO_UPLOAD_H

#include "server-upload/debuginfo_messages.h"
#include "server-upload/debuginfo_stream.h"

enum debuginfo_step { DEBUGINFO_ASK, DEBUGINFO_FILE, DEBUGINFO_INITIATE, DEBUGINFO_UPLOAD, DEBUGINFO_FINISH, DEBUGINFO_DONE };

struct debuginfo_upload;

/* build_id: copied. */
int debuginfo_upload_create(const char *build_id, struct debuginfo_upload **upload_out);

enum debuginfo_step debuginfo_upload_step(const struct debuginfo_upload *u);

/* What is to be asked: the method behind DEBUGINFO_SERVICE; NULL in FILE and DONE, and where debuginfo_upload_url() is not. */
const char *debuginfo_upload_method(const struct debuginfo_upload *u);
/* In UPLOAD: where the server wants the file to be PUT, a secret; NULL: it wants it itself. Borrowed. It is printable ASCII, and may lead anywhere. */
const char *debuginfo_upload_url(const struct debuginfo_upload *u);
/* Its message, bare; in UPLOAD nothing: the body is the stream, which has its frames. */
int debuginfo_upload_message(const struct debuginfo_upload *u, struct wire *to);
/* In UPLOAD: from its beginning. Borrowed; NULL in other steps. */
struct debuginfo_stream *debuginfo_upload_stream(struct debuginfo_upload *u);

/* In FILE: the file is here (fd is taken over, also on failure), or fd is -1: there is none. Returns 0, -EINVAL (another step; not the size), -ENOMEM. */
int debuginfo_upload_file(struct debuginfo_upload *u, int fd, uint64_t bytes, const char *hash);

/* The server's answer to what was asked: its message, bare. Returns 0 (the next step), -EINVAL (nothing was asked), or what debuginfo_messages.h says of bad answers;
 * -EOPNOTSUPP: the server wants it in a way that this version does not know. What a signed URL answers: n is 0. After an error the step stays. */
int debuginfo_upload_answer(struct debuginfo_upload *u, const void *bytes, size_t n);

/* NULL is legal. */
void debuginfo_upload_destroy(struct debuginfo_upload *u);

#endif
