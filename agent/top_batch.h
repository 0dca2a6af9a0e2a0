/* What `hearth top` writes where there is no screen. */
#ifndef HEARTH_AGENT_TOP_BATCH_H
#define HEARTH_AGENT_TOP_BATCH_H

#include <stdio.h>

#include "agent/top_view.h"

struct top_batch {
	struct top_model *model;
	const struct top_status *status;
	struct top_query query; /* sort, side and filter of both tables */
	size_t rows;		/* of each; 0: all */
};

/* One refresh, flushed. Returns 0 or a negative errno: of the stream, -ENOMEM. */
int top_batch_write_text(const struct top_batch *b, FILE *stream);
int top_batch_write_json(const struct top_batch *b, FILE *stream);

#endif
