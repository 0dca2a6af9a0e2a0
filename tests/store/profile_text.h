/* A profile as text in which equal profiles are equal, whatever the order of their tables: for tests that compare. */
#ifndef HEARTH_TESTS_PROFILE_TEXT_H
#define HEARTH_TESTS_PROFILE_TEXT_H

#include "pprof/profile.h"

/* Head, comments, and one line for each sample (labels, frames with all that is known of them, values), sorted. Owned by the caller; NULL: no memory. */
char *profile_text(const struct profile *profile);
/* A number that equal texts share. */
uint64_t profile_digest(const struct profile *profile);

#endif
