/* Between store_reader.c, store_timeline.c and store_labels.c: a query on its way through the segments. */
#ifndef HEARTH_STORE_STORE_QUERY_H
#define HEARTH_STORE_STORE_QUERY_H

#include "store/folder.h"
#include "store/packing.h"
#include "store/segment.h"
#include "store/store_reader.h"
#include "store/window.h"

struct store_reader {
	struct folder folder;
	struct compressor *compressor;
	struct packing raw, packed;
};

struct query {
	struct store_reader *r;
	const struct store_filter *filter;
	struct segment *segment;
	struct dictionary *dictionary; /* of the segment; its memory is used for one after another */
	int (*window)(struct query *q, const struct window_head *head, const char *account); /* one that overlaps; non-zero ends it */
	int (*begin)(struct query *q), (*end)(struct query *q); /* of a segment; may be NULL */
	bool newest_first; /* segments; windows of one are told oldest first all the same */
	void *context;
	struct window w; /* the last one loaded */
	struct why *why;
};

/* A damaged segment is passed over. Returns what a callback ended it with. */
int query_run(struct query *q, bool needs_dictionary);

/* Samples of a window into q->w. Returns 0, 1 (it is damaged: the others may not be), or a negative errno. */
int query_load_window(struct query *q, const struct window_head *head);

/* The place of the sample type that a query counts among those of the loaded window: filter->type, else the default one. PROFILE_NONE: it has none such. */
uint32_t query_value(const struct query *q);

/* The labels of a set, as text. */
struct label_texts {
	struct store_label *labels;
	char (*numbers)[24];
	size_t n, capacity;
};

/* Returns 0 or -ENOMEM. */
int label_texts_read(struct label_texts *t, const struct dictionary *d, uint32_t set);
/* "" when there is none of that key. */
const char *label_texts_value(const struct label_texts *t, const char *key);
void label_texts_deinit(struct label_texts *t);

/* For each label set of the dictionary, whether the filter lets it through. NULL: no memory. */
bool *query_matching_sets(const struct dictionary *d, const struct store_filter *filter);

/* For each stack of the dictionary, whether samples with it count. *stacks_out is NULL when all do. Returns 0, -ENOMEM, or what filter->locations() did. */
int query_matching_stacks(const struct dictionary *d, const struct store_filter *filter, bool **stacks_out);

#endif
