#include "pprof/profile_merge.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/scope.h"
#include "pprof/profile_import.h"

#define PAGE 0x1000ull

/* A file's mapping, wherever it lay: what go tool pprof goes by. */
struct file_mapping {
	uint64_t pages, offset;
	profile_str file; /* build id, else the file's name; the builder's strings */
	struct profile_mapping mapping; /* the first one of it */
};

struct merging {
	const struct profile *const *profiles;
	size_t n;
	struct profile_builder *b;
	struct file_mapping *files;
	size_t n_files, files_capacity;
	uint32_t *slots; /* of files, + 1; 0: free */
	size_t n_slots;	 /* a power of two */
	uint64_t seed;
	uint32_t types[64]; /* of the profile at hand: which of its values is the i-th of the first profile's */
	double weight;
	struct why *why;
};

#define TYPES_MAX (sizeof(((struct merging *)0)->types) / sizeof(uint32_t))

/* --- mappings ------------------------------------------------------------------------------------------------ */

static size_t slot_of(const struct merging *m, const struct file_mapping *file)
{
	uint64_t key[3] = {file->pages, file->offset, file->file};
	size_t at = XXH3_64bits_withSeed(key, sizeof(key), m->seed) & (m->n_slots - 1);

	for (; m->slots[at]; at = (at + 1) & (m->n_slots - 1)) {
		const struct file_mapping *known = &m->files[m->slots[at] - 1];
		if (known->pages == file->pages && known->offset == file->offset && known->file == file->file)
			break;
	}
	return at;
}

static int reserve_file(struct merging *m)
{
	if (m->n_files < m->files_capacity)
		return 0;
	size_t capacity = m->files_capacity ? 2 * m->files_capacity : 64;
	struct file_mapping *files = realloc(m->files, capacity * sizeof(*files));
	if (!files)
		return -ENOMEM;
	m->files = files;
	uint32_t *slots = calloc(2 * capacity, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(m->slots);
	m->slots = slots;
	m->n_slots = 2 * capacity;
	m->files_capacity = capacity;
	for (uint32_t i = 0; i < m->n_files; i++)
		m->slots[slot_of(m, &m->files[i])] = i + 1;
	return 0;
}

static int map(void *context, struct profile_mapping *mapping, uint64_t *shift_out)
{
	struct merging *m = context;
	struct file_mapping file = {
		.pages = (mapping->limit - mapping->start + PAGE - 1) / PAGE,
		.offset = mapping->file_offset,
		.file = mapping->build_id ? mapping->build_id : mapping->filename,
		.mapping = *mapping,
	};

	int err = reserve_file(m);
	if (err < 0)
		return err;
	size_t slot = slot_of(m, &file);
	if (!m->slots[slot]) {
		m->files[m->n_files++] = file;
		m->slots[slot] = (uint32_t)m->n_files;
	}
	const struct profile_mapping *known = &m->files[m->slots[slot] - 1].mapping;
	*shift_out = known->start - mapping->start;
	*mapping = *known;
	return 0;
}

/* --- heads --------------------------------------------------------------------------------------------------- */

static bool same_type(const struct profile *a, struct profile_value_type x, const struct profile *b, struct profile_value_type y)
{
	return strcmp(profile_string(a, x.type), profile_string(b, y.type)) == 0 && strcmp(profile_string(a, x.unit), profile_string(b, y.unit)) == 0;
}

static bool has_period(const struct profile *p)
{
	return *profile_string(p, p->period_type.type) || *profile_string(p, p->period_type.unit);
}

/* Where the first profile's sample types are in another one; the order may be another. */
static int match_types(struct merging *m, size_t index)
{
	const struct profile *first = m->profiles[0], *p = m->profiles[index];

	if (p->n_sample_types > TYPES_MAX)
		return why_set(m->why, -EINVAL, "profile %zu has more than %zu sample types", index + 1, TYPES_MAX);
	if (p->n_sample_types != first->n_sample_types)
		return why_set(m->why, -EINVAL, "profile %zu has %zu sample types, the first one %zu: only profiles of the same kind can be merged", index + 1,
			       p->n_sample_types, first->n_sample_types);
	for (size_t i = 0; i < first->n_sample_types; i++) {
		struct profile_value_type type = first->sample_types[i];
		uint32_t at = 0;
		while (at < p->n_sample_types && !same_type(first, type, p, p->sample_types[at]))
			at++;
		if (at == p->n_sample_types)
			return why_set(m->why, -EINVAL, "profile %zu has no sample type %.80s/%.80s, as the first one: only profiles of the same kind can be merged",
				       index + 1, profile_string(first, type.type), profile_string(first, type.unit));
		m->types[i] = at;
	}
	if (has_period(first) && has_period(p) && !same_type(first, first->period_type, p, p->period_type))
		return why_set(m->why, -EINVAL, "profile %zu was sampled by %.80s/%.80s, the first one by %.80s/%.80s", index + 1,
			       profile_string(p, p->period_type.type), profile_string(p, p->period_type.unit), profile_string(first, first->period_type.type),
			       profile_string(first, first->period_type.unit));
	return 0;
}

static double weight_of(const struct profile *p)
{
	for (size_t i = 0; i < p->n_comments; i++) {
		const char *comment = profile_string(p, p->comments[i]);
		if (strncmp(comment, "weight=", 7) != 0)
			continue;
		double weight = strtod(comment + 7, NULL);
		return isfinite(weight) && weight > 0 ? weight : 1;
	}
	return 1;
}

static bool is_weight(const char *comment)
{
	return strncmp(comment, "weight=", 7) == 0;
}

/* A comment that is there already is passed over. seen: by string, 1: it is. */
static int merge_comment(struct merging *m, const char *comment, uint8_t **seen, size_t *n_seen)
{
	int64_t id = is_weight(comment) ? 0 : profile_builder_string(m->b, comment, strlen(comment));

	if (id <= 0)
		return (int)id;
	if ((size_t)id >= *n_seen) {
		size_t wanted = 2 * (size_t)id + 64;
		uint8_t *grown = realloc(*seen, wanted);
		if (!grown)
			return -ENOMEM;
		memset(grown + *n_seen, 0, wanted - *n_seen);
		*seen = grown;
		*n_seen = wanted;
	}
	if ((*seen)[id])
		return 0;
	(*seen)[id] = 1;
	return profile_builder_comment(m->b, comment);
}

static int merge_comments(struct merging *m)
{
	AUTO_FREE uint8_t *seen = NULL;
	size_t n_seen = 0;
	int err = 0;

	for (size_t i = 0; err == 0 && i < m->n; i++)
		for (size_t k = 0; err == 0 && k < m->profiles[i]->n_comments; k++)
			err = merge_comment(m, profile_string(m->profiles[i], m->profiles[i]->comments[k]), &seen, &n_seen);
	return err;
}

static int merge_head(struct merging *m)
{
	const struct profile *typed = m->profiles[0];
	int64_t time = 0, duration = 0, period = 0;
	const char *usual = "";
	int err = 0;

	for (size_t i = 0; i < typed->n_sample_types && err == 0; i++)
		err = profile_builder_sample_type(m->b, profile_string(typed, typed->sample_types[i].type),
						  profile_string(typed, typed->sample_types[i].unit));
	for (size_t i = 0; i < m->n; i++) {
		const struct profile *p = m->profiles[i];
		if (p->time_ns && (!time || p->time_ns < time))
			time = p->time_ns;
		duration = (int64_t)((uint64_t)duration + (uint64_t)p->duration_ns);
		period = p->period > period ? p->period : period;
		usual = *usual ? usual : profile_string(p, p->default_sample_type);
		typed = has_period(typed) ? typed : p;
	}
	if (err == 0)
		err = profile_builder_period(m->b, profile_string(typed, typed->period_type.type), profile_string(typed, typed->period_type.unit), period);
	if (err == 0)
		err = profile_builder_default_sample_type(m->b, usual);
	profile_builder_time(m->b, time, duration);
	return err < 0 ? err : merge_comments(m);
}

/* --- samples ------------------------------------------------------------------------------------------------- */

static int64_t weighed(int64_t value, double weight)
{
	if (weight == 1)
		return value;
	double product = (double)value * weight;
	return product >= 9.2e18 ? INT64_MAX : product <= -9.2e18 ? INT64_MIN : (int64_t)(product < 0 ? product - 0.5 : product + 0.5);
}

static int merge_sample(struct merging *m, struct profile_import *import, const struct profile *p, size_t index, uint32_t *stack)
{
	const struct profile_sample *sample = &p->samples[index];
	int64_t values[TYPES_MAX];
	bool any = false;

	for (size_t i = 0; i < p->n_sample_types; i++) {
		values[i] = weighed(p->values[index * p->n_sample_types + m->types[i]], m->weight);
		any = any || values[i];
	}
	if (!any)
		return 0;
	for (uint32_t i = 0; i < sample->n_locations; i++) {
		int64_t location = profile_import_location(import, p->stack_locations[sample->first_location + i]);
		if (location < 0)
			return (int)location;
		stack[i] = (uint32_t)location;
	}
	int64_t result = profile_import_labels(import, sample);
	if (result >= 0)
		result = profile_builder_sample_of_set(m->b, stack, sample->n_locations, (uint32_t)result, values);
	return result < 0 ? (int)result : 0;
}

static int merge_samples(struct merging *m, struct profile_import *import, const struct profile *p)
{
	uint32_t deepest = 0;
	int err = 0;

	for (size_t i = 0; i < p->n_samples; i++)
		deepest = p->samples[i].n_locations > deepest ? p->samples[i].n_locations : deepest;
	AUTO_FREE uint32_t *stack = malloc(((size_t)deepest + 1) * sizeof(*stack));
	if (!stack)
		return -ENOMEM;
	m->weight = weight_of(p);
	for (size_t i = 0; err == 0 && i < p->n_samples; i++)
		err = merge_sample(m, import, p, i, stack);
	return err;
}

static int merge(struct merging *m, struct profile **profile_out)
{
	const struct profile_import_rules rules = {.context = m, .map = map};
	struct profile_import *first = NULL; /* whose head counts */
	int err = 0;

	for (size_t i = 0; err == 0 && i < m->n; i++)
		err = match_types(m, i);
	if (err == 0)
		err = profile_builder_create(&m->b);
	if (err == 0)
		err = merge_head(m);
	for (size_t i = 0; err == 0 && i < m->n; i++) {
		struct profile_import *import = NULL;
		match_types(m, i);
		err = profile_import_create(m->b, m->profiles[i], &rules, &import);
		if (err == 0)
			err = merge_samples(m, import, m->profiles[i]);
		if (i == 0)
			first = import;
		else
			profile_import_destroy(import);
	}
	if (err == 0)
		err = profile_import_finish(first, profile_out);
	profile_import_destroy(first);
	return err;
}

int profile_merge(const struct profile *const *profiles, size_t n, struct profile **profile_out, struct why *why)
{
	struct merging m = {.profiles = profiles, .n = n, .why = why};

	if (!n)
		return why_set(why, -EINVAL, "no profiles to merge");
	int err = getrandom(&m.seed, sizeof(m.seed), 0) == (ssize_t)sizeof(m.seed) ? merge(&m, profile_out) : -EIO;
	profile_builder_destroy(m.b);
	free(m.files);
	free(m.slots);
	return err;
}
