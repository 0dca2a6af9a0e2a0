/* The labels of one sample, as they become those of a series and of what stays on the sample: the sink's own added, the service named, rules applied,
 * names and lengths made what the server takes. Part of shape_series.h. */
#ifndef HEARTH_SERVER_UPLOAD_SHAPE_LABELS_H
#define HEARTH_SERVER_UPLOAD_SHAPE_LABELS_H

#include "server-upload/shape_series.h"

/* Numbers in x->keys and x->tags. */
struct shape_group {
	uint32_t key, tags;
	bool dropped; /* a rule says so */
};

/* labels: of one sample. Returns 0, -ENOMEM, -E2BIG. */
int shape_labels_of_sample(struct shape_series *x, const struct profile_label *labels, size_t n, struct shape_group *group_out);
/* The series that takes what is folded. */
int shape_labels_of_other(struct shape_series *x, uint32_t *key_out);
/* Fills x->base. */
int shape_labels_of_sink(struct shape_series *x);

#endif
