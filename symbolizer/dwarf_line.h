/* Line number programs: DWARF 2 to 5. Source: DWARF 5, 6.2; where that leaves a choice, what llvm-symbolizer answers: of rows at one vaddr the
 * last counts, a row of line 0 is a row ("the compiler does not know"), is_stmt and view numbers change nothing. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_DWARF_LINE_H
#define HEARTH_SYMBOLIZER_DWARF_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbolizer/dwarf_sections.h"
#include "symbolizer/name_table.h"

struct dwarf_line_reader; /* of one file: its sections and buffers, used for all units */

/* What the unit says that its line table belongs to. */
struct dwarf_line_unit {
	uint64_t offset;	 /* DW_AT_stmt_list */
	uint8_t address_bytes;	 /* of the unit: 4 or 8 */
	const char *directory;	 /* DW_AT_comp_dir; "" when unknown */
	const char *name;	 /* DW_AT_name; not used: before DWARF 5 file 0 is "unknown" */
	uint64_t string_offsets; /* DW_AT_str_offsets_base; 0: none, texts by index are "unknown" */
	const uint64_t *wanted;	 /* only sequences that hold one of these vaddrs, sorted; NULL: all. Borrowed until the rows are read */
	size_t n_wanted;
};

struct dwarf_line_stats {
	uint64_t programs, rows;
	uint64_t bad_programs;	/* of no known version, or with damage in the head or where a program ends */
	uint64_t bad_sequences; /* with rows out of order, or without an end */
	uint64_t removed;	/* sequences of code that the linker left out */
	uint64_t over_limits;	/* programs that have too many files or directories, or are read too often */
};

/* sections: borrowed. Returns 0, -ENOMEM, or the errno of a failed read. */
int dwarf_line_reader_create(struct dwarf_sections *sections, struct dwarf_line_reader **reader_out);

/* Read the head of a unit's table. files_out: the table's file index -> name_table_add_file() id, borrowed until the next call;
 * n_out of them. An index that the table lacks is file 0, "unknown". Tables that were read lately are remembered.
 * Returns 0, -ENOENT (no table there), -EBADMSG, -E2BIG (read far too often, or over the budget), or an error of the builder or of a read. */
int dwarf_line_files(struct dwarf_line_reader *r, const struct dwarf_line_unit *unit, struct name_table_builder *builder,
		     const uint32_t **files_out, size_t *n_out);

/* Run the program whose head was read last, and hand its sequences to the builder. Once for each table: units may share one. Sequences whose code the
 * linker removed (they begin at 0, at a tombstone, or in no executable segment) are left out. A bad sequence costs itself; returns an error only of the
 * builder or of a read. */
int dwarf_line_rows(struct dwarf_line_reader *r, struct name_table_builder *builder);

void dwarf_line_stats(const struct dwarf_line_reader *r, struct dwarf_line_stats *stats_out);

/* NULL is legal. */
void dwarf_line_reader_destroy(struct dwarf_line_reader *r);

#endif
