#include "symbolizer/section_reader.h"
#include "base/scope.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#ifndef ELFCOMPRESS_ZSTD
#define ELFCOMPRESS_ZSTD 2 /* glibc 2.37's elf.h */
#endif

#define INFLATE_BYTES (64u << 10) /* of packed bytes that are read at a time */

/* The head of a .zdebug_* section: "ZLIB" and the size, big-endian. */
struct zdebug_header {
	char magic[4];
	uint8_t bytes[8];
};

static int read_zdebug_header(const struct elf_file *elf, struct section_packing *packing, size_t *header_bytes)
{
	struct zdebug_header header;
	uint64_t bytes;

	if (packing->packed_bytes < sizeof(header))
		return -EBADMSG;
	int err = elf_file_read(elf, packing->file_offset, &header, sizeof(header));
	if (err < 0)
		return err;
	if (memcmp(header.magic, "ZLIB", sizeof(header.magic)) != 0)
		return -EBADMSG;
	memcpy(&bytes, header.bytes, sizeof(bytes));
	packing->kind = SECTION_ZLIB;
	packing->bytes = be64toh(bytes);
	*header_bytes = sizeof(header);
	return 0;
}

static int read_header(const struct elf_file *elf, struct section_packing *packing, size_t *header_bytes)
{
	union {
		Elf64_Chdr wide;
		Elf32_Chdr narrow;
	} raw;
	size_t bytes = elf->is_64 ? sizeof(raw.wide) : sizeof(raw.narrow);

	if (packing->packed_bytes < bytes)
		return -EBADMSG;
	int err = elf_file_read(elf, packing->file_offset, &raw, bytes);
	if (err < 0)
		return err;
	uint32_t type = elf->is_64 ? raw.wide.ch_type : raw.narrow.ch_type;
	if (type != ELFCOMPRESS_ZLIB && type != ELFCOMPRESS_ZSTD)
		return -EOPNOTSUPP;
	packing->kind = type == ELFCOMPRESS_ZLIB ? SECTION_ZLIB : SECTION_ZSTD;
	packing->bytes = elf->is_64 ? raw.wide.ch_size : raw.narrow.ch_size;
	*header_bytes = bytes;
	return 0;
}

int section_packing_read(const struct elf_file *elf, const struct elf_section *section, bool is_zdebug,
			 struct section_packing *packing_out)
{
	struct section_packing packing = { SECTION_PLAIN, section->bytes, section->file_offset, section->bytes };
	size_t header_bytes = 0;
	int err = 0;

	if (section->type == SHT_NOBITS || !elf_file_holds(elf, section->file_offset, section->bytes))
		return -EBADMSG;
	if (is_zdebug)
		err = read_zdebug_header(elf, &packing, &header_bytes);
	else if (section->flags & SHF_COMPRESSED)
		err = read_header(elf, &packing, &header_bytes);
	if (err < 0)
		return err;
	packing.file_offset += header_bytes;
	packing.packed_bytes -= header_bytes;
	*packing_out = packing;
	return 0;
}

/* Feed the file to zlib piece by piece. */
static int inflate_from(const struct elf_file *elf, const struct section_packing *packing, z_stream *stream, uint8_t *to,
			uint8_t *piece)
{
	uint64_t read = 0, written = 0;
	int state = Z_OK;

	while (state == Z_OK) {
		if (stream->avail_in == 0 && read < packing->packed_bytes) {
			uint64_t left = packing->packed_bytes - read;
			size_t bytes = left < INFLATE_BYTES ? (size_t)left : INFLATE_BYTES;
			int err = elf_file_read(elf, packing->file_offset + read, piece, bytes);
			if (err < 0)
				return err;
			read += bytes;
			stream->next_in = piece;
			stream->avail_in = (uInt)bytes;
		}
		uint64_t room = packing->bytes - written;
		uInt given = room < 1u << 30 ? (uInt)room : 1u << 30;
		stream->next_out = to + written;
		stream->avail_out = given;
		state = inflate(stream, Z_NO_FLUSH); /* Z_BUF_ERROR when there is neither input nor room */
		written += given - stream->avail_out;
	}
	if (state == Z_MEM_ERROR)
		return -ENOMEM;
	return state == Z_STREAM_END && written == packing->bytes ? 0 : -EBADMSG;
}

static int unpack_zlib(const struct elf_file *elf, const struct section_packing *packing, uint8_t *to)
{
	z_stream stream = { 0 };
	AUTO_FREE uint8_t *piece = malloc(INFLATE_BYTES);

	if (!piece || inflateInit(&stream) != Z_OK)
		return -ENOMEM;
	int err = inflate_from(elf, packing, &stream, to, piece);
	inflateEnd(&stream);
	return err;
}

/* At once: a stream would take the window that the frame asks for beside the result. */
static int unpack_zstd(const struct elf_file *elf, const struct section_packing *packing, uint8_t *to)
{
	AUTO_FREE uint8_t *packed = malloc(packing->packed_bytes + 1);

	if (!packed)
		return -ENOMEM;
	int err = elf_file_read(elf, packing->file_offset, packed, packing->packed_bytes);
	if (err < 0)
		return err;
	return ZSTD_decompress(to, packing->bytes, packed, packing->packed_bytes) == packing->bytes ? 0 : -EBADMSG;
}

int section_unpack(const struct elf_file *elf, const struct section_packing *packing, uint8_t *to)
{
	switch (packing->kind) {
	case SECTION_ZLIB:
		return unpack_zlib(elf, packing, to);
	case SECTION_ZSTD:
		return unpack_zstd(elf, packing, to);
	default:
		return elf_file_read(elf, packing->file_offset, to, packing->bytes);
	}
}

int section_read(const struct elf_file *elf, const struct elf_section *section, size_t max_bytes, uint8_t **bytes_out,
		 size_t *n_out)
{
	struct section_packing packing;

	if (section->type != SHT_NOBITS && section->bytes > max_bytes)
		return -E2BIG;
	int err = section_packing_read(elf, section, false, &packing);
	if (err < 0)
		return err;
	if (packing.bytes > max_bytes)
		return -E2BIG;
	AUTO_FREE uint8_t *bytes = malloc(packing.bytes + 1);
	if (!bytes)
		return -ENOMEM;
	err = section_unpack(elf, &packing, bytes);
	if (err < 0)
		return err;
	*bytes_out = take_ptr(bytes);
	*n_out = packing.bytes;
	return 0;
}
