/* The body of one Upload call: gRPC frames around the file's chunks, made while they are sent, so that a file of any size takes one chunk of memory. Or the bare file,
 * for a signed URL. */
#ifndef HEARTH_SERVER_UPLOAD_DEBUGINFO_STREAM_H
#define HEARTH_SERVER_UPLOAD_DEBUGINFO_STREAM_H

#include <stddef.h>
#include <stdint.h>

#define DEBUGINFO_CHUNK_BYTES (256u << 10) /* servers take messages of 4 MiB and more; small ones leave room between them for a rate limit */

struct debuginfo_stream;

/* fd: borrowed; a regular file or memfd of bytes. build_id NULL: the bare file. Returns 0, -EINVAL (the file has another size), -ENOMEM, or fstat's errno. */
int debuginfo_stream_create(int fd, uint64_t bytes, const char *build_id, const char *upload_id, struct debuginfo_stream **stream_out);
/* The next bytes of the body: as many as there are, up to n. Returns them, 0 at the end, -EIO (the file became shorter), -ENOMEM, pread's errno. */
int64_t debuginfo_stream_read(struct debuginfo_stream *stream, void *buffer, size_t n);
/* Of the whole body, frames included. */
uint64_t debuginfo_stream_bytes(const struct debuginfo_stream *stream);
/* From the beginning, for another try. */
void debuginfo_stream_rewind(struct debuginfo_stream *stream);
/* NULL is legal. */
void debuginfo_stream_destroy(struct debuginfo_stream *stream);

#endif
