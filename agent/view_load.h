/* What a command shows: profiles from files that are open, or from the store. Runs in the process without rights (agent/reading_process.h). */
#ifndef HEARTH_AGENT_VIEW_LOAD_H
#define HEARTH_AGENT_VIEW_LOAD_H

#include "agent/view_options.h"
#include "base/why.h"
#include "pprof/profile.h"

/* Files, or a range of the store. Borrowed. */
struct view_source {
	const char *store; /* its folder; NULL: files */
	int64_t from_ns, to_ns;
	const char *const *names; /* of files, for messages */
	const int *fds;		  /* open, read once */
	size_t n_files;
};

#define VIEW_SUBJECT_MAX 192

struct view_part {
	struct profile *profile;	/* what the options select; may be without samples */
	char subject[VIEW_SUBJECT_MAX]; /* "cpu.pb.gz", "2026-11-20 03:00:00 to 03:10:00" */
	struct why empty;		/* why there are no samples, and what there is; "" when there are some */
	struct why missing;		/* what of the store could not be read; "" */
};

/* Several files are merged. Returns 0; -EBADMSG (not a profile, damaged), -EINVAL (files that cannot be merged, an expression), -ENOENT (no window in that time: why tells which there
 * are), -E2BIG, -ENOMEM or another negative errno, with why. */
int view_load(const struct view_source *source, const struct view_options *options, struct view_part *part_out, struct why *why);

void view_part_deinit(struct view_part *part);

/* The sample type that options->type names, "cpu" or "cpu/nanoseconds"; NULL: the profile's own. Returns 0, or -EINVAL with why, which lists those that there are. */
int view_find_type(const struct profile *profile, const char *type, uint32_t *value_out, struct why *why);

#endif
