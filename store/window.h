/* A window in the terms of its segment's dictionary: values by series. This is what a row of a segment holds, packed. */
#ifndef HEARTH_STORE_WINDOW_H
#define HEARTH_STORE_WINDOW_H

#include "store/dictionary.h"
#include "store/packing.h"

#define WINDOW_TYPES_MAX 8

/* What the values are. Strings are the dictionary's numbers. */
struct window_shape {
	uint32_t n_types;
	struct profile_value_type types[WINDOW_TYPES_MAX];
	struct profile_value_type period_type;
	profile_str default_type, drop_frames, keep_frames, doc_url;
};

/* What is in the table of windows. */
struct window_head {
	uint64_t number;
	int64_t time_ns, end_ns;   /* wall clock; end_ns: the latest end of what it was made of */
	int64_t duration_ns;	   /* the sum of durations */
	int64_t clock_ns, gap_ns;  /* store/store_clock.h */
	int64_t value;		   /* the sum of the default sample type */
	uint32_t level, merged;	   /* 0: as recorded; how many windows it was made of */
	uint32_t samples, bytes;   /* bytes: of the packed samples */
};

struct window {
	struct window_head head;
	char *account; /* comments, newline between them; NULL: none */
	struct window_shape shape;
	int64_t period;
	uint32_t *series; /* ascending, each once */
	int64_t *values;  /* n * shape.n_types */
	size_t n, capacity;
};

/* The profile's samples, their parts added to the dictionary; time, account, and everything of the head but number, level, clock and bytes. Samples of equal
 * labels and stack become one. Returns 0, -ENOMEM, -E2BIG (more than WINDOW_TYPES_MAX sample types, 2^30 entries); then the dictionary may have grown. */
int window_from_profile(struct window *w, struct dictionary *d, const struct profile *profile);

/* The profile of some series: of what the dictionary has, only what they refer to. time, account and the like come from w.
 * Returns 0, -ENOMEM, -E2BIG (2^31 frames). The window's numbers must be the dictionary's (window_check()). */
int window_to_profile(const struct window *w, const struct dictionary *d, struct profile **profile_out);

/* The same, when the dictionary and the window are needed no more: its tables become the profile's, without a copy. Both can only be destroyed afterwards, whatever was returned. */
int window_into_profile(struct window *w, struct dictionary *d, struct profile **profile_out);

/* Pack shape, period and samples; the number too, so that a row cannot pass for another. */
void window_pack(const struct window *w, struct packing *out);
/* The reverse, into w->shape, period, series and values; w->head.number must be set. Returns 0, -EBADMSG, -ENOMEM. */
int window_unpack(struct window *w, const uint8_t *bytes, size_t n);

/* Are all its numbers in a dictionary of these counts? */
bool window_fits(const struct window *w, const struct dictionary_counts *counts);

bool window_same_shape(const struct window_shape *a, const struct window_shape *b);
/* Add the samples, the durations and the account of a later window of the same shape. Returns 0 or -ENOMEM (then w is as it was). */
int window_add(struct window *w, const struct window *later);

void window_deinit(struct window *w);

#endif
