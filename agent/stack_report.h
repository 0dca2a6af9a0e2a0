/* How complete the stacks of each program are, by what the profile itself says: the process label and the "[truncated: ...]" frames. */
#ifndef HEARTH_AGENT_STACK_REPORT_H
#define HEARTH_AGENT_STACK_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "agent/accounting.h"
#include "pprof/profile.h"

/* All processes of one name. Samples are counts of the profile's first sample type. */
struct stack_report_row {
	const char *process; /* borrowed from the profile */
	uint64_t samples, complete;
	uint64_t cut[ACCOUNT_CUTS];
};

/* Rows with the most truncated samples first, then by name. rows_out: free() it. Returns 0 or -ENOMEM. */
int stack_report(const struct profile *profile, struct stack_report_row **rows_out, size_t *n_out);

/* "sort: samples=100 complete=98 truncated_no_mapping=2". Returns the length that it has or would need. */
int stack_report_describe(const struct stack_report_row *row, char *text, size_t bytes);

#endif
