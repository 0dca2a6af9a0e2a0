#include "pprof/profile_import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN UINT32_MAX

struct profile_import {
	struct profile_builder *b;
	const struct profile *p;
	const struct profile_import_rules *rules;
	/* The builder's index of each entry, or UNKNOWN. */
	uint32_t *strings, *functions, *mappings, *locations;
	uint32_t *label_sets; /* by their first label */
	uint32_t *label_counts; /* how many labels the set there has */
	uint64_t *shifts; /* of mappings */
	struct profile_line *lines; /* of the location at hand */
	size_t lines_capacity;
	struct profile_label *labels;
	size_t labels_capacity;
};

static uint32_t *unknowns(size_t n)
{
	uint32_t *numbers = malloc((n + 1) * sizeof(*numbers));

	if (numbers)
		memset(numbers, 0xff, (n + 1) * sizeof(*numbers));
	return numbers;
}

int profile_import_create(struct profile_builder *builder, const struct profile *profile, const struct profile_import_rules *rules,
			  struct profile_import **import_out)
{
	static const struct profile_import_rules NONE = {0};
	struct profile_import *i = calloc(1, sizeof(*i));

	if (!i)
		return -ENOMEM;
	*i = (struct profile_import){
		.b = builder,
		.p = profile,
		.rules = rules ? rules : &NONE,
		.strings = unknowns(profile->n_strings),
		.functions = unknowns(profile->n_functions),
		.mappings = unknowns(profile->n_mappings),
		.locations = unknowns(profile->n_locations),
		.label_sets = unknowns(profile->n_labels),
		.label_counts = unknowns(profile->n_labels),
		.shifts = calloc(profile->n_mappings + 1, sizeof(i->shifts[0])),
	};
	if (!i->strings || !i->functions || !i->mappings || !i->locations || !i->label_sets || !i->label_counts || !i->shifts) {
		profile_import_destroy(i);
		return -ENOMEM;
	}
	*import_out = i;
	return 0;
}

/* What the builder said is kept for the next time. */
static int64_t learned(uint32_t *known, int64_t index)
{
	if (index >= 0)
		*known = (uint32_t)index;
	return index;
}

int64_t profile_import_string(struct profile_import *i, profile_str string)
{
	if (string >= i->p->n_strings)
		return 0;
	if (i->strings[string] != UNKNOWN)
		return i->strings[string];
	return learned(&i->strings[string], profile_builder_string(i->b, i->p->strings[string], i->p->string_lengths[string]));
}

/* Replace strings by the builder's. */
static int take_strings(struct profile_import *i, profile_str *const *strings, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		int64_t id = profile_import_string(i, *strings[k]);
		if (id < 0)
			return (int)id;
		*strings[k] = (profile_str)id;
	}
	return 0;
}

static int64_t import_mapping(struct profile_import *i, uint32_t index)
{
	struct profile_mapping mapping = i->p->mappings[index];
	profile_str *const strings[] = {&mapping.filename, &mapping.build_id};

	if (i->mappings[index] != UNKNOWN)
		return i->mappings[index];
	int err = take_strings(i, strings, 2);
	if (err == 0 && i->rules->map)
		err = i->rules->map(i->rules->context, &mapping, &i->shifts[index]);
	return err < 0 ? err : learned(&i->mappings[index], profile_builder_mapping(i->b, &mapping));
}

static int64_t import_function(struct profile_import *i, uint32_t index)
{
	struct profile_function function = i->p->functions[index];
	profile_str *const strings[] = {&function.name, &function.system_name, &function.filename};

	if (i->functions[index] != UNKNOWN)
		return i->functions[index];
	int err = take_strings(i, strings, 3);
	return err < 0 ? err : learned(&i->functions[index], profile_builder_function(i->b, &function));
}

static int grow(void *array, size_t *capacity, size_t n, size_t entry_bytes)
{
	void **pointer = array;

	if (n <= *capacity)
		return 0;
	void *grown = realloc(*pointer, 2 * n * entry_bytes);
	if (!grown)
		return -ENOMEM;
	*pointer = grown;
	*capacity = 2 * n;
	return 0;
}

int64_t profile_import_location(struct profile_import *i, uint32_t index)
{
	const struct profile_location *location = &i->p->locations[index];
	int64_t mapping = PROFILE_NONE;
	uint64_t shift = 0;
	size_t n = 0;

	if (i->locations[index] != UNKNOWN)
		return i->locations[index];
	if (grow(&i->lines, &i->lines_capacity, location->n_lines, sizeof(i->lines[0])) < 0)
		return -ENOMEM;
	if (location->mapping != PROFILE_NONE) {
		mapping = import_mapping(i, location->mapping);
		if (mapping < 0)
			return mapping;
		shift = i->shifts[location->mapping];
	}
	for (uint32_t k = 0; k < location->n_lines; k++) {
		if (i->rules->keeps_line && !i->rules->keeps_line(i->rules->context, index, k))
			continue;
		i->lines[n] = i->p->lines[location->first_line + k];
		int64_t function = import_function(i, i->lines[n].function);
		if (function < 0)
			return function;
		i->lines[n++].function = (uint32_t)function;
	}
	return learned(&i->locations[index], profile_builder_location(i->b, (uint32_t)mapping, location->address + shift, i->lines, n));
}

int64_t profile_import_labels(struct profile_import *i, const struct profile_sample *sample)
{
	uint32_t first = sample->first_label, n = sample->n_labels;

	if (n && i->label_counts[first] == n)
		return i->label_sets[first];
	if (grow(&i->labels, &i->labels_capacity, n, sizeof(i->labels[0])) < 0)
		return -ENOMEM;
	for (uint32_t k = 0; k < n; k++) {
		struct profile_label *label = &i->labels[k];
		profile_str *const strings[] = {&label->key, &label->str, &label->num_unit};
		*label = i->p->labels[first + k];
		int err = take_strings(i, strings, 3);
		if (err < 0)
			return err;
	}
	int64_t set = profile_builder_label_set(i->b, i->labels, n);
	if (set >= 0 && n) {
		i->label_sets[first] = (uint32_t)set;
		i->label_counts[first] = n;
	}
	return set;
}

int profile_import_head(struct profile_import *i)
{
	const struct profile *p = i->p;
	int err = 0;

	for (size_t k = 0; err == 0 && k < p->n_sample_types; k++)
		err = profile_builder_sample_type(i->b, profile_string(p, p->sample_types[k].type), profile_string(p, p->sample_types[k].unit));
	if (err == 0)
		err = profile_builder_period(i->b, profile_string(p, p->period_type.type), profile_string(p, p->period_type.unit), p->period);
	if (err == 0)
		err = profile_builder_default_sample_type(i->b, profile_string(p, p->default_sample_type));
	profile_builder_time(i->b, p->time_ns, p->duration_ns);
	return err;
}

int profile_import_finish(struct profile_import *i, struct profile **profile_out)
{
	profile_str drop = i->p->drop_frames, keep = i->p->keep_frames, url = i->p->doc_url;
	profile_str *const strings[] = {&drop, &keep, &url};

	int err = take_strings(i, strings, 3);
	if (err == 0)
		err = profile_builder_finish(i->b, profile_out);
	if (err < 0)
		return err;
	(*profile_out)->drop_frames = drop;
	(*profile_out)->keep_frames = keep;
	(*profile_out)->doc_url = url;
	return 0;
}

void profile_import_destroy(struct profile_import *i)
{
	if (!i)
		return;
	free(i->strings);
	free(i->functions);
	free(i->mappings);
	free(i->locations);
	free(i->label_sets);
	free(i->label_counts);
	free(i->shifts);
	free(i->lines);
	free(i->labels);
	free(i);
}
