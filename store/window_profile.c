/* Between a profile and a window of a dictionary. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "store/window.h"

#define LABELS_MAX 1024 /* of one sample; further ones are a mistake of whoever wrote the profile */

/* ---- in ---- */

/* Numbers of the profile, and what they are in the dictionary; PROFILE_NONE: not looked up yet. */
struct interning {
	struct dictionary *d;
	const struct profile *p;
	uint32_t *strings, *mappings, *functions, *locations;
	struct profile_line *lines; /* of the location at hand */
	uint32_t lines_capacity;
	int err;
};

static uint32_t *unknown(size_t n)
{
	uint32_t *numbers = malloc((n + 1) * sizeof(*numbers));

	if (numbers)
		memset(numbers, 0xff, (n + 1) * sizeof(*numbers));
	return numbers;
}

static uint32_t kept(struct interning *g, int64_t number)
{
	if (number >= 0)
		return (uint32_t)number;
	if (g->err == 0)
		g->err = (int)number;
	return 0;
}

static uint32_t string_of(struct interning *g, profile_str string)
{
	if (string >= g->p->n_strings)
		return 0;
	if (g->strings[string] == PROFILE_NONE)
		g->strings[string] = kept(g, dictionary_string(g->d, g->p->strings[string], g->p->string_lengths[string]));
	return g->strings[string];
}

static uint32_t mapping_of(struct interning *g, uint32_t mapping)
{
	if (mapping == PROFILE_NONE)
		return PROFILE_NONE;
	if (g->mappings[mapping] == PROFILE_NONE) {
		struct profile_mapping m = g->p->mappings[mapping];
		m.filename = string_of(g, m.filename);
		m.build_id = string_of(g, m.build_id);
		g->mappings[mapping] = kept(g, dictionary_mapping(g->d, &m));
	}
	return g->mappings[mapping];
}

static uint32_t function_of(struct interning *g, uint32_t function)
{
	if (g->functions[function] == PROFILE_NONE) {
		struct profile_function f = g->p->functions[function];
		f.name = string_of(g, f.name);
		f.system_name = string_of(g, f.system_name);
		f.filename = string_of(g, f.filename);
		g->functions[function] = kept(g, dictionary_function(g->d, &f));
	}
	return g->functions[function];
}

static uint32_t location_of(struct interning *g, uint32_t location)
{
	struct profile_location l = g->p->locations[location];

	if (g->locations[location] != PROFILE_NONE)
		return g->locations[location];
	if (l.n_lines > g->lines_capacity) {
		struct profile_line *lines = realloc(g->lines, l.n_lines * sizeof(*lines));
		if (!lines)
			return kept(g, -ENOMEM);
		g->lines = lines;
		g->lines_capacity = l.n_lines;
	}
	for (uint32_t i = 0; i < l.n_lines; i++) {
		g->lines[i] = g->p->lines[l.first_line + i];
		g->lines[i].function = function_of(g, g->lines[i].function);
	}
	l.mapping = mapping_of(g, l.mapping);
	return g->locations[location] = kept(g, dictionary_location(g->d, &l, g->lines));
}

static uint32_t stack_of(struct interning *g, const struct profile_sample *sample)
{
	uint32_t stack = 0;

	for (uint32_t i = sample->n_locations; i-- > 0 && g->err == 0;)
		stack = kept(g, dictionary_stack(g->d, stack, location_of(g, g->p->stack_locations[sample->first_location + i])));
	return stack;
}

static uint32_t label_set_of(struct interning *g, const struct profile_sample *sample)
{
	struct profile_label labels[LABELS_MAX];

	if (sample->n_labels > LABELS_MAX)
		return kept(g, -E2BIG);
	for (uint32_t i = 0; i < sample->n_labels; i++) {
		const struct profile_label *label = &g->p->labels[sample->first_label + i];
		labels[i] = (struct profile_label){string_of(g, label->key), string_of(g, label->str), label->num,
						   string_of(g, label->num_unit)};
	}
	return kept(g, dictionary_label_set(g->d, labels, sample->n_labels));
}

/* A sample's series, and where the sample is. */
struct sample_series {
	uint32_t series, sample;
};

static int by_series(const void *a, const void *b)
{
	const struct sample_series *x = a, *y = b;

	return x->series < y->series ? -1 : x->series > y->series;
}

static int intern_samples(struct interning *g, struct window *w)
{
	size_t n = g->p->n_samples, types = g->p->n_sample_types;

	AUTO_FREE struct sample_series *order = malloc((n + 1) * sizeof(*order));
	w->series = malloc((n + 1) * sizeof(*w->series));
	w->values = calloc((n + 1) * (types ? types : 1), sizeof(*w->values));
	if (!order || !w->series || !w->values)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct profile_sample *sample = &g->p->samples[i];
		uint32_t labels = label_set_of(g, sample), stack = stack_of(g, sample);
		order[i] = (struct sample_series){kept(g, dictionary_series(g->d, labels, stack)), (uint32_t)i};
		if (g->err < 0)
			return g->err;
	}
	qsort(order, n, sizeof(*order), by_series);
	for (size_t i = 0; i < n; i++) {
		if (!w->n || w->series[w->n - 1] != order[i].series)
			w->series[w->n++] = order[i].series;
		int64_t *sum = &w->values[(w->n - 1) * types];
		for (size_t t = 0; t < types; t++)
			sum[t] = (int64_t)((uint64_t)sum[t] + (uint64_t)g->p->values[order[i].sample * types + t]);
	}
	w->capacity = n;
	return 0;
}

static struct profile_value_type type_of(struct interning *g, struct profile_value_type type)
{
	return (struct profile_value_type){string_of(g, type.type), string_of(g, type.unit)};
}

static void intern_shape(struct interning *g, struct window *w)
{
	const struct profile *p = g->p;

	w->shape = (struct window_shape){
		.n_types = (uint32_t)p->n_sample_types,
		.period_type = type_of(g, p->period_type),
		.default_type = string_of(g, p->default_sample_type),
		.drop_frames = string_of(g, p->drop_frames),
		.keep_frames = string_of(g, p->keep_frames),
		.doc_url = string_of(g, p->doc_url),
	};
	for (size_t i = 0; i < p->n_sample_types; i++)
		w->shape.types[i] = type_of(g, p->sample_types[i]);
	w->period = p->period;
}

static int copy_account(const struct profile *p, struct window *w)
{
	size_t bytes = 1;

	if (!p->n_comments)
		return 0;
	for (size_t i = 0; i < p->n_comments; i++)
		bytes += strlen(profile_string(p, p->comments[i])) + 1;
	w->account = malloc(bytes);
	if (!w->account)
		return -ENOMEM;
	char *at = w->account;
	for (size_t i = 0; i < p->n_comments; i++) {
		if (i)
			*at++ = '\n';
		at = stpcpy(at, profile_string(p, p->comments[i]));
	}
	return 0;
}

static void fill_head(const struct profile *p, struct window *w)
{
	uint32_t type = profile_default_value(p);

	w->head = (struct window_head){
		.time_ns = p->time_ns,
		.duration_ns = p->duration_ns > 0 ? p->duration_ns : 0,
		.value = type == PROFILE_NONE ? 0 : profile_total(p, type),
		.merged = 1,
		.samples = (uint32_t)w->n,
	};
	if (__builtin_add_overflow(w->head.time_ns, w->head.duration_ns, &w->head.end_ns))
		w->head.end_ns = INT64_MAX;
}

int window_from_profile(struct window *w, struct dictionary *d, const struct profile *p)
{
	struct interning g = {.d = d, .p = p};

	*w = (struct window){0};
	if (p->n_sample_types > WINDOW_TYPES_MAX || p->n_samples >= UINT32_MAX)
		return -E2BIG;
	g.strings = unknown(p->n_strings);
	g.mappings = unknown(p->n_mappings);
	g.functions = unknown(p->n_functions);
	g.locations = unknown(p->n_locations);
	g.err = g.strings && g.mappings && g.functions && g.locations ? 0 : -ENOMEM;
	if (g.err == 0)
		intern_shape(&g, w);
	if (g.err == 0)
		g.err = intern_samples(&g, w);
	if (g.err == 0)
		g.err = copy_account(p, w);
	if (g.err == 0)
		fill_head(p, w);
	else
		window_deinit(w);
	free(g.strings);
	free(g.mappings);
	free(g.functions);
	free(g.locations);
	free(g.lines);
	return g.err;
}

/* ---- out ---- */

/* Numbers of the dictionary, and what they are in the profile. */
struct building {
	const struct dictionary *d;
	struct profile *p;
	uint32_t *strings, *mappings, *functions, *locations, *label_sets;
	uint32_t *stacks; /* where in p->stack_locations its frames begin */
	size_t strings_capacity, bytes, bytes_capacity, stack_capacity;
	int err;
};

/* Room for more entries behind n; false: no memory. */
static bool more_room(struct building *b, void *array, size_t *capacity, size_t n, size_t more, size_t entry_bytes)
{
	void **pointer = array;

	if (n + more <= *capacity || b->err < 0)
		return b->err == 0;
	size_t wanted = (n + more) * 2 + 64;
	void *grown = n + more > INT32_MAX ? NULL : realloc(*pointer, wanted * entry_bytes);
	if (!grown) {
		b->err = n + more > INT32_MAX ? -E2BIG : -ENOMEM;
		return false;
	}
	*pointer = grown;
	*capacity = wanted;
	return true;
}

/* The offset in string_bytes stands in string_lengths until the bytes are at their place. */
static profile_str put_string_bytes(struct building *b, const char *text, size_t length)
{
	struct profile *p = b->p;

	if (!more_room(b, &p->string_lengths, &b->strings_capacity, p->n_strings, 1, sizeof(p->string_lengths[0])) ||
	    !more_room(b, &p->string_bytes, &b->bytes_capacity, b->bytes, length + 1, 1))
		return 0;
	memcpy(p->string_bytes + b->bytes, text, length);
	p->string_bytes[b->bytes + length] = '\0';
	p->string_lengths[p->n_strings] = (uint32_t)b->bytes;
	b->bytes += length + 1;
	return (profile_str)p->n_strings++;
}

static profile_str put_string(struct building *b, uint32_t string)
{
	if (b->strings[string] == PROFILE_NONE) {
		const char *text = dictionary_string_at(b->d, string);
		uint32_t begin = string ? b->d->string_ends[string - 1] : 0;
		b->strings[string] = put_string_bytes(b, text, b->d->string_ends[string] - begin - 1);
	}
	return b->strings[string];
}

static uint32_t put_mapping(struct building *b, uint32_t mapping)
{
	if (mapping == PROFILE_NONE)
		return PROFILE_NONE;
	if (b->mappings[mapping] == PROFILE_NONE) {
		struct profile_mapping *m = &b->p->mappings[b->p->n_mappings];
		*m = b->d->mappings[mapping];
		m->filename = put_string(b, m->filename);
		m->build_id = put_string(b, m->build_id);
		b->mappings[mapping] = (uint32_t)b->p->n_mappings++;
	}
	return b->mappings[mapping];
}

static uint32_t put_function(struct building *b, uint32_t function)
{
	if (b->functions[function] == PROFILE_NONE) {
		struct profile_function *f = &b->p->functions[b->p->n_functions];
		*f = b->d->functions[function];
		f->name = put_string(b, f->name);
		f->system_name = put_string(b, f->system_name);
		f->filename = put_string(b, f->filename);
		b->functions[function] = (uint32_t)b->p->n_functions++;
	}
	return b->functions[function];
}

static uint32_t put_location(struct building *b, uint32_t location)
{
	if (b->locations[location] == PROFILE_NONE) {
		struct profile *p = b->p;
		struct profile_location *l = &p->locations[p->n_locations];
		*l = b->d->locations[location];
		for (uint32_t i = 0; i < l->n_lines; i++) {
			struct profile_line *line = &p->lines[p->n_lines + i];
			*line = b->d->lines[l->first_line + i];
			line->function = put_function(b, line->function);
		}
		l->first_line = (uint32_t)p->n_lines;
		p->n_lines += l->n_lines;
		l->mapping = put_mapping(b, l->mapping);
		b->locations[location] = (uint32_t)p->n_locations++;
	}
	return b->locations[location];
}

/* Leaf first, a stack's callers stand behind it: so the frames of its callers' stacks are there too, and are used where a sample has one of them. */
static void put_stack(struct building *b, uint32_t stack, struct profile_sample *sample)
{
	struct profile *p = b->p;
	uint32_t depth = 0;

	for (uint32_t at = stack; at; at = b->d->stacks[at].parent)
		depth++;
	sample->n_locations = depth;
	if (depth && b->stacks[stack] == PROFILE_NONE) {
		if (!more_room(b, &p->stack_locations, &b->stack_capacity, p->n_stack_locations, depth, sizeof(p->stack_locations[0])))
			return;
		for (uint32_t at = stack; at; at = b->d->stacks[at].parent) {
			if (b->stacks[at] == PROFILE_NONE)
				b->stacks[at] = (uint32_t)p->n_stack_locations;
			p->stack_locations[p->n_stack_locations++] = put_location(b, b->d->stacks[at].location);
		}
	}
	sample->first_location = depth ? b->stacks[stack] : 0;
}

static void put_labels(struct building *b, uint32_t labels, struct profile_sample *sample)
{
	const struct dictionary_label_set *set = &b->d->label_sets[labels];

	sample->n_labels = set->n;
	if (b->label_sets[labels] == PROFILE_NONE) {
		b->label_sets[labels] = (uint32_t)b->p->n_labels;
		for (uint32_t i = 0; i < set->n; i++) {
			const struct profile_label *label = &b->d->labels[set->first + i];
			b->p->labels[b->p->n_labels++] = (struct profile_label){
				put_string(b, label->key), put_string(b, label->str), label->num, put_string(b, label->num_unit)};
		}
	}
	sample->first_label = b->label_sets[labels];
}

static void put_comments(struct building *b, const char *account)
{
	struct profile *p = b->p;
	size_t capacity = 0;

	for (const char *at = account; at && b->err == 0;) {
		const char *end = strchrnul(at, '\n');
		if (more_room(b, &p->comments, &capacity, p->n_comments, 1, sizeof(p->comments[0])))
			p->comments[p->n_comments++] = put_string_bytes(b, at, (size_t)(end - at));
		at = *end ? end + 1 : NULL;
	}
}

static void put_head(struct building *b, const struct window *w)
{
	const struct window_shape *s = &w->shape;
	struct profile *p = b->p;

	put_string(b, 0);
	for (uint32_t i = 0; i < s->n_types; i++)
		p->sample_types[p->n_sample_types++] =
			(struct profile_value_type){put_string(b, s->types[i].type), put_string(b, s->types[i].unit)};
	p->period_type = (struct profile_value_type){put_string(b, s->period_type.type), put_string(b, s->period_type.unit)};
	p->period = w->period;
	p->default_sample_type = put_string(b, s->default_type);
	p->drop_frames = put_string(b, s->drop_frames);
	p->keep_frames = put_string(b, s->keep_frames);
	p->doc_url = put_string(b, s->doc_url);
	p->time_ns = w->head.time_ns;
	p->duration_ns = w->head.duration_ns;
	put_comments(b, w->account);
}

static int allocate(struct building *b, const struct window *w)
{
	const uint32_t *n = b->d->n.tables;
	size_t types = w->shape.n_types;

	b->p = calloc(1, sizeof(*b->p));
	if (!b->p)
		return -ENOMEM;
	b->strings = unknown(n[DICTIONARY_STRINGS]);
	b->mappings = unknown(n[DICTIONARY_MAPPINGS]);
	b->functions = unknown(n[DICTIONARY_FUNCTIONS]);
	b->locations = unknown(n[DICTIONARY_LOCATIONS]);
	b->label_sets = unknown(n[DICTIONARY_LABEL_SETS]);
	b->stacks = unknown(n[DICTIONARY_STACKS]);
	/* All that could be needed: what is not touched takes no memory. */
	b->p->sample_types = calloc(types + 1, sizeof(b->p->sample_types[0]));
	b->p->samples = malloc((w->n + 1) * sizeof(b->p->samples[0]));
	b->p->values = malloc((w->n + 1) * (types + 1) * sizeof(b->p->values[0]));
	b->p->mappings = malloc(((size_t)n[DICTIONARY_MAPPINGS] + 1) * sizeof(b->p->mappings[0]));
	b->p->functions = malloc(((size_t)n[DICTIONARY_FUNCTIONS] + 1) * sizeof(b->p->functions[0]));
	b->p->locations = malloc(((size_t)n[DICTIONARY_LOCATIONS] + 1) * sizeof(b->p->locations[0]));
	b->p->lines = malloc(((size_t)b->d->n.lines + 1) * sizeof(b->p->lines[0]));
	b->p->labels = malloc(((size_t)b->d->n.labels + 1) * sizeof(b->p->labels[0]));
	return b->strings && b->mappings && b->functions && b->locations && b->label_sets && b->stacks && b->p->sample_types &&
			       b->p->samples && b->p->values && b->p->mappings && b->p->functions && b->p->locations && b->p->lines &&
			       b->p->labels
		       ? 0
		       : -ENOMEM;
}

/* Offsets become pointers and lengths. */
static int settle_strings(struct building *b)
{
	struct profile *p = b->p;

	p->strings = malloc((p->n_strings + 1) * sizeof(p->strings[0]));
	if (!p->strings)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_strings; i++) {
		size_t begin = p->string_lengths[i], end = i + 1 < p->n_strings ? p->string_lengths[i + 1] : b->bytes;
		p->strings[i] = p->string_bytes + begin;
		p->string_lengths[i] = (uint32_t)(end - begin - 1);
	}
	return 0;
}

int window_to_profile(const struct window *w, const struct dictionary *d, struct profile **profile_out)
{
	struct building b = {.d = d};
	size_t types = w->shape.n_types;

	b.err = allocate(&b, w);
	if (b.err == 0)
		put_head(&b, w);
	for (size_t i = 0; i < w->n && b.err == 0; i++) {
		struct profile_sample *sample = &b.p->samples[b.p->n_samples++];
		put_stack(&b, d->series[w->series[i]].stack, sample);
		put_labels(&b, d->series[w->series[i]].labels, sample);
		memcpy(&b.p->values[i * types], &w->values[i * types], types * sizeof(w->values[0]));
	}
	if (b.err == 0)
		b.err = settle_strings(&b);
	free(b.strings);
	free(b.mappings);
	free(b.functions);
	free(b.locations);
	free(b.label_sets);
	free(b.stacks);
	if (b.err == 0)
		*profile_out = b.p;
	else
		profile_free(b.p);
	return b.err;
}
