#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "store/store_query.h"

#define BUCKETS_MAX 100000
#define VALUES_MAX  (1u << 27)

/* Values by row: a table of strings, and for each a line of buckets. */
struct timeline {
	const struct store_rows *rows;
	int64_t from_ns, to_ns;
	size_t n_buckets;
	struct dictionary *names; /* its strings only: row i is string i */
	uint32_t only;		  /* rows up to this number are told; behind them is the one for all others. 0: all are */
	int64_t *values;	  /* rows * n_buckets */
	size_t n_rows;
	bool *matches, *stacks;
	uint32_t *row_of; /* for each label set of the segment, PROFILE_NONE: filtered out */
	int64_t *window;  /* the window's values by row */
	struct label_texts texts;
	struct packing name;
};

static int make_room(struct timeline *t, size_t n)
{
	size_t most = t->rows->values_max ? t->rows->values_max : VALUES_MAX;

	if (n == t->n_rows)
		return 0;
	if (n > most / t->n_buckets)
		return -E2BIG;
	int64_t *values = realloc(t->values, n * t->n_buckets * sizeof(*values));
	if (!values)
		return -ENOMEM;
	memset(values + t->n_rows * t->n_buckets, 0, (n - t->n_rows) * t->n_buckets * sizeof(*values));
	t->values = values;
	int64_t *window = realloc(t->window, n * sizeof(*window));
	if (!window)
		return -ENOMEM;
	t->window = window;
	t->n_rows = n;
	return 0;
}

/* The row of a label set, or a negative errno. */
static int64_t row_of_set(struct timeline *t, const struct dictionary *d, uint32_t set)
{
	packing_clear(&t->name);
	for (size_t i = 0; i < t->rows->n_keys; i++) {
		if (i == 0) {
			int err = label_texts_read(&t->texts, d, set);
			if (err < 0)
				return err;
		} else {
			packing_raw(&t->name, (const char[]){STORE_ROW_SEPARATOR}, 1);
		}
		const char *text = label_texts_value(&t->texts, t->rows->keys[i]);
		packing_raw(&t->name, text, strlen(text));
	}
	if (t->name.failed)
		return -ENOMEM;
	int64_t row = dictionary_string(t->names, t->name.n ? (const char *)t->name.bytes : "", t->name.n);
	return t->only && row > (int64_t)t->only ? (int64_t)t->only : row;
}

static int timeline_begin(struct query *q)
{
	struct timeline *t = q->context;
	uint32_t n = q->dictionary->n.tables[DICTIONARY_LABEL_SETS];

	free(t->matches);
	free(take_ptr(t->stacks));
	free(t->row_of);
	t->matches = query_matching_sets(q->dictionary, q->filter);
	t->row_of = malloc((n + 1) * sizeof(*t->row_of));
	int err = t->matches && t->row_of ? query_matching_stacks(q->dictionary, q->filter, &t->stacks) : -ENOMEM;
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < n; i++) {
		int64_t row = t->matches[i] ? row_of_set(t, q->dictionary, i) : (int64_t)PROFILE_NONE;
		if (row < 0)
			return (int)row;
		t->row_of[i] = (uint32_t)row;
	}
	return t->only ? 0 : make_room(t, t->names->n.tables[DICTIONARY_STRINGS]);
}
/* The share of a value that lies before some time in a window: shares of parts sum up to the whole. */
static int64_t share_before(int64_t value, int64_t at, int64_t begin, int64_t end)
{
	if (at <= begin)
		return 0;
	return at >= end ? value : (int64_t)((__int128)value * (at - begin) / (end - begin));
}

static int64_t bucket_begin(const struct timeline *t, size_t bucket)
{
	return t->from_ns + (int64_t)((__int128)(t->to_ns - t->from_ns) * (__int128)bucket / (__int128)t->n_buckets);
}

static size_t bucket_at(const struct timeline *t, int64_t at)
{
	if (at <= t->from_ns)
		return 0;
	size_t bucket = (size_t)((__int128)(at - t->from_ns) * (__int128)t->n_buckets / (t->to_ns - t->from_ns));
	return bucket < t->n_buckets ? bucket : t->n_buckets - 1;
}

/* A window that is longer than a bucket is spread over those that it covers. */
static void spread(struct timeline *t, const struct window_head *head)
{
	int64_t begin = head->time_ns, end = head->end_ns > begin ? head->end_ns : begin + 1;

	for (size_t b = bucket_at(t, begin); b < t->n_buckets && (b == 0 || bucket_begin(t, b) < end); b++) {
		int64_t low = bucket_begin(t, b), high = bucket_begin(t, b + 1);
		if (high <= begin)
			continue;
		for (size_t i = 0; i < t->n_rows; i++)
			if (t->window[i])
				t->values[i * t->n_buckets + b] += share_before(t->window[i], high, begin, end) -
								   share_before(t->window[i], low, begin, end);
		if (high >= end)
			break;
	}
}

static void tell_counted(const struct query *q, uint32_t type, struct store_counted *counted)
{
	struct profile_value_type counts = q->w.shape.types[type];

	snprintf(counted->type, sizeof(counted->type), "%s", dictionary_string_at(q->dictionary, counts.type));
	snprintf(counted->unit, sizeof(counted->unit), "%s", dictionary_string_at(q->dictionary, counts.unit));
}

static int timeline_window(struct query *q, const struct window_head *head, const char *account)
{
	struct timeline *t = q->context;

	(void)account;
	int err = query_load_window(q, head);
	if (err)
		return err < 0 ? err : 0;
	uint32_t types = q->w.shape.n_types, type = query_value(q);
	if (type == PROFILE_NONE)
		return 0;
	if (t->rows->counted && !t->rows->counted->type[0])
		tell_counted(q, type, t->rows->counted);
	memset(t->window, 0, t->n_rows * sizeof(*t->window));
	for (size_t i = 0; i < q->w.n; i++) {
		struct dictionary_series series = q->dictionary->series[q->w.series[i]];
		uint32_t row = t->row_of[series.labels];
		if (row != PROFILE_NONE && (!t->stacks || t->stacks[series.stack]))
			t->window[row] = (int64_t)((uint64_t)t->window[row] + (uint64_t)q->w.values[i * types + type]);
	}
	spread(t, head);
	return 0;
}

static int tell_buckets(const struct timeline *t, store_bucket_fn fn, void *context)
{
	for (size_t b = 0; b < t->n_buckets; b++) {
		for (size_t i = 0; i < t->n_rows; i++) {
			struct store_bucket bucket = {bucket_begin(t, b), NULL, t->values[i * t->n_buckets + b]};
			if (!t->only || i < t->only)
				bucket.label = dictionary_string_at(t->names, (uint32_t)i);
			int result = bucket.value ? fn(context, &bucket) : 0;
			if (result)
				return result;
		}
	}
	return 0;
}

/* The rows that are told get the first numbers; one of them is "", string 0. */
static int begin_rows(struct timeline *t)
{
	int err = dictionary_create(&t->names);

	for (size_t i = 0; i < t->rows->n_only && err == 0; i++) {
		int64_t row = dictionary_string(t->names, t->rows->only[i], strlen(t->rows->only[i]));
		err = row < 0 ? (int)row : 0;
	}
	if (err < 0 || !t->rows->only)
		return err;
	t->only = t->names->n.tables[DICTIONARY_STRINGS];
	return make_room(t, (size_t)t->only + 1);
}

int store_reader_timeline_by(struct store_reader *r, const struct store_filter *filter, const struct store_rows *rows, store_bucket_fn fn, void *context,
			     struct why *why)
{
	struct timeline t = {.rows = rows, .from_ns = filter->from_ns, .to_ns = filter->to_ns, .n_buckets = rows->n_buckets};
	struct query q = {.r = r, .filter = filter, .window = timeline_window, .begin = timeline_begin, .context = &t, .why = why};
	int64_t length;

	why->text[0] = '\0';
	if (!t.n_buckets || t.n_buckets > BUCKETS_MAX || __builtin_sub_overflow(t.to_ns, t.from_ns, &length) || length <= 0)
		return why_set(why, -EINVAL, "a time line needs a begin, a later end, and 1 to %d buckets", BUCKETS_MAX);
	if (rows->counted)
		*rows->counted = (struct store_counted){"", ""};
	int err = begin_rows(&t);
	if (err == 0)
		err = query_run(&q, true);
	if (err == 0)
		err = tell_buckets(&t, fn, context);
	dictionary_destroy(t.names);
	label_texts_deinit(&t.texts);
	packing_deinit(&t.name);
	free(t.values);
	free(t.window);
	free(t.matches);
	free(t.stacks);
	free(t.row_of);
	return err;
}

int store_reader_timeline(struct store_reader *r, const struct store_filter *filter, const char *label, size_t n_buckets, store_bucket_fn fn,
			  void *context, struct why *why)
{
	struct store_rows rows = {.keys = &label, .n_keys = label ? 1 : 0, .n_buckets = n_buckets};

	return store_reader_timeline_by(r, filter, &rows, fn, context, why);
}
