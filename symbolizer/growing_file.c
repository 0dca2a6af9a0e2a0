#include "symbolizer/growing_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All of it, or as much as there is. */
static int64_t read_at(int fd, uint64_t offset, void *buffer, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = pread(fd, (uint8_t *)buffer + done, bytes - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

static bool is_as_before(int fd, uint64_t offset, const uint8_t *mark, uint8_t bytes)
{
	uint8_t now[GROWING_MARK_BYTES];

	return read_at(fd, offset, now, bytes) == bytes && memcmp(now, mark, bytes) == 0;
}

int growing_file_look(struct growing_file *f, int fd, uint64_t max_bytes, bool *anew_out, uint64_t *size_out)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	if ((uint64_t)status.st_size > max_bytes)
		return -EFBIG;
	bool same = status.st_dev == f->device && status.st_ino == f->inode && (uint64_t)status.st_size >= f->position &&
		    is_as_before(fd, 0, f->head, f->head_bytes) &&
		    is_as_before(fd, f->position - f->tail_bytes, f->tail, f->tail_bytes);
	*anew_out = !same && f->inode;
	if (!same)
		*f = (struct growing_file){ .device = status.st_dev, .inode = status.st_ino };
	*size_out = (uint64_t)status.st_size;
	return 0;
}

int64_t growing_file_read(const struct growing_file *f, int fd, uint64_t offset, void *buffer, size_t bytes)
{
	return offset > INT64_MAX - bytes - f->position ? -EINVAL : read_at(fd, f->position + offset, buffer, bytes);
}

int growing_file_mark(struct growing_file *f, int fd, uint64_t position)
{
	uint8_t bytes = position < GROWING_MARK_BYTES ? (uint8_t)position : GROWING_MARK_BYTES;
	uint8_t head[GROWING_MARK_BYTES], tail[GROWING_MARK_BYTES];

	int64_t n_head = read_at(fd, 0, head, bytes), n_tail = read_at(fd, position - bytes, tail, bytes);
	if (n_head < 0 || n_tail < 0)
		return (int)(n_head < 0 ? n_head : n_tail);
	/* Cut off meanwhile: the next look sees it. */
	memcpy(f->head, head, (size_t)n_head);
	memcpy(f->tail, tail, (size_t)n_tail);
	f->head_bytes = (uint8_t)n_head;
	f->tail_bytes = bytes;
	f->position = position;
	return 0;
}
