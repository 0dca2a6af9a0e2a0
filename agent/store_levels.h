/* How old windows are merged, as it is written: "1h:1m 24h:10m" - after an hour to windows of a minute, after a day to windows of ten minutes; "none" keeps them as they were
 * recorded. */
#ifndef HEARTH_AGENT_STORE_LEVELS_H
#define HEARTH_AGENT_STORE_LEVELS_H

#include "base/why.h"
#include "store/store.h"

#define STORE_LEVELS_USUAL "1h:1m 24h:10m"

/* levels_out: STORE_LEVELS_MAX of them. Returns 0, or -EINVAL with why (then untouched). */
int store_levels_parse(const char *text, struct store_level *levels_out, struct why *why);

#endif
