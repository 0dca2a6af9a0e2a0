/* The head of a line number program, DWARF 2 to 5: its parameters, and the directories and files that its rows name.
 * For symbolizer/dwarf_line.c alone. Source: DWARF 5, 6.2.4; DWARF 4, 6.2.4. */
#ifndef HEARTH_SYMBOLIZER_DWARF_LINE_HEAD_H
#define HEARTH_SYMBOLIZER_DWARF_LINE_HEAD_H

#include "symbolizer/byte_reader.h"
#include "symbolizer/dwarf_line.h"

#define LINE_FILES_MAX	     (1u << 17) /* of one table; unity builds have some thousands */
#define LINE_DIRECTORIES_MAX (1u << 16)
#define LINE_PATHS_BYTES_MAX (4u << 20) /* of one table's directories, each with the one that it is relative to */

struct line_head {
	uint16_t version;
	uint8_t offset_bytes;  /* 4 or 8 (64-bit DWARF) */
	uint8_t address_bytes; /* 0 before version 5 */
	uint8_t min_instruction_bytes;
	uint8_t max_operations; /* at least 1 */
	int8_t line_base;
	uint8_t line_range;
	uint8_t opcode_base;
	uint8_t operands[256];	    /* LEB128 operands of each standard opcode */
	struct byte_reader tables;  /* of directories and files */
	struct byte_reader program;
};

/* view: of .debug_line; the head borrows its bytes until it moves. Lengths that leave the section end with it.
 * Returns 0, -ENOENT (no bytes there), -EBADMSG, or an error of dwarf_view_get(). */
int line_head_read(struct dwarf_view *view, uint64_t offset, struct line_head *head_out);

/* The files of one table, as the builder's ids. Used for all tables of a reader: the arrays keep their memory. */
struct line_files {
	struct dwarf_view line_strings, strings, string_offsets;
	const struct dwarf_line_unit *unit; /* whose table is read: during line_files_read() only */
	const struct line_head *head;
	uint32_t *ids; /* index in the table -> name_table_add_file() id */
	size_t n, capacity;
	char *paths; /* of directories, each with its NUL */
	size_t n_paths, paths_capacity;
	uint32_t *directories; /* offsets in paths */
	size_t n_directories, directories_capacity;
	bool over_limits;    /* some were left out of this table */
	uint64_t text_bytes; /* of paths that all tables have given to the builder */
	uint64_t text_max;   /* set by the owner; files beyond it are unknown: a directory of 8 KiB may be named by each of 100,000 files */
};

void line_files_init(struct line_files *files, struct dwarf_sections *sections);

/* Read the tables of a head. What is damaged ends the table: the files before it stay. Indices are as the program uses them: from 1 before
 * DWARF 5. damaged_out: did it end early? Returns 0, or an error of the builder or of a read. */
int line_files_read(struct line_files *files, const struct line_head *head, const struct dwarf_line_unit *unit,
		    struct name_table_builder *builder, bool *damaged_out);

/* DW_LNE_define_file, whose operands operand holds, for the table that was read last. Returns as above; damage shows in operand->failed. */
int line_files_define(struct line_files *files, struct byte_reader *operand, struct name_table_builder *builder);

void line_files_deinit(struct line_files *files);

#endif
