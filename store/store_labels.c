#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "store/store_query.h"

/* ---- labels as text ---- */

int label_texts_read(struct label_texts *t, const struct dictionary *d, uint32_t set)
{
	const struct dictionary_label_set *labels = &d->label_sets[set];

	if (labels->n > t->capacity) {
		label_texts_deinit(t);
		t->labels = malloc(2 * (size_t)labels->n * sizeof(t->labels[0]));
		t->numbers = malloc(2 * (size_t)labels->n * sizeof(t->numbers[0]));
		if (!t->labels || !t->numbers)
			return -ENOMEM;
		t->capacity = 2 * (size_t)labels->n;
	}
	t->n = labels->n;
	for (uint32_t i = 0; i < labels->n; i++) {
		const struct profile_label *label = &d->labels[labels->first + i];
		t->labels[i] = (struct store_label){dictionary_string_at(d, label->key), t->numbers[i]};
		if (label->str)
			t->labels[i].text = dictionary_string_at(d, label->str);
		else
			snprintf(t->numbers[i], sizeof(t->numbers[i]), "%" PRId64, label->num);
	}
	return 0;
}

const char *label_texts_value(const struct label_texts *t, const char *key)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->labels[i].key, key) == 0)
			return t->labels[i].text;
	return "";
}

void label_texts_deinit(struct label_texts *t)
{
	free(t->labels);
	free(t->numbers);
	*t = (struct label_texts){0};
}

/* ---- which sets ---- */

static bool label_matches(const struct dictionary *d, const struct profile_label *label, const char *value)
{
	char number[24];

	if (label->str)
		return strcmp(dictionary_string_at(d, label->str), value) == 0;
	snprintf(number, sizeof(number), "%" PRId64, label->num);
	return strcmp(number, value) == 0;
}

static bool set_has(const struct dictionary *d, uint32_t set, const char *key, const char *value)
{
	const struct dictionary_label_set *labels = &d->label_sets[set];
	bool has_key = false;

	for (uint32_t i = 0; i < labels->n; i++) {
		const struct profile_label *label = &d->labels[labels->first + i];
		if (strcmp(dictionary_string_at(d, label->key), key) != 0)
			continue;
		if (label_matches(d, label, value))
			return true;
		has_key = true;
	}
	return !*value && !has_key;
}

bool *query_matching_sets(const struct dictionary *d, const struct store_filter *filter)
{
	uint32_t n = d->n.tables[DICTIONARY_LABEL_SETS];
	AUTO_FREE bool *matches = malloc(n + 1);
	struct label_texts texts = {0};
	int err = 0;

	for (uint32_t i = 0; matches && i < n && err == 0; i++) {
		matches[i] = true;
		for (size_t f = 0; f < filter->n_labels && matches[i]; f++)
			matches[i] = set_has(d, i, filter->labels[f].key, filter->labels[f].value);
		if (!matches[i] || !filter->match)
			continue;
		err = label_texts_read(&texts, d, i);
		matches[i] = err == 0 && filter->match(filter->match_context, texts.labels, texts.n);
	}
	label_texts_deinit(&texts);
	return err < 0 ? NULL : take_ptr(matches);
}

/* The frames of the dictionary as a profile's. */
static int ask_locations(const struct dictionary *d, const struct store_filter *filter, uint8_t **bits_out)
{
	AUTO_FREE const char **strings = malloc(d->n.tables[DICTIONARY_STRINGS] * sizeof(*strings));

	if (!strings)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->n.tables[DICTIONARY_STRINGS]; i++)
		strings[i] = dictionary_string_at(d, i);
	struct profile frames = {
		.strings = strings,
		.n_strings = d->n.tables[DICTIONARY_STRINGS],
		.mappings = d->mappings,
		.n_mappings = d->n.tables[DICTIONARY_MAPPINGS],
		.functions = d->functions,
		.n_functions = d->n.tables[DICTIONARY_FUNCTIONS],
		.locations = d->locations,
		.n_locations = d->n.tables[DICTIONARY_LOCATIONS],
		.lines = d->lines,
		.n_lines = d->n.lines,
	};
	return filter->locations(filter->frames_context, &frames, bits_out);
}

int query_matching_stacks(const struct dictionary *d, const struct store_filter *filter, bool **stacks_out)
{
	uint32_t n = d->n.tables[DICTIONARY_STACKS];
	AUTO_FREE uint8_t *locations = NULL, *bits = NULL;

	*stacks_out = NULL;
	if (!filter->locations)
		return 0;
	int err = ask_locations(d, filter, &locations);
	if (err < 0)
		return err;
	bits = calloc(n, sizeof(*bits));
	bool *stacks = malloc(n * sizeof(*stacks));
	if (!bits || !stacks) {
		free(stacks);
		return -ENOMEM;
	}
	stacks[0] = filter->stack(filter->frames_context, 0, false);
	for (uint32_t i = 1; i < n; i++) { /* a caller's number is smaller */
		bits[i] = bits[d->stacks[i].parent] | locations[d->stacks[i].location];
		stacks[i] = filter->stack(filter->frames_context, bits[i], true);
	}
	*stacks_out = stacks;
	return 0;
}

uint32_t query_value(const struct query *q)
{
	const struct window_shape *shape = &q->w.shape;
	const char *type = q->filter->type;

	for (uint32_t i = shape->n_types; i-- > 0;)
		if (type ? strcmp(dictionary_string_at(q->dictionary, shape->types[i].type), type) == 0
			 : shape->default_type && shape->types[i].type == shape->default_type)
			return i;
	return type || !shape->n_types ? PROFILE_NONE : shape->n_types - 1;
}

/* ---- sums by label set ---- */

struct totals {
	store_labels_fn fn;
	void *context;
	bool *matches, *stacks;
	int64_t *values; /* by label set */
	bool *seen;
};

static int totals_begin(struct query *q)
{
	struct totals *t = q->context;
	size_t n = (size_t)q->dictionary->n.tables[DICTIONARY_LABEL_SETS] + 1;

	free(t->matches);
	free(take_ptr(t->stacks));
	free(t->values);
	free(t->seen);
	t->matches = query_matching_sets(q->dictionary, q->filter);
	t->values = calloc(n, sizeof(*t->values));
	t->seen = calloc(n, sizeof(*t->seen));
	return t->matches && t->values && t->seen ? query_matching_stacks(q->dictionary, q->filter, &t->stacks) : -ENOMEM;
}

static int totals_window(struct query *q, const struct window_head *head, const char *account)
{
	struct totals *t = q->context;

	(void)account;
	int err = query_load_window(q, head);
	if (err)
		return err < 0 ? err : 0;
	uint32_t types = q->w.shape.n_types, type = query_value(q);
	for (size_t i = 0; i < q->w.n && type != PROFILE_NONE; i++) {
		uint32_t set = q->dictionary->series[q->w.series[i]].labels;
		if (t->stacks && !t->stacks[q->dictionary->series[q->w.series[i]].stack])
			continue;
		t->values[set] = (int64_t)((uint64_t)t->values[set] + (uint64_t)q->w.values[i * types + type]);
		t->seen[set] = true;
	}
	return 0;
}

static int totals_end(struct query *q)
{
	struct totals *t = q->context;
	struct label_texts texts = {0};
	int result = 0;

	for (uint32_t i = 0; i < q->dictionary->n.tables[DICTIONARY_LABEL_SETS] && result == 0; i++) {
		if (!t->seen[i] || !t->matches[i])
			continue;
		result = label_texts_read(&texts, q->dictionary, i);
		if (result == 0) {
			struct store_label_total total = {texts.labels, texts.n, t->values[i]};
			result = t->fn(t->context, &total);
		}
	}
	label_texts_deinit(&texts);
	return result;
}

int store_reader_labels(struct store_reader *r, const struct store_filter *filter, store_labels_fn fn, void *context, struct why *why)
{
	struct totals t = {.fn = fn, .context = context};
	struct query q = {.r = r, .filter = filter, .window = totals_window, .begin = totals_begin, .end = totals_end, .context = &t, .why = why};

	int result = query_run(&q, true);
	free(t.matches);
	free(t.stacks);
	free(t.values);
	free(t.seen);
	return result;
}

/* ---- sample types ---- */

#define TYPES_TOLD 1

struct types {
	store_type_fn fn;
	void *context;
};

static int types_window(struct query *q, const struct window_head *head, const char *account)
{
	struct types *t = q->context;
	const struct window_shape *shape = &q->w.shape;

	(void)account;
	int err = query_load_window(q, head);
	if (err)
		return err < 0 ? err : 0;
	for (uint32_t i = 0, value = query_value(q); i < shape->n_types; i++) {
		struct store_type type = {
			.type = dictionary_string_at(q->dictionary, shape->types[i].type),
			.unit = dictionary_string_at(q->dictionary, shape->types[i].unit),
			.period_type = dictionary_string_at(q->dictionary, shape->period_type.type),
			.period_unit = dictionary_string_at(q->dictionary, shape->period_type.unit),
			.is_default = i == value,
		};
		int result = t->fn(t->context, &type);
		if (result)
			return result;
	}
	return TYPES_TOLD;
}

int store_reader_types(struct store_reader *r, const struct store_filter *filter, store_type_fn fn, void *context, struct why *why)
{
	struct types t = {.fn = fn, .context = context};
	struct store_filter any = {.from_ns = filter->from_ns, .to_ns = filter->to_ns};
	struct query q = {.r = r, .filter = &any, .window = types_window, .newest_first = true, .context = &t, .why = why};

	int result = query_run(&q, true);
	return result == TYPES_TOLD ? 0 : result;
}
