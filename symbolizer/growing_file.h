/* A file that a stranger writes while we read: where we are in it, and whether it is still the file that we read.
 *
 * Truncated, written anew in place or replaced by another one is seen by device, inode, size, and by a few bytes at its begin and before the
 * place where reading ended. */
#ifndef HEARTH_SYMBOLIZER_GROWING_FILE_H
#define HEARTH_SYMBOLIZER_GROWING_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GROWING_MARK_BYTES 128

/* All zero: nothing was read yet. */
struct growing_file {
	uint64_t device, inode;
	uint64_t position; /* of the first byte that is not read yet */
	uint8_t head[GROWING_MARK_BYTES], tail[GROWING_MARK_BYTES];
	uint8_t head_bytes, tail_bytes;
};

/* Look at the file. anew_out: what was read is void, and the position is 0 again. size_out: bytes of the file now.
 * fd: a regular file or memfd, read with pread. Returns 0, -EINVAL (something else), -EFBIG (over max_bytes), or the errno of a failed read. */
int growing_file_look(struct growing_file *f, int fd, uint64_t max_bytes, bool *anew_out, uint64_t *size_out);

/* Read from the position on; does not move it. Returns the bytes read, 0 at the end, or a negative errno. */
int64_t growing_file_read(const struct growing_file *f, int fd, uint64_t offset, void *buffer, size_t bytes);

/* Everything before position was read: remember what it looked like. Returns 0 or the errno of a failed read. */
int growing_file_mark(struct growing_file *f, int fd, uint64_t position);

#endif
