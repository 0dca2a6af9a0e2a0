/* Prometheus-style relabel rules on label sets: keep, drop, replace, labeldrop, labelkeep, labelmap, hashmod, lowercase, uppercase.
 * Regular expressions are anchored at both ends and match in bounded time (the library's limits). Labels that begin with __ are dropped after the last rule, but for
 * __name__. Source: Prometheus' documentation, "relabel_config". Not thread-safe. */
#ifndef HEARTH_SERVER_UPLOAD_RELABEL_H
#define HEARTH_SERVER_UPLOAD_RELABEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

#define LABEL_SET_MAX 64

struct relabel_rules;

/* Sorted by name, names are unique. */
struct label_set {
	size_t n;
	struct {
		char *name, *value; /* owned */
	} labels[LABEL_SET_MAX];
};

/* One rule as in the configuration; NULL: the default of Prometheus. */
struct relabel_rule {
	const char *action, *source_labels /* separated by commas */, *separator, *regex, *target_label, *replacement;
	uint64_t modulus;
};

int relabel_rules_create(struct relabel_rules **rules_out);
/* Returns 0, -EINVAL with why (which field, what is wrong), -ENOMEM. */
int relabel_rules_add(struct relabel_rules *rules, const struct relabel_rule *rule, struct why *why);
/* Returns 1 (the set stays, changed in place), 0 (it is dropped), -ENOMEM. */
int relabel_rules_apply(const struct relabel_rules *rules, struct label_set *set);
void relabel_rules_destroy(struct relabel_rules *rules);

/* Keeps the order; an empty value removes the label. 0, -ENOMEM, -E2BIG (LABEL_SET_MAX). */
int label_set_put(struct label_set *set, const char *name, const char *value);
const char *label_set_get(const struct label_set *set, const char *name); /* "" when it is not there */
void label_set_deinit(struct label_set *set);

#endif
