#include "symbolizer/section_reader.h"
#include "base/scope.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#ifndef ELFCOMPRESS_ZSTD
#define ELFCOMPRESS_ZSTD 2 /* glibc 2.37's elf.h */
#endif

struct compression {
	uint32_t type;
	uint64_t bytes; /* decompressed, as the header claims */
	size_t header_bytes;
};

static int read_header(const struct elf_file *elf, const uint8_t *bytes, size_t n, struct compression *compression)
{
	Elf64_Chdr wide;
	Elf32_Chdr narrow;

	if (elf->is_64) {
		if (n < sizeof(wide))
			return -EBADMSG;
		memcpy(&wide, bytes, sizeof(wide));
		*compression = (struct compression){wide.ch_type, wide.ch_size, sizeof(wide)};
	} else {
		if (n < sizeof(narrow))
			return -EBADMSG;
		memcpy(&narrow, bytes, sizeof(narrow));
		*compression = (struct compression){narrow.ch_type, narrow.ch_size, sizeof(narrow)};
	}
	return 0;
}

static int decompress(const struct compression *c, const uint8_t *from, size_t from_bytes, uint8_t *to)
{
	if (c->type == ELFCOMPRESS_ZLIB) {
		uLongf got = c->bytes;
		return uncompress(to, &got, from, from_bytes) == Z_OK && got == c->bytes ? 0 : -EBADMSG;
	}
	if (c->type == ELFCOMPRESS_ZSTD)
		return ZSTD_decompress(to, c->bytes, from, from_bytes) == c->bytes ? 0 : -EBADMSG;
	return -EOPNOTSUPP;
}

int section_read(const struct elf_file *elf, const struct elf_section *section, size_t max_bytes, uint8_t **bytes_out,
		 size_t *n_out)
{
	struct compression compression;

	if (section->type == SHT_NOBITS)
		return -EBADMSG;
	if (section->bytes > max_bytes)
		return -E2BIG;
	AUTO_FREE uint8_t *bytes = malloc(section->bytes + 1);
	if (!bytes)
		return -ENOMEM;
	int err = elf_file_read(elf, section->file_offset, bytes, section->bytes);
	if (err < 0)
		return err;
	if (!(section->flags & SHF_COMPRESSED)) {
		*bytes_out = take_ptr(bytes);
		*n_out = section->bytes;
		return 0;
	}
	err = read_header(elf, bytes, section->bytes, &compression);
	if (err < 0)
		return err;
	if (compression.bytes > max_bytes)
		return -E2BIG;
	AUTO_FREE uint8_t *whole = malloc(compression.bytes + 1);
	if (!whole)
		return -ENOMEM;
	err = decompress(&compression, bytes + compression.header_bytes, section->bytes - compression.header_bytes, whole);
	if (err < 0)
		return err;
	*bytes_out = take_ptr(whole);
	*n_out = compression.bytes;
	return 0;
}
