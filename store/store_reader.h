/* Reading a store while another process writes it, or none does. Sees committed windows only. Not thread-safe.
 *
 * A damaged segment or window is passed over: then a function returns 0, and why->text (else "") says what is missing. Errors: -ENOTSUP (a newer hearth's), -ENOMEM, -EIO and others of the system. */
#ifndef HEARTH_STORE_STORE_READER_H
#define HEARTH_STORE_STORE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "pprof/profile.h"

struct store_reader;

/* A label as text; a number in decimal. */
struct store_label {
	const char *key, *text;
};

/* Which samples. Strings are borrowed for the call; NULL: any. */
struct store_filter {
	int64_t from_ns, to_ns;		       /* wall clock; windows that overlap [from, to); to_ns 0: no end */
	struct {
		const char *key, *value;       /* sample label; a number is compared in decimal; "": samples without it */
	} labels[8];
	size_t n_labels;
	/* What else a sample's labels must be: asked for each label set of each segment, once or twice. NULL: nothing. */
	bool (*match)(void *context, const struct store_label *labels, size_t n);
	void *match_context;
	/* What a sample's frames must be; of time lines and labels, not of sums. locations: asked for each segment, whose frames are the locations of a profile without samples: a byte of bits
	 * for each of them (owned by the store then, malloc()), or a negative errno. stack: whether a sample counts, by the bits of its frames or'ed. NULL: nothing. */
	int (*locations)(void *context, const struct profile *frames, uint8_t **bits_out);
	bool (*stack)(void *context, unsigned bits, bool has_frames);
	void *frames_context;
	/* Of a sum: the keys of the labels that stay; samples that differ in others only become one. NULL: all stay. */
	const char *const *keep;
	size_t n_keep;
	const char *type; /* of time lines and labels: the sample type that is counted; NULL: the default one */
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

/* The labels of samples that the filter lets through, with the sum of their values. The same labels come once for each segment. */
struct store_label_total {
	const struct store_label *labels; /* borrowed for the call */
	size_t n;
	int64_t value;
};
typedef int (*store_labels_fn)(void *context, const struct store_label_total *total); /* non-zero ends it, and is returned */
int store_reader_labels(struct store_reader *r, const struct store_filter *filter, store_labels_fn fn, void *context, struct why *why);

/* A sample type, borrowed for the call; those of one window: the first one of that time in the newest segment that has any. */
struct store_type {
	const char *type, *unit, *period_type, *period_unit;
	bool is_default;
};
typedef int (*store_type_fn)(void *context, const struct store_type *type); /* negative ends it, and is returned */
int store_reader_types(struct store_reader *r, const struct store_filter *filter, store_type_fn fn, void *context, struct why *why);

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

/* The same by several labels, and within a limit of memory. */
#define STORE_ROW_SEPARATOR '\n'
struct store_counted {
	char type[64], unit[64]; /* cut to that */
};
struct store_rows {
	const char *const *keys; /* a row's label: the values of these labels, STORE_ROW_SEPARATOR between them */
	size_t n_keys;
	const char *const *only; /* rows that are told; all others become one, whose label is NULL. NULL: all are told */
	size_t n_only;
	size_t n_buckets;
	size_t values_max; /* rows times buckets; beyond it -E2BIG. 0: 2^27 (1 GiB) */
	struct store_counted *counted; /* filled with what is counted, "" when nothing was; NULL: nobody asks */
};
int store_reader_timeline_by(struct store_reader *r, const struct store_filter *filter, const struct store_rows *rows, store_bucket_fn fn, void *context,
			     struct why *why);

void store_reader_close(struct store_reader *r);

#endif
