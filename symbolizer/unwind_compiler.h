/* The CFI compiler: an image's .eh_frame and .debug_frame become compact tables (bpf/unwind_table.h).
 *
 * Rows whose rule equals the one in force are merged, and runs of pushes and pops become one row each. A gap of up to 15 bytes between two functions is padding and
 * takes the second one's first rule; a larger one becomes a row of CFA_NONE. Where FDEs overlap, the one that starts later wins, and
 * .eh_frame wins over .debug_frame. */
#ifndef HEARTH_SYMBOLIZER_UNWIND_COMPILER_H
#define HEARTH_SYMBOLIZER_UNWIND_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#include "symbolizer/elf_file.h"
#include "symbolizer/unwind_image.h"

#define UNWIND_SECTION_MAX_BYTES (256u << 20) /* of CFI; chromium's is 40 MiB */
#define UNWIND_PACKED_MAX_BYTES	 (64u << 20)  /* unpacked: whoever asks waits meanwhile, and 1 MiB is 1 KiB of a bomb */

/* Compile the CFI of an image.
 * debug: the image's separate debug file, whose .debug_frame is read too; NULL: none.
 * image_out: n_tables is 0 when there is no CFI. Freed with unwind_image_free().
 * Returns 0, -EOPNOTSUPP (a machine without rules), -E2BIG (over a limit above), -EBADMSG, -ENOMEM, or the errno of a failed read. */
int unwind_image_compile(const struct elf_file *elf, const struct elf_file *debug, struct unwind_image **image_out);

#endif
