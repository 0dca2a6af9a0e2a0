/* The bytes of one section, decompressed when it is compressed. Source: ELF gABI, "Section Compression"; binutils for .zdebug_*. */
#ifndef HEARTH_SYMBOLIZER_SECTION_READER_H
#define HEARTH_SYMBOLIZER_SECTION_READER_H

#include "symbolizer/elf_file.h"

/* How a section lies in the file. */
struct section_packing {
	enum { SECTION_PLAIN, SECTION_ZLIB, SECTION_ZSTD } kind;
	uint64_t bytes; /* unpacked; of a packed section: what it claims, not checked */
	uint64_t file_offset; /* of what follows the header of a packed section */
	uint64_t packed_bytes; /* there; all of them lie in the file */
};

/* is_zdebug: a section .zdebug_*, as they were before SHF_COMPRESSED.
 * Returns 0, -EBADMSG (not in the file, without bytes there, or a damaged header), -EOPNOTSUPP (an unknown compression), or the errno of pread. */
int section_packing_read(const struct elf_file *elf, const struct elf_section *section, bool is_zdebug,
			 struct section_packing *packing_out);

/* Write packing->bytes bytes to a buffer of that size, never more. zstd takes packing->packed_bytes of memory meanwhile.
 * Returns 0, -EBADMSG (damaged, or the decompressed size is not the one claimed), -ENOMEM, or the errno of pread. */
int section_unpack(const struct elf_file *elf, const struct section_packing *packing, uint8_t *to);

/* max_bytes: of the result; what the section claims is checked before anything is allocated (SAFETY 4).
 * bytes_out: the caller frees; never NULL on success.
 * Returns 0, -E2BIG, -EBADMSG (damaged, or the decompressed size is not the one claimed), -EOPNOTSUPP (an unknown compression),
 * -ENOMEM, or the errno of pread. */
int section_read(const struct elf_file *elf, const struct elf_section *section, size_t max_bytes, uint8_t **bytes_out,
		 size_t *n_out);

#endif
