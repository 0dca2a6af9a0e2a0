/* A window, sorted into series: what shape.h does for all kinds of sinks, before anything is encoded. A series is what gets a profile of its own; its
 * samples are added up where only labels that are not sent tell them apart. */
#ifndef HEARTH_SERVER_UPLOAD_SHAPE_SERIES_H
#define HEARTH_SERVER_UPLOAD_SHAPE_SERIES_H

#include "server-upload/intern_table.h"
#include "server-upload/shape.h"
#include "server-upload/shape_kind.h"

/* Names and values are numbers of texts. */
struct shape_label {
	uint32_t name, value;
};

/* What stays on a sample: a text (value != 0) or a number. */
struct shape_tag {
	uint32_t name, value;
	int64_t number;
	uint64_t unit; /* a text */
};

struct shape_entry {
	uint32_t series, stack, tags; /* numbers in the tables below */
	uint32_t values;	      /* values[values * n_sample_types] and on */
	uint32_t rank;		      /* 0: the largest of all; set by shape_series_rank() */
	uint64_t count;
};

struct shape_serie {
	uint64_t count;
	uint32_t first_entry, n_entries;
};

struct shape_series {
	const struct profile *window;
	const struct shape_options *options;
	const struct shape_kind *kind;
	struct intern_table texts;  /* of labels; 0 is "" */
	struct intern_table keys;   /* of series: int64_t pid (0: none), then struct shape_label, sorted by name */
	struct intern_table tags;   /* struct shape_tag */
	struct intern_table stacks; /* uint32_t indices of locations */
	struct shape_serie *series; /* keys.n */
	struct shape_entry *entries; /* by series; in it the largest first */
	uint32_t n_entries;
	int64_t *values;
	uint32_t count_type;	    /* the sample type that is counted */
	char profile_name[128];	    /* the label __name__ */
	uint32_t *as_address;	    /* of each location that is sent as an address only: the first of its mapping and address, + 1; 0: with its names.
				     * NULL: all have their names */
	struct shape_label *base;   /* labels of the sink itself, after its rules */
	size_t n_base;
	struct shape_counts counts; /* dropped, folded, labels_cut, series */
};

/* window, options: borrowed. Returns 0, -ENOMEM, -E2BIG (2^30 of something). x: shape_series_deinit(), also after an error. */
int shape_series_init(struct shape_series *x, const struct shape_kind *kind, const struct profile *window, const struct shape_options *options);
/* Order all entries by size: their rank. */
int shape_series_rank(struct shape_series *x);
const char *shape_series_text(const struct shape_series *x, uint32_t text);
/* labels_out: borrowed. pid_out: 0 when there is none. */
void shape_series_labels(const struct shape_series *x, uint32_t series, int64_t *pid_out, const struct shape_label **labels_out, size_t *n_out);
void shape_series_deinit(struct shape_series *x);

#endif
