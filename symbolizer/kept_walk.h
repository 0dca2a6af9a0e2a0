/* A walk by libunwind that is asked for step by step: what it was given, and how far it came, is kept from one request to the next.
 *
 * Kept are the registers, the copy of the stack, libunwind's cursor and the frames that it came to; no descriptor. One walk at a time: another one
 * takes its place. Its budgets (symbolizer/libunwind_walk.h) are those of all its requests together. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_KEPT_WALK_H
#define HEARTH_SYMBOLIZER_KEPT_WALK_H

#include "symbolizer/symbolizer.h"

#define KEPT_WALK_ANEW (SYMBOLIZER_CALLERS_MAX + 1) /* a result: this walk cannot go on; begin it anew */

struct kept_walk;

/* -EOPNOTSUPP on machines that libunwind_walk.h does not know. */
int kept_walk_create(struct kept_walk **walk_out);

/* Go to walk's last frame, and look up its callers. All of walk is borrowed for the call.
 * goes_on: it is the walk of the call before; walk's registers and stack are not looked at, and images are needed only from the
 * frame on that it came to. KEPT_WALK_ANEW: it is not; or it has other frames; or fewer, or it ended.
 * callers_out: room for walk->n_wanted. Returns how many were found: 1 to walk->n_wanted; 0 or a negative errno as symbolizer_walk_step(). */
int kept_walk_step(struct kept_walk *w, const struct symbolizer_walk *walk, bool goes_on, struct symbolizer_caller *callers_out);

/* NULL is legal. */
void kept_walk_destroy(struct kept_walk *w);

#endif
