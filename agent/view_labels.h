/* What each value of a label took: each process, container, pid. Runs in the process without rights. */
#ifndef HEARTH_AGENT_VIEW_LABELS_H
#define HEARTH_AGENT_VIEW_LABELS_H

#include <stddef.h>
#include <stdint.h>

#include "pprof/profile.h"

struct label_row {
	const char *text; /* borrowed of the profiles, or number; "": samples without the label */
	char number[24];
	const char *process; /* of a number (a pid): the label "process" of a sample of it; "" */
	int64_t value, base_value;
};

/* By value, largest first; with a base (NULL: none) by the difference of the shares of the totals. No row: no sample has the label. rows_out: owned by the caller, free(). Returns 0, -EINVAL (no
 * such sample type), -ENOMEM. */
int label_table_create(const struct profile *profile, uint32_t value, const struct profile *base, uint32_t base_value, const char *key, struct label_row **rows_out,
		       size_t *n_out);

/* "pid, process, thread": the keys of labels. Cut to bytes. */
void label_keys_list(const struct profile *profile, char *text, size_t bytes);

#endif
