#include "symbolizer/minidebug.h"
#include "base/scope.h"

#include <errno.h>
#include <lzma.h>
#include <sys/mman.h>

#define CHUNK_BYTES (64U << 10)

struct unpacker {
	lzma_stream stream;
	uint8_t in[CHUNK_BYTES], out[CHUNK_BYTES];
	uint64_t at, end; /* in the file: what is not read yet */
};

static int error_of(lzma_ret result)
{
	switch (result) {
	case LZMA_OK:
	case LZMA_STREAM_END:
		return 0;
	case LZMA_MEM_ERROR:
		return -ENOMEM;
	case LZMA_MEMLIMIT_ERROR:
		return -E2BIG;
	default:
		return -EBADMSG;
	}
}

static int write_all(int fd, const uint8_t *bytes, size_t n)
{
	while (n) {
		ssize_t written = write(fd, bytes, n);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		bytes += written;
		n -= (size_t)written;
	}
	return 0;
}

static int fill(struct unpacker *u, const struct elf_file *elf)
{
	size_t n = u->end - u->at < CHUNK_BYTES ? (size_t)(u->end - u->at) : CHUNK_BYTES;

	if (u->stream.avail_in || !n)
		return 0;
	int err = elf_file_read(elf, u->at, u->in, n);
	if (err < 0)
		return err;
	u->at += n;
	u->stream.next_in = u->in;
	u->stream.avail_in = n;
	return 0;
}

/* Each round takes or gives a chunk, or ends: lzma_code() that gets nowhere twice says LZMA_BUF_ERROR. */
static int unpack(struct unpacker *u, const struct elf_file *elf, int fd)
{
	lzma_ret result = LZMA_OK;

	while (result == LZMA_OK) {
		int err = fill(u, elf);
		if (err < 0)
			return err;
		u->stream.next_out = u->out;
		u->stream.avail_out = CHUNK_BYTES;
		result = lzma_code(&u->stream, u->at == u->end ? LZMA_FINISH : LZMA_RUN);
		err = error_of(result);
		if (err == 0 && u->stream.total_out > MINIDEBUG_BYTES_MAX)
			err = -E2BIG;
		if (err == 0)
			err = write_all(fd, u->out, CHUNK_BYTES - u->stream.avail_out);
		if (err < 0)
			return err;
	}
	return 0;
}

int minidebug_unpack(const struct elf_file *elf, int *fd_out)
{
	struct elf_section section;
	AUTO_FREE struct unpacker *u = NULL;
	AUTO_CLOSE int fd = -1;

	int err = elf_file_find_section(elf, ".gnu_debugdata", &section);
	if (err < 0)
		return err;
	if (!elf_file_holds(elf, section.file_offset, section.bytes))
		return -EBADMSG;
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	fd = memfd_create("minidebug", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	u->at = section.file_offset;
	u->end = section.file_offset + section.bytes;
	err = error_of(lzma_stream_decoder(&u->stream, MINIDEBUG_MEMORY_MAX, 0));
	if (err == 0)
		err = unpack(u, elf, fd);
	lzma_end(&u->stream);
	if (err < 0)
		return err;
	*fd_out = take_fd(&fd);
	return 0;
}
