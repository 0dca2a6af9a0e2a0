#include "symbolizer/table_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

struct table_file {
	int fd;
	int err;
	uint64_t offset; /* of buffer[0] */
	size_t n;	 /* in buffer */
	uint64_t *checksums;
	size_t n_checksums, capacity;
	uint8_t buffer[CHECKED_BYTES];
};

int table_file_create(int fd, size_t head_bytes, struct table_file **file_out)
{
	struct table_file *file = calloc(1, sizeof(*file));

	if (!file)
		return -ENOMEM;
	file->fd = fd;
	file->offset = head_bytes;
	*file_out = file;
	return 0;
}

uint64_t table_file_offset(const struct table_file *file)
{
	return file->offset + file->n;
}

static int write_all(int fd, const void *bytes, size_t n, uint64_t offset)
{
	for (size_t done = 0; done < n;) {
		ssize_t written = pwrite(fd, (const char *)bytes + done, n - done, (off_t)(offset + done));
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		done += (size_t)written;
	}
	return 0;
}

static int flush(struct table_file *file)
{
	if (file->n_checksums == file->capacity) {
		size_t wanted = file->capacity ? 2 * file->capacity : 256;
		uint64_t *grown = reallocarray(file->checksums, wanted, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		file->checksums = grown;
		file->capacity = wanted;
	}
	file->checksums[file->n_checksums++] = XXH3_64bits(file->buffer, file->n);
	int err = write_all(file->fd, file->buffer, file->n, file->offset);
	file->offset += file->n;
	file->n = 0;
	return err;
}

int table_file_put(struct table_file *file, const void *bytes, size_t n)
{
	const uint8_t *from = bytes;

	while (n && file->err == 0) {
		size_t part = sizeof(file->buffer) - file->n;
		if (part > n)
			part = n;
		memcpy(file->buffer + file->n, from, part);
		file->n += part;
		from += part;
		n -= part;
		if (file->n == sizeof(file->buffer))
			file->err = flush(file);
	}
	return file->err;
}

int table_file_align(struct table_file *file)
{
	static const uint8_t zeros[8];

	return table_file_put(file, zeros, (8 - table_file_offset(file) % 8) % 8);
}

int table_file_finish(struct table_file *file, struct name_table_head *head)
{
	int err = table_file_align(file);

	if (err == 0 && file->n)
		err = flush(file);
	if (err < 0)
		return err;
	size_t bytes = file->n_checksums * sizeof(*file->checksums);
	head->checksums_offset = file->offset;
	head->n_checksums = file->n_checksums;
	head->bytes = file->offset + bytes;
	head->checksum = 0;
	XXH64_hash_t sums = XXH3_64bits(file->checksums, bytes);
	head->checksum = XXH3_64bits_withSeed(head, sizeof(*head), sums);
	err = write_all(file->fd, file->checksums, bytes, file->offset);
	return err < 0 ? err : write_all(file->fd, head, sizeof(*head), 0);
}

void table_file_destroy(struct table_file *file)
{
	if (!file)
		return;
	free(file->checksums);
	free(file);
}

void bit_writer_init(struct bit_writer *bits, struct table_file *file)
{
	*bits = (struct bit_writer){.file = file};
}

void bit_writer_put(struct bit_writer *bits, uint32_t value, unsigned width)
{
	bits->bits |= (uint64_t)value << bits->n;
	bits->n += width;
	if (bits->n >= 32) {
		uint32_t word = (uint32_t)bits->bits;
		table_file_put(bits->file, &word, sizeof(word));
		bits->bits >>= 32;
		bits->n -= 32;
	}
}

void bit_writer_flush(struct bit_writer *bits)
{
	table_file_put(bits->file, &bits->bits, (bits->n + 7) / 8);
	bits->bits = 0;
	bits->n = 0;
}
