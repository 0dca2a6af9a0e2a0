#include "server-upload/debuginfo_upload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"

struct debuginfo_upload {
	enum debuginfo_step step;
	char *build_id, *hash;
	int fd;
	uint64_t bytes;
	struct debuginfo_instructions instructions;
	struct debuginfo_stream *stream;
};

int debuginfo_upload_create(const char *build_id, struct debuginfo_upload **upload_out)
{
	struct debuginfo_upload *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->fd = -1;
	u->build_id = strdup(build_id);
	if (!u->build_id) {
		free(u);
		return -ENOMEM;
	}
	*upload_out = u;
	return 0;
}

enum debuginfo_step debuginfo_upload_step(const struct debuginfo_upload *u)
{
	return u->step;
}

const char *debuginfo_upload_method(const struct debuginfo_upload *u)
{
	switch (u->step) {
	case DEBUGINFO_ASK:
		return "ShouldInitiateUpload";
	case DEBUGINFO_INITIATE:
		return "InitiateUpload";
	case DEBUGINFO_UPLOAD:
		return debuginfo_upload_url(u) ? NULL : "Upload";
	case DEBUGINFO_FINISH:
		return "MarkUploadFinished";
	case DEBUGINFO_FILE:
	case DEBUGINFO_DONE:
		break;
	}
	return NULL;
}

const char *debuginfo_upload_url(const struct debuginfo_upload *u)
{
	return u->step == DEBUGINFO_UPLOAD && u->instructions.strategy == DEBUGINFO_BY_SIGNED_URL ? u->instructions.signed_url : NULL;
}

/* A server is asked before the file is made: in a fleet, all machines but one hear that it is there. So there is no hash yet. */
int debuginfo_upload_message(const struct debuginfo_upload *u, struct wire *to)
{
	if (u->step == DEBUGINFO_ASK)
		debuginfo_put_should_initiate(to, u->build_id, "");
	else if (u->step == DEBUGINFO_INITIATE)
		debuginfo_put_initiate(to, u->build_id, u->hash, u->bytes);
	else if (u->step == DEBUGINFO_FINISH)
		debuginfo_put_finished(to, u->build_id, u->instructions.upload_id);
	return wire_error(to);
}

struct debuginfo_stream *debuginfo_upload_stream(struct debuginfo_upload *u)
{
	if (u->step != DEBUGINFO_UPLOAD)
		return NULL;
	debuginfo_stream_rewind(u->stream);
	return u->stream;
}

int debuginfo_upload_file(struct debuginfo_upload *u, int fd, uint64_t bytes, const char *hash)
{
	AUTO_CLOSE int file = fd;

	if (u->step != DEBUGINFO_FILE)
		return -EINVAL;
	if (fd < 0) {
		u->step = DEBUGINFO_DONE;
		return 0;
	}
	if (lseek(fd, 0, SEEK_END) != (off_t)bytes || !bytes)
		return -EINVAL;
	u->hash = strdup(hash);
	if (!u->hash)
		return -ENOMEM;
	u->fd = take_fd(&file);
	u->bytes = bytes;
	u->step = DEBUGINFO_INITIATE;
	return 0;
}

static int take_should(struct debuginfo_upload *u, const void *bytes, size_t n)
{
	char reason[DEBUGINFO_REASON_MAX];
	bool should;

	int err = debuginfo_get_should_initiate(bytes, n, &should, reason);
	if (err == 0)
		u->step = should ? DEBUGINFO_FILE : DEBUGINFO_DONE;
	return err;
}

static int take_instructions(struct debuginfo_upload *u, const void *bytes, size_t n)
{
	int err = debuginfo_get_instructions(bytes, n, u->build_id, &u->instructions);

	if (err < 0)
		return err;
	bool by_url = u->instructions.strategy == DEBUGINFO_BY_SIGNED_URL;
	if (by_url ? !*u->instructions.signed_url : u->instructions.strategy != DEBUGINFO_BY_GRPC)
		return -EOPNOTSUPP;
	debuginfo_stream_destroy(u->stream);
	u->stream = NULL;
	err = debuginfo_stream_create(u->fd, u->bytes, by_url ? NULL : u->build_id, u->instructions.upload_id, &u->stream);
	if (err == 0)
		u->step = DEBUGINFO_UPLOAD;
	return err;
}

int debuginfo_upload_answer(struct debuginfo_upload *u, const void *bytes, size_t n)
{
	switch (u->step) {
	case DEBUGINFO_ASK:
		return take_should(u, bytes, n);
	case DEBUGINFO_INITIATE:
		return take_instructions(u, bytes, n);
	case DEBUGINFO_UPLOAD:
		u->step = DEBUGINFO_FINISH;
		return 0;
	case DEBUGINFO_FINISH:
		u->step = DEBUGINFO_DONE;
		return 0;
	case DEBUGINFO_FILE:
	case DEBUGINFO_DONE:
		break;
	}
	return -EINVAL;
}

void debuginfo_upload_destroy(struct debuginfo_upload *u)
{
	if (!u)
		return;
	debuginfo_stream_destroy(u->stream);
	if (u->fd >= 0)
		close(u->fd);
	free(u->build_id);
	free(u->hash);
	free(u);
}
