/* Which programs run JIT code that has no names, and what to do about it: said once for each program. */
#ifndef HEARTH_AGENT_JIT_REPORT_H
#define HEARTH_AGENT_JIT_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/jit_files.h"

#define JIT_REPORT_ROWS 32

/* One program: all processes of one name and runtime. */
struct jit_report_row {
	char process[PROCESS_NAME_MAX];
	enum jit_runtime runtime;
	int32_t tgid, ns_pid;	   /* of one of them: the one with the most samples without names */
	int map_error;	   /* of that one, see struct jit_process */
	bool has_dump;
	uint64_t samples, unnamed; /* with JIT code; of these with a pc that has no name */
	uint64_t most;
	bool said;
};

/* All zero: empty. Programs beyond JIT_REPORT_ROWS are left out. */
struct jit_report {
	struct jit_report_row rows[JIT_REPORT_ROWS];
	size_t n;
};

/* Add a window's figures of a process: for session_jit(). */
void jit_report_add(void *report, const struct jit_process *process);

/* The row to speak of: most samples without names, at least per_mille of all samples; not said before, and said now. NULL: none. */
const struct jit_report_row *jit_report_next(struct jit_report *report, uint64_t samples, uint64_t per_mille);

/* A line: what is missing, why, what to run. Returns the length that it has or would need. */
int jit_report_describe(const struct jit_report_row *row, char *text, size_t bytes);

#endif
