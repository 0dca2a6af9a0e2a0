#include "store/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "store/account.h"

#define PACK_VERSION 1

static int reserve(struct window *w, size_t n)
{
	uint32_t types = w->shape.n_types;

	/* The values of the widest window fit, so that a change of the shape needs no thought. */
	if (n > (size_t)UINT32_MAX / 2)
		return -E2BIG;
	uint32_t *series = realloc(w->series, (n + 1) * sizeof(*series));
	if (!series)
		return -ENOMEM;
	w->series = series;
	int64_t *values = realloc(w->values, (n + 1) * (types ? types : 1) * sizeof(*values));
	if (!values)
		return -ENOMEM;
	w->values = values;
	w->capacity = n;
	return 0;
}

/* ---- packing ---- */

static void put_type(struct packing *out, const struct profile_value_type *type)
{
	packing_u64(out, type->type);
	packing_u64(out, type->unit);
}

static void put_shape(const struct window *w, struct packing *out)
{
	const struct window_shape *s = &w->shape;

	packing_u64(out, s->n_types);
	for (uint32_t i = 0; i < s->n_types; i++)
		put_type(out, &s->types[i]);
	put_type(out, &s->period_type);
	packing_s64(out, w->period);
	packing_u64(out, s->default_type);
	packing_u64(out, s->drop_frames);
	packing_u64(out, s->keep_frames);
	packing_u64(out, s->doc_url);
}

/* cpu/nanoseconds is samples/count times the period: a column is a factor of the first column, and what is left over where it is not. */
static int64_t factor_of(const struct window *w, uint32_t type)
{
	uint32_t types = w->shape.n_types;

	for (size_t i = 0; i < w->n; i++)
		if (w->values[i * types])
			return w->values[i * types + type] / w->values[i * types];
	return 0;
}

static int64_t rest_of(const struct window *w, size_t i, uint32_t type, int64_t factor)
{
	const int64_t *values = &w->values[i * w->shape.n_types];

	return (int64_t)((uint64_t)values[type] - (uint64_t)values[0] * (uint64_t)factor);
}

static void put_column(const struct window *w, uint32_t type, struct packing *out)
{
	int64_t factor = type ? factor_of(w, type) : 0;
	bool rest = type == 0;

	for (size_t i = 0; i < w->n && !rest; i++)
		rest = rest_of(w, i, type, factor) != 0;
	if (type) {
		packing_s64(out, factor);
		packing_u64(out, rest);
	}
	for (size_t i = 0; i < w->n && rest; i++)
		packing_s64(out, rest_of(w, i, type, factor));
}

void window_pack(const struct window *w, struct packing *out)
{
	uint32_t last = 0;

	packing_u64(out, PACK_VERSION);
	packing_u64(out, w->head.number);
	put_shape(w, out);
	packing_u64(out, w->n);
	for (size_t i = 0; i < w->n; i++) {
		packing_u64(out, w->series[i] - last);
		last = w->series[i];
	}
	for (uint32_t type = 0; type < w->shape.n_types; type++)
		put_column(w, type, out);
}

static struct profile_value_type get_type(struct unpacking *in)
{
	struct profile_value_type type;

	type.type = unpacking_below(in, UINT32_MAX);
	type.unit = unpacking_below(in, UINT32_MAX);
	return type;
}

static void get_shape(struct window *w, struct unpacking *in)
{
	struct window_shape *s = &w->shape;

	*s = (struct window_shape){.n_types = unpacking_below(in, WINDOW_TYPES_MAX + 1)};
	for (uint32_t i = 0; i < s->n_types; i++)
		s->types[i] = get_type(in);
	s->period_type = get_type(in);
	w->period = unpacking_s64(in);
	s->default_type = unpacking_below(in, UINT32_MAX);
	s->drop_frames = unpacking_below(in, UINT32_MAX);
	s->keep_frames = unpacking_below(in, UINT32_MAX);
	s->doc_url = unpacking_below(in, UINT32_MAX);
}

static void get_series(struct window *w, struct unpacking *from)
{
	struct unpacking in = *from; /* a copy stays in registers */
	uint64_t last = 0;
	uint32_t *series = w->series;

	for (size_t i = 0, n = w->n; i < n; i++) {
		uint64_t step = unpacking_below(&in, UINT32_MAX);
		last += step;
		in.bad |= (i && !step) || last >= UINT32_MAX;
		series[i] = (uint32_t)last;
	}
	*from = in;
}

static void get_column(struct window *w, uint32_t type, struct unpacking *from)
{
	struct unpacking in = *from;
	size_t types = w->shape.n_types, end = w->n * types;
	uint64_t factor = type ? (uint64_t)unpacking_s64(&in) : 0;
	bool rest = type ? unpacking_below(&in, 2) : true;
	int64_t *values = w->values;

	for (size_t i = 0; i < end && rest; i += types)
		values[i + type] = unpacking_s64(&in);
	for (size_t i = 0; i < end && type; i += types)
		values[i + type] = (int64_t)((rest ? (uint64_t)values[i + type] : 0) + (uint64_t)values[i] * factor);
	*from = in;
}

int window_unpack(struct window *w, const uint8_t *bytes, size_t n)
{
	struct unpacking in = {bytes, bytes + n, false};

	w->n = 0;
	if (unpacking_u64(&in) != PACK_VERSION || unpacking_u64(&in) != w->head.number)
		return -EBADMSG;
	get_shape(w, &in);
	uint32_t samples = unpacking_count(&in);
	if (in.bad)
		return -EBADMSG;
	int err = reserve(w, samples);
	if (err < 0)
		return err;
	w->n = samples;
	get_series(w, &in);
	for (uint32_t type = 0; type < w->shape.n_types; type++)
		get_column(w, type, &in);
	if (!in.bad && in.at == in.end)
		return 0;
	w->n = 0;
	return -EBADMSG;
}

bool window_fits(const struct window *w, const struct dictionary_counts *counts)
{
	const struct window_shape *s = &w->shape;
	uint32_t strings = counts->tables[DICTIONARY_STRINGS];

	for (uint32_t i = 0; i < s->n_types; i++)
		if (s->types[i].type >= strings || s->types[i].unit >= strings)
			return false;
	return s->period_type.type < strings && s->period_type.unit < strings && s->default_type < strings && s->drop_frames < strings &&
	       s->keep_frames < strings && s->doc_url < strings &&
	       (!w->n || w->series[w->n - 1] < counts->tables[DICTIONARY_SERIES]); /* ascending */
}

/* ---- merging ---- */

bool window_same_shape(const struct window_shape *a, const struct window_shape *b)
{
	if (a->n_types != b->n_types || a->default_type != b->default_type || a->drop_frames != b->drop_frames ||
	    a->keep_frames != b->keep_frames || a->doc_url != b->doc_url || a->period_type.type != b->period_type.type ||
	    a->period_type.unit != b->period_type.unit)
		return false;
	for (uint32_t i = 0; i < a->n_types; i++)
		if (a->types[i].type != b->types[i].type || a->types[i].unit != b->types[i].unit)
			return false;
	return true;
}

static void merge_samples(const struct window *a, const struct window *b, struct window *sum)
{
	uint32_t types = a->shape.n_types;
	size_t i = 0, j = 0;

	while (i < a->n || j < b->n) {
		bool from_a = j == b->n || (i < a->n && a->series[i] <= b->series[j]);
		bool from_b = i == a->n || (j < b->n && b->series[j] <= a->series[i]);
		int64_t *values = &sum->values[sum->n * types];
		sum->series[sum->n++] = from_a ? a->series[i] : b->series[j];
		for (uint32_t t = 0; t < types; t++)
			values[t] = (int64_t)((from_a ? (uint64_t)a->values[i * types + t] : 0) +
					      (from_b ? (uint64_t)b->values[j * types + t] : 0));
		i += from_a;
		j += from_b;
	}
}

static int64_t add_saturating(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

int window_add(struct window *w, const struct window *later)
{
	struct window sum = {.shape = w->shape};
	char *account = NULL;

	int err = reserve(&sum, w->n + later->n);
	if (err == 0)
		err = account_merge(w->account, later->account, &account);
	if (err < 0) {
		window_deinit(&sum);
		return err;
	}
	merge_samples(w, later, &sum);
	free(w->series);
	free(w->values);
	free(w->account);
	w->series = sum.series;
	w->values = sum.values;
	w->n = sum.n;
	w->capacity = sum.capacity;
	w->account = account;
	w->period = later->period > w->period ? later->period : w->period;
	w->head.duration_ns = add_saturating(w->head.duration_ns, later->head.duration_ns);
	w->head.end_ns = later->head.end_ns > w->head.end_ns ? later->head.end_ns : w->head.end_ns;
	w->head.value = (int64_t)((uint64_t)w->head.value + (uint64_t)later->head.value);
	w->head.merged += later->head.merged;
	w->head.samples = (uint32_t)w->n;
	return 0;
}

void window_deinit(struct window *w)
{
	free(w->account);
	free(w->series);
	free(w->values);
	*w = (struct window){0};
}
