#include "web/gzip_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "base/scope.h"

#define PIECE	  (128 << 10)
#define GZIP	  (15 + 16) /* zlib's largest window, with gzip's header */
#define MEM_LEVEL 8

static int write_all(int to, const uint8_t *bytes, size_t n)
{
	while (n) {
		ssize_t written = write(to, bytes, n);
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		bytes += written;
		n -= (size_t)written;
	}
	return 0;
}

int plain_copy(int from, int to)
{
	AUTO_FREE uint8_t *piece = malloc(PIECE);
	off_t at = 0;
	int err = piece ? 0 : -ENOMEM;

	for (ssize_t n; err == 0 && (n = pread(from, piece, PIECE, at)) != 0; at += n)
		err = n < 0 ? -errno : write_all(to, piece, (size_t)n);
	return err;
}

static int deflate_piece(z_stream *z, int flush, uint8_t *out, int to)
{
	int err = 0;

	do {
		z->next_out = out;
		z->avail_out = PIECE;
		deflate(z, flush);
		err = write_all(to, out, PIECE - z->avail_out);
	} while (err == 0 && z->avail_out == 0);
	return err;
}

int gzip_copy(int from, int to)
{
	AUTO_FREE uint8_t *piece = malloc(PIECE), *out = malloc(PIECE);
	z_stream z = {0};
	off_t at = 0;
	int err = 0;

	if (!piece || !out || deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP, MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	for (ssize_t n = 1; err == 0 && n > 0; at += n) {
		n = pread(from, piece, PIECE, at);
		if (n < 0) {
			err = -errno;
			break;
		}
		z.next_in = piece;
		z.avail_in = (uInt)n;
		err = deflate_piece(&z, n ? Z_NO_FLUSH : Z_FINISH, out, to);
	}
	deflateEnd(&z);
	return err;
}

int gzip_expand(const void *packed, size_t packed_bytes, size_t n, uint8_t **bytes_out)
{
	AUTO_FREE uint8_t *bytes = malloc(n ? n : 1);
	z_stream z = {.next_in = (Bytef *)(uintptr_t)packed, .avail_in = (uInt)packed_bytes, .next_out = bytes, .avail_out = (uInt)n};

	if (!bytes || inflateInit2(&z, GZIP) != Z_OK)
		return -ENOMEM;
	int result = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	if (result != Z_STREAM_END || z.avail_out)
		return -EBADMSG;
	*bytes_out = take_ptr(bytes);
	return 0;
}
