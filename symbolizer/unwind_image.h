/* What the CFI compiler makes of an image (symbolizer/unwind_compiler.h): its unwind tables, in the form of bpf/unwind_table.h.
 * Nothing here reads a binary: the tables may come from the confined process, and are checked before they are used. */
#ifndef HEARTH_SYMBOLIZER_UNWIND_IMAGE_H
#define HEARTH_SYMBOLIZER_UNWIND_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/unwind_table.h"

#define UNWIND_TABLES_MAX 64 /* of one image, 1 MiB each */

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
	void *block;	     /* of all tables' bytes; NULL: each has memory of its own */
	size_t mapped_bytes; /* of the block; 0: it is malloc'ed */
};

/* Where the rows and the rules of a table begin in its bytes. */
size_t unwind_table_rows_offset(uint32_t n_pages);
size_t unwind_table_rules_offset(uint32_t n_pages, uint32_t n_rows);

/* Can everything that the walk (bpf/unwind.h) and unwind_image_find() read by these tables be read, and does a search in them find what
 * it should? Sizes, order, indices of rows and of rules, kinds of rules. Returns 0 or -EBADMSG. */
int unwind_image_check(const struct unwind_image *image);

/* The rule for a vaddr. Returns 0, or -ENOENT when no table covers it; where a table has a hole the rule is CFA_NONE. */
int unwind_image_find(const struct unwind_image *image, uint64_t vaddr, struct unwind_rule *rule_out);

size_t unwind_image_bytes(const struct unwind_image *image);

/* NULL is legal. */
void unwind_image_free(struct unwind_image *image);

#endif
