/* DWARF 4 and 5 into a name table: functions, their inlined calls, files and lines. DWARF 2 and 3 are read as far as they are alike.
 *
 * Reads unit by unit, in one pass over the DIEs; what a unit says of other units (abstract origins across units, dwz's alternate file) is
 * looked up where it lies. .debug_aranges is not needed. A damaged unit costs that unit. Source: DWARF 4 and 5; GNU extensions of dwz and split DWARF.
 * Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_DWARF_COMPILE_H
#define HEARTH_SYMBOLIZER_DWARF_COMPILE_H

#include "symbolizer/debug_ask.h"
#include "symbolizer/dwarf_sections.h"
#include "symbolizer/name_table.h"

struct dwarf_input {
	const struct elf_file *elf;	/* with .debug_info: the image, or its separate debug file; borrowed */
	const struct debug_asker *asker; /* for ALT, DWP, DWO; NULL: none are there */
	struct dwarf_budget *budget;
	/* Sorted vaddrs: units, and functions, that cover none of them are passed over, and only answers for these vaddrs are right. NULL: everything. */
	const uint64_t *wanted;
	size_t n_wanted;
	/* Limits of one image (SAFETY 13): DIEs, and entries of range lists. 0: 2^29 and 2^26. */
	uint64_t max_dies, max_range_entries;
};

struct dwarf_stats {
	uint64_t units, bad_units;
	uint64_t dies;
	uint64_t functions, inlines;
	uint64_t bad_references; /* to DIEs that are not there, or in circles */
	uint64_t over_limits;	 /* DIEs, depths, ranges (SAFETY 13) */
	uint64_t missing_files;	 /* alternate and split files that nobody had, or that were others */
	uint64_t line_programs, bad_line_programs, rows;
};

/* Returns 0, -ENOENT (no .debug_info), -E2BIG or -ENOMEM (what was added until then stays), or the errno of a failed read. */
int dwarf_compile(const struct dwarf_input *input, struct name_table_builder *builder, struct dwarf_stats *stats_out);

#endif
