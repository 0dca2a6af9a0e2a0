/* What a name table's builder has collected: for symbolizer/name_table_builder.c, which collects, and name_table_write.c alone. */
#ifndef HEARTH_SYMBOLIZER_NAME_TABLE_BUILD_H
#define HEARTH_SYMBOLIZER_NAME_TABLE_BUILD_H

#include <stdbool.h>

#include "symbolizer/name_pool.h"
#include "symbolizer/name_sweep.h"
#include "symbolizer/name_table.h"

enum { FUNCTION_NAME, FUNCTION_FILE, FUNCTION_LINE, FUNCTION_IS_SYMBOL };
enum { SITE_FUNCTION, SITE_FILE, SITE_LINE, SITE_COLUMN };
enum { FILE_DIRECTORY, FILE_NAME };

struct build_node {
	uint32_t parent; /* NAME_TABLE_NONE: none */
	uint32_t root;	 /* the outermost one; a parent has a smaller number than its children */
	uint32_t site : 29;
	uint32_t is_symbol : 1;
	uint32_t has_range : 1;
	uint32_t is_copy : 1; /* all its ranges so far are another's */
};

/* A sequence of a line table. Its rows are in name_table_builder.row_bytes, LEB128: advance of vaddr, file's and line's difference (zigzag), column. */
struct build_sequence {
	uint64_t at; /* of the next row */
	uint64_t vaddr;
	uint32_t left; /* rows */
	uint32_t file, line, column; /* of the row before */
};

struct name_table_builder {
	struct name_memory memory;
	struct name_strings strings;
	struct name_tuples files, functions, sites;
	/* Ranges of functions and of sequences, {start's halves, bytes}: linkers keep one of a template's many instances, and let the debug information of all of
	 * them tell of it. The first copy counts; the others, with the inlined calls below them, are not even kept. */
	struct name_tuples function_ranges, sequence_ranges;
	uint32_t copies; /* the node that stands for what is inlined into copies; NAME_TABLE_NONE: not made yet */
	struct build_node *nodes;
	uint8_t *depths; /* of nodes */
	size_t n_nodes, nodes_capacity, depths_capacity;
	struct name_claim *ranges; /* of nodes */
	size_t n_ranges, ranges_capacity;
	struct name_claim *sequence_claims;
	struct build_sequence *sequences;
	size_t n_sequences, claims_capacity, sequences_capacity;
	uint8_t *row_bytes;
	size_t n_row_bytes, row_capacity;
	bool has_columns;
	struct name_table_stats stats;
};

#endif
