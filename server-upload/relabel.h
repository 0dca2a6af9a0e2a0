/* Prometheus-style relabel rules on label sets: keep, drop, keepequal, dropequal, replace, labeldrop, labelkeep, labelmap, hashmod, lowercase, uppercase.
 * Regular expressions match whole values, in bounded time (base/regex.h). Labels that begin with __ are dropped after the last rule, but for
 * __name__. Source: Prometheus' documentation, "relabel_config". Not thread-safe. */
#ifndef HEARTH_SERVER_UPLOAD_RELABEL_H
#define HEARTH_SERVER_UPLOAD_RELABEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "server-upload/label_set.h"

#define RELABEL_RULES_MAX 256

struct relabel_rules;

/* One rule as in the configuration; NULL (modulus: 0): the default of Prometheus. */
struct relabel_rule {
	const char *action, *source_labels /* separated by commas */, *separator, *regex, *target_label, *replacement;
	uint64_t modulus;
};

int relabel_rules_create(struct relabel_rules **rules_out);
/* Returns 0, -EINVAL with why (which field, what is wrong), -E2BIG with why (RELABEL_RULES_MAX), -ENOMEM. */
int relabel_rules_add(struct relabel_rules *rules, const struct relabel_rule *rule, struct why *why);
/* Returns 1 (the set stays, changed in place), 0 (it is dropped), -ENOMEM (the set may be changed in part). */
int relabel_rules_apply(const struct relabel_rules *rules, struct label_set *set);
/* Times that a rule was passed over, since the creation: its expression would have taken too long, or what it wrote was longer than LABEL_VALUE_MAX or
 * did not fit the set. */
uint64_t relabel_rules_passed_over(const struct relabel_rules *rules);
void relabel_rules_destroy(struct relabel_rules *rules);

#endif
