/* The CFI compiler: an image's .eh_frame and .debug_frame become compact tables (bpf/unwind_table.h).
 *
 * Rows whose rule equals the one in force are merged, and runs of pushes and pops become one row each. A gap of up to 15 bytes between two functions is padding and
 * takes the second one's first rule; a larger one becomes a row of CFA_NONE. Where FDEs overlap, the one that starts later wins, and
 * .eh_frame wins over .debug_frame. */
#ifndef HEARTH_SYMBOLIZER_UNWIND_COMPILER_H
#define HEARTH_SYMBOLIZER_UNWIND_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/unwind_table.h"
#include "symbolizer/elf_file.h"

#define UNWIND_SECTION_MAX_BYTES (256u << 20) /* of CFI, compressed or not; chromium's is 40 MiB */
#define UNWIND_TABLES_MAX	 64	      /* of one image, 1 MiB each */

/* One table. bytes: pages, rows, rules, as bpf/unwind_table.h lays them out. */
struct unwind_table {
	uint64_t vaddr;	     /* of its first page */
	uint64_t start, end; /* what it describes; two tables may meet in a page */
	uint32_t n_pages, n_rows, n_rules;
	uint32_t n_bytes;
	uint8_t *bytes;
};

struct unwind_image {
	size_t n_tables;
	struct unwind_table *tables; /* in the order of their vaddrs, disjoint */
	uint64_t fdes, bad_fdes;
	uint64_t cfi_rows;   /* before merging */
	uint64_t text_bytes; /* covered by FDEs */
};

/* Compile the CFI of an image.
 * debug: the image's separate debug file, whose .debug_frame is read too; NULL: none.
 * image_out: n_tables is 0 when there is no CFI. Freed with unwind_image_free().
 * Returns 0, -EOPNOTSUPP (a machine without rules), -E2BIG (over a limit above), -EBADMSG, -ENOMEM, or the errno of a failed read. */
int unwind_image_compile(const struct elf_file *elf, const struct elf_file *debug, struct unwind_image **image_out);

/* The rule for a vaddr. Returns 0, or -ENOENT when no table covers it; where a table has a hole the rule is CFA_NONE. */
int unwind_image_find(const struct unwind_image *image, uint64_t vaddr, struct unwind_rule *rule_out);

size_t unwind_image_bytes(const struct unwind_image *image);

/* NULL is legal. */
void unwind_image_free(struct unwind_image *image);

#endif
