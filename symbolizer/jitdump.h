/* Reads jitdumps: jit-PID.dump, what runtimes write about code that they make, with times and source lines.
 *
 * Version 1, in this machine's byte order. Read: code that is loaded (its bytes are passed over) and moved, and source lines. Half a record
 * at the end waits. Source: Linux, tools/perf/Documentation/jitdump-specification.txt. */
#ifndef HEARTH_SYMBOLIZER_JITDUMP_H
#define HEARTH_SYMBOLIZER_JITDUMP_H

#include "symbolizer/growing_file.h"
#include "symbolizer/jit_table.h"

#define JITDUMP_MAX_BYTES  (1ULL << 30) /* with the code, which is not read */
#define JITDUMP_RECORD_MAX (256U << 10) /* lines of one function; more are left out */

/* All zero: nothing was read yet. */
struct jitdump {
	struct growing_file file;
	bool has_times; /* CLOCK_MONOTONIC, not a counter of the CPU or another clock */
	bool damaged;	/* a record that cannot be: nothing behind it is read */
	uint64_t lines_for; /* address of the code that the lines belong to */
	struct jit_line *lines; /* of the code that is loaded next; owned */
	size_t n_lines;
	uint64_t records, bad_records, refused; /* so far; refused: over a limit */
};

/* Read on. budget_bytes: to read in this call, about.
 * anew_out: as in perf_map_read(). Returns 0 (read to its end, half a record aside), 1 (there is more than the budget), -EBADMSG (no jitdump, or
 * damaged: what came before the damage is in the table), -EOPNOTSUPP (another version or byte order), an error of growing_file_look(), or
 * -ENOMEM. */
int jitdump_read(struct jitdump *d, int fd, uint64_t budget_bytes, struct jit_table *table, bool *anew_out);

void jitdump_deinit(struct jitdump *d);

#endif
