/* A part of a profile: some of its samples, some of their frames. */
#ifndef HEARTH_PPROF_PROFILE_SELECT_H
#define HEARTH_PPROF_PROFILE_SELECT_H

#include "base/why.h"
#include "pprof/profile.h"

#define PROFILE_SELECT_LABELS 8

enum profile_side { PROFILE_BOTH_SIDES, PROFILE_USER_SIDE, PROFILE_KERNEL_SIDE }; /* frames that stay; a sample without any goes */

/* Expressions are those of base/regex.h, and match somewhere in a frame's name, in its source file, or in the file of its mapping, as go tool pprof's do.
 * NULL: none. A sample goes that has no frame which focus matches, or one that ignore matches; then frames go that are of the other side, that hide matches, or that show does not
 * match; a sample without frames left goes too. */
struct profile_selection {
	enum profile_side side;
	const char *focus, *ignore, *hide, *show;
	struct {
		const char *key, *value; /* all must hold; a number is compared in decimal */
	} labels[PROFILE_SELECT_LABELS];
	size_t n_labels;
};

/* A profile with what is selected, and nothing else of it: no string, function or mapping stays that no sample refers to. Head and comments stay, but for the account
 * (docs/profiles.md), which counts all samples. Where frames went, samples that are
 * equal now are one. An empty selection copies. Returns 0, -EINVAL (why: which expression is wrong, and where; or too many labels), -E2BIG (why: an expression that takes too long to
 * match), -ENOMEM. */
int profile_select(const struct profile *profile, const struct profile_selection *selection, struct profile **profile_out, struct why *why);

/* The same for who has stacks in another form. For each location of a profile, whose samples and labels are not looked at, bits; those of a stack's locations or'ed tell whether a sample
 * with it counts. locations_out: owned by the caller, free(). Returns as profile_select(). */
int profile_select_locations(const struct profile *profile, const struct profile_selection *selection, uint8_t **locations_out, struct why *why);
bool profile_select_stack(const struct profile_selection *selection, unsigned bits, bool has_frames);

#endif
