#include "server-upload/debuginfo_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server-upload/debuginfo_messages.h"

#define FRAME_BYTES 5 /* gRPC: not compressed; length, big-endian */

struct debuginfo_stream {
	int fd;
	uint64_t bytes, position; /* of the file */
	char *build_id, *upload_id; /* NULL: no frames */
	struct wire frame; /* that is being sent */
	size_t sent;	   /* of it */
	bool begun;
	uint8_t chunk[DEBUGINFO_CHUNK_BYTES];
};

static int read_all(int fd, uint64_t position, uint8_t *buffer, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = pread(fd, buffer + at, n - at, (off_t)(position + at));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		at += (size_t)got;
	}
	return 0;
}

/* The next message, with its frame; nothing at the end. */
static int next_frame(struct debuginfo_stream *s)
{
	static const uint8_t no_length[FRAME_BYTES] = {0};
	uint64_t left = s->bytes - s->position;
	size_t n = left < sizeof(s->chunk) ? (size_t)left : sizeof(s->chunk);

	wire_reset(&s->frame);
	s->sent = 0;
	if (s->begun && !n)
		return 0;
	if (!s->build_id) {
		s->begun = true;
		s->position += n;
		int err = read_all(s->fd, s->position - n, s->chunk, n);
		if (err == 0)
			wire_raw(&s->frame, s->chunk, n);
		return err < 0 ? err : wire_error(&s->frame);
	}
	wire_raw(&s->frame, no_length, FRAME_BYTES);
	if (s->begun) {
		int err = read_all(s->fd, s->position, s->chunk, n);
		if (err < 0)
			return err;
		debuginfo_put_upload_chunk(&s->frame, s->chunk, n);
	} else {
		debuginfo_put_upload_info(&s->frame, s->build_id, s->upload_id);
	}
	if (wire_error(&s->frame) < 0)
		return wire_error(&s->frame);
	for (unsigned i = 0; i < 4; i++)
		s->frame.bytes[1 + i] = (uint8_t)((s->frame.n - FRAME_BYTES) >> (24 - 8 * i));
	s->position += s->begun ? n : 0;
	s->begun = true;
	return 0;
}

int debuginfo_stream_create(int fd, uint64_t bytes, const char *build_id, const char *upload_id, struct debuginfo_stream **stream_out)
{
	struct stat file;

	if (fstat(fd, &file) < 0)
		return -errno;
	if (!S_ISREG(file.st_mode) || (uint64_t)file.st_size != bytes)
		return -EINVAL;
	struct debuginfo_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fd = fd;
	s->bytes = bytes;
	if (build_id) {
		s->build_id = strdup(build_id);
		s->upload_id = strdup(upload_id);
	}
	if (build_id && (!s->build_id || !s->upload_id)) {
		debuginfo_stream_destroy(s);
		return -ENOMEM;
	}
	*stream_out = s;
	return 0;
}

int64_t debuginfo_stream_read(struct debuginfo_stream *s, void *buffer, size_t n)
{
	size_t written = 0;

	while (written < n) {
		if (s->sent == s->frame.n) {
			int err = next_frame(s);
			if (err < 0) {
				wire_reset(&s->frame); /* half a frame is never sent */
				s->sent = 0;
				return written ? (int64_t)written : err;
			}
			if (!s->frame.n)
				break;
		}
		size_t left = s->frame.n - s->sent, room = n - written, some = left < room ? left : room;
		memcpy((uint8_t *)buffer + written, s->frame.bytes + s->sent, some);
		s->sent += some;
		written += some;
	}
	return (int64_t)written;
}

/* A message with one chunk: frame, tag, length, bytes. */
static uint64_t chunk_bytes(uint64_t n)
{
	return n ? FRAME_BYTES + 1 + wire_varint_size(n) + n : 0;
}

uint64_t debuginfo_stream_bytes(const struct debuginfo_stream *s)
{
	struct wire info = {0};

	if (!s->build_id)
		return s->bytes;
	uint64_t n_chunks = s->bytes / DEBUGINFO_CHUNK_BYTES;

	debuginfo_put_upload_info(&info, s->build_id, s->upload_id);
	uint64_t bytes = FRAME_BYTES + info.n + n_chunks * chunk_bytes(DEBUGINFO_CHUNK_BYTES) + chunk_bytes(s->bytes % DEBUGINFO_CHUNK_BYTES);
	wire_deinit(&info);
	return bytes;
}

void debuginfo_stream_rewind(struct debuginfo_stream *s)
{
	wire_reset(&s->frame);
	s->sent = 0;
	s->position = 0;
	s->begun = false;
}

void debuginfo_stream_destroy(struct debuginfo_stream *s)
{
	if (!s)
		return;
	free(s->build_id);
	free(s->upload_id);
	wire_deinit(&s->frame);
	free(s);
}
