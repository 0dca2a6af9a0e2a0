#include "pprof/function_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "pprof/flame_tree.h"
#include "pprof/frame_set.h"

struct sums {
	int64_t self, total;
};

static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* Visit the frames of a sample, the leaf first; as many as a flame tree has of it. */
typedef void (*frame_fn)(void *context, uint32_t frame, bool is_leaf);

static void for_each_frame(const struct profile *p, const struct frame_map *map, const struct profile_sample *sample, frame_fn fn, void *context)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < sample->n_locations; i++) {
		uint32_t location = p->stack_locations[sample->first_location + i];
		for (uint32_t at = map->first[location]; at < map->first[location + 1]; at++, n++) {
			if (n == FLAME_DEPTH_MAX)
				return;
			fn(context, at, n == 0);
		}
	}
}

/* --- functions ----------------------------------------------------------------------------------------------- */

struct counting {
	const struct frame_map *map;
	struct sums *sums;
	uint32_t *seen; /* sample + 1 that touched it last: recursion counts once */
	uint32_t sample;
	int64_t value;
};

static void count_frame(void *context, uint32_t at, bool is_leaf)
{
	struct counting *c = context;
	uint32_t frame = c->map->frames[at];

	if (is_leaf)
		c->sums[frame].self = add(c->sums[frame].self, c->value);
	if (c->seen[frame] == c->sample)
		return;
	c->seen[frame] = c->sample;
	c->sums[frame].total = add(c->sums[frame].total, c->value);
}

static int count_functions(const struct profile *p, uint32_t value, const struct frame_map *map, size_t n_frames, struct sums *sums)
{
	AUTO_FREE uint32_t *seen = calloc(n_frames + 1, sizeof(*seen));
	struct counting c = {.map = map, .sums = sums, .seen = seen};

	if (!seen || p->n_samples >= UINT32_MAX)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_samples; i++) {
		c.sample = (uint32_t)i + 1;
		c.value = p->values[i * p->n_sample_types + value];
		if (c.value)
			for_each_frame(p, map, &p->samples[i], count_frame, &c);
	}
	return 0;
}

/* What is in one of two profiles alone, but as the only one of its name in both, is the same function under another module. */
static int join_by_name(const struct frame_set *set, struct sums *sums, struct sums *base)
{
	enum { NONE = 0, MANY = UINT32_MAX };
	AUTO_FREE uint32_t *ours = calloc(set->names.n, sizeof(*ours)), *theirs = calloc(set->names.n, sizeof(*theirs));

	if (!ours || !theirs)
		return -ENOMEM;
	for (uint32_t i = 0; i < set->n; i++) {
		uint32_t name = set->frames[i].name;
		bool here = sums[i].total || sums[i].self, there = base[i].total || base[i].self;
		if (here)
			ours[name] = ours[name] == NONE && !there ? i + 1 : (uint32_t)MANY;
		if (there)
			theirs[name] = theirs[name] == NONE && !here ? i + 1 : (uint32_t)MANY;
	}
	for (size_t name = 0; name < set->names.n; name++) {
		if (ours[name] == NONE || ours[name] == (uint32_t)MANY || theirs[name] == NONE || theirs[name] == (uint32_t)MANY)
			continue;
		base[ours[name] - 1] = base[theirs[name] - 1];
		base[theirs[name] - 1] = (struct sums){0};
	}
	return 0;
}

static bool is_row(const struct sums *sums, const struct sums *base)
{
	return sums->self || sums->total || base->self || base->total;
}

static size_t text_bytes(const struct string_set *set)
{
	size_t bytes = 0;

	for (size_t i = 0; i < set->n; i++)
		bytes += strlen(set->texts[i]) + 1;
	return bytes;
}

/* Copy the texts of a set to *text: texts_out: where each is. */
static void copy_texts(const struct string_set *set, char **text, const char **texts_out)
{
	for (size_t i = 0; i < set->n; i++) {
		texts_out[i] = *text;
		*text = stpcpy(*text, set->texts[i]) + 1;
	}
}

/* Rows and behind them their texts, in one piece of memory. */
static int make_rows(const struct frame_set *set, const struct sums *sums, const struct sums *base, struct function_row **rows_out, size_t *n_out)
{
	const struct string_set *const sets[3] = {&set->names, &set->modules, &set->files};
	AUTO_FREE const char **texts = malloc((sets[0]->n + sets[1]->n + sets[2]->n) * sizeof(*texts));
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++)
		n += is_row(&sums[i], &base[i]);
	struct function_row *rows = malloc((n + 1) * sizeof(*rows) + text_bytes(sets[0]) + text_bytes(sets[1]) + text_bytes(sets[2]));
	if (!rows || !texts) {
		free(rows);
		return -ENOMEM;
	}
	const char **const names = texts, **const modules = names + sets[0]->n, **const files = modules + sets[1]->n;
	char *text = (char *)(rows + n + 1);
	copy_texts(sets[0], &text, names);
	copy_texts(sets[1], &text, modules);
	copy_texts(sets[2], &text, files);
	n = 0;
	for (size_t i = 0; i < set->n; i++) {
		const struct named_frame *frame = &set->frames[i];
		if (!is_row(&sums[i], &base[i]))
			continue;
		rows[n++] = (struct function_row){
			.name = names[frame->name],
			.module = modules[frame->module],
			.file = files[frame->file],
			.is_kernel = frame->is_kernel,
			.self = sums[i].self,
			.total = sums[i].total,
			.base_self = base[i].self,
			.base_total = base[i].total,
		};
	}
	*rows_out = rows;
	*n_out = n;
	return 0;
}

static int by_self(const void *a, const void *b)
{
	const struct function_row *x = a, *y = b;

	if (x->self != y->self)
		return x->self < y->self ? 1 : -1;
	if (x->total != y->total)
		return x->total < y->total ? 1 : -1;
	int order = strcmp(x->name, y->name);
	return order ? order : strcmp(x->module, y->module);
}

struct totals {
	double total, base;
};

static double distance(int64_t value, int64_t base, const struct totals *t)
{
	double difference = (double)value / t->total - (double)base / t->base;

	return difference < 0 ? -difference : difference;
}

static int by_difference(const void *a, const void *b, void *context)
{
	const struct function_row *x = a, *y = b;
	double self = distance(x->self, x->base_self, context) - distance(y->self, y->base_self, context);
	double total = distance(x->total, x->base_total, context) - distance(y->total, y->base_total, context);

	if (self != 0)
		return self < 0 ? 1 : -1;
	if (total != 0)
		return total < 0 ? 1 : -1;
	return by_self(x, y);
}

static double whole(const struct profile *profile, uint32_t value)
{
	int64_t total = profile_total(profile, value);

	return total ? (double)total : 1;
}

/* Sums of both profiles by the frames of the set. */
static int count_both(const struct profile *const profiles[2], const uint32_t values[2], struct frame_set *set, struct sums *sums[2])
{
	struct frame_map maps[2] = {{0}};
	int err = 0;

	for (int i = 0; err == 0 && i < 2; i++)
		err = profiles[i] ? frame_set_add(set, profiles[i], &maps[i]) : 0;
	for (int i = 0; err == 0 && i < 2; i++) {
		sums[i] = calloc(set->n + 1, sizeof(*sums[i]));
		err = !sums[i] ? -ENOMEM : profiles[i] ? count_functions(profiles[i], values[i], &maps[i], set->n, sums[i]) : 0;
	}
	frame_map_deinit(&maps[0]);
	frame_map_deinit(&maps[1]);
	return err;
}

int function_table_create(const struct profile *profile, const struct profile *base, uint32_t value, struct function_row **rows_out, size_t *n_out)
{
	const struct profile *const profiles[2] = {profile, base};
	struct frame_set set;
	struct sums *sums[2] = {NULL, NULL};

	if (value == PROFILE_NONE)
		value = profile_default_value(profile);
	if (value >= profile->n_sample_types)
		return -EINVAL;
	int64_t base_value = base ? profile_value_like(base, profile, value) : 0;
	if (base_value < 0)
		return (int)base_value;
	const uint32_t values[2] = {value, (uint32_t)base_value};
	int err = frame_set_init(&set, true);
	if (err < 0)
		return err;
	err = count_both(profiles, values, &set, sums);
	if (err == 0 && base)
		err = join_by_name(&set, sums[0], sums[1]);
	if (err == 0)
		err = make_rows(&set, sums[0], sums[1], rows_out, n_out);
	if (err == 0 && base)
		qsort_r(*rows_out, *n_out, sizeof(**rows_out), by_difference, &(struct totals){whole(profile, value), whole(base, values[1])});
	else if (err == 0)
		qsort(*rows_out, *n_out, sizeof(**rows_out), by_self);
	free(sums[0]);
	free(sums[1]);
	frame_set_deinit(&set);
	return err;
}

/* --- lines --------------------------------------------------------------------------------------------------- */

struct line_counting {
	const uint32_t *rows_of; /* of each frame of a location: row + 1; 0: not of the function */
	struct line_row *rows;
	uint32_t *seen;
	uint32_t sample;
	int64_t value;
};

static void count_line(void *context, uint32_t at, bool is_leaf)
{
	struct line_counting *c = context;
	uint32_t row = c->rows_of[at];

	if (!row)
		return;
	if (is_leaf)
		c->rows[row - 1].self = add(c->rows[row - 1].self, c->value);
	if (c->seen[row - 1] == c->sample)
		return;
	c->seen[row - 1] = c->sample;
	c->rows[row - 1].total = add(c->rows[row - 1].total, c->value);
}

static int by_line(const void *a, const void *b)
{
	const struct line_row *x = a, *y = b;
	int order = strcmp(x->file, y->file);

	return order ? order : x->line < y->line ? -1 : x->line > y->line;
}

/* A frame of the function: where it stands. */
struct place {
	struct line_row row;
	uint32_t at;
};

static int by_place(const void *a, const void *b)
{
	return by_line(&((const struct place *)a)->row, &((const struct place *)b)->row);
}

/* The lines of the function, each once and in order, and which of them each frame is. */
static int find_lines(const struct profile *p, const struct frame_map *map, const struct frame_set *set, uint32_t name, uint32_t *rows_of,
		      struct line_row **rows_out, size_t *n_out)
{
	size_t n_places = 0, n = 0;

	for (uint32_t at = 0; at < map->first[p->n_locations]; at++)
		n_places += set->frames[map->frames[at]].name == name;
	AUTO_FREE struct place *places = malloc((n_places + 1) * sizeof(*places));
	struct line_row *rows = calloc(n_places + 1, sizeof(*rows));
	if (!places || !rows) {
		free(rows);
		return -ENOMEM;
	}
	n_places = 0;
	for (size_t i = 0; i < p->n_locations; i++) {
		const struct profile_location *location = &p->locations[i];
		for (uint32_t at = map->first[i]; at < map->first[i + 1]; at++) {
			if (set->frames[map->frames[at]].name != name)
				continue;
			struct place *place = &places[n_places++];
			*place = (struct place){.row = {.file = ""}, .at = at};
			if (!location->n_lines)
				continue;
			const struct profile_line *line = &p->lines[location->first_line + (at - map->first[i])];
			place->row.file = profile_string(p, p->functions[line->function].filename);
			place->row.line = line->line;
		}
	}
	qsort(places, n_places, sizeof(*places), by_place);
	for (size_t i = 0; i < n_places; i++) {
		if (!i || by_place(&places[i - 1], &places[i]) != 0)
			rows[n++] = places[i].row;
		rows_of[places[i].at] = (uint32_t)n;
	}
	*rows_out = rows;
	*n_out = n;
	return 0;
}

static int count_lines(const struct profile *p, uint32_t value, const struct frame_map *map, const uint32_t *rows_of, struct line_row *rows, size_t *n)
{
	AUTO_FREE uint32_t *seen = calloc(*n + 1, sizeof(*seen));
	struct line_counting c = {.rows_of = rows_of, .rows = rows, .seen = seen};
	size_t kept = 0;

	if (!seen || p->n_samples >= UINT32_MAX)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_samples; i++) {
		c.sample = (uint32_t)i + 1;
		c.value = p->values[i * p->n_sample_types + value];
		if (c.value)
			for_each_frame(p, map, &p->samples[i], count_line, &c);
	}
	for (size_t i = 0; i < *n; i++)
		if (rows[i].total || rows[i].self)
			rows[kept++] = rows[i];
	*n = kept;
	return 0;
}

int line_table_create(const struct profile *profile, uint32_t value, const char *function, struct line_row **rows_out, size_t *n_out)
{
	struct frame_map map = {0};
	struct frame_set set;
	struct line_row *rows = NULL;
	size_t n = 0;

	if (value == PROFILE_NONE)
		value = profile_default_value(profile);
	if (value >= profile->n_sample_types)
		return -EINVAL;
	int err = frame_set_init(&set, true);
	if (err < 0)
		return err;
	err = frame_set_add(&set, profile, &map);
	AUTO_FREE uint32_t *rows_of = err == 0 ? calloc((size_t)map.first[profile->n_locations] + 1, sizeof(*rows_of)) : NULL;
	int64_t name = err == 0 ? string_set_find(&set.names, function) : -1;
	if (err == 0 && !rows_of)
		err = -ENOMEM;
	if (err == 0) /* a name that is not there has no places */
		err = find_lines(profile, &map, &set, name < 0 ? UINT32_MAX : (uint32_t)name, rows_of, &rows, &n);
	if (err == 0)
		err = count_lines(profile, value, &map, rows_of, rows, &n);
	frame_map_deinit(&map);
	frame_set_deinit(&set);
	if (err < 0) {
		free(rows);
		return err;
	}
	*rows_out = rows;
	*n_out = n;
	return 0;
}
