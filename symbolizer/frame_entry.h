/* The call frame information of one pc, as it is in the file: for the walk that evaluates rules which tables do not express.
 *
 * Input is untrusted. An entry's instructions are screened: what is left cannot loop, divide, or jump. */
#ifndef HEARTH_SYMBOLIZER_FRAME_ENTRY_H
#define HEARTH_SYMBOLIZER_FRAME_ENTRY_H

#include "symbolizer/elf_file.h"

#define FRAME_ENTRY_BYTES_MAX	4096	   /* of a CIE or an FDE; the longest of Debian's libraries has 1,900 */
#define FRAME_SECTION_BYTES_MAX (4u << 20) /* that is searched entry by entry, where no .eh_frame_hdr sorts them */

struct frame_program {
	uint32_t n;
	uint8_t bytes[FRAME_ENTRY_BYTES_MAX];
};

/* Function [start, start + bytes), in vaddrs. */
struct frame_entry {
	uint64_t start, bytes;
	uint64_t code_align;
	int64_t data_align;
	uint8_t ra_register;
	bool is_signal_frame;
	struct frame_program initial, program; /* of the CIE and of the FDE */
};

/* The entry that covers a vaddr: by .eh_frame_hdr, else in .eh_frame or .debug_frame.
 * Returns 0, -ENOENT, -EBADMSG (damaged), -EOPNOTSUPP (a form that compilers do not write, or instructions that are not let
 * through), -E2BIG, -ENOMEM, or the errno of a failed read. */
int frame_entry_find(const struct elf_file *elf, uint64_t vaddr, struct frame_entry *entry_out);

#endif
