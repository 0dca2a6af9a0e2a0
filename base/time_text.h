/* Moments as people write them. Local time is that of TZ, as in localtime(3). */
#ifndef HEARTH_BASE_TIME_TEXT_H
#define HEARTH_BASE_TIME_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

/* What text says, in ns since the Unix epoch:
 *   now
 *   -15m, -1h30m, -2d          before now; units s, m (or min), h, d (24 h), w
 *   03:14, 03:14:15            the last time that it was that o'clock here, at most now
 *   today, yesterday           midnight here; with an o'clock behind: yesterday 03:14
 *   2026-11-20                 midnight here; with an o'clock behind a space or a T
 *   2026-11-20T03:14:05.5Z     RFC 3339, with Z or an offset such as +01:00: exact
 *   @1763610845                seconds since the epoch, with a fraction or not
 * Where clocks are put back an o'clock comes twice: "the last time" is the second one, with a date it is the first. One that clocks passed over when they were put forward
 * is no time with a date; alone it is that of a day before.
 * Returns 0, or -EINVAL with why (at most 128 bytes of the text are in it); then *ns_out is untouched. Earliest: 1970; latest: 2261. Thread-safe as localtime_r() is. */
int time_text_parse(const char *text, int64_t now_ns, int64_t *ns_out, struct why *why);

/* "2026-11-20 03:14:05", here. Returns the length, cut to bytes. */
#define TIME_TEXT_MAX 32
size_t time_text_format(int64_t ns, char *text, size_t bytes);

#endif
