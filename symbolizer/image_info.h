/* What an ELF file says of itself: build id and executable segments. */
#ifndef HEARTH_SYMBOLIZER_IMAGE_INFO_H
#define HEARTH_SYMBOLIZER_IMAGE_INFO_H

#include "symbolizer/elf_file.h"
#include "symbolizer/symbolizer.h"

#define NOTE_BYTES_MAX (64U << 10)  /* read of one note segment; real ones have under 1 KiB */
#define NOTES_BYTES_MAX (256U << 10) /* of all segments and sections of a file */

/* Read segments and build id. A file without a build id, or with a damaged note, has build_id_bytes 0.
 * Returns 0, -EBADMSG (an executable segment is not in the file or wraps), -ENOMEM or the errno of a failed read. */
int image_info_read(const struct elf_file *elf, struct image_info *info_out);

/* Only the build id, of a file whose segments may lie elsewhere: a separate debug file has the headers of its image, and not its bytes.
 * info_out: the rest is zeroed. Returns 0, -ENOMEM or the errno of a failed read. */
int image_info_read_build_id(const struct elf_file *elf, struct image_info *info_out);

#endif
