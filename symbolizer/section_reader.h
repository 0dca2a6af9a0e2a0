/* The bytes of one section, decompressed when it is compressed. Source: ELF gABI, "Section Compression". */
#ifndef HEARTH_SYMBOLIZER_SECTION_READER_H
#define HEARTH_SYMBOLIZER_SECTION_READER_H

#include "symbolizer/elf_file.h"

/* max_bytes: of the result; what the section claims is checked before anything is allocated (SAFETY 4).
 * bytes_out: the caller frees; never NULL on success.
 * Returns 0, -E2BIG, -EBADMSG (damaged, or the decompressed size is not the one claimed), -EOPNOTSUPP (an unknown compression),
 * -ENOMEM, or the errno of pread. */
int section_read(const struct elf_file *elf, const struct elf_section *section, size_t max_bytes, uint8_t **bytes_out,
		 size_t *n_out);

#endif
