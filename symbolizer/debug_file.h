/* The separate debug file of an image: asked for, and checked that it is the one. */
#ifndef HEARTH_SYMBOLIZER_DEBUG_FILE_H
#define HEARTH_SYMBOLIZER_DEBUG_FILE_H

#include "symbolizer/debug_ask.h"
#include "symbolizer/elf_file.h"

#define DEBUG_FILE_CANDIDATES_MAX 16		/* of one question */
#define DEBUG_LINK_BYTES_MAX	  (4ULL << 30) /* of a file whose CRC is computed: 3 s */

/* By the image's build id first; a candidate must have the same. Then by .gnu_debuglink: the CRC of all its bytes must be the one in the link,
 * and its build id, where both have one, the image's. Source: gdb's manual, "Separate Debug Files".
 * fd_out, file_out: the descriptor is the caller's; file_out borrows it. refused: counts candidates that were others or too large.
 * Returns 0, -ENOENT, -ENOMEM, or the errno of a failed read of the image. */
int debug_file_find(const struct elf_file *image, const struct debug_asker *asker, int *fd_out, struct elf_file *file_out, uint64_t *refused);

#endif
