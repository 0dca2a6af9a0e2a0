/* Reads perf maps: /tmp/perf-PID.map, the text that runtimes write about code that they make.
 *
 * A line is "START SIZE name": hexadecimal with or without 0x; the name is the rest of the line and may hold spaces. A later line wins where
 * it overlaps an earlier one. Lines may end in CR LF. What is no such line is counted and left out; the last line waits until it ends.
 * Source: Linux, tools/perf/Documentation/jit-interface.txt. */
#ifndef HEARTH_SYMBOLIZER_PERF_MAP_H
#define HEARTH_SYMBOLIZER_PERF_MAP_H

#include "symbolizer/growing_file.h"
#include "symbolizer/jit_table.h"

#define PERF_MAP_MAX_BYTES (64U << 20) /* SAFETY 9 */
#define PERF_MAP_LINE_MAX  (64U << 10) /* a longer line is left out */

/* All zero: nothing was read yet. */
struct perf_map {
	struct growing_file file;
	bool inside_long_line; /* the position lies in a line that is left out */
	uint64_t entries, bad_lines, refused; /* so far; refused: over a limit of the table */
};

/* Read on. budget_bytes: of this call, about.
 * anew_out: the file is another one than before. Nothing was read: the caller clears the table and calls again.
 * Returns 0 (read to its end, an unfinished line aside), 1 (there is more than the budget), an error of growing_file_look(), or -ENOMEM. */
int perf_map_read(struct perf_map *m, int fd, uint64_t budget_bytes, struct jit_table *table, bool *anew_out);

#endif
