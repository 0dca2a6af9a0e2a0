/* One reply of several, for a batch that went in pieces. */
#ifndef HEARTH_SYMBOLIZER_REPLY_JOIN_H
#define HEARTH_SYMBOLIZER_REPLY_JOIN_H

#include "symbolizer/symbolizer.h"

/* Let the first have the answers and frames of all that follow it by ->parts. The others keep their strings only. Returns 0, -E2BIG, or -ENOMEM (nothing
 * has changed). */
int symbolizer_reply_join(struct symbolizer_reply *first);

#endif
