/* A sum's dictionary becomes its profile: tables are the same structs in both, so that they are squeezed where they are, and given away. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "store/dictionary_map.h"
#include "store/window.h"

struct turning {
	struct dictionary *d;
	struct window *w;
	struct profile *p;
	struct dictionary_map map; /* numbers of the dictionary in the profile */
	uint32_t *depths, *places; /* of stacks: how many frames, and where they begin in p->stack_locations */
};

/* ---- what there will be ---- */

static int append_comments(struct turning *t)
{
	const char *account = t->w->account;
	size_t n = 1;

	for (const char *at = account; at && *at; at++)
		n += *at == '\n';
	t->p->comments = malloc(n * sizeof(t->p->comments[0]));
	if (!t->p->comments)
		return -ENOMEM;
	for (const char *at = account; at;) {
		const char *end = strchrnul(at, '\n');
		int64_t string = dictionary_new_string(t->d, at, (size_t)(end - at));
		if (string < 0)
			return (int)string;
		t->p->comments[t->p->n_comments++] = (profile_str)string;
		at = *end ? end + 1 : NULL;
	}
	return 0;
}

static void want_head(struct turning *t)
{
	const struct window_shape *s = &t->w->shape;
	uint32_t *strings = t->map.tables[DICTIONARY_STRINGS];
	uint32_t head[] = {s->period_type.type, s->period_type.unit, s->default_type, s->drop_frames, s->keep_frames, s->doc_url};

	strings[0] = DICTIONARY_WANTED;
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		strings[head[i]] = DICTIONARY_WANTED;
	for (uint32_t i = 0; i < s->n_types; i++)
		strings[s->types[i].type] = strings[s->types[i].unit] = DICTIONARY_WANTED;
	for (size_t i = 0; i < t->p->n_comments; i++)
		strings[t->p->comments[i]] = DICTIONARY_WANTED;
}

/* Those that are wanted get their numbers, in the order that they have. */
static void number_entries(struct turning *t, enum dictionary_table table)
{
	uint32_t *numbers = t->map.tables[table], next = 0;

	for (uint32_t i = 0; i < t->d->n.tables[table]; i++)
		if (numbers[i] == DICTIONARY_WANTED)
			numbers[i] = next++;
}

/* A stack's frames, leaf first, end with those of its caller: so only those are written out that nothing wanted hangs below, and
 * their callers have their places there. places: PROFILE_NONE for them, for now. */
static int measure_stacks(struct turning *t, uint64_t *frames_out)
{
	const struct dictionary *d = t->d;
	const uint32_t *stacks = t->map.tables[DICTIONARY_STACKS];
	uint32_t n = d->n.tables[DICTIONARY_STACKS];
	uint64_t frames = 0;

	t->depths = malloc(((size_t)n + 1) * sizeof(uint32_t));
	t->places = calloc((size_t)n + 1, sizeof(uint32_t));
	if (!t->depths || !t->places)
		return -ENOMEM;
	t->depths[0] = 0;
	for (uint32_t i = 1; i < n; i++) {
		t->depths[i] = t->depths[d->stacks[i].parent] + 1;
		if (stacks[i] != PROFILE_NONE)
			t->places[d->stacks[i].parent] = 1; /* something hangs below it */
	}
	for (uint32_t i = 1; i < n; i++) {
		bool leaf = stacks[i] != PROFILE_NONE && !t->places[i];
		frames += leaf ? t->depths[i] : 0;
		t->places[i] = leaf ? PROFILE_NONE : 0;
	}
	*frames_out = frames;
	return frames > INT32_MAX ? -E2BIG : 0;
}

static int allocate(struct turning *t)
{
	struct profile *p = t->p;
	uint64_t frames;

	int err = measure_stacks(t, &frames);
	if (err < 0)
		return err;
	p->sample_types = calloc(t->w->shape.n_types + 1, sizeof(p->sample_types[0]));
	p->samples = malloc((t->w->n + 1) * sizeof(p->samples[0]));
	p->stack_locations = malloc(((size_t)frames + 1) * sizeof(p->stack_locations[0]));
	p->strings = malloc(((size_t)t->d->n.tables[DICTIONARY_STRINGS] + 1) * sizeof(p->strings[0]));
	return p->sample_types && p->samples && p->stack_locations && p->strings ? 0 : -ENOMEM;
}

/* ---- from here on nothing fails ---- */

static void put_stacks(struct turning *t)
{
	const struct dictionary *d = t->d;
	struct profile *p = t->p;

	for (uint32_t i = 1; i < d->n.tables[DICTIONARY_STACKS]; i++) {
		if (t->places[i] != PROFILE_NONE)
			continue;
		for (uint32_t at = i; at; at = d->stacks[at].parent) {
			t->places[at] = (uint32_t)p->n_stack_locations;
			p->stack_locations[p->n_stack_locations++] = t->map.tables[DICTIONARY_LOCATIONS][d->stacks[at].location];
		}
	}
}

/* Memory behind what is left goes back. */
static void *give(void *pointer_to_array, size_t n, size_t entry_bytes)
{
	void **array = pointer_to_array, *entries = *array;

	*array = NULL;
	void *smaller = realloc(entries, (n + 1) * entry_bytes); /* there is always one more: an empty table is no failure */
	return smaller ? smaller : entries;
}

static void put_strings(struct turning *t)
{
	struct dictionary *d = t->d;
	struct profile *p = t->p;
	uint32_t begin = 0;
	size_t bytes = 0;

	for (uint32_t i = 0; i < d->n.tables[DICTIONARY_STRINGS]; i++) {
		uint32_t end = d->string_ends[i];
		if (t->map.tables[DICTIONARY_STRINGS][i] != PROFILE_NONE) {
			memmove(d->string_bytes + bytes, d->string_bytes + begin, end - begin);
			d->string_ends[p->n_strings++] = end - begin - 1;
			bytes += end - begin;
		}
		begin = end;
	}
	p->string_bytes = give(&d->string_bytes, bytes, 1);
	p->string_lengths = give(&d->string_ends, p->n_strings, sizeof(p->string_lengths[0]));
	const char *at = p->string_bytes;
	for (size_t i = 0; i < p->n_strings; i++) {
		p->strings[i] = at;
		at += p->string_lengths[i] + 1;
	}
}

static void put_mappings(struct turning *t)
{
	const uint32_t *strings = t->map.tables[DICTIONARY_STRINGS];
	struct profile *p = t->p;

	for (uint32_t i = 0; i < t->d->n.tables[DICTIONARY_MAPPINGS]; i++) {
		struct profile_mapping m = t->d->mappings[i];
		if (t->map.tables[DICTIONARY_MAPPINGS][i] == PROFILE_NONE)
			continue;
		m.filename = strings[m.filename];
		m.build_id = strings[m.build_id];
		t->d->mappings[p->n_mappings++] = m;
	}
	p->mappings = give(&t->d->mappings, p->n_mappings, sizeof(p->mappings[0]));
}

static void put_functions(struct turning *t)
{
	const uint32_t *strings = t->map.tables[DICTIONARY_STRINGS];
	struct profile *p = t->p;

	for (uint32_t i = 0; i < t->d->n.tables[DICTIONARY_FUNCTIONS]; i++) {
		struct profile_function f = t->d->functions[i];
		if (t->map.tables[DICTIONARY_FUNCTIONS][i] != PROFILE_NONE)
			t->d->functions[p->n_functions++] =
				(struct profile_function){strings[f.name], strings[f.system_name], strings[f.filename], f.start_line};
	}
	p->functions = give(&t->d->functions, p->n_functions, sizeof(p->functions[0]));
}

/* Lines lie in the order of their locations, and labels in that of their sets. */
static void put_locations(struct turning *t)
{
	struct dictionary *d = t->d;
	struct profile *p = t->p;

	for (uint32_t i = 0; i < d->n.tables[DICTIONARY_LOCATIONS]; i++) {
		struct profile_location l = d->locations[i];
		if (t->map.tables[DICTIONARY_LOCATIONS][i] == PROFILE_NONE)
			continue;
		if (l.mapping != PROFILE_NONE)
			l.mapping = t->map.tables[DICTIONARY_MAPPINGS][l.mapping];
		for (uint32_t k = 0; k < l.n_lines; k++) {
			struct profile_line line = d->lines[l.first_line + k];
			line.function = t->map.tables[DICTIONARY_FUNCTIONS][line.function];
			d->lines[p->n_lines + k] = line;
		}
		l.first_line = (uint32_t)p->n_lines;
		p->n_lines += l.n_lines;
		d->locations[p->n_locations++] = l;
	}
	p->lines = give(&d->lines, p->n_lines, sizeof(p->lines[0]));
	p->locations = give(&d->locations, p->n_locations, sizeof(p->locations[0]));
}

static void put_labels(struct turning *t)
{
	const uint32_t *strings = t->map.tables[DICTIONARY_STRINGS];
	struct dictionary *d = t->d;
	struct profile *p = t->p;

	for (uint32_t i = 0; i < d->n.tables[DICTIONARY_LABEL_SETS]; i++) {
		struct dictionary_label_set *set = &d->label_sets[i];
		if (t->map.tables[DICTIONARY_LABEL_SETS][i] == PROFILE_NONE)
			continue;
		for (uint32_t k = 0; k < set->n; k++) {
			struct profile_label l = d->labels[set->first + k];
			d->labels[p->n_labels + k] = (struct profile_label){strings[l.key], strings[l.str], l.num, strings[l.num_unit]};
		}
		set->first = (uint32_t)p->n_labels;
		p->n_labels += set->n;
	}
	p->labels = give(&d->labels, p->n_labels, sizeof(p->labels[0]));
}

static void put_samples(struct turning *t)
{
	const struct dictionary *d = t->d;
	struct profile *p = t->p;

	for (size_t i = 0; i < t->w->n; i++) {
		struct dictionary_series series = d->series[t->w->series[i]];
		struct dictionary_label_set set = d->label_sets[series.labels];
		uint32_t depth = t->depths[series.stack];
		p->samples[p->n_samples++] = (struct profile_sample){depth ? t->places[series.stack] : 0, depth, set.first, set.n};
	}
	p->values = give(&t->w->values, t->w->n * t->w->shape.n_types, sizeof(p->values[0]));
}

static void put_head(struct turning *t)
{
	const struct window_shape *s = &t->w->shape;
	const uint32_t *strings = t->map.tables[DICTIONARY_STRINGS];
	struct profile *p = t->p;

	for (uint32_t i = 0; i < s->n_types; i++)
		p->sample_types[p->n_sample_types++] = (struct profile_value_type){strings[s->types[i].type], strings[s->types[i].unit]};
	p->period_type = (struct profile_value_type){strings[s->period_type.type], strings[s->period_type.unit]};
	p->period = t->w->period;
	p->default_sample_type = strings[s->default_type];
	p->drop_frames = strings[s->drop_frames];
	p->keep_frames = strings[s->keep_frames];
	p->doc_url = strings[s->doc_url];
	p->time_ns = t->w->head.time_ns;
	p->duration_ns = t->w->head.duration_ns;
	for (size_t i = 0; i < p->n_comments; i++)
		p->comments[i] = strings[p->comments[i]];
}

static int turn(struct turning *t)
{
	t->p = calloc(1, sizeof(*t->p));
	if (!t->p)
		return -ENOMEM;
	dictionary_drop_indices(t->d);
	int err = append_comments(t);
	if (err == 0)
		err = dictionary_map_begin(&t->map, t->d);
	if (err < 0)
		return err;
	want_head(t);
	for (size_t i = 0; i < t->w->n; i++)
		t->map.tables[DICTIONARY_SERIES][t->w->series[i]] = DICTIONARY_WANTED;
	dictionary_map_want(&t->map, t->d);
	err = allocate(t);
	if (err < 0)
		return err;
	for (int table = DICTIONARY_STRINGS; table <= DICTIONARY_LOCATIONS; table++)
		number_entries(t, (enum dictionary_table)table);
	put_stacks(t);
	put_strings(t);
	put_mappings(t);
	put_functions(t);
	put_locations(t);
	put_labels(t);
	put_samples(t);
	put_head(t);
	return 0;
}

int window_into_profile(struct window *w, struct dictionary *d, struct profile **profile_out)
{
	struct turning t = {.d = d, .w = w};

	int err = turn(&t);
	dictionary_map_deinit(&t.map);
	free(t.depths);
	free(t.places);
	if (err < 0) {
		profile_free(t.p);
		return err;
	}
	*profile_out = t.p;
	return 0;
}
