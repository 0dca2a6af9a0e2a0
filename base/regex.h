/* Regular expressions of relabel rules and of filters: RE2's syntax, as Prometheus and go tool pprof have it, matched by PCRE2 within limits (docs/configuration.md says
 * why not by RE2).
 *
 * What RE2 has not (look-around, back references, atomic groups, possessive quantifiers, recursion, verbs) is refused, so that an expression means the same here and there.
 * '.' matches a newline too. Time and memory of a match are limited.
 * Not thread-safe: an expression owns what its matches need. */
#ifndef HEARTH_BASE_REGEX_H
#define HEARTH_BASE_REGEX_H

#include <stddef.h>

#include "base/why.h"

#define REGEX_MAX     4096 /* bytes of an expression */
#define REGEX_SUBJECT_MAX 16384

struct regex;

enum regex_mode {
	REGEX_WHOLE,	 /* matches a whole subject or nothing, as relabel rules do */
	REGEX_SOMEWHERE, /* matches where any part of the subject does, as filters do */
};

/* Returns 0, -EINVAL with why (what is wrong, and where), -ENOMEM. */
int regex_create(const char *pattern, enum regex_mode mode, struct regex **regex_out, struct why *why);

/* Returns 1 or 0 (so does a subject that is not UTF-8, or longer than REGEX_SUBJECT_MAX: it matches nothing), -E2BIG (this would take more than some
 * milliseconds: the expression has too many ways to match), -ENOMEM. */
int regex_match(struct regex *regex, const char *subject);

/* Write replacement with $1, ${1}, $name, ${name} and $$ put in, as Go's Regexp.Expand does: a group that is not there is empty, a $ that begins none of these
 * stays. Only after a regex_match() that returned 1, on the same subject. Returns the length, or -E2BIG when out is too small. */
int regex_expand(const struct regex *regex, const char *subject, const char *replacement, char *out, size_t out_bytes);

/* NULL is legal. */
void regex_destroy(struct regex *regex);

#endif
