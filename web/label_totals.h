/* The values of each label, with the sum of their samples' values. */
#ifndef HEARTH_WEB_LABEL_TOTALS_H
#define HEARTH_WEB_LABEL_TOTALS_H

#include "store/store_reader.h"
#include "web/text_table.h"

#define LABEL_KEYS_MAX 64 /* keys that are kept; those that come later are left out */

struct label_value {
	const char *value;
	int64_t total;
};

struct label_key {
	const char *key; /* borrowed from the table of keys */
	struct text_table values;
	int64_t *totals; /* by the value's number */
	size_t capacity;
};

struct label_totals {
	struct text_table names; /* of keys */
	struct label_key keys[LABEL_KEYS_MAX];
	const char *only; /* the one key that is looked at; NULL: all */
	int64_t total;
};

/* A store_labels_fn; context: struct label_totals *. Returns 0 or -ENOMEM. */
int label_totals_add(void *context, const struct store_label_total *total);

/* The values of a key, by their totals, largest first, then by text. values_out: owned by the caller, its texts are not. Returns 0 or -ENOMEM. */
int label_totals_sorted(const struct label_key *key, struct label_value **values_out);

void label_totals_deinit(struct label_totals *t);

#endif
