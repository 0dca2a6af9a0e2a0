#include "store/dictionary_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

int dictionary_map_begin(struct dictionary_map *m, const struct dictionary *from)
{
	for (int t = 0; t < DICTIONARY_TABLES; t++) {
		size_t n = (size_t)from->n.tables[t] + 1;
		if (n > m->capacity[t]) {
			free(take_ptr(m->tables[t]));
			m->capacity[t] = 0;
			m->tables[t] = malloc((n + n / 4) * sizeof(uint32_t));
			if (!m->tables[t])
				return -ENOMEM;
			m->capacity[t] = n + n / 4;
		}
		memset(m->tables[t], 0xff, n * sizeof(uint32_t));
	}
	m->tables[DICTIONARY_STRINGS][0] = m->tables[DICTIONARY_STACKS][0] = m->tables[DICTIONARY_LABEL_SETS][0] = 0;
	return 0;
}

void dictionary_map_deinit(struct dictionary_map *m)
{
	for (int t = 0; t < DICTIONARY_TABLES; t++)
		free(m->tables[t]);
	free(m->lines);
	*m = (struct dictionary_map){0};
}

static struct dictionary_text text_of(const struct dictionary *from, uint32_t string)
{
	uint32_t begin = string ? from->string_ends[string - 1] : 0;

	return (struct dictionary_text){from->string_bytes + begin, from->string_ends[string] - begin - 1};
}

int64_t dictionary_map_string(struct dictionary_map *m, const struct dictionary *from, struct dictionary *to, uint32_t string)
{
	struct dictionary_text text = text_of(from, string);

	if (m->tables[DICTIONARY_STRINGS][string] < DICTIONARY_WANTED)
		return m->tables[DICTIONARY_STRINGS][string];
	int64_t number = dictionary_string(to, text.bytes, text.length);
	if (number >= 0)
		m->tables[DICTIONARY_STRINGS][string] = (uint32_t)number;
	return number;
}

/* ---- what is wanted ---- */

static void want(uint32_t *numbers, uint32_t i)
{
	if (numbers[i] == PROFILE_NONE)
		numbers[i] = DICTIONARY_WANTED;
}

/* Each table before those that it refers to. */
static void want_stacks(struct dictionary_map *m, const struct dictionary *from)
{
	uint32_t *stacks = m->tables[DICTIONARY_STACKS], *series = m->tables[DICTIONARY_SERIES];

	for (uint32_t i = 0; i < from->n.tables[DICTIONARY_SERIES]; i++) {
		if (series[i] != DICTIONARY_WANTED)
			continue;
		want(stacks, from->series[i].stack);
		want(m->tables[DICTIONARY_LABEL_SETS], from->series[i].labels);
	}
	for (uint32_t i = from->n.tables[DICTIONARY_STACKS]; i-- > 1;) { /* a caller's number is smaller */
		if (stacks[i] != DICTIONARY_WANTED)
			continue;
		want(stacks, from->stacks[i].parent);
		want(m->tables[DICTIONARY_LOCATIONS], from->stacks[i].location);
	}
}

static void want_frames(struct dictionary_map *m, const struct dictionary *from)
{
	uint32_t *strings = m->tables[DICTIONARY_STRINGS];

	for (uint32_t i = 0; i < from->n.tables[DICTIONARY_LOCATIONS]; i++) {
		const struct profile_location *l = &from->locations[i];
		if (m->tables[DICTIONARY_LOCATIONS][i] != DICTIONARY_WANTED)
			continue;
		if (l->mapping != PROFILE_NONE)
			want(m->tables[DICTIONARY_MAPPINGS], l->mapping);
		for (uint32_t k = 0; k < l->n_lines; k++)
			want(m->tables[DICTIONARY_FUNCTIONS], from->lines[l->first_line + k].function);
	}
	for (uint32_t i = 0; i < from->n.tables[DICTIONARY_FUNCTIONS]; i++) {
		if (m->tables[DICTIONARY_FUNCTIONS][i] != DICTIONARY_WANTED)
			continue;
		want(strings, from->functions[i].name);
		want(strings, from->functions[i].system_name);
		want(strings, from->functions[i].filename);
	}
	for (uint32_t i = 0; i < from->n.tables[DICTIONARY_MAPPINGS]; i++) {
		if (m->tables[DICTIONARY_MAPPINGS][i] != DICTIONARY_WANTED)
			continue;
		want(strings, from->mappings[i].filename);
		want(strings, from->mappings[i].build_id);
	}
}

static void want_labels(struct dictionary_map *m, const struct dictionary *from)
{
	uint32_t *strings = m->tables[DICTIONARY_STRINGS];

	for (uint32_t i = 0; i < from->n.tables[DICTIONARY_LABEL_SETS]; i++) {
		const struct dictionary_label_set *set = &from->label_sets[i];
		if (m->tables[DICTIONARY_LABEL_SETS][i] != DICTIONARY_WANTED)
			continue;
		for (uint32_t k = 0; k < set->n; k++) {
			want(strings, from->labels[set->first + k].key);
			want(strings, from->labels[set->first + k].str);
			want(strings, from->labels[set->first + k].num_unit);
		}
	}
}

void dictionary_map_want(struct dictionary_map *m, const struct dictionary *from)
{
	want_stacks(m, from);
	want_frames(m, from);
	want_labels(m, from);
}

/* ---- taking over ---- */

/* The next entries of a table that are wanted, at most as many as are looked up at once. */
struct batch {
	uint32_t at, n;
	uint32_t entries[DICTIONARY_BATCH], numbers[DICTIONARY_BATCH];
};

static bool next_batch(const struct dictionary_map *m, const struct dictionary *from, enum dictionary_table table, struct batch *b)
{
	const uint32_t *numbers = m->tables[table];

	for (b->n = 0; b->at < from->n.tables[table] && b->n < DICTIONARY_BATCH; b->at++)
		if (numbers[b->at] == DICTIONARY_WANTED)
			b->entries[b->n++] = b->at;
	return b->n > 0;
}

static void keep_batch(struct dictionary_map *m, enum dictionary_table table, const struct batch *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		m->tables[table][b->entries[i]] = b->numbers[i];
}

static int take_strings(struct dictionary_map *m, const struct dictionary *from, struct dictionary *to)
{
	struct dictionary_text texts[DICTIONARY_BATCH];
	struct batch b = {0};
	int err = 0;

	while (err == 0 && next_batch(m, from, DICTIONARY_STRINGS, &b)) {
		for (uint32_t i = 0; i < b.n; i++)
			texts[i] = text_of(from, b.entries[i]);
		err = dictionary_strings(to, texts, b.n, b.numbers);
		if (err == 0)
			keep_batch(m, DICTIONARY_STRINGS, &b);
	}
	return err;
}

static int take_mappings(struct dictionary_map *m, const struct dictionary *from, struct dictionary *to)
{
	const uint32_t *strings = m->tables[DICTIONARY_STRINGS];

	for (uint32_t i = 0; i < from->n.tables[DICTIONARY_MAPPINGS]; i++) {
		struct profile_mapping mapping = from->mappings[i];
		if (m->tables[DICTIONARY_MAPPINGS][i] != DICTIONARY_WANTED)
			continue;
		mapping.filename = strings[mapping.filename];
		mapping.build_id = strings[mapping.build_id];
		int64_t number = dictionary_mapping(to, &mapping);
		if (number < 0)
			return (int)number;
		m->tables[DICTIONARY_MAPPINGS][i] = (uint32_t)number;
	}
	return 0;
}

static int take_functions(struct dictionary_map *m, const struct dictionary *from, struct dictionary *to)
{
	const uint32_t *strings = m->tables[DICTIONARY_STRINGS];
	struct profile_function functions[DICTIONARY_BATCH];
	struct batch b = {0};
	int err = 0;

	while (err == 0 && next_batch(m, from, DICTIONARY_FUNCTIONS, &b)) {
		for (uint32_t i = 0; i < b.n; i++) {
			const struct profile_function *f = &from->functions[b.entries[i]];
			functions[i] = (struct profile_function){strings[f->name], strings[f->system_name], strings[f->filename], f->start_line};
		}
		err = dictionary_functions(to, functions, b.n, b.numbers);
		if (err == 0)
			keep_batch(m, DICTIONARY_FUNCTIONS, &b);
	}
	return err;
}

/* Locations of a batch; their lines into m->lines. */
static int translate_locations(struct dictionary_map *m, const struct dictionary *from, const struct batch *b, struct profile_location *locations)
{
	size_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		n += from->locations[b->entries[i]].n_lines;
	if (n > m->lines_capacity || !m->lines) {
		struct profile_line *lines = realloc(m->lines, (2 * n + 64) * sizeof(*lines));
		if (!lines)
			return -ENOMEM;
		m->lines = lines;
		m->lines_capacity = 2 * n + 64;
	}
	n = 0;
	for (uint32_t i = 0; i < b->n; i++) {
		struct profile_location *l = &locations[i];
		*l = from->locations[b->entries[i]];
		if (l->mapping != PROFILE_NONE)
			l->mapping = m->tables[DICTIONARY_MAPPINGS][l->mapping];
		const struct profile_line *lines = &from->lines[l->first_line];
		l->first_line = (uint32_t)n;
		for (uint32_t k = 0; k < l->n_lines; k++) {
			m->lines[n] = lines[k];
			m->lines[n++].function = m->tables[DICTIONARY_FUNCTIONS][lines[k].function];
		}
	}
	return 0;
}

static int take_locations(struct dictionary_map *m, const struct dictionary *from, struct dictionary *to)
{
	struct profile_location locations[DICTIONARY_BATCH];
	struct batch b = {0};
	int err = 0;

	while (err == 0 && next_batch(m, from, DICTIONARY_LOCATIONS, &b)) {
		err = translate_locations(m, from, &b, locations);
		if (err == 0)
			err = dictionary_locations(to, locations, m->lines, b.n, b.numbers);
		if (err == 0)
			keep_batch(m, DICTIONARY_LOCATIONS, &b);
	}
	return err;
}

/* What hangs below a stack that is new is new, too: only where a known one ends something is looked up. */
static int take_stacks(struct dictionary_map *m, const struct dictionary *from, struct dictionary *to)
{
	uint32_t *stacks = m->tables[DICTIONARY_STACKS], first_new = to->n.tables[DICTIONARY_STACKS];

	for (uint32_t i = 1; i < from->n.tables[DICTIONARY_STACKS]; i++) {
		if (stacks[i] != DICTIONARY_WANTED)
			continue;
		uint32_t parent = stacks[from->stacks[i].parent], location = m->tables[DICTIONARY_LOCATIONS][from->stacks[i].location];
		int64_t number = parent >= first_new ? dictionary_new_stack(to, parent, location) : dictionary_stack(to, parent, location);
		if (number < 0)
			return (int)number;
		stacks[i] = (uint32_t)number;
	}
	return 0;
}

static int take_label_sets(struct dictionary_map *m, const struct dictionary *from, struct dictionary *to)
{
	const uint32_t *strings = m->tables[DICTIONARY_STRINGS];
	AUTO_FREE struct profile_label *labels = NULL;
	uint32_t capacity = 0;

	for (uint32_t i = 0; i < from->n.tables[DICTIONARY_LABEL_SETS]; i++) {
		const struct dictionary_label_set *set = &from->label_sets[i];
		if (m->tables[DICTIONARY_LABEL_SETS][i] != DICTIONARY_WANTED)
			continue;
		if (set->n > capacity) {
			free(labels);
			labels = malloc(set->n * sizeof(*labels));
			if (!labels)
				return -ENOMEM;
			capacity = set->n;
		}
		for (uint32_t k = 0; k < set->n; k++) {
			const struct profile_label *label = &from->labels[set->first + k];
			labels[k] = (struct profile_label){strings[label->key], strings[label->str], label->num, strings[label->num_unit]};
		}
		int64_t number = dictionary_label_set(to, labels, set->n);
		if (number < 0)
			return (int)number;
		m->tables[DICTIONARY_LABEL_SETS][i] = (uint32_t)number;
	}
	return 0;
}

/* first_stack, first_set: those from there on are new, and so is a series that has one. */
static int take_series(struct dictionary_map *m, const struct dictionary *from, struct dictionary *to, uint32_t first_stack, uint32_t first_set)
{
	for (uint32_t i = 0; i < from->n.tables[DICTIONARY_SERIES]; i++) {
		if (m->tables[DICTIONARY_SERIES][i] != DICTIONARY_WANTED)
			continue;
		uint32_t labels = m->tables[DICTIONARY_LABEL_SETS][from->series[i].labels], stack = m->tables[DICTIONARY_STACKS][from->series[i].stack];
		int64_t number = stack >= first_stack || labels >= first_set ? dictionary_new_series(to, labels, stack) :
									       dictionary_series(to, labels, stack);
		if (number < 0)
			return (int)number;
		m->tables[DICTIONARY_SERIES][i] = (uint32_t)number;
	}
	return 0;
}

int dictionary_map_take(struct dictionary_map *m, const struct dictionary *from, struct dictionary *to)
{
	uint32_t first_stack = to->n.tables[DICTIONARY_STACKS], first_set = to->n.tables[DICTIONARY_LABEL_SETS];

	dictionary_map_want(m, from);
	int err = take_strings(m, from, to);
	if (err == 0)
		err = take_mappings(m, from, to);
	if (err == 0)
		err = take_functions(m, from, to);
	if (err == 0)
		err = take_locations(m, from, to);
	if (err == 0)
		err = take_stacks(m, from, to);
	if (err == 0)
		err = take_label_sets(m, from, to);
	return err < 0 ? err : take_series(m, from, to, first_stack, first_set);
}
