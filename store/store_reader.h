/* Reading a store while another process writes it, or none does. Sees committed windows only. Not thread-safe.
 *
 * A damaged segment or window is passed over: then a function returns 0, and why->text (else "") says what is missing. Errors: -ENOTSUP (a newer hearth's), -ENOMEM, -EIO and others of the system. */
#ifndef HEARTH_STORE_STORE_READER_H
#define HEARTH_STORE_STORE_READER_H

#include <stdint.h>

#include "base/why.h"
#include "pprof/profile.h"

struct store_reader;

/* Which samples. Strings are borrowed for the call; NULL: any. */
struct store_filter {
	int64_t from_ns, to_ns;		       /* wall clock; windows that overlap [from, to); to_ns 0: no end */
	struct {
		const char *key, *value;       /* sample label; a number is compared in decimal */
	} labels[8];
	size_t n_labels;
};

/* What a window is, without its samples. */
struct store_window {
	uint64_t number;
	int64_t time_ns, end_ns; /* wall clock */
	int64_t duration_ns;	 /* recorded time: less than end_ns - time_ns when there was a gap */
	uint64_t samples;
	int64_t value; /* of the default sample type */
	uint32_t merged; /* windows that it was made of; 1: as it was recorded */
	const char *account; /* its comments, newline between them; borrowed for the call */
};

int store_reader_open(const char *folder, struct store_reader **reader_out, struct why *why);

/* All samples that the filter lets through, in one profile: time of the first window, the sum of durations, comments merged as in compaction (docs/storing.md); with a filter by
 * labels there are none, for they count all samples. Windows whose sample types are others than the first one's are left out; a comment says how many. -ENOENT: no window there. */
int store_reader_sum(struct store_reader *r, const struct store_filter *filter, struct profile **profile_out, struct why *why);

/* Windows of [from, to), oldest first; fn returns non-zero to end (returned as it is). */
typedef int (*store_window_fn)(void *context, const struct store_window *window);
int store_reader_windows(struct store_reader *r, const struct store_filter *filter, store_window_fn fn, void *context, struct why *why);

/* One row of a time line: the value of a label's value in a bucket. */
struct store_bucket {
	int64_t time_ns; /* of its begin */
	const char *label; /* borrowed for the call */
	int64_t value;
};
typedef int (*store_bucket_fn)(void *context, const struct store_bucket *bucket);
/* Values of the default sample type by time and by the value of one label (NULL: one row, ""; "" also: samples without it); n_buckets of equal length over [from, to), without those that are 0.
 * A window longer than a bucket is spread evenly over those that it covers. -EINVAL: no buckets, or to is not behind from. */
int store_reader_timeline(struct store_reader *r, const struct store_filter *filter, const char *label, size_t n_buckets, store_bucket_fn fn,
			  void *context, struct why *why);

void store_reader_close(struct store_reader *r);

#endif
