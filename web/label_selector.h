/* Label selectors as Prometheus and Pyroscope write them: {service_name="x", pid=~"1.*"}.
 *
 * A name of the metric may stand before the brace: it is a matcher for __name__. Operators are =, !=, =~ and !~; expressions are those of base/regex.h, and match a whole value. A label that
 * is not there has the value "". Source: Prometheus, "Querying basics", "Time series selectors" and "String literals". Not thread-safe. */
#ifndef HEARTH_WEB_LABEL_SELECTOR_H
#define HEARTH_WEB_LABEL_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/why.h"

#define LABEL_SELECTOR_MAX 8192 /* bytes */
#define LABEL_MATCHERS_MAX 32

struct regex;

enum label_operator { LABEL_EQUAL, LABEL_NOT_EQUAL, LABEL_MATCHES, LABEL_MATCHES_NOT };

struct label_matcher {
	char *name, *value;
	enum label_operator op;
	struct regex *regex; /* NULL where the operator needs none */
};

struct label_selector {
	struct label_matcher matchers[LABEL_MATCHERS_MAX];
	size_t n;
};

/* selector: filled, for label_selector_deinit(). "" and "{}" match everything. Returns 0, -EINVAL (why: what is wrong, and where), -E2BIG (why: it is too long, or has too many matchers),
 * -ENOMEM; after a failure there is nothing to deinit. */
int label_selector_parse(const char *text, struct label_selector *selector, struct why *why);

/* Does a value hold? Returns 1, 0, or as regex_match() does -E2BIG (this takes too long to match), -ENOMEM. */
int label_matcher_holds(const struct label_matcher *matcher, const char *value);

void label_selector_deinit(struct label_selector *selector);

#endif
