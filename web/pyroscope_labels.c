/* What there is: profile types, labels, series. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "web/connect.h"
#include "web/label_totals.h"
#include "web/pyroscope.h"

#define TYPES_MAX      64
#define NAMES_MAX      100000
#define SERIES_MAX     10000
#define PAIRS_MAX      64
#define PAIR_SEPARATOR "\x1e" /* texts of labels have no control characters */
#define NAME_SEPARATOR "\x1f"

/* ---- profile types ---- */

struct types {
	struct text_table ids;
	struct {
		char type[64], unit[64], period_type[64], period_unit[64];
	} parts[TYPES_MAX];
};

static int see_type(void *context, const struct store_type *type)
{
	struct types *t = context;
	char id[320];

	snprintf(id, sizeof(id), PYROSCOPE_NAME ":%.63s:%.63s:%.63s:%.63s", type->type, type->unit, type->period_type, type->period_unit);
	if (t->ids.n == TYPES_MAX)
		return 0;
	int64_t number = text_table_add(&t->ids, id);
	if (number < 0)
		return (int)number;
	snprintf(t->parts[number].type, sizeof(t->parts[number].type), "%s", type->type);
	snprintf(t->parts[number].unit, sizeof(t->parts[number].unit), "%s", type->unit);
	snprintf(t->parts[number].period_type, sizeof(t->parts[number].period_type), "%s", type->period_type);
	snprintf(t->parts[number].period_unit, sizeof(t->parts[number].period_unit), "%s", type->period_unit);
	return 0;
}

static int write_types(struct api_query *q, struct types *t)
{
	Querier__ProfileType messages[TYPES_MAX], *pointers[TYPES_MAX];
	Querier__ProfileTypesResponse response = QUERIER__PROFILE_TYPES_RESPONSE__INIT;

	for (size_t i = 0; i < t->ids.n; i++) {
		querier__profile_type__init(&messages[i]);
		messages[i].id = t->ids.texts[i];
		messages[i].name = (char *)(uintptr_t)PYROSCOPE_NAME;
		messages[i].sample_type = t->parts[i].type;
		messages[i].sample_unit = t->parts[i].unit;
		messages[i].period_type = t->parts[i].period_type;
		messages[i].period_unit = t->parts[i].period_unit;
		pointers[i] = &messages[i];
	}
	response.profile_types = pointers;
	response.n_profile_types = t->ids.n;
	return connect_write(q, &response.base);
}

int pyroscope_profile_types(struct api_query *q, const ProtobufCMessage *message)
{
	const Querier__ProfileTypesRequest *r = (const void *)message;
	AUTO_FREE struct types *t = calloc(1, sizeof(*t));
	struct pyroscope_query p;

	int status = t ? pyroscope_begin(&p, q, r->start, r->end, NULL, 0, NULL) : api_fail_errno(q, -ENOMEM, "reading profile types");
	if (status == 0)
		status = pyroscope_check(&p, store_reader_types(q->reader, &q->filter, see_type, t, &q->why), "reading profile types");
	if (status == 0)
		status = write_types(q, t);
	if (t) {
		text_table_deinit(&t->ids);
		pyroscope_end(&p);
	}
	return status;
}

/* ---- names and values ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int write_names(struct api_query *q, const char **names, size_t n)
{
	Querier__NamesResponse response = QUERIER__NAMES_RESPONSE__INIT;

	if (n)
		qsort(names, n, sizeof(*names), by_text);
	response.names = (char **)(uintptr_t)names;
	response.n_names = n < NAMES_MAX ? n : NAMES_MAX;
	return connect_write(q, &response.base);
}

static int read_labels(struct pyroscope_query *p, store_labels_fn fn, void *context)
{
	struct api_query *q = p->q;

	return pyroscope_check(p, store_reader_labels(q->reader, &q->filter, fn, context, &q->why), "reading labels");
}

static int write_label_names(struct api_query *q, const struct label_totals *t)
{
	static const char *const of_all[] = {"__name__", "__profile_type__", "__type__", "__unit__", "__period_type__", "__period_unit__", "host"};
	const char *names[LABEL_KEYS_MAX + sizeof(of_all) / sizeof(of_all[0])];
	size_t n = 0;

	for (size_t i = 0; i < t->names.n; i++)
		names[n++] = pyroscope_name(t->names.texts[i]);
	for (size_t i = 0; t->names.n && i < sizeof(of_all) / sizeof(of_all[0]); i++)
		names[n++] = of_all[i];
	return write_names(q, names, n);
}

int pyroscope_label_names(struct api_query *q, const ProtobufCMessage *message)
{
	const Querier__LabelNamesRequest *r = (const void *)message;
	AUTO_FREE struct label_totals *t = calloc(1, sizeof(*t));
	struct pyroscope_query p;

	if (!t)
		return api_fail_errno(q, -ENOMEM, "reading labels");
	int status = pyroscope_begin(&p, q, r->start, r->end, r->matchers, r->n_matchers, NULL);
	if (status == 0)
		status = read_labels(&p, label_totals_add, t);
	if (status == 0)
		status = write_label_names(q, t);
	label_totals_deinit(t);
	pyroscope_end(&p);
	return status;
}

static int write_label_values(struct pyroscope_query *p, const char *name, struct label_totals *t)
{
	struct api_query *q = p->q;
	AUTO_FREE struct types *types = calloc(1, sizeof(*types));
	const char *one[1];
	int status = 0;

	if (!types)
		return api_fail_errno(q, -ENOMEM, "reading labels");
	if (strcmp(name, "__profile_type__") == 0) {
		status = pyroscope_check(p, store_reader_types(q->reader, &q->filter, see_type, types, &q->why), "reading profile types");
		if (status == 0)
			status = write_names(q, (const char **)types->ids.texts, types->ids.n);
	} else if (strcmp(name, "__name__") == 0 || strcmp(name, "host") == 0) {
		one[0] = strcmp(name, "host") == 0 ? q->context->host : PYROSCOPE_NAME;
		status = write_names(q, one, 1);
	} else {
		status = write_names(q, (const char **)t->keys[0].values.texts, t->keys[0].values.n);
	}
	text_table_deinit(&types->ids);
	return status;
}

int pyroscope_label_values(struct api_query *q, const ProtobufCMessage *message)
{
	const Querier__LabelValuesRequest *r = (const void *)message;
	AUTO_FREE struct label_totals *t = calloc(1, sizeof(*t));
	struct pyroscope_query p;

	if (!t)
		return api_fail_errno(q, -ENOMEM, "reading labels");
	if (!*r->name)
		return api_fail(q, 400, "the label's name is missing");
	int status = pyroscope_begin(&p, q, r->start, r->end, r->matchers, r->n_matchers, NULL);
	t->only = pyroscope_key(r->name);
	if (status == 0 && strncmp(r->name, "__", 2) != 0)
		status = read_labels(&p, label_totals_add, t);
	if (status == 0)
		status = write_label_values(&p, r->name, t);
	label_totals_deinit(t);
	pyroscope_end(&p);
	return status;
}

/* ---- series: the sets of labels that there are ---- */

struct sets {
	struct pyroscope_query *p;
	const Querier__SeriesRequest *request;
	struct types types;
	struct text_table sets; /* "name US value RS name US value ..." */
	char *text; /* of the set at hand */
	size_t capacity;
	int too_many;
};

static int put_pair(struct sets *s, size_t *n, const char *name, const char *value)
{
	size_t more = strlen(name) + strlen(value) + 3;

	if (*n + more > s->capacity) {
		size_t capacity = 2 * (*n + more);
		char *text = realloc(s->text, capacity);
		if (!text)
			return -ENOMEM;
		s->text = text;
		s->capacity = capacity;
	}
	*n += (size_t)sprintf(s->text + *n, "%s" NAME_SEPARATOR "%s" PAIR_SEPARATOR, name, value);
	return 0;
}

static bool is_asked(const struct sets *s, const char *name)
{
	if (!s->request->n_label_names)
		return strcmp(name, "pid") != 0 && strcmp(name, "tid") != 0; /* a series for each would be too many, which is why they are numbers */
	for (size_t i = 0; i < s->request->n_label_names; i++)
		if (strcmp(s->request->label_names[i], name) == 0)
			return true;
	return false;
}

static int put_labels(struct sets *s, size_t *n, const struct store_label_total *total)
{
	int err = 0;

	for (size_t i = 0; i < total->n && err == 0; i++) {
		const char *name = pyroscope_name(total->labels[i].key);
		if (is_asked(s, name))
			err = put_pair(s, n, name, total->labels[i].text);
	}
	if (err == 0 && is_asked(s, "host"))
		err = put_pair(s, n, "host", s->p->q->context->host);
	if (err == 0 && is_asked(s, "__name__"))
		err = put_pair(s, n, "__name__", PYROSCOPE_NAME);
	return err;
}

static int add_set(struct sets *s, size_t n)
{
	if (!n)
		return 0;
	int64_t number = text_table_add(&s->sets, s->text);
	if (number >= SERIES_MAX)
		s->too_many = 1;
	return number < 0 ? (int)number : s->too_many;
}

/* With the type: one series for each of them. */
static int see_set(void *context, const struct store_label_total *total)
{
	struct sets *s = context;
	size_t n = 0, common;

	int err = put_labels(s, &n, total);
	if (err < 0 || !is_asked(s, "__profile_type__"))
		return err < 0 ? err : add_set(s, n);
	common = n;
	for (size_t i = 0; i < s->types.ids.n && err == 0; i++) {
		n = common;
		err = put_pair(s, &n, "__profile_type__", s->types.ids.texts[i]);
		if (err == 0)
			err = add_set(s, n);
	}
	return err;
}

struct messages {
	Querier__Labels *labels;
	Querier__Labels **pointers;
	Querier__LabelPair *pairs;
	Querier__LabelPair **pair_pointers;
};

static size_t count_pairs(const struct text_table *sets)
{
	size_t n = 0;

	for (size_t i = 0; i < sets->n; i++)
		for (const char *at = sets->texts[i]; (at = strchr(at, *PAIR_SEPARATOR)); at++)
			n++;
	return n;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(Querier__LabelPair *const *)a)->name, (*(Querier__LabelPair *const *)b)->name);
}

/* The texts of the sets are cut up. */
static void fill_messages(struct messages *m, struct text_table *sets)
{
	size_t pair = 0;

	for (size_t i = 0; i < sets->n; i++) {
		querier__labels__init(&m->labels[i]);
		m->pointers[i] = &m->labels[i];
		m->labels[i].labels = &m->pair_pointers[pair];
		for (char *rest = sets->texts[i], *text; (text = strsep(&rest, PAIR_SEPARATOR)) && *text; pair++) {
			querier__label_pair__init(&m->pairs[pair]);
			m->pairs[pair].name = strsep(&text, NAME_SEPARATOR);
			m->pairs[pair].value = text ? text : (char *)(uintptr_t)"";
			m->pair_pointers[pair] = &m->pairs[pair];
			m->labels[i].n_labels++;
		}
		qsort(m->labels[i].labels, m->labels[i].n_labels, sizeof(*m->labels[i].labels), by_name);
	}
}

static int write_sets(struct api_query *q, struct text_table *sets)
{
	size_t n_pairs = count_pairs(sets);
	AUTO_FREE Querier__Labels *labels = calloc(sets->n + 1, sizeof(*labels));
	AUTO_FREE Querier__Labels **pointers = calloc(sets->n + 1, sizeof(*pointers));
	AUTO_FREE Querier__LabelPair *pairs = calloc(n_pairs + 1, sizeof(*pairs));
	AUTO_FREE Querier__LabelPair **pair_pointers = calloc(n_pairs + 1, sizeof(*pair_pointers));
	Querier__SeriesResponse response = QUERIER__SERIES_RESPONSE__INIT;

	if (!labels || !pointers || !pairs || !pair_pointers)
		return api_fail_errno(q, -ENOMEM, "writing series");
	fill_messages(&(struct messages){labels, pointers, pairs, pair_pointers}, sets);
	response.labels_set = pointers;
	response.n_labels_set = sets->n;
	return connect_write(q, &response.base);
}

int pyroscope_series(struct api_query *q, const ProtobufCMessage *message)
{
	const Querier__SeriesRequest *r = (const void *)message;
	struct pyroscope_query p;
	AUTO_FREE struct sets *s = calloc(1, sizeof(*s));

	if (!s)
		return api_fail_errno(q, -ENOMEM, "reading series");
	s->p = &p;
	s->request = r;
	if (r->n_label_names > PAIRS_MAX)
		return api_fail(q, 400, "more than %d names of labels", PAIRS_MAX);
	int status = pyroscope_begin(&p, q, r->start, r->end, r->matchers, r->n_matchers, NULL);
	if (status == 0)
		status = pyroscope_check(&p, store_reader_types(q->reader, &q->filter, see_type, &s->types, &q->why), "reading profile types");
	if (status == 0)
		status = read_labels(&p, see_set, s);
	if (status == 0 && s->too_many)
		status = api_fail(q, 413, "there are more than %d series: ask for fewer labels", SERIES_MAX);
	if (status == 0)
		status = write_sets(q, &s->sets);
	text_table_deinit(&s->types.ids);
	text_table_deinit(&s->sets);
	free(s->text);
	pyroscope_end(&p);
	return status;
}
