#include "store/dictionary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#define XXH_INLINE_ALL /* keys are short: a call would be half of their hashing */
#include <xxhash.h>

#include "base/scope.h"
#include "store/dictionary_tables.h"

#define SLOTS_MIN 256

/* Where the table is a constant, what is done for the others falls away. */
#define INLINED static inline __attribute__((always_inline))

int dictionary_reserve(void *array, uint32_t *capacity, uint32_t n, size_t more, size_t entry_bytes)
{
	void **pointer = array;

	if (more > DICTIONARY_ENTRIES_MAX - n)
		return -E2BIG;
	if (n + more <= *capacity)
		return 0;
	size_t wanted = *capacity + *capacity / 2 + 64;
	if (wanted < n + more)
		wanted = n + more;
	void *grown = realloc(*pointer, wanted * entry_bytes);
	if (!grown)
		return -ENOMEM;
	*pointer = grown;
	*capacity = (uint32_t)wanted;
	return 0;
}

/* ---- content ---- */

static uint32_t string_begin(const struct dictionary *d, uint32_t i)
{
	return i ? d->string_ends[i - 1] : 0;
}

const char *dictionary_string_at(const struct dictionary *d, uint32_t string)
{
	return string < d->n.tables[DICTIONARY_STRINGS] ? d->string_bytes + string_begin(d, string) : "";
}

static uint64_t hash_mapping(const struct profile_mapping *m, uint64_t seed)
{
	uint64_t flags = (uint64_t)m->has_functions | (uint64_t)m->has_filenames << 1 | (uint64_t)m->has_line_numbers << 2 | (uint64_t)m->has_inline_frames << 3;
	uint64_t key[] = {m->start, m->limit, m->file_offset, (uint64_t)m->filename << 32 | m->build_id, flags};

	return XXH3_64bits_withSeed(key, sizeof(key), seed);
}

#define KEY_PARTS 8 /* lines or labels that are hashed at once */

static uint64_t hash_string(const char *text, size_t length, uint64_t seed)
{
	return XXH3_64bits_withSeed(text, length, seed);
}

static uint64_t hash_function(const struct profile_function *f, uint64_t seed)
{
	uint64_t key[] = {(uint64_t)f->name << 32 | f->system_name, f->filename, (uint64_t)f->start_line};

	return XXH3_64bits_withSeed(key, sizeof(key), seed);
}

static uint64_t hash_location(const struct profile_location *l, const struct profile_line *lines, uint64_t seed)
{
	uint64_t key[3 + 3 * KEY_PARTS] = {l->address, (uint64_t)l->mapping << 32 | l->n_lines, l->is_folded}, hash = seed;
	size_t n = 3;

	for (uint32_t i = 0; i < l->n_lines; i++) {
		const struct profile_line *line = &lines[l->first_line + i];
		if (n == 3 + 3 * KEY_PARTS) {
			hash = XXH3_64bits_withSeed(key, n * sizeof(key[0]), hash);
			n = 0;
		}
		key[n++] = line->function;
		key[n++] = (uint64_t)line->line;
		key[n++] = (uint64_t)line->column;
	}
	return XXH3_64bits_withSeed(key, n * sizeof(key[0]), hash);
}

static uint64_t hash_label_set(const struct dictionary *d, const struct dictionary_label_set *set)
{
	uint64_t key[3 * KEY_PARTS], hash = d->seed;
	size_t n = 0;

	for (uint32_t i = 0; i < set->n; i++) {
		const struct profile_label *label = &d->labels[set->first + i];
		if (n == 3 * KEY_PARTS) {
			hash = XXH3_64bits_withSeed(key, n * sizeof(key[0]), hash);
			n = 0;
		}
		key[n++] = (uint64_t)label->key << 32 | label->str;
		key[n++] = (uint64_t)label->num;
		key[n++] = label->num_unit;
	}
	return XXH3_64bits_withSeed(key, n * sizeof(key[0]), hash);
}

INLINED uint64_t hash_entry(const struct dictionary *d, enum dictionary_table table, uint32_t i)
{
	switch (table) {
	case DICTIONARY_STRINGS:
		return hash_string(d->string_bytes + string_begin(d, i), d->string_ends[i] - string_begin(d, i) - 1, d->seed);
	case DICTIONARY_MAPPINGS:
		return hash_mapping(&d->mappings[i], d->seed);
	case DICTIONARY_FUNCTIONS:
		return hash_function(&d->functions[i], d->seed);
	case DICTIONARY_LOCATIONS:
		return hash_location(&d->locations[i], d->lines, d->seed);
	case DICTIONARY_STACKS:
		return XXH3_64bits_withSeed(&d->stacks[i], sizeof(d->stacks[i]), d->seed);
	case DICTIONARY_LABEL_SETS:
		return hash_label_set(d, &d->label_sets[i]);
	default:
		return XXH3_64bits_withSeed(&d->series[i], sizeof(d->series[i]), d->seed);
	}
}

static bool same_string(const struct dictionary *d, uint32_t a, uint32_t b)
{
	uint32_t begin_a = string_begin(d, a), begin_b = string_begin(d, b), length = d->string_ends[a] - begin_a;

	return length == d->string_ends[b] - begin_b && memcmp(d->string_bytes + begin_a, d->string_bytes + begin_b, length) == 0;
}

static bool same_mapping(const struct profile_mapping *a, const struct profile_mapping *b)
{
	return a->start == b->start && a->limit == b->limit && a->file_offset == b->file_offset && a->filename == b->filename &&
	       a->build_id == b->build_id && a->has_functions == b->has_functions && a->has_filenames == b->has_filenames &&
	       a->has_line_numbers == b->has_line_numbers && a->has_inline_frames == b->has_inline_frames;
}

static bool same_location(const struct dictionary *d, const struct profile_location *a, const struct profile_location *b)
{
	if (a->address != b->address || a->mapping != b->mapping || a->n_lines != b->n_lines || a->is_folded != b->is_folded)
		return false;
	for (uint32_t i = 0; i < a->n_lines; i++) {
		const struct profile_line *x = &d->lines[a->first_line + i], *y = &d->lines[b->first_line + i];
		if (x->function != y->function || x->line != y->line || x->column != y->column)
			return false;
	}
	return true;
}

static bool same_label_set(const struct dictionary *d, const struct dictionary_label_set *a, const struct dictionary_label_set *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		const struct profile_label *x = &d->labels[a->first + i], *y = &d->labels[b->first + i];
		if (x->key != y->key || x->str != y->str || x->num != y->num || x->num_unit != y->num_unit)
			return false;
	}
	return true;
}

INLINED bool same_entry(const struct dictionary *d, enum dictionary_table table, uint32_t a, uint32_t b)
{
	switch (table) {
	case DICTIONARY_STRINGS:
		return same_string(d, a, b);
	case DICTIONARY_MAPPINGS:
		return same_mapping(&d->mappings[a], &d->mappings[b]);
	case DICTIONARY_FUNCTIONS: {
		const struct profile_function *x = &d->functions[a], *y = &d->functions[b];
		return x->name == y->name && x->system_name == y->system_name && x->filename == y->filename &&
		       x->start_line == y->start_line;
	}
	case DICTIONARY_LOCATIONS:
		return same_location(d, &d->locations[a], &d->locations[b]);
	case DICTIONARY_STACKS:
		return memcmp(&d->stacks[a], &d->stacks[b], sizeof(d->stacks[a])) == 0;
	case DICTIONARY_LABEL_SETS:
		return same_label_set(d, &d->label_sets[a], &d->label_sets[b]);
	default:
		return memcmp(&d->series[a], &d->series[b], sizeof(d->series[a])) == 0;
	}
}

/* ---- indices ---- */

static bool continues(const struct dictionary *d, uint32_t stack)
{
	return d->stacks[stack].parent == stack - 1;
}

INLINED bool has_slot(const struct dictionary *d, enum dictionary_table table, uint32_t entry)
{
	return table != DICTIONARY_STACKS || !continues(d, entry);
}

static void put_slot(struct dictionary_index *index, struct dictionary_slot slot)
{
	size_t at = slot.hash & (index->n_slots - 1);

	while (index->slots[at].entry)
		at = (at + 1) & (index->n_slots - 1);
	index->slots[at] = slot;
}

/* Room for so many more, at most three quarters full. */
static int index_reserve(struct dictionary_index *index, size_t more)
{
	size_t n_slots = index->n_slots ? index->n_slots : SLOTS_MIN;

	while (4 * (index->used + more) > 3 * n_slots)
		n_slots *= 2;
	if (n_slots == index->n_slots)
		return 0;
	struct dictionary_index old = *index;
	index->slots = calloc(n_slots, sizeof(index->slots[0]));
	if (!index->slots) {
		*index = old;
		return -ENOMEM;
	}
	index->n_slots = n_slots;
	for (size_t i = 0; i < old.n_slots; i++)
		if (old.slots[i].entry)
			put_slot(index, old.slots[i]);
	free(old.slots);
	return 0;
}

/* All entries are in the index, and there is room for one more. */
static int index_cover(struct dictionary *d, enum dictionary_table table)
{
	struct dictionary_index *index = &d->indices[table];
	uint32_t n = d->n.tables[table];
	size_t more = 1;

	for (uint32_t i = index->covered; i < n; i++)
		more += has_slot(d, table, i);
	int err = index_reserve(index, more);
	if (err < 0)
		return err;
	for (; index->covered < n; index->covered++) {
		if (!has_slot(d, table, index->covered))
			continue;
		put_slot(index, (struct dictionary_slot){(uint32_t)hash_entry(d, table, index->covered), index->covered + 1});
		index->used++;
	}
	return 0;
}

/* The last entry goes. What found its slot taken moves up: when an index grows, entries come into it in another order than they were made in. */
static void index_drop(struct dictionary *d, enum dictionary_table table, uint32_t entry)
{
	struct dictionary_index *index = &d->indices[table];
	size_t mask = index->n_slots - 1;

	index->covered = entry;
	if (!has_slot(d, table, entry))
		return;
	size_t hole = (uint32_t)hash_entry(d, table, entry) & mask;
	while (index->slots[hole].entry != entry + 1)
		hole = (hole + 1) & mask;
	for (size_t at = (hole + 1) & mask; index->slots[at].entry; at = (at + 1) & mask) {
		size_t home = index->slots[at].hash & mask;
		if (((at - home) & mask) < ((at - hole) & mask))
			continue; /* it would lie before its home */
		index->slots[hole] = index->slots[at];
		hole = at;
	}
	index->slots[hole].entry = 0;
	index->used--;
}

/* The entry behind the last one is a candidate: its equal's number, or its own when there is none; then it stays. */
INLINED uint32_t settle(struct dictionary *d, enum dictionary_table table)
{
	struct dictionary_index *index = &d->indices[table];
	uint32_t candidate = d->n.tables[table], hash = (uint32_t)hash_entry(d, table, candidate);
	size_t at = hash & (index->n_slots - 1);

	for (; index->slots[at].entry; at = (at + 1) & (index->n_slots - 1))
		if (index->slots[at].hash == hash && same_entry(d, table, index->slots[at].entry - 1, candidate))
			return index->slots[at].entry - 1;
	d->n.tables[table]++;
	index->covered++;
	if (has_slot(d, table, candidate)) {
		index->slots[at] = (struct dictionary_slot){hash, candidate + 1};
		index->used++;
	}
	return candidate;
}

/* Room for one entry of a table, in the table and in its index. */
INLINED int prepare(struct dictionary *d, enum dictionary_table table, void *array, size_t entry_bytes)
{
	const struct dictionary_index *index = &d->indices[table];
	bool ready = index->covered == d->n.tables[table] && 4 * (index->used + 1) <= 3 * index->n_slots;

	int err = ready ? 0 : index_cover(d, table);
	return err < 0 ? err : dictionary_reserve(array, &d->capacity.tables[table], d->n.tables[table], 1, entry_bytes);
}

/* ---- adding ---- */

/* Room for a string's end and bytes; and the string behind the last one. */
static int place_string(struct dictionary *d, const char *text, size_t length)
{
	uint32_t n = d->n.tables[DICTIONARY_STRINGS], begin = d->n.string_bytes;

	if (length >= DICTIONARY_ENTRIES_MAX)
		return -E2BIG;
	int err = dictionary_reserve(&d->string_ends, &d->capacity.tables[DICTIONARY_STRINGS], n, 1, sizeof(d->string_ends[0]));
	if (err == 0)
		err = dictionary_reserve(&d->string_bytes, &d->capacity.string_bytes, begin, length + 1, 1);
	if (err < 0)
		return err;
	memcpy(d->string_bytes + begin, text, length);
	d->string_bytes[begin + length] = '\0';
	d->string_ends[n] = begin + (uint32_t)length + 1;
	return 0;
}

int64_t dictionary_string(struct dictionary *d, const char *text, size_t length)
{
	int err = prepare(d, DICTIONARY_STRINGS, &d->string_ends, sizeof(d->string_ends[0]));
	if (err == 0)
		err = place_string(d, text, length);
	if (err < 0)
		return err;
	uint32_t number = settle(d, DICTIONARY_STRINGS);
	d->n.string_bytes = d->string_ends[d->n.tables[DICTIONARY_STRINGS] - 1];
	return number;
}

int64_t dictionary_new_string(struct dictionary *d, const char *text, size_t length)
{
	uint32_t n = d->n.tables[DICTIONARY_STRINGS];

	int err = place_string(d, text, length);
	if (err < 0)
		return err;
	d->n.tables[DICTIONARY_STRINGS]++;
	d->n.string_bytes = d->string_ends[n];
	return n;
}

int64_t dictionary_mapping(struct dictionary *d, const struct profile_mapping *mapping)
{
	int err = prepare(d, DICTIONARY_MAPPINGS, &d->mappings, sizeof(d->mappings[0]));
	if (err < 0)
		return err;
	d->mappings[d->n.tables[DICTIONARY_MAPPINGS]] = *mapping;
	return settle(d, DICTIONARY_MAPPINGS);
}

int64_t dictionary_function(struct dictionary *d, const struct profile_function *function)
{
	int err = prepare(d, DICTIONARY_FUNCTIONS, &d->functions, sizeof(d->functions[0]));
	if (err < 0)
		return err;
	d->functions[d->n.tables[DICTIONARY_FUNCTIONS]] = *function;
	return settle(d, DICTIONARY_FUNCTIONS);
}

int64_t dictionary_location(struct dictionary *d, const struct profile_location *location, const struct profile_line *lines)
{
	uint32_t candidate = d->n.tables[DICTIONARY_LOCATIONS];

	int err = prepare(d, DICTIONARY_LOCATIONS, &d->locations, sizeof(d->locations[0]));
	if (err == 0)
		err = dictionary_reserve(&d->lines, &d->capacity.lines, d->n.lines, location->n_lines, sizeof(d->lines[0]));
	if (err < 0)
		return err;
	d->locations[candidate] = *location;
	d->locations[candidate].first_line = d->n.lines;
	if (location->n_lines)
		memcpy(&d->lines[d->n.lines], lines, location->n_lines * sizeof(lines[0]));
	uint32_t number = settle(d, DICTIONARY_LOCATIONS);
	if (number == candidate)
		d->n.lines += location->n_lines;
	return number;
}

int64_t dictionary_new_stack(struct dictionary *d, uint32_t parent, uint32_t location)
{
	uint32_t n = d->n.tables[DICTIONARY_STACKS];

	int err = dictionary_reserve(&d->stacks, &d->capacity.tables[DICTIONARY_STACKS], n, 1, sizeof(d->stacks[0]));
	if (err < 0)
		return err;
	d->stacks[n] = (struct dictionary_stack){parent, location};
	d->n.tables[DICTIONARY_STACKS]++;
	return n;
}

int64_t dictionary_stack(struct dictionary *d, uint32_t parent, uint32_t location)
{
	uint32_t next = parent + 1;

	if (next == d->n.tables[DICTIONARY_STACKS])
		return dictionary_new_stack(d, parent, location); /* the last one has nothing behind it */
	if (next < d->n.tables[DICTIONARY_STACKS] && d->stacks[next].parent == parent && d->stacks[next].location == location)
		return next;
	int err = prepare(d, DICTIONARY_STACKS, &d->stacks, sizeof(d->stacks[0]));
	if (err < 0)
		return err;
	d->stacks[d->n.tables[DICTIONARY_STACKS]] = (struct dictionary_stack){parent, location};
	return settle(d, DICTIONARY_STACKS);
}

int64_t dictionary_label_set(struct dictionary *d, const struct profile_label *labels, size_t n_labels)
{
	uint32_t candidate = d->n.tables[DICTIONARY_LABEL_SETS];

	int err = prepare(d, DICTIONARY_LABEL_SETS, &d->label_sets, sizeof(d->label_sets[0]));
	if (err == 0)
		err = dictionary_reserve(&d->labels, &d->capacity.labels, d->n.labels, n_labels, sizeof(d->labels[0]));
	if (err < 0)
		return err;
	d->label_sets[candidate] = (struct dictionary_label_set){d->n.labels, (uint32_t)n_labels};
	if (n_labels)
		memcpy(&d->labels[d->n.labels], labels, n_labels * sizeof(labels[0]));
	uint32_t number = settle(d, DICTIONARY_LABEL_SETS);
	if (number == candidate)
		d->n.labels += (uint32_t)n_labels;
	return number;
}

int64_t dictionary_new_series(struct dictionary *d, uint32_t labels, uint32_t stack)
{
	uint32_t n = d->n.tables[DICTIONARY_SERIES];

	int err = dictionary_reserve(&d->series, &d->capacity.tables[DICTIONARY_SERIES], n, 1, sizeof(d->series[0]));
	if (err < 0)
		return err;
	d->series[n] = (struct dictionary_series){labels, stack};
	d->n.tables[DICTIONARY_SERIES]++;
	return n;
}

int64_t dictionary_series(struct dictionary *d, uint32_t labels, uint32_t stack)
{
	int err = prepare(d, DICTIONARY_SERIES, &d->series, sizeof(d->series[0]));
	if (err < 0)
		return err;
	d->series[d->n.tables[DICTIONARY_SERIES]] = (struct dictionary_series){labels, stack};
	return settle(d, DICTIONARY_SERIES);
}

/* ---- adding many ---- */

/* A look-up waits for a slot, then for the entry, then for what that refers to. For many at once each of these is asked for in advance; a guess, for the first slot may be another's. */
static void ask_slots(const struct dictionary_index *index, const uint32_t *hashes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		__builtin_prefetch(&index->slots[hashes[i] & (index->n_slots - 1)]);
}

/* The entry that is looked at first, or 0, which is there too. */
static uint32_t first_entry(const struct dictionary_index *index, uint32_t hash)
{
	uint32_t entry = index->slots[hash & (index->n_slots - 1)].entry;

	return entry ? entry - 1 : 0;
}

int dictionary_strings(struct dictionary *d, const struct dictionary_text *texts, size_t n, uint32_t *numbers_out)
{
	const struct dictionary_index *index = &d->indices[DICTIONARY_STRINGS];
	uint32_t hashes[DICTIONARY_BATCH];

	int err = index_cover(d, DICTIONARY_STRINGS);
	if (err < 0)
		return err;
	for (size_t i = 0; i < n; i++)
		hashes[i] = (uint32_t)hash_string(texts[i].bytes, texts[i].length, d->seed);
	ask_slots(index, hashes, n);
	for (size_t i = 0; i < n; i++)
		__builtin_prefetch(&d->string_ends[first_entry(index, hashes[i])]);
	for (size_t i = 0; i < n; i++)
		__builtin_prefetch(d->string_bytes + string_begin(d, first_entry(index, hashes[i])));
	for (size_t i = 0; i < n; i++) {
		int64_t number = dictionary_string(d, texts[i].bytes, texts[i].length);
		if (number < 0)
			return (int)number;
		numbers_out[i] = (uint32_t)number;
	}
	return 0;
}

int dictionary_functions(struct dictionary *d, const struct profile_function *functions, size_t n, uint32_t *numbers_out)
{
	const struct dictionary_index *index = &d->indices[DICTIONARY_FUNCTIONS];
	uint32_t hashes[DICTIONARY_BATCH];

	int err = index_cover(d, DICTIONARY_FUNCTIONS);
	if (err < 0)
		return err;
	for (size_t i = 0; i < n; i++)
		hashes[i] = (uint32_t)hash_function(&functions[i], d->seed);
	ask_slots(index, hashes, n);
	for (size_t i = 0; i < n && d->n.tables[DICTIONARY_FUNCTIONS]; i++)
		__builtin_prefetch(&d->functions[first_entry(index, hashes[i])]);
	for (size_t i = 0; i < n; i++) {
		int64_t number = dictionary_function(d, &functions[i]);
		if (number < 0)
			return (int)number;
		numbers_out[i] = (uint32_t)number;
	}
	return 0;
}

int dictionary_locations(struct dictionary *d, const struct profile_location *locations, const struct profile_line *lines, size_t n, uint32_t *numbers_out)
{
	const struct dictionary_index *index = &d->indices[DICTIONARY_LOCATIONS];
	uint32_t hashes[DICTIONARY_BATCH];

	int err = index_cover(d, DICTIONARY_LOCATIONS);
	if (err < 0)
		return err;
	for (size_t i = 0; i < n; i++)
		hashes[i] = (uint32_t)hash_location(&locations[i], lines, d->seed);
	ask_slots(index, hashes, n);
	for (size_t i = 0; i < n && d->n.tables[DICTIONARY_LOCATIONS]; i++)
		__builtin_prefetch(&d->locations[first_entry(index, hashes[i])]);
	for (size_t i = 0; i < n && d->n.lines; i++)
		__builtin_prefetch(&d->lines[d->locations[first_entry(index, hashes[i])].first_line]);
	for (size_t i = 0; i < n; i++) {
		int64_t number = dictionary_location(d, &locations[i], &lines[locations[i].first_line]);
		if (number < 0)
			return (int)number;
		numbers_out[i] = (uint32_t)number;
	}
	return 0;
}

/* ---- life ---- */

int dictionary_create(struct dictionary **dictionary_out)
{
	struct dictionary *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	int err = getrandom(&d->seed, sizeof(d->seed), 0) == (ssize_t)sizeof(d->seed) ? 0 : -ENOMEM;
	if (err == 0)
		err = dictionary_reserve(&d->string_ends, &d->capacity.tables[DICTIONARY_STRINGS], 0, 1, sizeof(d->string_ends[0]));
	if (err == 0)
		err = dictionary_reserve(&d->string_bytes, &d->capacity.string_bytes, 0, 1, 1);
	if (err == 0)
		err = dictionary_reserve(&d->stacks, &d->capacity.tables[DICTIONARY_STACKS], 0, 1, sizeof(d->stacks[0]));
	if (err == 0)
		err = dictionary_reserve(&d->label_sets, &d->capacity.tables[DICTIONARY_LABEL_SETS], 0, 1, sizeof(d->label_sets[0]));
	if (err < 0) {
		dictionary_destroy(d);
		return err;
	}
	dictionary_clear(d);
	*dictionary_out = d;
	return 0;
}

void dictionary_drop_indices(struct dictionary *d)
{
	for (int t = 0; t < DICTIONARY_TABLES; t++) {
		free(d->indices[t].slots);
		d->indices[t] = (struct dictionary_index){0};
	}
}

void dictionary_clear(struct dictionary *d)
{
	dictionary_drop_indices(d);
	d->n = (struct dictionary_counts){0};
	d->string_bytes[0] = '\0';
	d->string_ends[0] = d->n.string_bytes = 1;
	d->stacks[0] = (struct dictionary_stack){PROFILE_NONE, PROFILE_NONE}; /* equal to no real one */
	d->label_sets[0] = (struct dictionary_label_set){0, 0};
	d->n.tables[DICTIONARY_STRINGS] = d->n.tables[DICTIONARY_STACKS] = d->n.tables[DICTIONARY_LABEL_SETS] = 1;
}

void dictionary_rollback(struct dictionary *d, const struct dictionary_counts *counts)
{
	for (int t = 0; t < DICTIONARY_TABLES; t++)
		while (d->indices[t].covered > counts->tables[t])
			index_drop(d, (enum dictionary_table)t, d->indices[t].covered - 1);
	d->n = *counts;
}

size_t dictionary_memory(const struct dictionary *d)
{
	const uint32_t *c = d->capacity.tables;
	size_t bytes = sizeof(*d) + d->capacity.string_bytes + c[DICTIONARY_STRINGS] * sizeof(d->string_ends[0]) +
		       c[DICTIONARY_MAPPINGS] * sizeof(d->mappings[0]) + c[DICTIONARY_FUNCTIONS] * sizeof(d->functions[0]) +
		       c[DICTIONARY_LOCATIONS] * sizeof(d->locations[0]) + d->capacity.lines * sizeof(d->lines[0]) +
		       c[DICTIONARY_STACKS] * sizeof(d->stacks[0]) + c[DICTIONARY_LABEL_SETS] * sizeof(d->label_sets[0]) +
		       d->capacity.labels * sizeof(d->labels[0]) + c[DICTIONARY_SERIES] * sizeof(d->series[0]);

	for (int t = 0; t < DICTIONARY_TABLES; t++)
		bytes += d->indices[t].n_slots * sizeof(d->indices[t].slots[0]);
	return bytes;
}

void dictionary_destroy(struct dictionary *d)
{
	if (!d)
		return;
	free(d->string_bytes);
	free(d->string_ends);
	free(d->mappings);
	free(d->functions);
	free(d->locations);
	free(d->lines);
	free(d->stacks);
	free(d->label_sets);
	free(d->labels);
	free(d->series);
	for (int t = 0; t < DICTIONARY_TABLES; t++)
		free(d->indices[t].slots);
	free(d);
}
