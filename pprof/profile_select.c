#include "pprof/profile_select.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/regex.h"
#include "base/scope.h"
#include "pprof/profile_import.h"

enum { FOCUS, IGNORE, HIDE, SHOW, FILTERS };
static const char *const FILTER_NAME[FILTERS] = {"focus", "ignore", "hide", "show"};

#define LOCATION_FOCUSED 1 /* focus matches one of its frames */
#define LOCATION_IGNORED 2
#define LOCATION_GONE	 4 /* none of its frames stays */
#define LOCATION_STAYS	 8

struct selecting {
	const struct profile *p;
	const struct profile_selection *s;
	struct regex *filters[FILTERS];
	uint8_t *functions, *mappings; /* 1 << filter: it matches there */
	uint8_t *locations;
	uint8_t *labels; /* 1 << condition: it holds there */
	struct why *why;
};

static void selecting_deinit(struct selecting *x)
{
	for (int f = 0; f < FILTERS; f++)
		regex_destroy(x->filters[f]);
	free(x->functions);
	free(x->mappings);
	free(x->locations);
	free(x->labels);
}

#define AUTO_SELECTING __attribute__((cleanup(selecting_deinit)))

static int compile(struct selecting *x)
{
	const char *const patterns[FILTERS] = {x->s->focus, x->s->ignore, x->s->hide, x->s->show};
	struct why inner;

	if (x->s->n_labels > PROFILE_SELECT_LABELS)
		return why_set(x->why, -EINVAL, "more than %d labels", PROFILE_SELECT_LABELS);
	for (int f = 0; f < FILTERS; f++) {
		if (!patterns[f])
			continue;
		int err = regex_create(patterns[f], REGEX_SOMEWHERE, &x->filters[f], &inner);
		if (err < 0)
			return err == -EINVAL ? why_set(x->why, err, "%s: %s", FILTER_NAME[f], inner.text) : err;
	}
	return 0;
}

/* Which filters match one of n texts? Returns their bits or a negative errno. */
static int matching(const struct selecting *x, const char *const *texts, size_t n)
{
	int bits = 0;

	for (int f = 0; f < FILTERS; f++) {
		for (size_t i = 0; x->filters[f] && i < n && !(bits & 1 << f); i++) {
			int result = *texts[i] || i == 0 ? regex_match(x->filters[f], texts[i]) : 0;
			if (result == -E2BIG)
				return why_set(x->why, result, "%s: this expression takes too long on some names: make it simpler", FILTER_NAME[f]);
			if (result < 0)
				return result;
			bits |= result ? 1 << f : 0;
		}
	}
	return bits;
}

static int match_names(struct selecting *x)
{
	const struct profile *p = x->p;

	for (size_t i = 0; i < p->n_functions; i++) {
		const struct profile_function *function = &p->functions[i];
		const char *name = profile_string(p, function->name);
		const char *const texts[] = {*name ? name : profile_string(p, function->system_name), profile_string(p, function->filename)};
		int bits = matching(x, texts, 2);
		if (bits < 0)
			return bits;
		x->functions[i] = (uint8_t)bits;
	}
	for (size_t i = 0; i < p->n_mappings; i++) {
		const char *const texts[] = {profile_string(p, p->mappings[i].filename)};
		int bits = *texts[0] ? matching(x, texts, 1) : 0;
		if (bits < 0)
			return bits;
		x->mappings[i] = (uint8_t)bits;
	}
	return 0;
}

static bool bits_keep(const struct selecting *x, unsigned bits)
{
	return !(bits & 1 << HIDE) && (!x->filters[SHOW] || bits & 1 << SHOW);
}

static unsigned mapping_bits(const struct selecting *x, const struct profile_location *location)
{
	return location->mapping == PROFILE_NONE ? 0 : x->mappings[location->mapping];
}

static bool keeps_line(void *context, uint32_t location, uint32_t i)
{
	const struct selecting *x = context;
	const struct profile_location *l = &x->p->locations[location];

	return bits_keep(x, mapping_bits(x, l) | x->functions[x->p->lines[l->first_line + i].function]);
}

static int judge_location(struct selecting *x, uint32_t index)
{
	const struct profile_location *location = &x->p->locations[index];
	bool kernel = profile_location_is_kernel(x->p, location);
	bool other_side = x->s->side != PROFILE_BOTH_SIDES && kernel != (x->s->side == PROFILE_KERNEL_SIDE);
	unsigned any = mapping_bits(x, location);
	bool stays = false;

	for (uint32_t i = 0; i < location->n_lines; i++) {
		any |= x->functions[x->p->lines[location->first_line + i].function];
		stays = stays || keeps_line(x, index, i);
	}
	if (!location->n_lines) {
		char buffer[PROFILE_FRAME_NAME_MAX];
		const char *const texts[] = {profile_frame_name(x->p, location, 0, buffer)};
		int bits = matching(x, texts, 1);
		if (bits < 0)
			return bits;
		any |= (unsigned)bits;
		stays = bits_keep(x, any);
	}
	x->locations[index] = (uint8_t)((any & 1 << FOCUS ? LOCATION_FOCUSED : 0) | (any & 1 << IGNORE ? LOCATION_IGNORED : 0) |
					(other_side || !stays ? LOCATION_GONE : LOCATION_STAYS));
	return 0;
}

/* Each label of the profile once: samples share them. */
static void judge_labels(struct selecting *x)
{
	for (size_t i = 0; i < x->p->n_labels; i++) {
		const struct profile_label *label = &x->p->labels[i];
		char number[24];
		for (size_t k = 0; k < x->s->n_labels; k++) {
			if (strcmp(profile_string(x->p, label->key), x->s->labels[k].key) != 0)
				continue;
			snprintf(number, sizeof(number), "%" PRId64, label->num);
			const char *value = label->str ? profile_string(x->p, label->str) : number;
			x->labels[i] |= (uint8_t)(strcmp(value, x->s->labels[k].value) == 0 ? 1 << k : 0);
		}
	}
}

static int judge(struct selecting *x)
{
	const struct profile *p = x->p;

	x->functions = calloc(p->n_functions + 1, 1);
	x->mappings = calloc(p->n_mappings + 1, 1);
	x->locations = calloc(p->n_locations + 1, 1);
	x->labels = calloc(p->n_labels + 1, 1);
	if (!x->functions || !x->mappings || !x->locations || !x->labels)
		return -ENOMEM;
	int err = match_names(x);
	for (uint32_t i = 0; err == 0 && i < p->n_locations; i++)
		err = judge_location(x, i);
	if (err == 0 && x->s->n_labels)
		judge_labels(x);
	return err;
}

static bool is_wanted(const struct selecting *x, const struct profile_sample *sample)
{
	unsigned labels = 0, frames = x->filters[FOCUS] ? 0 : LOCATION_FOCUSED;
	const uint32_t *stack = &x->p->stack_locations[sample->first_location];

	for (uint32_t i = 0; i < sample->n_labels; i++)
		labels |= x->labels[sample->first_label + i];
	if (labels != (1u << x->s->n_labels) - 1)
		return false;
	if (!x->filters[FOCUS] && !x->filters[IGNORE])
		return true;
	for (uint32_t i = 0; i < sample->n_locations; i++)
		frames |= x->locations[stack[i]];
	return frames & LOCATION_FOCUSED && !(frames & LOCATION_IGNORED);
}

static int take_sample(const struct selecting *x, struct profile_builder *b, struct profile_import *import, size_t index, uint32_t *stack)
{
	const struct profile *p = x->p;
	const struct profile_sample *sample = &p->samples[index];
	size_t n = 0;

	for (uint32_t i = 0; i < sample->n_locations; i++) {
		uint32_t at = p->stack_locations[sample->first_location + i];
		if (x->locations[at] & LOCATION_GONE)
			continue;
		int64_t location = profile_import_location(import, at);
		if (location < 0)
			return (int)location;
		stack[n++] = (uint32_t)location;
	}
	if (!n && (sample->n_locations || x->s->side != PROFILE_BOTH_SIDES || x->filters[SHOW]))
		return 0;
	int64_t result = profile_import_labels(import, sample);
	if (result >= 0)
		result = profile_builder_sample_of_set(b, stack, n, (uint32_t)result, &p->values[index * p->n_sample_types]);
	return result < 0 ? (int)result : 0;
}

/* An account holds for all samples only. */
static int take_comments(const struct selecting *x, struct profile_builder *b)
{
	const struct profile_selection *s = x->s;
	bool all = s->side == PROFILE_BOTH_SIDES && !s->focus && !s->ignore && !s->hide && !s->show && !s->n_labels;
	int err = 0;

	for (size_t i = 0; err == 0 && i < x->p->n_comments; i++) {
		const char *comment = profile_string(x->p, x->p->comments[i]);
		if (all || strncmp(comment, "ticks=", 6) != 0)
			err = profile_builder_comment(b, comment);
	}
	return err;
}

static int take(struct selecting *x, struct profile_builder *b, struct profile_import *import, struct profile **profile_out)
{
	uint32_t deepest = 0;

	for (size_t i = 0; i < x->p->n_samples; i++)
		deepest = x->p->samples[i].n_locations > deepest ? x->p->samples[i].n_locations : deepest;
	AUTO_FREE uint32_t *stack = malloc(((size_t)deepest + 1) * sizeof(*stack));
	if (!stack)
		return -ENOMEM;
	int err = profile_import_head(import);
	if (err == 0)
		err = take_comments(x, b);
	for (size_t i = 0; err == 0 && i < x->p->n_samples; i++)
		if (is_wanted(x, &x->p->samples[i]))
			err = take_sample(x, b, import, i, stack);
	return err < 0 ? err : profile_import_finish(import, profile_out);
}

int profile_select(const struct profile *profile, const struct profile_selection *selection, struct profile **profile_out, struct why *why)
{
	AUTO_SELECTING struct selecting x = {.p = profile, .s = selection, .why = why};
	const struct profile_import_rules rules = {.context = &x, .keeps_line = keeps_line};
	struct profile_builder *b = NULL;
	struct profile_import *import = NULL;

	int err = compile(&x);
	if (err == 0)
		err = judge(&x);
	if (err == 0)
		err = profile_builder_create(&b);
	if (err == 0)
		err = profile_import_create(b, profile, &rules, &import);
	if (err == 0)
		err = take(&x, b, import, profile_out);
	profile_import_destroy(import);
	profile_builder_destroy(b);
	return err;
}

int profile_select_locations(const struct profile *profile, const struct profile_selection *selection, uint8_t **locations_out, struct why *why)
{
	AUTO_SELECTING struct selecting x = {.p = profile, .s = selection, .why = why};

	int err = compile(&x);
	if (err == 0)
		err = judge(&x);
	if (err == 0)
		*locations_out = take_ptr(x.locations);
	return err;
}

bool profile_select_stack(const struct profile_selection *selection, unsigned bits, bool has_frames)
{
	if ((selection->focus && !(bits & LOCATION_FOCUSED)) || bits & LOCATION_IGNORED)
		return false;
	return bits & LOCATION_STAYS || (!has_frames && selection->side == PROFILE_BOTH_SIDES && !selection->show);
}
