#include "server-upload/shape_series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/scope.h"
#include "server-upload/shape_frames.h"
#include "server-upload/shape_labels.h"

#define SERIES_MAX_DEFAULT 5000

/* What is needed only while sorting. */
struct sorting {
	struct intern_table groups;  /* the samples' labels as they came */
	struct intern_table entries; /* uint32_t series, stack, tags */
	struct shape_group *outcomes; /* groups.n */
	size_t outcomes_capacity;
	uint32_t *group_of; /* of each sample */
	uint32_t *series_of; /* of each key: itself, or the one that it is folded into */
	uint64_t *key_words;
	size_t key_capacity;
	uint32_t *stack;
	size_t stack_capacity;
};

static void sorting_deinit(struct sorting *s)
{
	intern_table_deinit(&s->groups);
	intern_table_deinit(&s->entries);
	free(s->outcomes);
	free(s->group_of);
	free(s->series_of);
	free(s->key_words);
	free(s->stack);
}

#define AUTO_SORTING __attribute__((cleanup(sorting_deinit)))

static uint32_t find_count_type(const struct profile *p)
{
	for (uint32_t i = 0; i < p->n_sample_types; i++)
		if (strcmp(profile_string(p, p->sample_types[i].type), "samples") == 0 &&
		    strcmp(profile_string(p, p->sample_types[i].unit), "count") == 0)
			return i;
	return 0;
}

static uint64_t count_of(const struct shape_series *x, size_t sample)
{
	return (uint64_t)x->window->values[sample * x->window->n_sample_types + x->count_type];
}

/* ---- labels ---- */

static int reserve_key(struct sorting *s, size_t n_words)
{
	if (n_words <= s->key_capacity)
		return 0;
	uint64_t *grown = realloc(s->key_words, 2 * n_words * sizeof(grown[0]));
	if (!grown)
		return -ENOMEM;
	s->key_words = grown;
	s->key_capacity = 2 * n_words;
	return 0;
}

/* Samples with the same labels have the same fate. */
static int find_group(struct shape_series *x, struct sorting *s, const struct profile_sample *sample, uint32_t *group_out)
{
	const struct profile_label *labels = x->window->labels + sample->first_label;

	int err = reserve_key(s, (size_t)3 * sample->n_labels + 1);
	if (err < 0)
		return err;
	for (size_t i = 0; i < sample->n_labels; i++) {
		s->key_words[3 * i] = (uint64_t)labels[i].key << 32 | labels[i].str;
		s->key_words[3 * i + 1] = (uint64_t)labels[i].num;
		s->key_words[3 * i + 2] = labels[i].num_unit;
	}
	int64_t group = intern_table_put(&s->groups, s->key_words, 3 * sizeof(s->key_words[0]) * sample->n_labels);
	if (group < 0)
		return (int)group;
	if ((size_t)group == s->outcomes_capacity) {
		size_t capacity = 2 * s->outcomes_capacity + 64;
		struct shape_group *grown = realloc(s->outcomes, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->outcomes = grown;
		s->outcomes_capacity = capacity;
	}
	*group_out = (uint32_t)group;
	return 0;
}

static int sort_labels(struct shape_series *x, struct sorting *s)
{
	const struct profile *p = x->window;

	s->group_of = calloc(p->n_samples + 1, sizeof(s->group_of[0]));
	if (!s->group_of)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_samples; i++) {
		const struct profile_sample *sample = &p->samples[i];
		uint32_t known = s->groups.n;
		int err = find_group(x, s, sample, &s->group_of[i]);
		if (err == 0 && s->groups.n > known)
			err = shape_labels_of_sample(x, p->labels + sample->first_label, sample->n_labels, &s->outcomes[known]);
		if (err < 0)
			return err;
		if (s->outcomes[s->group_of[i]].dropped)
			x->counts.samples_dropped += count_of(x, i);
	}
	return 0;
}

/* ---- series ---- */

struct size_of_series {
	uint64_t count;
	uint32_t series;
};

static int largest_first(const void *a, const void *b)
{
	const struct size_of_series *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->series < y->series ? -1 : 1;
}

/* Keep the largest, the last of them being the one that takes all others. */
static int fold_series(struct shape_series *x, struct sorting *s, const uint64_t *counts, uint32_t max)
{
	uint32_t n = x->keys.n, other = 0;

	AUTO_FREE struct size_of_series *sizes = calloc((size_t)n + 1, sizeof(*sizes));
	if (!sizes)
		return -ENOMEM;
	int err = shape_labels_of_other(x, &other);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < n; i++)
		sizes[i] = (struct size_of_series){counts[i], i};
	qsort(sizes, n, sizeof(sizes[0]), largest_first);
	for (uint32_t i = max - 1; i < n; i++) {
		s->series_of[sizes[i].series] = other;
		x->counts.series_folded += sizes[i].series != other;
	}
	return 0;
}

static int sort_series(struct shape_series *x, struct sorting *s)
{
	uint32_t max = x->options->series_max ? x->options->series_max : SERIES_MAX_DEFAULT;

	/* One more: for what is folded. */
	AUTO_FREE uint64_t *counts = calloc((size_t)x->keys.n + 1, sizeof(*counts));
	s->series_of = calloc((size_t)x->keys.n + 1, sizeof(s->series_of[0]));
	if (!counts || !s->series_of)
		return -ENOMEM;
	for (size_t i = 0; i < x->window->n_samples; i++)
		if (!s->outcomes[s->group_of[i]].dropped)
			counts[s->outcomes[s->group_of[i]].key] += count_of(x, i);
	for (uint32_t i = 0; i <= x->keys.n; i++)
		s->series_of[i] = i;
	return x->keys.n > max ? fold_series(x, s, counts, max) : 0;
}

/* ---- frames ---- */

/* Two locations that differ in their names only are the same address: stacks of them are equal. */
static int find_addresses(struct shape_series *x)
{
	__attribute__((cleanup(intern_table_deinit))) struct intern_table addresses = {.seed = x->texts.seed};
	const struct profile *p = x->window;

	if (!x->kind->resolves_names)
		return 0;
	AUTO_FREE uint32_t *firsts = calloc(p->n_locations + 1, sizeof(*firsts));
	x->as_address = calloc(p->n_locations + 1, sizeof(x->as_address[0]));
	if (!firsts || !x->as_address)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_locations; i++) {
		const struct profile_location *location = &p->locations[i];
		if (!shape_frame_is_address(p, location, x->options->strip_symbols))
			continue;
		uint64_t key[2] = {location->address, location->mapping};
		uint32_t known = addresses.n;
		int64_t address = intern_table_put(&addresses, key, sizeof(key));
		if (address < 0)
			return (int)address;
		if (address == known)
			firsts[address] = (uint32_t)i + 1;
		x->as_address[i] = firsts[address];
	}
	return 0;
}

/* ---- samples ---- */

static int64_t put_stack(struct shape_series *x, struct sorting *s, const struct profile_sample *sample)
{
	const uint32_t *locations = x->window->stack_locations + sample->first_location;
	size_t n = sample->n_locations;

	if (x->as_address) {
		if (n > s->stack_capacity) {
			uint32_t *grown = realloc(s->stack, 2 * n * sizeof(grown[0]));
			if (!grown)
				return -ENOMEM;
			s->stack = grown;
			s->stack_capacity = 2 * n;
		}
		for (size_t i = 0; i < n; i++)
			s->stack[i] = x->as_address[locations[i]] ? x->as_address[locations[i]] - 1 : locations[i];
		locations = s->stack;
	}
	return intern_table_put(&x->stacks, locations, n * sizeof(locations[0]));
}

static int add_sample(struct shape_series *x, struct sorting *s, size_t i)
{
	const struct profile *p = x->window;
	const struct profile_sample *sample = &p->samples[i];
	const struct shape_group *outcome = &s->outcomes[s->group_of[i]];

	int64_t stack = put_stack(x, s, sample);
	if (stack < 0)
		return (int)stack;
	uint32_t key[3] = {s->series_of[outcome->key], (uint32_t)stack, outcome->tags};
	int64_t entry = intern_table_put(&s->entries, key, sizeof(key));
	if (entry < 0)
		return (int)entry;
	struct shape_entry *to = &x->entries[entry];
	if (entry == x->n_entries) {
		*to = (struct shape_entry){.series = key[0], .stack = key[1], .tags = key[2], .values = (uint32_t)entry};
		x->n_entries++;
	}
	to->count += count_of(x, i);
	for (size_t k = 0; k < p->n_sample_types; k++) {
		int64_t *value = &x->values[(size_t)entry * p->n_sample_types + k];
		*value = (int64_t)((uint64_t)*value + (uint64_t)p->values[i * p->n_sample_types + k]);
	}
	return 0;
}

static int by_series(const void *a, const void *b)
{
	const struct shape_entry *x = a, *y = b;

	if (x->series != y->series)
		return x->series < y->series ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->values < y->values ? -1 : 1;
}

static int sort_samples(struct shape_series *x, struct sorting *s)
{
	const struct profile *p = x->window;

	x->entries = calloc(p->n_samples + 1, sizeof(x->entries[0]));
	x->values = calloc(p->n_samples * p->n_sample_types + 1, sizeof(x->values[0]));
	x->series = calloc((size_t)x->keys.n + 1, sizeof(x->series[0]));
	if (!x->entries || !x->values || !x->series)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_samples; i++) {
		int err = s->outcomes[s->group_of[i]].dropped ? 0 : add_sample(x, s, i);
		if (err < 0)
			return err;
	}
	qsort(x->entries, x->n_entries, sizeof(x->entries[0]), by_series);
	for (uint32_t i = 0; i < x->n_entries; i++) {
		struct shape_serie *series = &x->series[x->entries[i].series];
		if (!series->n_entries++) {
			series->first_entry = i;
			x->counts.series++;
		}
		series->count += x->entries[i].count;
	}
	return 0;
}

/* ---- */

static int by_count(const void *a, const void *b)
{
	const struct shape_entry *x = *(const struct shape_entry *const *)a, *y = *(const struct shape_entry *const *)b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->values < y->values ? -1 : 1;
}

int shape_series_rank(struct shape_series *x)
{
	AUTO_FREE struct shape_entry **order = calloc((size_t)x->n_entries + 1, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (uint32_t i = 0; i < x->n_entries; i++)
		order[i] = &x->entries[i];
	qsort(order, x->n_entries, sizeof(order[0]), by_count);
	for (uint32_t i = 0; i < x->n_entries; i++)
		order[i]->rank = i;
	return 0;
}

int shape_series_init(struct shape_series *x, const struct shape_kind *kind, const struct profile *window, const struct shape_options *options)
{
	AUTO_SORTING struct sorting s = {.outcomes = NULL};
	uint64_t seed;

	*x = (struct shape_series){.window = window, .options = options, .kind = kind, .count_type = find_count_type(window)};
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return -ENOMEM;
	x->texts.seed = x->keys.seed = x->tags.seed = x->stacks.seed = s.groups.seed = s.entries.seed = seed;
	if (!window->n_sample_types)
		return 0;
	if (window->n_samples > UINT32_MAX / 2)
		return -E2BIG;
	int64_t empty = intern_table_put(&x->texts, "", 0);
	int err = empty < 0 ? (int)empty : shape_labels_of_sink(x);
	if (err == 0)
		err = sort_labels(x, &s);
	if (err == 0)
		err = sort_series(x, &s);
	if (err == 0)
		err = find_addresses(x);
	if (err == 0)
		err = sort_samples(x, &s);
	return err;
}

const char *shape_series_text(const struct shape_series *x, uint32_t text)
{
	return intern_table_get(&x->texts, text, NULL);
}

void shape_series_labels(const struct shape_series *x, uint32_t series, int64_t *pid_out, const struct shape_label **labels_out, size_t *n_out)
{
	size_t n;
	const char *key = intern_table_get(&x->keys, series, &n);

	memcpy(pid_out, key, sizeof(*pid_out));
	*labels_out = (const struct shape_label *)(const void *)(key + sizeof(*pid_out));
	*n_out = (n - sizeof(*pid_out)) / sizeof(**labels_out);
}

void shape_series_deinit(struct shape_series *x)
{
	intern_table_deinit(&x->texts);
	intern_table_deinit(&x->keys);
	intern_table_deinit(&x->tags);
	intern_table_deinit(&x->stacks);
	free(x->series);
	free(x->entries);
	free(x->values);
	free(x->base);
	free(x->as_address);
	*x = (struct shape_series){0};
}
