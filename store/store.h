/* The store: the last days of windows on this machine, and what is still to be sent (docs/storing.md).
 *
 * A folder of segments: SQLite files (WAL), one begun each day or when it is large enough. A segment holds its own strings, frames and stacks,
 * each once; the samples of a window refer to them. So the oldest windows go by unlinking a file, which works on a full disk too, and a damaged file
 * costs itself only: it is set aside (NAME.damaged) and a new one begun.
 *
 * store_append() commits a window in one transaction: what it returned 0 for survives kill -9 and power loss. A window is numbered; numbers only grow,
 * over restarts too, with gaps; the first is above 2^20. Time is the profile's wall clock; the order of windows is that of their numbers, so that a clock that jumps costs nothing.
 *
 * The outbox: for each sink the windows that it has not got yet are those above its mark. Compaction leaves them alone; beyond the outbox's budget the oldest are
 * passed over, and counted.
 *
 * One process writes (a lock sees to it: -EBUSY); any number read (store/store_reader.h). Not thread-safe.
 *
 * why: "" when there is nothing to tell. Where a function returned 0 or 1 and why->text is not "", something went: the oldest windows for the budget or on a full disk, a damaged
 * segment or window, windows that a sink did not get in time. Log it. */
#ifndef HEARTH_STORE_STORE_H
#define HEARTH_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "pprof/profile.h"

#define STORE_LEVELS_MAX 4
#define STORE_SINKS_MAX	 16
#define STORE_SINK_NAME_MAX 64 /* with the NUL */
#define STORE_BYTES_MIN	 (8u << 20)

struct store;

/* Windows that are older than age_ns are merged to windows of window_ns. */
struct store_level {
	uint64_t age_ns, window_ns;
};

struct store_options {
	uint64_t bytes_max;  /* of the folder, journals included: never above it */
	uint64_t age_max_ns; /* older windows go; 0: only the budget counts */
	struct store_level levels[STORE_LEVELS_MAX]; /* finest first; window_ns 0: no more. Default: 1 h: 1 min, 24 h: 10 min */
	uint64_t outbox_bytes_max, outbox_age_max_ns;
	const char *sinks[STORE_SINKS_MAX]; /* names, borrowed for the call: [a-z0-9._-], the marks are kept by them */
	size_t n_sinks;
	uint64_t (*now_ns)(void); /* wall clock; NULL: CLOCK_REALTIME */
};

struct store_stats {
	uint64_t windows, samples;   /* held now */
	uint64_t bytes;		     /* of all files now */
	uint64_t segments, damaged;  /* files now; set aside since the opening */
	uint64_t damaged_windows;    /* that went alone, since the opening */
	uint64_t appended, append_failed; /* since the opening, as all of these */
	uint64_t append_ns_last, append_ns_max;
	uint64_t windows_expired;    /* gone by age */
	uint64_t windows_evicted;    /* gone for the budget */
	uint64_t windows_merged;     /* into larger ones */
	uint64_t outbox_windows[STORE_SINKS_MAX], outbox_bytes[STORE_SINKS_MAX]; /* still to be sent; bytes as they lie in the store */
	uint64_t outbox_dropped[STORE_SINKS_MAX]; /* passed over for the outbox's budget or age, or gone with their segment */
};

/* folder: created (0700) when it is missing; one that others may write to is refused (-EPERM). Its owner must be us.
 * Returns 0, -EBUSY (another process writes), -ENOTSUP (a newer hearth's), -EINVAL (bytes_max below STORE_BYTES_MIN, levels that do not grow, names of sinks), -EROFS, or another
 * negative errno, with why. A damaged segment is no failure: it is set aside, and why says so. */
int store_open(const char *folder, const struct store_options *options, struct store **store_out, struct why *why);

/* Write a window. number_out: its number. Returns 0, -ENOSPC, -EIO, -EROFS (nothing was written; later calls may work again), -ENOMEM, -E2BIG (more than eight sample
 * types, 1,024 labels of a sample, or 64 MiB packed). On a full disk the oldest segments go first, but not the newest one that has windows:
 * -ENOSPC means that this was not enough. What was reported as written stays. */
int store_append(struct store *s, const struct profile *window, uint64_t *number_out, struct why *why);

/* One step of what is not urgent (expiry, compaction, checkpoints, giving pages back); of some 10 ms. Returns 1 (there is more), 0, or a negative errno. */
int store_maintain(struct store *s, struct why *why);

/* Sinks may change while it runs. A new one begins with the next window, a known one goes on at its mark. */
int store_set_sinks(struct store *s, const char *const *sinks, size_t n_sinks);

/* The next window above after (0: above the sink's mark) that sink has not got. Returns 0, -ENOENT (none), or a negative errno.
 * profile_out: owned by the caller. */
int store_outbox_next(struct store *s, size_t sink, uint64_t after, uint64_t *number_out, struct profile **profile_out);

/* The sink has all windows up to this number. Durable when it returns 0 (in the journal: a crash of the machine may repeat some). */
int store_outbox_mark(struct store *s, size_t sink, uint64_t number);

void store_stats(const struct store *s, struct store_stats *stats_out);

/* NULL is legal. */
void store_close(struct store *s);

#endif
