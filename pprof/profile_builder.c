#include "pprof/profile_builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/scope.h"
#include "base/text_clean.h"

#define SLOTS_MIN   256
#define ENTRIES_MAX (1u << 31)

/* Where the entry with some content is: open addressing over indices of a table. */
struct index {
	uint32_t *slots; /* entry + 1; 0: free */
	uint32_t *hashes; /* of each entry, to grow without hashing again */
	size_t n_slots; /* a power of two */
	size_t n, capacity;
};

struct interned {
	uint32_t offset, length; /* in bytes */
};

/* A set of labels, in the profile's. */
struct label_run {
	uint32_t first, n;
};

struct profile_builder {
	struct profile *p;
	uint64_t seed;
	struct index strings, mappings, functions, locations, label_sets, samples;
	struct interned *interned;
	size_t interned_capacity;
	char *bytes; /* of all strings, each with its NUL */
	size_t n_bytes, bytes_capacity;
	char *clean; /* the string at hand, made valid */
	size_t clean_capacity;
	size_t sample_types_capacity, samples_capacity, values_capacity, stack_capacity, labels_capacity;
	struct label_run *runs; /* of label_sets */
	size_t runs_capacity;
	size_t mappings_capacity, locations_capacity, lines_capacity, functions_capacity, comments_capacity;
};

/* Room for more entries behind n. */
static int reserve(void *array, size_t *capacity, size_t n, size_t more, size_t entry_bytes)
{
	void **pointer = array;

	if (more > ENTRIES_MAX - n)
		return -E2BIG;
	if (n + more <= *capacity)
		return 0;
	size_t wanted = *capacity ? *capacity : 64;
	while (wanted < n + more)
		wanted *= 2;
	void *grown = realloc(*pointer, wanted * entry_bytes);
	if (!grown)
		return -ENOMEM;
	*pointer = grown;
	*capacity = wanted;
	return 0;
}

static int index_init(struct index *index)
{
	index->slots = calloc(SLOTS_MIN, sizeof(index->slots[0]));
	index->n_slots = SLOTS_MIN;
	return index->slots ? 0 : -ENOMEM;
}

static void index_deinit(struct index *index)
{
	free(index->slots);
	free(index->hashes);
}

/* Room for one more entry, so that index_add() cannot fail. */
static int index_reserve(struct index *index)
{
	int err = reserve(&index->hashes, &index->capacity, index->n, 1, sizeof(index->hashes[0]));
	if (err < 0 || 2 * (index->n + 1) <= index->n_slots)
		return err;
	size_t n_slots = 2 * index->n_slots;
	uint32_t *slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < index->n; i++) {
		size_t at = index->hashes[i] & (n_slots - 1);
		while (slots[at])
			at = (at + 1) & (n_slots - 1);
		slots[at] = (uint32_t)i + 1;
	}
	free(index->slots);
	index->slots = slots;
	index->n_slots = n_slots;
	return 0;
}

typedef bool (*same_fn)(const struct profile_builder *b, uint32_t entry, const void *content);

/* The entry with this content, or -1; *slot_out: where it is, or goes. */
static int64_t index_find(const struct profile_builder *b, const struct index *index, uint32_t hash, same_fn same,
			  const void *content, size_t *slot_out)
{
	size_t at = hash & (index->n_slots - 1);

	for (; index->slots[at]; at = (at + 1) & (index->n_slots - 1)) {
		uint32_t entry = index->slots[at] - 1;
		if (index->hashes[entry] == hash && same(b, entry, content))
			break;
	}
	*slot_out = at;
	return (int64_t)index->slots[at] - 1;
}

static void index_add(struct index *index, size_t slot, uint32_t hash)
{
	index->hashes[index->n++] = hash;
	index->slots[slot] = (uint32_t)index->n;
}

static uint32_t hash_of(const struct profile_builder *b, const void *bytes, size_t n)
{
	return (uint32_t)XXH3_64bits_withSeed(bytes, n, b->seed);
}

/* ---- strings ---- */

struct text {
	const char *bytes;
	size_t length;
};

static bool same_string(const struct profile_builder *b, uint32_t entry, const void *content)
{
	const struct text *text = content;
	const struct interned *known = &b->interned[entry];

	return known->length == text->length && memcmp(b->bytes + known->offset, text->bytes, text->length) == 0;
}

static int64_t intern(struct profile_builder *b, struct text text)
{
	uint32_t hash = hash_of(b, text.bytes, text.length);
	size_t slot;

	int err = index_reserve(&b->strings);
	if (err < 0)
		return err;
	int64_t known = index_find(b, &b->strings, hash, same_string, &text, &slot);
	if (known >= 0)
		return known;
	err = reserve(&b->interned, &b->interned_capacity, b->strings.n, 1, sizeof(b->interned[0]));
	if (err == 0)
		err = reserve(&b->bytes, &b->bytes_capacity, b->n_bytes, text.length + 1, 1);
	if (err < 0)
		return err;
	b->interned[b->strings.n] = (struct interned){(uint32_t)b->n_bytes, (uint32_t)text.length};
	memcpy(b->bytes + b->n_bytes, text.bytes, text.length);
	b->bytes[b->n_bytes + text.length] = '\0';
	b->n_bytes += text.length + 1;
	index_add(&b->strings, slot, hash);
	return (int64_t)b->strings.n - 1;
}

int64_t profile_builder_string(struct profile_builder *b, const char *text, size_t length)
{
	if (text_is_clean(text, length))
		return intern(b, (struct text){text, length});
	/* U+FFFD takes three bytes, and stands for at least one. */
	if (length > ENTRIES_MAX / 3)
		return -E2BIG;
	int err = reserve(&b->clean, &b->clean_capacity, 0, 3 * length + 1, 1);
	if (err < 0)
		return err;
	return intern(b, (struct text){b->clean, text_clean(text, length, b->clean, b->clean_capacity)});
}

static bool string_exists(const struct profile_builder *b, profile_str id)
{
	return id < b->strings.n;
}

/* ---- head ---- */

int profile_builder_create(struct profile_builder **builder_out)
{
	struct profile_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->p = calloc(1, sizeof(*b->p));
	bool seeded = getrandom(&b->seed, sizeof(b->seed), 0) == (ssize_t)sizeof(b->seed);
	struct index *all[] = {&b->strings, &b->mappings, &b->functions, &b->locations, &b->label_sets, &b->samples};
	int err = b->p && seeded ? 0 : -ENOMEM;
	for (size_t i = 0; err == 0 && i < sizeof(all) / sizeof(all[0]); i++)
		err = index_init(all[i]);
	if (err == 0)
		err = (int)intern(b, (struct text){"", 0});
	if (err < 0) {
		profile_builder_destroy(b);
		return err;
	}
	*builder_out = b;
	return 0;
}

static int value_type(struct profile_builder *b, const char *type, const char *unit, struct profile_value_type *out)
{
	int64_t type_id = profile_builder_string(b, type, strlen(type));
	int64_t unit_id = profile_builder_string(b, unit, strlen(unit));

	if (type_id < 0 || unit_id < 0)
		return (int)(type_id < 0 ? type_id : unit_id);
	*out = (struct profile_value_type){(profile_str)type_id, (profile_str)unit_id};
	return 0;
}

int profile_builder_sample_type(struct profile_builder *b, const char *type, const char *unit)
{
	struct profile *p = b->p;

	if (p->n_samples)
		return -EINVAL;
	int err = reserve(&p->sample_types, &b->sample_types_capacity, p->n_sample_types, 1, sizeof(p->sample_types[0]));
	if (err == 0)
		err = value_type(b, type, unit, &p->sample_types[p->n_sample_types]);
	if (err == 0)
		p->n_sample_types++;
	return err;
}

int profile_builder_period(struct profile_builder *b, const char *type, const char *unit, int64_t period)
{
	int err = value_type(b, type, unit, &b->p->period_type);
	if (err == 0)
		b->p->period = period;
	return err;
}

int profile_builder_default_sample_type(struct profile_builder *b, const char *type)
{
	int64_t id = profile_builder_string(b, type, strlen(type));

	if (id < 0)
		return (int)id;
	b->p->default_sample_type = (profile_str)id;
	return 0;
}

void profile_builder_time(struct profile_builder *b, int64_t time_ns, int64_t duration_ns)
{
	b->p->time_ns = time_ns;
	b->p->duration_ns = duration_ns;
}

int profile_builder_comment(struct profile_builder *b, const char *text)
{
	struct profile *p = b->p;
	int64_t id = profile_builder_string(b, text, strlen(text));

	if (id < 0)
		return (int)id;
	int err = reserve(&p->comments, &b->comments_capacity, p->n_comments, 1, sizeof(p->comments[0]));
	if (err == 0)
		p->comments[p->n_comments++] = (profile_str)id;
	return err;
}

/* ---- mappings, functions, locations ---- */

static bool same_mapping(const struct profile_builder *b, uint32_t entry, const void *content)
{
	const struct profile_mapping *x = &b->p->mappings[entry], *y = content;

	return x->start == y->start && x->limit == y->limit && x->file_offset == y->file_offset &&
	       x->filename == y->filename && x->build_id == y->build_id && x->has_functions == y->has_functions &&
	       x->has_filenames == y->has_filenames && x->has_line_numbers == y->has_line_numbers &&
	       x->has_inline_frames == y->has_inline_frames;
}

int64_t profile_builder_mapping(struct profile_builder *b, const struct profile_mapping *mapping)
{
	struct profile *p = b->p;
	uint64_t key[5] = {mapping->start, mapping->limit, mapping->file_offset, mapping->filename, mapping->build_id};
	uint32_t hash = hash_of(b, key, sizeof(key));
	size_t slot;

	if (!string_exists(b, mapping->filename) || !string_exists(b, mapping->build_id))
		return -EINVAL;
	int err = index_reserve(&b->mappings);
	if (err == 0)
		err = reserve(&p->mappings, &b->mappings_capacity, p->n_mappings, 1, sizeof(p->mappings[0]));
	if (err < 0)
		return err;
	int64_t known = index_find(b, &b->mappings, hash, same_mapping, mapping, &slot);
	if (known >= 0)
		return known;
	p->mappings[p->n_mappings++] = *mapping;
	index_add(&b->mappings, slot, hash);
	return (int64_t)p->n_mappings - 1;
}

static bool same_function(const struct profile_builder *b, uint32_t entry, const void *content)
{
	const struct profile_function *x = &b->p->functions[entry], *y = content;

	return x->name == y->name && x->system_name == y->system_name && x->filename == y->filename &&
	       x->start_line == y->start_line;
}

int64_t profile_builder_function(struct profile_builder *b, const struct profile_function *function)
{
	struct profile *p = b->p;
	uint64_t key[3] = {(uint64_t)function->name << 32 | function->system_name, function->filename,
			   (uint64_t)function->start_line};
	uint32_t hash = hash_of(b, key, sizeof(key));
	size_t slot;

	if (!string_exists(b, function->name) || !string_exists(b, function->system_name) ||
	    !string_exists(b, function->filename))
		return -EINVAL;
	int err = index_reserve(&b->functions);
	if (err == 0)
		err = reserve(&p->functions, &b->functions_capacity, p->n_functions, 1, sizeof(p->functions[0]));
	if (err < 0)
		return err;
	int64_t known = index_find(b, &b->functions, hash, same_function, function, &slot);
	if (known >= 0)
		return known;
	p->functions[p->n_functions++] = *function;
	index_add(&b->functions, slot, hash);
	return (int64_t)p->n_functions - 1;
}

struct location_content {
	uint32_t mapping;
	uint64_t address;
	const struct profile_line *lines;
	size_t n_lines;
};

static bool same_location(const struct profile_builder *b, uint32_t entry, const void *content)
{
	const struct profile_location *x = &b->p->locations[entry];
	const struct location_content *y = content;

	if (x->mapping != y->mapping || x->address != y->address || x->n_lines != y->n_lines)
		return false;
	for (size_t i = 0; i < y->n_lines; i++) {
		const struct profile_line *line = &b->p->lines[x->first_line + i];
		if (line->function != y->lines[i].function || line->line != y->lines[i].line ||
		    line->column != y->lines[i].column)
			return false;
	}
	return true;
}

int64_t profile_builder_location(struct profile_builder *b, uint32_t mapping, uint64_t address,
				 const struct profile_line *lines, size_t n_lines)
{
	struct profile *p = b->p;
	struct location_content content = {mapping, address, lines, n_lines};
	uint64_t key[4] = {address, mapping, n_lines, n_lines ? (uint64_t)lines[0].function << 32 ^ (uint64_t)lines[0].line : 0};
	uint32_t hash = hash_of(b, key, sizeof(key));
	size_t slot;

	if (mapping != PROFILE_NONE && mapping >= p->n_mappings)
		return -EINVAL;
	for (size_t i = 0; i < n_lines; i++)
		if (lines[i].function >= p->n_functions)
			return -EINVAL;
	int err = index_reserve(&b->locations);
	if (err == 0)
		err = reserve(&p->locations, &b->locations_capacity, p->n_locations, 1, sizeof(p->locations[0]));
	if (err == 0)
		err = reserve(&p->lines, &b->lines_capacity, p->n_lines, n_lines, sizeof(p->lines[0]));
	if (err < 0)
		return err;
	int64_t known = index_find(b, &b->locations, hash, same_location, &content, &slot);
	if (known >= 0)
		return known;
	p->locations[p->n_locations++] = (struct profile_location){
		.address = address, .mapping = mapping, .first_line = (uint32_t)p->n_lines, .n_lines = (uint32_t)n_lines};
	if (n_lines)
		memcpy(&p->lines[p->n_lines], lines, n_lines * sizeof(lines[0]));
	p->n_lines += n_lines;
	index_add(&b->locations, slot, hash);
	return (int64_t)p->n_locations - 1;
}

/* ---- labels ---- */

struct labels_content {
	const struct profile_label *labels;
	size_t n;
};

static bool same_labels(const struct profile_builder *b, uint32_t entry, const void *content)
{
	const struct label_run *x = &b->runs[entry];
	const struct labels_content *y = content;

	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < y->n; i++) {
		const struct profile_label *label = &b->p->labels[x->first + i], *other = &y->labels[i];
		if (label->key != other->key || label->str != other->str || label->num != other->num ||
		    label->num_unit != other->num_unit)
			return false;
	}
	return true;
}

static uint32_t hash_labels(const struct profile_builder *b, const struct labels_content *c)
{
	uint64_t hash = c->n;

	for (size_t i = 0; i < c->n; i++) {
		uint64_t key[3] = {hash, (uint64_t)c->labels[i].key << 32 | c->labels[i].str, (uint64_t)c->labels[i].num};
		hash = XXH3_64bits_withSeed(key, sizeof(key), b->seed);
	}
	return (uint32_t)hash;
}

/* A profile has few sets, and many samples of each. */
int64_t profile_builder_label_set(struct profile_builder *b, const struct profile_label *labels, size_t n)
{
	struct profile *p = b->p;
	struct labels_content content = {labels, n};
	size_t slot;

	for (size_t i = 0; i < n; i++)
		if (!string_exists(b, labels[i].key) || !string_exists(b, labels[i].str) || !string_exists(b, labels[i].num_unit))
			return -EINVAL;
	int err = index_reserve(&b->label_sets);
	if (err == 0)
		err = reserve(&b->runs, &b->runs_capacity, b->label_sets.n, 1, sizeof(b->runs[0]));
	if (err == 0)
		err = reserve(&p->labels, &b->labels_capacity, p->n_labels, n, sizeof(p->labels[0]));
	if (err < 0)
		return err;
	uint32_t hash = hash_labels(b, &content);
	int64_t known = index_find(b, &b->label_sets, hash, same_labels, &content, &slot);
	if (known >= 0)
		return known;
	b->runs[b->label_sets.n] = (struct label_run){(uint32_t)p->n_labels, (uint32_t)n};
	if (n)
		memcpy(&p->labels[p->n_labels], labels, n * sizeof(labels[0]));
	p->n_labels += n;
	index_add(&b->label_sets, slot, hash);
	return (int64_t)b->label_sets.n - 1;
}

/* ---- samples ---- */

struct sample_content {
	const uint32_t *locations;
	size_t n_locations;
	struct label_run labels;
};

static bool same_sample(const struct profile_builder *b, uint32_t entry, const void *content)
{
	const struct profile_sample *x = &b->p->samples[entry];
	const struct sample_content *y = content;

	if (x->n_locations != y->n_locations || x->n_labels != y->labels.n || x->first_label != y->labels.first)
		return false;
	return !y->n_locations || memcmp(&b->p->stack_locations[x->first_location], y->locations,
					 y->n_locations * sizeof(y->locations[0])) == 0;
}

static uint32_t hash_sample(const struct profile_builder *b, const struct sample_content *s)
{
	uint64_t key[2] = {XXH3_64bits_withSeed(s->locations, s->n_locations * sizeof(s->locations[0]), b->seed),
			   (uint64_t)s->labels.first << 32 | s->labels.n};

	return hash_of(b, key, sizeof(key));
}

static int reserve_sample(struct profile_builder *b, const struct sample_content *s)
{
	struct profile *p = b->p;

	int err = index_reserve(&b->samples);
	if (err == 0)
		err = reserve(&p->samples, &b->samples_capacity, p->n_samples, 1, sizeof(p->samples[0]));
	if (err == 0)
		err = reserve(&p->values, &b->values_capacity, p->n_samples * p->n_sample_types, p->n_sample_types,
			      sizeof(p->values[0]));
	if (err == 0)
		err = reserve(&p->stack_locations, &b->stack_capacity, p->n_stack_locations, s->n_locations,
			      sizeof(p->stack_locations[0]));
	return err;
}

int64_t profile_builder_sample_of_set(struct profile_builder *b, const uint32_t *locations, size_t n_locations, uint32_t label_set, const int64_t *values)
{
	struct profile *p = b->p;
	struct sample_content content = {.locations = locations, .n_locations = n_locations};
	size_t slot;

	if (!p->n_sample_types || label_set >= b->label_sets.n)
		return -EINVAL;
	for (size_t i = 0; i < n_locations; i++)
		if (locations[i] >= p->n_locations)
			return -EINVAL;
	content.labels = b->runs[label_set];
	int err = reserve_sample(b, &content);
	if (err < 0)
		return err;
	uint32_t hash = hash_sample(b, &content);
	int64_t sample = index_find(b, &b->samples, hash, same_sample, &content, &slot);
	if (sample < 0) {
		sample = (int64_t)p->n_samples++;
		p->samples[sample] = (struct profile_sample){
			.first_location = (uint32_t)p->n_stack_locations,
			.n_locations = (uint32_t)n_locations,
			.first_label = content.labels.first,
			.n_labels = content.labels.n,
		};
		if (n_locations)
			memcpy(&p->stack_locations[p->n_stack_locations], locations, n_locations * sizeof(locations[0]));
		p->n_stack_locations += n_locations;
		memset(&p->values[(size_t)sample * p->n_sample_types], 0, p->n_sample_types * sizeof(p->values[0]));
		index_add(&b->samples, slot, hash);
	}
	for (size_t i = 0; i < p->n_sample_types; i++) {
		int64_t *value = &p->values[(size_t)sample * p->n_sample_types + i];
		*value = (int64_t)((uint64_t)*value + (uint64_t)values[i]);
	}
	return sample;
}

int64_t profile_builder_sample(struct profile_builder *b, const uint32_t *locations, size_t n_locations,
			       const struct profile_label *labels, size_t n_labels, const int64_t *values)
{
	if (!b->p->n_sample_types)
		return -EINVAL;
	int64_t set = profile_builder_label_set(b, labels, n_labels);
	return set < 0 ? set : profile_builder_sample_of_set(b, locations, n_locations, (uint32_t)set, values);
}

/* ---- end ---- */

int profile_builder_finish(struct profile_builder *b, struct profile **profile_out)
{
	struct profile *p = b->p;
	size_t n = b->strings.n;

	AUTO_FREE const char **strings = malloc(n * sizeof(*strings));
	AUTO_FREE uint32_t *lengths = malloc(n * sizeof(*lengths));
	if (!strings || !lengths)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		strings[i] = b->bytes + b->interned[i].offset;
		lengths[i] = b->interned[i].length;
	}
	p->strings = take_ptr(strings);
	p->string_lengths = take_ptr(lengths);
	p->n_strings = n;
	p->string_bytes = take_ptr(b->bytes);
	*profile_out = take_ptr(b->p);
	return 0;
}

void profile_builder_destroy(struct profile_builder *b)
{
	if (!b)
		return;
	profile_free(b->p);
	index_deinit(&b->strings);
	index_deinit(&b->mappings);
	index_deinit(&b->functions);
	index_deinit(&b->locations);
	index_deinit(&b->label_sets);
	index_deinit(&b->samples);
	free(b->runs);
	free(b->interned);
	free(b->bytes);
	free(b->clean);
	free(b);
}
