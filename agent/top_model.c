#include "agent/top_model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/top_names.h"
#include "base/scope.h"

#define NAMES_SPARE 4096 /* that no window has any more, before they are swept */
#define NAME_TEXT   512

struct stack {
	uint32_t first, n; /* frames, leaf first */
	uint32_t process;
	bool is_kernel; /* the innermost frame */
	int64_t value;
	uint64_t samples;
};

struct window {
	uint32_t *frames; /* numbers of functions */
	size_t n_frames;
	struct stack *stacks;
	size_t n_stacks;
	struct accounting account;
	int64_t value, duration_ns, end_ns;
	uint64_t own_ns;
	bool is_time;
};

struct top_model {
	int64_t span_ns;
	struct window windows[TOP_WINDOWS_MAX]; /* oldest first */
	size_t n;
	struct top_names functions, processes;
};

static void window_deinit(struct window *w)
{
	free(w->frames);
	free(w->stacks);
	*w = (struct window){0};
}

int top_model_create(int64_t span_ns, struct top_model **model_out)
{
	struct top_model *m = calloc(1, sizeof(*m));
	uint64_t seeds[2] = {1, 2};

	if (!m)
		return -ENOMEM;
	if (getrandom(seeds, sizeof(seeds), 0) < 0)
		seeds[0] ^= (uintptr_t)m;
	m->span_ns = span_ns;
	m->functions.seed = seeds[0];
	m->processes.seed = seeds[1];
	*model_out = m;
	return 0;
}

void top_model_destroy(struct top_model *m)
{
	if (!m)
		return;
	top_model_clear(m);
	free(m);
}

void top_model_clear(struct top_model *m)
{
	for (size_t i = 0; i < m->n; i++)
		window_deinit(&m->windows[i]);
	m->n = 0;
	top_names_deinit(&m->functions);
	top_names_deinit(&m->processes);
}

size_t top_model_bytes(const struct top_model *m)
{
	size_t bytes = sizeof(*m) + top_names_bytes(&m->functions) + top_names_bytes(&m->processes);

	for (size_t i = 0; i < m->n; i++)
		bytes += m->windows[i].n_frames * sizeof(uint32_t) + m->windows[i].n_stacks * sizeof(struct stack);
	return bytes;
}

/* --- taking a window ----------------------------------------------------------------------------------------- */

/* A profile while it is taken: the numbers of each location's functions, which are looked up once. */
struct taking {
	struct top_model *model;
	const struct profile *profile;
	uint32_t *first;  /* of each location, in numbers; PROFILE_NONE: not looked up yet */
	uint32_t *numbers;
	size_t n_numbers;
	struct window window;
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* A location without functions has one name, that is made up. */
static uint32_t lines_of(const struct profile_location *location)
{
	return location->n_lines ? location->n_lines : 1;
}

static int look_up_location(struct taking *t, uint32_t at)
{
	const struct profile *p = t->profile;
	const struct profile_location *location = &p->locations[at];
	struct top_key key = {.is_kernel = profile_location_is_kernel(p, location), .module = "", .container = ""};
	char buffer[PROFILE_FRAME_NAME_MAX];

	if (key.is_kernel)
		key.module = "[kernel]";
	else if (location->mapping != PROFILE_NONE)
		key.module = base_name(profile_string(p, p->mappings[location->mapping].filename));
	uint32_t first = (uint32_t)t->n_numbers;
	for (uint32_t i = 0; i < lines_of(location); i++) {
		key.name = profile_frame_name(p, location, i, buffer);
		int64_t number = top_names_put(&t->model->functions, &key);
		if (number < 0)
			return (int)number;
		t->numbers[t->n_numbers++] = (uint32_t)number;
	}
	t->first[at] = first;
	return 0;
}

static int64_t look_up_process(struct taking *t, const struct profile_sample *sample)
{
	const struct profile *p = t->profile;
	struct top_key key = {.name = profile_label_string(p, sample, "process"), .module = ""};
	char id[16];

	for (uint32_t i = 0; i < sample->n_labels; i++) {
		const struct profile_label *label = &p->labels[sample->first_label + i];
		if (!label->str && strcmp(profile_string(p, label->key), "pid") == 0)
			key.number = label->num;
	}
	key.container = profile_label_string(p, sample, "container");
	if (!*key.container) {
		snprintf(id, sizeof(id), "%.12s", profile_label_string(p, sample, "container_id"));
		key.container = *id ? id : profile_label_string(p, sample, "unit");
	}
	return top_names_put(&t->model->processes, &key);
}

static int take_sample(struct taking *t, size_t i, uint32_t value)
{
	const struct profile *p = t->profile;
	const struct profile_sample *sample = &p->samples[i];
	struct stack *stack = &t->window.stacks[i];

	int64_t process = look_up_process(t, sample);
	if (process < 0)
		return (int)process;
	*stack = (struct stack){.first = (uint32_t)t->window.n_frames, .process = (uint32_t)process,
				.value = p->values[i * p->n_sample_types + value],
				.samples = (uint64_t)p->values[i * p->n_sample_types]};
	t->window.value += stack->value;
	for (uint32_t at = 0; at < sample->n_locations; at++) {
		uint32_t location = p->stack_locations[sample->first_location + at];
		int err = t->first[location] == PROFILE_NONE ? look_up_location(t, location) : 0;
		if (err < 0)
			return err;
		if (at == 0)
			stack->is_kernel = profile_location_is_kernel(p, &p->locations[location]);
		for (uint32_t line = 0; line < lines_of(&p->locations[location]); line++)
			t->window.frames[t->window.n_frames++] = t->numbers[t->first[location] + line];
	}
	stack->n = (uint32_t)(t->window.n_frames - stack->first);
	return 0;
}

static int take(struct taking *t)
{
	const struct profile *p = t->profile;
	uint32_t value = profile_default_value(p);
	size_t n_frames = 0, n_numbers = 0;

	for (size_t i = 0; i < p->n_stack_locations; i++)
		n_frames += lines_of(&p->locations[p->stack_locations[i]]);
	for (size_t i = 0; i < p->n_locations; i++)
		n_numbers += lines_of(&p->locations[i]);
	if (n_frames >= UINT32_MAX || n_numbers >= UINT32_MAX)
		return -ENOMEM;
	t->first = malloc((p->n_locations + 1) * sizeof(t->first[0]));
	t->numbers = malloc((n_numbers + 1) * sizeof(t->numbers[0]));
	t->window.frames = malloc((n_frames + 1) * sizeof(t->window.frames[0]));
	t->window.stacks = calloc(p->n_samples + 1, sizeof(t->window.stacks[0]));
	if (!t->first || !t->numbers || !t->window.frames || !t->window.stacks)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_locations; i++)
		t->first[i] = PROFILE_NONE;
	for (size_t i = 0; i < p->n_samples; i++) {
		int err = take_sample(t, i, value);
		if (err < 0)
			return err;
	}
	t->window.n_stacks = p->n_samples;
	t->window.is_time = strcmp(profile_string(p, p->sample_types[value].unit), "nanoseconds") == 0;
	return 0;
}

/* Number those names that a window has, and forget the others. */
static int sweep(struct top_model *m)
{
	if (m->functions.n < 2 * m->functions.n_swept + NAMES_SPARE && m->processes.n < 2 * m->processes.n_swept + NAMES_SPARE)
		return 0;
	AUTO_FREE uint32_t *functions = calloc(m->functions.n + 1, sizeof(*functions));
	AUTO_FREE uint32_t *processes = calloc(m->processes.n + 1, sizeof(*processes));
	if (!functions || !processes)
		return -ENOMEM;
	for (size_t w = 0; w < m->n; w++) {
		for (size_t i = 0; i < m->windows[w].n_frames; i++)
			functions[m->windows[w].frames[i]] = 1;
		for (size_t i = 0; i < m->windows[w].n_stacks; i++)
			processes[m->windows[w].stacks[i].process] = 1;
	}
	/* On failure the tables are as they were, and larger than they need be. */
	int err = top_names_sweep(&m->functions, functions);
	for (size_t w = 0; err == 0 && w < m->n; w++)
		for (size_t i = 0; i < m->windows[w].n_frames; i++)
			m->windows[w].frames[i] = functions[m->windows[w].frames[i]];
	if (err == 0)
		err = top_names_sweep(&m->processes, processes);
	for (size_t w = 0; err == 0 && w < m->n; w++)
		for (size_t i = 0; i < m->windows[w].n_stacks; i++)
			m->windows[w].stacks[i].process = processes[m->windows[w].stacks[i].process];
	return err;
}

static void drop_oldest(struct top_model *m)
{
	window_deinit(&m->windows[0]);
	memmove(&m->windows[0], &m->windows[1], --m->n * sizeof(m->windows[0]));
}

int top_model_add(struct top_model *m, const struct profile *profile, const struct accounting *account, uint64_t own_ns)
{
	struct taking t = {.model = m, .profile = profile};
	int64_t newer_ns = profile->duration_ns;

	if (profile_default_value(profile) == PROFILE_NONE)
		return -EINVAL;
	int err = take(&t);
	free(t.first);
	free(t.numbers);
	if (err < 0) {
		window_deinit(&t.window);
		return err;
	}
	t.window.account = *account;
	t.window.duration_ns = profile->duration_ns;
	t.window.end_ns = profile->time_ns + profile->duration_ns;
	t.window.own_ns = own_ns;
	/* From the newest back: those that lie before the span. */
	size_t keep = m->n;
	for (; keep > 0 && newer_ns < m->span_ns; keep--)
		newer_ns += m->windows[keep - 1].duration_ns;
	for (; keep > 0; keep--)
		drop_oldest(m);
	if (m->n == TOP_WINDOWS_MAX)
		drop_oldest(m);
	m->windows[m->n++] = t.window;
	sweep(m);
	return 0;
}

void top_model_figures(const struct top_model *m, struct top_figures *figures_out)
{
	struct top_figures f = {.windows = m->n, .is_time = true};

	for (size_t i = 0; i < m->n; i++) {
		const struct window *w = &m->windows[i];
		accounting_add(&f.account, &w->account);
		f.value += w->value;
		f.duration_ns += w->duration_ns;
		f.end_ns = w->end_ns;
		f.own_ns += w->own_ns;
		f.is_time = w->is_time;
	}
	*figures_out = f;
}

/* --- tables -------------------------------------------------------------------------------------------------- */

/* A table while it is added up: a slot for each name, and its last stack, because recursion counts once. */
struct summing {
	struct top_model *model;
	const struct top_query *query;
	uint32_t process;  /* PROFILE_NONE: all */
	uint32_t function; /* of TOP_AROUND; PROFILE_NONE: in no window */
	struct top_row *callers, *rows; /* rows: functions, processes or callees */
	uint32_t *caller_seen, *seen;
	struct top_row centre;
	size_t n_slots;
};

static void count(struct top_row *row, uint32_t *seen, uint32_t mark, const struct stack *stack)
{
	if (*seen == mark)
		return;
	*seen = mark;
	row->total += stack->value;
	row->samples += stack->samples;
}

static void add_functions(struct summing *s, const struct stack *stack, const uint32_t *frames, uint32_t mark)
{
	for (uint32_t i = 0; i < stack->n; i++)
		count(&s->rows[frames[i]], &s->seen[frames[i]], mark, stack);
	if (stack->n)
		s->rows[frames[0]].self += stack->value;
}

static void add_process(struct summing *s, const struct stack *stack)
{
	struct top_row *row = &s->rows[stack->process];

	if (s->query->side != TOP_BOTH && stack->is_kernel != (s->query->side == TOP_KERNEL))
		return;
	row->self += stack->value;
	row->total += stack->value;
	row->samples += stack->samples;
}

/* Each caller and each callee counts once for a stack, however deep the recursion. */
static void add_around(struct summing *s, const struct stack *stack, const uint32_t *frames, uint32_t mark)
{
	bool is_there = false;

	for (uint32_t i = 0; i < stack->n; i++) {
		if (frames[i] != s->function)
			continue;
		is_there = true;
		if (i == 0)
			s->centre.self += stack->value;
		else
			count(&s->rows[frames[i - 1]], &s->seen[frames[i - 1]], mark, stack);
		if (i + 1 < stack->n)
			count(&s->callers[frames[i + 1]], &s->caller_seen[frames[i + 1]], mark, stack);
	}
	if (is_there) {
		s->centre.total += stack->value;
		s->centre.samples += stack->samples;
	}
}

static void add_up(struct summing *s)
{
	uint32_t mark = 0;

	for (size_t w = 0; w < s->model->n; w++) {
		const struct window *window = &s->model->windows[w];
		for (size_t i = 0; i < window->n_stacks; i++) {
			const struct stack *stack = &window->stacks[i];
			mark++;
			if (s->process != PROFILE_NONE && stack->process != s->process)
				continue;
			if (s->query->list == TOP_PROCESSES)
				add_process(s, stack);
			else if (s->query->list == TOP_FUNCTIONS)
				add_functions(s, stack, window->frames + stack->first, mark);
			else
				add_around(s, stack, window->frames + stack->first, mark);
		}
	}
}

/* An expression that took too long once is not tried again: thousands of names would take minutes. */
static bool has_match(struct regex *filter, const char *text, bool *failed)
{
	int found = *text && !*failed ? regex_match(filter, text) : 0;

	*failed = *failed || found < 0;
	return found > 0;
}

static bool passes(const struct top_query *query, const struct top_row *row, bool *failed)
{
	char pid[24];

	if (row->part == TOP_CENTRE)
		return true;
	if (query->list != TOP_PROCESSES && query->side != TOP_BOTH && row->who.is_kernel != (query->side == TOP_KERNEL))
		return false;
	if (!query->filter)
		return true;
	snprintf(pid, sizeof(pid), "%" PRId64, row->who.pid);
	return has_match(query->filter, row->who.name, failed) || has_match(query->filter, row->who.module, failed) ||
	       has_match(query->filter, row->container, failed) ||
	       (query->list == TOP_PROCESSES && has_match(query->filter, pid, failed));
}

static void gather(struct summing *s, const struct top_row *slots, enum top_part part, struct top_table *table)
{
	const struct top_names *names = s->query->list == TOP_PROCESSES ? &s->model->processes : &s->model->functions;

	for (size_t i = 0; slots && i < s->n_slots; i++) {
		struct top_row row = slots[i];
		if (!row.total && !row.self && !row.samples)
			continue;
		struct top_key key = top_names_get(names, (uint32_t)i);
		row.part = part;
		row.who = (struct top_identity){key.name, key.module, key.is_kernel, key.number};
		row.container = key.container;
		if (part != TOP_ROW)
			row.self = row.total;
		if (passes(s->query, &row, &table->filter_failed))
			table->rows[table->n++] = row;
		else
			table->n_filtered++;
	}
}

static int compare_names(const struct top_row *x, const struct top_row *y)
{
	int order = strcmp(x->who.name, y->who.name);

	if (order == 0)
		order = strcmp(x->who.module, y->who.module);
	return order ? order : (x->who.pid > y->who.pid) - (x->who.pid < y->who.pid);
}

static int compare(const void *a, const void *b, void *context)
{
	const struct top_query *query = context;
	const struct top_row *x = a, *y = b;
	int by_self = (y->self > x->self) - (y->self < x->self), by_total = (y->total > x->total) - (y->total < x->total);

	if (x->part != y->part)
		return x->part < y->part ? -1 : 1;
	int order = query->sort == TOP_BY_NAME ? 0 : query->sort == TOP_BY_SELF ? by_self : by_total;
	if (order == 0 && query->sort != TOP_BY_NAME)
		order = query->sort == TOP_BY_SELF ? by_total : by_self;
	return order ? order : compare_names(x, y);
}

static uint32_t find(const struct top_names *names, const struct top_identity *who)
{
	if (!who)
		return PROFILE_NONE;
	return top_names_find(names, &(struct top_key){who->name, who->module, "", who->pid, who->is_kernel});
}

static int prepare(struct summing *s)
{
	bool around = s->query->list == TOP_AROUND;

	s->n_slots = s->query->list == TOP_PROCESSES ? s->model->processes.n : s->model->functions.n;
	s->process = find(&s->model->processes, s->query->process);
	s->function = around ? find(&s->model->functions, s->query->function) : PROFILE_NONE;
	s->rows = calloc(s->n_slots + 1, sizeof(s->rows[0]));
	s->seen = calloc(s->n_slots + 1, sizeof(s->seen[0]));
	s->callers = around ? calloc(s->n_slots + 1, sizeof(s->callers[0])) : NULL;
	s->caller_seen = around ? calloc(s->n_slots + 1, sizeof(s->caller_seen[0])) : NULL;
	if (around)
		s->centre = (struct top_row){.part = TOP_CENTRE, .who = *s->query->function, .container = ""};
	return s->rows && s->seen && (!around || (s->callers && s->caller_seen)) ? 0 : -ENOMEM;
}

int top_model_table(struct top_model *m, const struct top_query *query, struct top_table *table_out)
{
	struct summing s = {.model = m, .query = query};
	struct top_table table = {0};

	int err = prepare(&s);
	if (err == 0) {
		/* A process that is in no window has no samples. */
		if (!query->process || s.process != PROFILE_NONE)
			add_up(&s);
		table.rows = calloc(2 * s.n_slots + 1, sizeof(table.rows[0]));
		err = table.rows ? 0 : -ENOMEM;
	}
	if (err == 0) {
		bool around = query->list == TOP_AROUND;
		gather(&s, s.callers, TOP_CALLER, &table);
		if (around)
			table.rows[table.n++] = s.centre;
		gather(&s, s.rows, around ? TOP_CALLEE : TOP_ROW, &table);
		qsort_r(table.rows, table.n, sizeof(table.rows[0]), compare, (void *)query);
		*table_out = table;
	}
	free(s.rows);
	free(s.seen);
	free(s.callers);
	free(s.caller_seen);
	return err;
}

void top_table_deinit(struct top_table *table)
{
	free(table->rows);
	*table = (struct top_table){0};
}
