#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/scope.h"
#include "web/api_endpoints.h"
#include "web/label_totals.h"

#define VALUES_MAX (1u << 21) /* 16 MiB, twice: here and in the store */
#define TOP_MAX	   100

struct timeline {
	struct api_query *q;
	int64_t n_buckets, top;
	struct text_table rows;
	int64_t *values; /* rows * buckets */
	int64_t *totals;
	size_t capacity; /* of rows */
	int64_t *other;	 /* all that is not told by itself */
	int64_t other_total, total;
	struct store_counted counted;
};

static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int make_room(struct timeline *t, size_t row)
{
	size_t buckets = (size_t)t->n_buckets;

	if (row < t->capacity)
		return 0;
	size_t capacity = 2 * row + 16;
	int64_t *values = realloc(t->values, capacity * buckets * sizeof(*values));
	if (!values)
		return -ENOMEM;
	t->values = values;
	int64_t *totals = realloc(t->totals, capacity * sizeof(*totals));
	if (!totals)
		return -ENOMEM;
	t->totals = totals;
	memset(values + t->capacity * buckets, 0, (capacity - t->capacity) * buckets * sizeof(*values));
	memset(totals + t->capacity, 0, (capacity - t->capacity) * sizeof(*totals));
	t->capacity = capacity;
	return 0;
}

static int see_bucket(void *context, const struct store_bucket *bucket)
{
	struct timeline *t = context;
	const struct api_query *q = t->q;
	/* The store's buckets begin at from + length * i / n, rounded down: the next number is i. */
	size_t at = (size_t)((__int128)(bucket->time_ns - q->from_ns) * t->n_buckets / (q->to_ns - q->from_ns));

	if (q->from_ns + (int64_t)((__int128)(q->to_ns - q->from_ns) * (int64_t)(at + 1) / t->n_buckets) <= bucket->time_ns)
		at++;
	t->total = add(t->total, bucket->value);
	if (!bucket->label) {
		t->other[at] = add(t->other[at], bucket->value);
		t->other_total = add(t->other_total, bucket->value);
		return 0;
	}
	int64_t row = text_table_add(&t->rows, bucket->label);
	int err = row < 0 ? (int)row : make_room(t, (size_t)row);
	if (err < 0)
		return err;
	int64_t *value = &t->values[(size_t)row * (size_t)t->n_buckets + at];
	*value = add(*value, bucket->value);
	t->totals[row] = add(t->totals[row], bucket->value);
	return 0;
}

/* There are too many rows to have them all: which are the largest is asked first. */
static int read_largest(struct timeline *t, struct store_rows *rows)
{
	struct api_query *q = t->q;
	AUTO_FREE struct label_totals *totals = calloc(1, sizeof(*totals));
	AUTO_FREE struct label_value *sorted = NULL;
	const char *names[TOP_MAX];

	if (!totals)
		return -ENOMEM;
	totals->only = rows->keys[0];
	int err = store_reader_labels(q->reader, &q->filter, label_totals_add, totals, &q->why);
	if (err == 0)
		err = label_totals_sorted(&totals->keys[0], &sorted);
	if (err == 0) {
		rows->only = names;
		while (rows->n_only < (size_t)t->top && rows->n_only < totals->keys[0].values.n) {
			names[rows->n_only] = sorted[rows->n_only].value;
			rows->n_only++;
		}
		err = store_reader_timeline_by(q->reader, &q->filter, rows, see_bucket, t, &q->why);
	}
	label_totals_deinit(totals);
	return err;
}

static int see_type(void *context, const struct store_type *type)
{
	(void)type;
	*(bool *)context = true;
	return 0;
}

/* Nothing was counted: is there nothing, or nothing of that type? */
static int check_type(struct api_query *q)
{
	bool any = false;

	int err = store_reader_types(q->reader, &q->filter, see_type, &any, &q->why);
	if (err < 0)
		return api_fail_errno(q, err, "reading sample types");
	return any ? api_fail(q, 400, "there is no sample type '%.64s'", q->type) : 0;
}

static int read_store(struct timeline *t, const char *by)
{
	struct api_query *q = t->q;
	struct store_rows rows = {.keys = &by, .n_keys = *by ? 1 : 0, .n_buckets = (size_t)t->n_buckets, .values_max = VALUES_MAX, .counted = &t->counted};

	api_query_select_in_store(q);
	int err = store_reader_timeline_by(q->reader, &q->filter, &rows, see_bucket, t, &q->why);
	if (err == -E2BIG && !q->selected.text[0])
		err = read_largest(t, &rows);
	if (err < 0)
		return api_fail_errno(q, err, "reading the time line");
	api_warn(q);
	return q->type && !t->counted.type[0] ? check_type(q) : 0;
}

/* ---- writing ---- */

static int by_total(const void *a, const void *b, void *context)
{
	const struct timeline *t = context;
	size_t i = *(const size_t *)a, k = *(const size_t *)b;

	return t->totals[i] != t->totals[k] ? (t->totals[i] > t->totals[k] ? -1 : 1) : strcmp(t->rows.texts[i], t->rows.texts[k]);
}

static void write_values(struct timeline *t, const int64_t *values)
{
	struct json_writer *json = &t->q->json;

	json_array_begin(json, "values");
	for (int64_t i = 0; i < t->n_buckets; i++)
		json_int(json, NULL, values[i]);
	json_array_end(json);
}

static void write_series(struct timeline *t, const size_t *order, const char *label)
{
	struct json_writer *json = &t->q->json;

	json_array_begin(json, "series");
	for (size_t i = 0; i < t->rows.n && i < (size_t)t->top; i++) {
		json_object_begin(json, NULL);
		json_string(json, "label", label ? label : t->rows.texts[order[i]]);
		json_int(json, "total", t->totals[order[i]]);
		write_values(t, &t->values[order[i] * (size_t)t->n_buckets]);
		json_object_end(json);
	}
	json_array_end(json);
	json_object_begin(json, "other");
	json_int(json, "total", t->other_total);
	write_values(t, t->other);
	json_object_end(json);
}

static int write_timeline(struct timeline *t, const char *label)
{
	struct api_query *q = t->q;
	AUTO_FREE size_t *order = malloc((t->rows.n + 1) * sizeof(*order));

	if (!order)
		return api_fail_errno(q, -ENOMEM, "sorting the time line");
	for (size_t i = 0; i < t->rows.n; i++)
		order[i] = i;
	qsort_r(order, t->rows.n, sizeof(*order), by_total, t);
	for (size_t i = (size_t)t->top; i < t->rows.n; i++) {
		for (int64_t b = 0; b < t->n_buckets; b++)
			t->other[b] = add(t->other[b], t->values[order[i] * (size_t)t->n_buckets + (size_t)b]);
		t->other_total = add(t->other_total, t->totals[order[i]]);
	}
	json_object_begin(&q->json, NULL);
	json_int(&q->json, "from_ms", q->from_ns / (int64_t)NS_PER_MS);
	json_int(&q->json, "to_ms", q->to_ns / (int64_t)NS_PER_MS);
	json_double(&q->json, "bucket_ms", (double)(q->to_ns - q->from_ns) / (double)t->n_buckets / (double)NS_PER_MS);
	json_string(&q->json, "type", t->counted.type);
	json_string(&q->json, "unit", t->counted.unit);
	json_int(&q->json, "total", t->total);
	write_series(t, order, label);
	api_write_tail(q, t->total);
	json_object_end(&q->json);
	return 0;
}

static int read_and_write(struct timeline *t)
{
	struct api_query *q = t->q;
	const char *by = api_text(q, "by");
	bool by_host = by && strcmp(by, "host") == 0;

	t->other = calloc((size_t)t->n_buckets, sizeof(*t->other));
	if (!t->other)
		return api_fail_errno(q, -ENOMEM, "reading the time line");
	int status = q->matches_host ? read_store(t, by_host ? "" : by ? by : "process") : 0;
	q->answer->is_final = true;
	return status ? status : write_timeline(t, by_host ? q->context->host : NULL);
}

int api_timeline(struct api_query *q)
{
	struct timeline t = {.q = q};

	int status = api_number(q, "buckets", 300, 1, API_BUCKETS_MAX, &t.n_buckets);
	if (status == 0)
		status = api_number(q, "top", 15, 0, TOP_MAX, &t.top);
	if (status == 0)
		status = api_query_store(q);
	if (status == 0)
		status = read_and_write(&t);
	text_table_deinit(&t.rows);
	free(t.values);
	free(t.totals);
	free(t.other);
	return status;
}
