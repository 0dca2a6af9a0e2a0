/* The union of profiles, of any producers. */
#ifndef HEARTH_PPROF_PROFILE_MERGE_H
#define HEARTH_PPROF_PROFILE_MERGE_H

#include "base/why.h"
#include "pprof/profile.h"

/* All samples of n profiles (1 or more), equal ones added up. Mappings of the same file at other addresses become one, with its locations, as in go tool pprof. Time: the earliest;
 * durations are added; the longest period; comments without those that are there already; the default sample type and the rest of the head of the first that has them.
 * Values are multiplied by each profile's weight (docs/profiles.md), where one has a weight other than 1; then the result has none.
 * Returns 0, -EINVAL (why: whose sample types or period are others than those of the first; positions count from 1), -ENOMEM, -E2BIG. */
int profile_merge(const struct profile *const *profiles, size_t n, struct profile **profile_out, struct why *why);

#endif
