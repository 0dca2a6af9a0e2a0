#include "store/summing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "store/account.h"
#include "store/dictionary_map.h"

struct summing {
	struct dictionary *all;
	bool adopted; /* all was the first segment's */
	struct window sum; /* values by the dictionary's series; packed when it is finished */
	bool *sum_seen;	   /* which of them there are */
	size_t values_capacity;
	uint64_t windows, left_out;

	struct dictionary *d;	    /* of the segment at hand */
	struct window_shape shape;  /* sum.shape in its numbers, once a window had the same */
	bool has_shape;
	int64_t *values;	    /* by its series */
	bool *seen;
	struct dictionary_map map; /* its numbers in all */
};

int summing_create(struct summing **summing_out)
{
	struct summing *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	int err = dictionary_create(&s->all);
	if (err < 0) {
		free(s);
		return err;
	}
	*summing_out = s;
	return 0;
}

static void end_segment(struct summing *s)
{
	free(take_ptr(s->values));
	free(take_ptr(s->seen));
	s->d = NULL;
	s->has_shape = false;
}

int summing_begin(struct summing *s, struct dictionary *d)
{
	end_segment(s);
	if (!s->adopted) { /* what was there of a damaged segment does not count */
		s->windows = s->left_out = 0;
		window_deinit(&s->sum);
	}
	s->seen = calloc((size_t)d->n.tables[DICTIONARY_SERIES] + 1, sizeof(*s->seen));
	s->d = d;
	return s->seen ? dictionary_map_begin(&s->map, d) : -ENOMEM;
}

/* ---- shapes ---- */

static uint32_t string_of(struct summing *s, uint32_t string, int *err)
{
	int64_t number = dictionary_map_string(&s->map, s->d, s->all, string);

	if (number < 0)
		*err = (int)number;
	return number < 0 ? 0 : (uint32_t)number;
}

static struct profile_value_type type_of(struct summing *s, struct profile_value_type type, int *err)
{
	return (struct profile_value_type){string_of(s, type.type, err), string_of(s, type.unit, err)};
}

static int shape_of(struct summing *s, const struct window_shape *from, struct window_shape *to)
{
	int err = 0;

	*to = (struct window_shape){.n_types = from->n_types};
	for (uint32_t i = 0; i < from->n_types; i++)
		to->types[i] = type_of(s, from->types[i], &err);
	to->period_type = type_of(s, from->period_type, &err);
	to->default_type = string_of(s, from->default_type, &err);
	to->drop_frames = string_of(s, from->drop_frames, &err);
	to->keep_frames = string_of(s, from->keep_frames, &err);
	to->doc_url = string_of(s, from->doc_url, &err);
	return err;
}

/* ---- adding ---- */

/* 1: the window's values are what is summed; 0: they are others. */
static int check_shape(struct summing *s, const struct window *w)
{
	struct window_shape shape;

	if (s->has_shape && window_same_shape(&s->shape, &w->shape))
		return 1;
	if (!s->adopted) {
		if (s->windows)
			return 0; /* has_shape: it was another one */
		shape = w->shape;
	} else {
		int err = shape_of(s, &w->shape, &shape);
		if (err < 0)
			return err;
		if (!window_same_shape(&s->sum.shape, &shape))
			return 0;
	}
	if (!s->values) {
		s->values = calloc((size_t)s->d->n.tables[DICTIONARY_SERIES] + 1, (shape.n_types + 1) * sizeof(*s->values));
		if (!s->values)
			return -ENOMEM;
	}
	s->shape = w->shape;
	s->has_shape = true;
	return 1;
}

static int add_head(struct summing *s, const struct window *w, const char *account)
{
	struct window_head *to = &s->sum.head;
	const struct window_head *from = &w->head;

	if (account) {
		char *merged;
		int err = account_merge(s->sum.account, account, &merged);
		if (err < 0)
			return err;
		free(s->sum.account);
		s->sum.account = merged;
	}
	if (!s->windows++) {
		*to = *from;
		s->sum.period = w->period;
		return 0;
	}
	if (from->time_ns < to->time_ns)
		to->time_ns = from->time_ns;
	if (__builtin_add_overflow(to->duration_ns, from->duration_ns, &to->duration_ns))
		to->duration_ns = INT64_MAX;
	if (w->period > s->sum.period)
		s->sum.period = w->period;
	return 0;
}

int summing_add(struct summing *s, const struct window *w, const uint32_t *places, const char *account)
{
	uint32_t types = w->shape.n_types;

	int same = check_shape(s, w);
	if (same < 0)
		return same;
	if (!same) {
		s->left_out++;
		return 0;
	}
	const int64_t *values = w->values;
	for (size_t i = 0; i < w->n; i++, values += types) {
		uint32_t series = places ? places[w->series[i]] : w->series[i];
		if (series == PROFILE_NONE)
			continue;
		int64_t *sum = &s->values[(size_t)series * types];
		s->seen[series] = true;
		for (uint32_t t = 0; t < types; t++)
			sum[t] = (int64_t)((uint64_t)sum[t] + (uint64_t)values[t]);
	}
	return add_head(s, w, account);
}

/* Room for the values of all series, new ones 0. */
static int grow_values(struct summing *s, uint32_t series)
{
	size_t types = s->sum.shape.n_types ? s->sum.shape.n_types : 1;

	if (series < s->values_capacity)
		return 0;
	size_t capacity = series + series / 2 + 4096;
	int64_t *values = realloc(s->sum.values, capacity * types * sizeof(*values));
	if (!values)
		return -ENOMEM;
	s->sum.values = values;
	bool *seen = realloc(s->sum_seen, capacity * sizeof(*seen));
	if (!seen)
		return -ENOMEM;
	s->sum_seen = seen;
	memset(values + s->values_capacity * types, 0, (capacity - s->values_capacity) * types * sizeof(*values));
	memset(seen + s->values_capacity, 0, (capacity - s->values_capacity) * sizeof(*seen));
	s->values_capacity = capacity;
	return 0;
}

/* The first segment's dictionary becomes the whole's: its numbers need no other. */
static int adopt(struct summing *s)
{
	dictionary_destroy(s->all);
	s->all = s->d;
	s->sum.shape = s->shape;
	s->sum.values = take_ptr(s->values);
	s->sum_seen = take_ptr(s->seen);
	s->values_capacity = (size_t)s->all->n.tables[DICTIONARY_SERIES] + 1;
	s->adopted = true;
	end_segment(s);
	return 0;
}

static void add_values(struct summing *s, uint32_t series, uint32_t from)
{
	size_t types = s->sum.shape.n_types;
	int64_t *sum = &s->sum.values[series * types];
	const int64_t *values = &s->values[from * types];

	s->sum_seen[series] = true;
	for (size_t t = 0; t < types; t++)
		sum[t] = (int64_t)((uint64_t)sum[t] + (uint64_t)values[t]);
}

static int take_over(struct summing *s)
{
	uint32_t n = s->d->n.tables[DICTIONARY_SERIES], *series = s->map.tables[DICTIONARY_SERIES];

	for (uint32_t i = 0; i < n; i++)
		if (s->seen[i])
			series[i] = DICTIONARY_WANTED;
	int err = dictionary_map_take(&s->map, s->d, s->all);
	if (err == 0)
		err = grow_values(s, s->all->n.tables[DICTIONARY_SERIES]);
	for (uint32_t i = 0; i < n && err == 0; i++)
		if (s->seen[i])
			add_values(s, series[i], i);
	return err;
}

int summing_end(struct summing *s, struct dictionary **d)
{
	int err = 0;

	if (!s->adopted && s->windows) {
		err = adopt(s);
		*d = NULL;
	} else if (s->values) {
		err = take_over(s);
	}
	end_segment(s);
	return err;
}

/* Only what is there: series and values move to the front. */
static void pack_sum(struct summing *s)
{
	size_t types = s->sum.shape.n_types;
	uint32_t n = s->all->n.tables[DICTIONARY_SERIES];

	for (uint32_t i = 0; i < n && i < s->values_capacity; i++) {
		if (!s->sum_seen[i])
			continue;
		memmove(&s->sum.values[s->sum.n * types], &s->sum.values[i * types], types * sizeof(s->sum.values[0]));
		s->sum.series[s->sum.n++] = i;
	}
}

int summing_finish(struct summing *s, struct profile **profile_out)
{
	uint32_t n = s->all->n.tables[DICTIONARY_SERIES];
	char text[96];

	if (!s->windows)
		return -ENOENT;
	if (s->left_out) {
		char *merged;
		snprintf(text, sizeof(text), "%llu windows of other sample types were left out", (unsigned long long)s->left_out);
		int err = account_merge(s->sum.account, text, &merged);
		if (err < 0)
			return err;
		free(s->sum.account);
		s->sum.account = merged;
	}
	s->sum.series = malloc(((size_t)n + 1) * sizeof(*s->sum.series));
	if (!s->sum.series)
		return -ENOMEM;
	pack_sum(s);
	free(take_ptr(s->sum_seen));
	dictionary_map_deinit(&s->map);
	return window_into_profile(&s->sum, s->all, profile_out);
}

void summing_destroy(struct summing *s)
{
	if (!s)
		return;
	end_segment(s);
	window_deinit(&s->sum);
	free(s->sum_seen);
	dictionary_map_deinit(&s->map);
	dictionary_destroy(s->all);
	free(s);
}
