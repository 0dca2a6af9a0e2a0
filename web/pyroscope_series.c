/* Values over time, and the old endpoint that has them beside a flame graph. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/scope.h"
#include "base/time_text.h"
#include "web/connect.h"
#include "web/pyroscope.h"
#include "web/text_table.h"

#define GROUPS_MAX   8
#define VALUES_MAX   (1u << 21)
#define SERIES_MAX   10000
#define STEP_MIN_S   0.001
#define RENDER_STEPS 1000
#define STEP_NS_MIN  (10 * (int64_t)NS_PER_S)

/* A point's time is the end of its step: it has what began after the point before, up to it. The first one is at the begin of the range. */
struct steps {
	struct pyroscope_query *p;
	const Querier__SelectSeriesRequest *request;
	int64_t first_ns, step_ns; /* first: of the range that is asked of the store, a step before the first point */
	size_t n;
	struct text_table rows;
	int64_t *values; /* rows * n */
	int64_t *totals;
	size_t capacity;
	double *windows; /* of a step, as far as they lie in it; for averages */
};

static int make_room(struct steps *s, size_t row)
{
	if (row < s->capacity)
		return 0;
	size_t capacity = 2 * row + 16;
	int64_t *values = realloc(s->values, capacity * s->n * sizeof(*values));
	if (!values)
		return -ENOMEM;
	s->values = values;
	int64_t *totals = realloc(s->totals, capacity * sizeof(*totals));
	if (!totals)
		return -ENOMEM;
	s->totals = totals;
	memset(values + s->capacity * s->n, 0, (capacity - s->capacity) * s->n * sizeof(*values));
	memset(totals + s->capacity, 0, (capacity - s->capacity) * sizeof(*totals));
	s->capacity = capacity;
	return 0;
}

static int see_bucket(void *context, const struct store_bucket *bucket)
{
	struct steps *s = context;
	int64_t row = text_table_add(&s->rows, bucket->label);
	int err = row < 0 ? (int)row : make_room(s, (size_t)row);

	if (err < 0)
		return err;
	size_t at = (size_t)((bucket->time_ns - s->first_ns) / s->step_ns);
	s->values[(size_t)row * s->n + at] += bucket->value;
	s->totals[row] = (int64_t)((uint64_t)s->totals[row] + (uint64_t)bucket->value);
	return 0;
}

static int see_window(void *context, const struct store_window *window)
{
	struct steps *s = context;
	int64_t begin = window->time_ns, end = window->end_ns > begin ? window->end_ns : begin + 1;
	int64_t last = s->first_ns + (int64_t)s->n * s->step_ns, from = begin > s->first_ns ? begin : s->first_ns;

	for (int64_t at = (from - s->first_ns) / s->step_ns; from < end && from < last; at++) {
		int64_t to = s->first_ns + (at + 1) * s->step_ns;
		to = to < end ? to : end;
		s->windows[at] += (double)window->merged * (double)(to - from) / (double)(end - begin);
		from = to;
	}
	return 0;
}

static int set_steps(struct steps *s, double step_s)
{
	struct api_query *q = s->p->q;

	if (!(step_s >= STEP_MIN_S && step_s <= 1e9))
		return api_fail(q, 400, "the step is in seconds, and at least %g", STEP_MIN_S);
	s->step_ns = (int64_t)(step_s * (double)NS_PER_S + 0.5);
	int64_t n = (q->to_ns - q->from_ns) / s->step_ns + 1;
	if (n > PYROSCOPE_POINTS_MAX)
		return api_fail(q, 400, "a step of %g s makes more than %d points of this time: take a longer one", step_s, PYROSCOPE_POINTS_MAX);
	s->n = (size_t)n;
	if (__builtin_sub_overflow(q->from_ns, s->step_ns, &s->first_ns))
		return api_fail(q, 400, "start lies too far back for that step");
	q->filter.from_ns = s->first_ns;
	q->filter.to_ns = s->first_ns + n * s->step_ns;
	return 0;
}

static int read_steps(struct steps *s, const char *const *keys, size_t n_keys)
{
	struct api_query *q = s->p->q;
	struct store_rows rows = {.keys = keys, .n_keys = n_keys, .n_buckets = s->n, .values_max = VALUES_MAX};

	if (!q->matches_host)
		return 0;
	int err = store_reader_timeline_by(q->reader, &q->filter, &rows, see_bucket, s, &q->why);
	if (err == -E2BIG && !s->p->err)
		return api_fail(q, 413, "this groups into too many series for so many points: group by fewer labels, or take a longer step");
	return pyroscope_check(s->p, err, "reading the time line");
}

static int read_windows(struct steps *s)
{
	struct api_query *q = s->p->q;

	s->windows = calloc(s->n, sizeof(*s->windows));
	int err = s->windows ? store_reader_windows(q->reader, &q->filter, see_window, s, &q->why) : -ENOMEM;
	return pyroscope_check(s->p, err, "counting windows");
}

static void steps_deinit(struct steps *s)
{
	text_table_deinit(&s->rows);
	free(s->values);
	free(s->totals);
	free(s->windows);
}

/* ---- as messages ---- */

struct messages {
	Querier__Series *series;
	Querier__Series **series_pointers;
	Querier__LabelPair *pairs;
	Querier__LabelPair **pair_pointers;
	Querier__Point *points;
	Querier__Point **point_pointers;
};

static void fill_points(const struct steps *s, struct messages *m, Querier__Series *series, size_t row, size_t *next)
{
	series->points = &m->point_pointers[*next];
	for (size_t i = 0; i < s->n; i++) {
		int64_t value = s->values[row * s->n + i];
		Querier__Point *point = &m->points[*next];
		if (!value)
			continue;
		querier__point__init(point);
		point->value = s->windows && s->windows[i] > 0 ? (double)value / s->windows[i] : (double)value;
		point->timestamp = (s->first_ns + (int64_t)(i + 1) * s->step_ns) / (int64_t)NS_PER_MS;
		m->point_pointers[(*next)++] = point;
		series->n_points++;
	}
}

/* Labels that are there: those without a value are not. The row's text is cut up. */
static void fill_labels(const struct steps *s, struct messages *m, Querier__Series *series, size_t at, char *text)
{
	series->labels = &m->pair_pointers[at * GROUPS_MAX];
	for (size_t i = 0; i < s->request->n_group_by && i < GROUPS_MAX; i++) {
		Querier__LabelPair *pair = &m->pairs[at * GROUPS_MAX + i];
		char *value = text ? strsep(&text, (const char[]){STORE_ROW_SEPARATOR, '\0'}) : NULL;
		querier__label_pair__init(pair);
		pair->name = s->request->group_by[i];
		pair->value = strcmp(pair->name, "host") == 0 ? (char *)(uintptr_t)s->p->q->context->host : value;
		if (pair->value && *pair->value)
			series->labels[series->n_labels++] = pair;
	}
}

static int by_total(const void *a, const void *b, void *context)
{
	const struct steps *s = context;
	size_t i = *(const size_t *)a, k = *(const size_t *)b;

	return s->totals[i] != s->totals[k] ? (s->totals[i] > s->totals[k] ? -1 : 1) : strcmp(s->rows.texts[i], s->rows.texts[k]);
}

static size_t count_points(const struct steps *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->rows.n * s->n; i++)
		n += s->values[i] != 0;
	return n;
}

static int write_series(struct steps *s)
{
	struct api_query *q = s->p->q;
	size_t n = s->rows.n, n_points = count_points(s), next = 0;
	size_t limit = s->request->limit > 0 && (uint64_t)s->request->limit < n ? (size_t)s->request->limit : n;
	AUTO_FREE size_t *order = calloc(n + 1, sizeof(*order));
	AUTO_FREE Querier__Series *series = calloc(n + 1, sizeof(*series));
	AUTO_FREE Querier__Series **pointers = calloc(n + 1, sizeof(*pointers));
	AUTO_FREE Querier__LabelPair *pairs = calloc(n * GROUPS_MAX + 1, sizeof(*pairs));
	AUTO_FREE Querier__LabelPair **pair_pointers = calloc(n * GROUPS_MAX + 1, sizeof(*pair_pointers));
	AUTO_FREE Querier__Point *points = calloc(n_points + 1, sizeof(*points));
	AUTO_FREE Querier__Point **point_pointers = calloc(n_points + 1, sizeof(*point_pointers));
	Querier__SelectSeriesResponse response = QUERIER__SELECT_SERIES_RESPONSE__INIT;

	if (!order || !series || !pointers || !pairs || !pair_pointers || !points || !point_pointers)
		return api_fail_errno(q, -ENOMEM, "writing series");
	struct messages m = {series, pointers, pairs, pair_pointers, points, point_pointers};
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof(*order), by_total, s);
	for (size_t i = 0; i < limit; i++) {
		querier__series__init(&series[i]);
		fill_points(s, &m, &series[i], order[i], &next);
		fill_labels(s, &m, &series[i], i, s->rows.texts[order[i]]);
		pointers[i] = &series[i];
	}
	response.series = pointers;
	response.n_series = limit;
	return connect_write(q, &response.base);
}

static int select_series(struct steps *s)
{
	const Querier__SelectSeriesRequest *r = s->request;
	struct api_query *q = s->p->q;
	const char *keys[GROUPS_MAX];

	if (r->n_group_by > GROUPS_MAX)
		return api_fail(q, 400, "more than %d labels to group by", GROUPS_MAX);
	if (r->stack_trace_selector && r->stack_trace_selector->n_call_site)
		return api_fail(q, 501, "series of some stacks only (stackTraceSelector) are not answered here");
	for (size_t i = 0; i < r->n_group_by; i++)
		keys[i] = pyroscope_key(r->group_by[i]);
	int status = set_steps(s, r->step);
	if (status == 0)
		status = read_steps(s, keys, r->n_group_by);
	if (status == 0 && r->aggregation == QUERIER__AGGREGATION__TIME_SERIES_AGGREGATION_TYPE_AVERAGE)
		status = read_windows(s);
	if (status == 0 && s->rows.n > SERIES_MAX)
		status = api_fail(q, 413, "there are more than %d series: group by fewer labels", SERIES_MAX);
	return status ? status : write_series(s);
}

int pyroscope_select_series(struct api_query *q, const ProtobufCMessage *message)
{
	const Querier__SelectSeriesRequest *r = (const void *)message;
	struct pyroscope_query p;
	struct steps s = {.p = &p, .request = r};

	int status = pyroscope_begin(&p, q, r->start, r->end, &(char *){r->label_selector}, 1, r->profile_typeid);
	if (status == 0)
		status = select_series(&s);
	steps_deinit(&s);
	pyroscope_end(&p);
	return status;
}

/* ---- /pyroscope/render ---- */

/* "now", "now-1h", seconds or milliseconds since 1970, or what base/time_text.h reads. */
static int parse_time(struct api_query *q, const char *key, const char *usual, int64_t *ms_out)
{
	const char *text = api_text(q, key);
	struct why why;
	int64_t ns;
	char *end;

	text = text && *text ? text : usual;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && !errno) {
		*ms_out = number < 100000000000 ? number * 1000 : number;
		return 0;
	}
	if (strncmp(text, "now", 3) == 0 && text[3])
		text += 3;
	if (time_text_parse(text, q->context->now_ns, &ns, &why) < 0)
		return api_fail(q, 400, "%s: %s", key, why.text);
	*ms_out = ns / (int64_t)NS_PER_MS;
	return 0;
}

static void write_flamebearer(struct json_writer *json, const struct pyroscope_flame *f)
{
	json_object_begin(json, "flamebearer");
	json_array_begin(json, "names");
	for (size_t i = 0; i < f->graph.n_names; i++)
		json_string(json, NULL, f->graph.names[i]);
	json_array_end(json);
	json_array_begin(json, "levels");
	for (size_t i = 0; i < f->graph.n_levels; i++) {
		json_array_begin(json, NULL);
		for (size_t k = 0; k < f->graph.levels[i]->n_values; k++)
			json_int(json, NULL, f->graph.levels[i]->values[k]);
		json_array_end(json);
	}
	json_array_end(json);
	json_int(json, "numTicks", f->graph.total);
	json_int(json, "maxSelf", f->graph.max_self);
	json_object_end(json);
}

static void write_timeline(struct json_writer *json, const struct steps *s, int64_t start_s)
{
	json_object_begin(json, "timeline");
	json_int(json, "startTime", start_s);
	json_array_begin(json, "samples");
	for (size_t i = 0; i < s->n; i++)
		json_int(json, NULL, s->rows.n ? s->values[i] : 0);
	json_array_end(json);
	json_int(json, "durationDelta", s->step_ns / (int64_t)NS_PER_S);
	json_object_end(json);
}

static void write_render(struct pyroscope_query *p, const struct pyroscope_flame *f, const struct steps *s, int64_t start_s)
{
	struct json_writer *json = &p->q->json;
	bool is_time = strcmp(p->unit, "nanoseconds") == 0;

	json_object_begin(json, NULL);
	json_int(json, "version", 1);
	write_flamebearer(json, f);
	json_object_begin(json, "metadata");
	json_string(json, "format", "single");
	json_string(json, "spyName", "");
	json_int(json, "sampleRate", is_time ? 1000000000 : 100);
	json_string(json, "units", is_time || strcmp(p->unit, "count") == 0 ? "samples" : p->unit);
	json_string(json, "name", p->type);
	json_object_end(json);
	write_timeline(json, s, start_s);
	json_object_end(json);
}

/* Steps of whole tens of seconds, at most so many. The flame graph was made of the range before. */
static int render_steps(struct steps *s)
{
	struct api_query *q = s->p->q;
	int64_t step_ns = (q->to_ns - q->from_ns) / RENDER_STEPS / STEP_NS_MIN * STEP_NS_MIN;

	s->step_ns = step_ns > STEP_NS_MIN ? step_ns : STEP_NS_MIN;
	s->n = (size_t)((q->to_ns - q->from_ns + s->step_ns - 1) / s->step_ns);
	s->first_ns = q->from_ns;
	q->filter.from_ns = s->first_ns;
	q->filter.to_ns = s->first_ns + (int64_t)s->n * s->step_ns;
	q->filter.keep = NULL;
	return read_steps(s, NULL, 0);
}

/* The type stands before the selector. */
static int render(struct api_query *q, const char *query, int64_t from_ms, int64_t until_ms, int64_t max_nodes)
{
	const char *brace = strchrnul(query, '{');
	AUTO_FREE char *type = strndup(query, (size_t)(brace - query));
	char *selector = (char *)(uintptr_t)brace;
	struct pyroscope_query p = {0};
	struct pyroscope_flame flame = {0};
	struct steps s = {.p = &p};

	int status = type ? pyroscope_begin(&p, q, from_ms, until_ms, &selector, 1, type) : api_fail_errno(q, -ENOMEM, "reading the query");
	if (status == 0)
		status = pyroscope_flame_init(&flame, &p, max_nodes);
	if (status == 0)
		status = render_steps(&s);
	if (status == 0)
		write_render(&p, &flame, &s, from_ms / 1000);
	pyroscope_flame_deinit(&flame);
	steps_deinit(&s);
	pyroscope_end(&p);
	return status;
}

int pyroscope_render(struct api_query *q)
{
	const char *query, *format = api_text(q, "format");
	int64_t from_ms, until_ms, nodes = 0, other = 0;

	if (strcmp(q->request->method, "GET") != 0)
		return api_fail(q, 405, "%.16s: this is answered to GET only", q->request->method);
	if (format && strcmp(format, "json") != 0)
		return api_fail(q, 501, "format=%.32s: json is all that is answered here", format);
	int status = api_needed(q, "query", &query);
	if (status == 0)
		status = parse_time(q, "until", "now", &until_ms);
	if (status == 0)
		status = parse_time(q, "from", "now-1h", &from_ms);
	if (status == 0)
		status = api_number(q, "max-nodes", 0, 0, INT32_MAX, &nodes);
	if (status == 0)
		status = api_number(q, "maxNodes", nodes, 0, INT32_MAX, &other);
	return status ? status : render(q, query, from_ms, until_ms, other);
}
