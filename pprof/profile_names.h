/* Names for locations of a profile that was read from a file: only its strings, functions, lines and the flags of its mappings change; all else
 * (samples, labels, comments, addresses) stays as it is. Not thread-safe. */
#ifndef HEARTH_PPROF_PROFILE_NAMES_H
#define HEARTH_PPROF_PROFILE_NAMES_H

#include "pprof/profile.h"

struct profile_names;

/* One frame, its texts borrowed for the call; they are made clean (base/text_clean.h). */
struct profile_frame {
	const char *name, *system_name, *file;
	int64_t line, column, start_line; /* 0 when unknown */
};

/* profile: borrowed, and unchanged until profile_names_finish(). Returns 0 or -ENOMEM. */
int profile_names_create(struct profile *profile, struct profile_names **names_out);

/* Has a location no name that tells anything: no lines, lines without a name, or a stand-in such as "[libc.so.6+0x1234]"? */
bool profile_location_is_unnamed(const struct profile *profile, const struct profile_location *location);

/* Replace a location's lines. frames: innermost first. Returns 0, -EINVAL (no such location), -E2BIG (past 2^31 entries of a table), or -ENOMEM. */
int profile_names_set(struct profile_names *n, uint32_t location, const struct profile_frame *frames, size_t n_frames);

/* Put what was set into the profile. Returns 0, or -ENOMEM: then the profile is as it was. */
int profile_names_finish(struct profile_names *n);

/* NULL is legal. */
void profile_names_destroy(struct profile_names *n);

#endif
