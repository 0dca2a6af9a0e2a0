#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "web/api_endpoints.h"
#include "web/label_totals.h"

#define VALUES_MAX 100

/* What people look for comes first. */
static const char *const order[] = {"process", "service", "unit", "container", "pod", "namespace", "executable", "thread", "pid", "tid"};

/* Equal label sets lie at one place, so that they are looked at once. */
static int add_profile(struct label_totals *t, const struct profile *p, uint32_t value)
{
	AUTO_FREE int64_t *totals = calloc(p->n_labels + 1, sizeof(*totals));
	AUTO_FREE uint32_t *counts = calloc(p->n_labels + 1, sizeof(*counts));
	int err = totals && counts ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->n_samples && err == 0; i++) {
		const struct profile_sample *s = &p->samples[i];
		totals[s->first_label] = (int64_t)((uint64_t)totals[s->first_label] + (uint64_t)p->values[i * p->n_sample_types + value]);
		counts[s->first_label] = s->n_labels > counts[s->first_label] ? s->n_labels : counts[s->first_label];
	}
	for (size_t first = 0; first < p->n_labels && err == 0; first++) {
		struct store_label labels[64];
		char numbers[64][24];
		struct store_label_total total = {labels, counts[first] < 64 ? counts[first] : 64, totals[first]};
		for (size_t k = 0; k < total.n; k++) {
			const struct profile_label *l = &p->labels[first + k];
			snprintf(numbers[k], sizeof(numbers[k]), "%lld", (long long)l->num);
			labels[k] = (struct store_label){profile_string(p, l->key), l->str ? profile_string(p, l->str) : numbers[k]};
		}
		err = total.n ? label_totals_add(t, &total) : 0;
	}
	return err;
}

/* With frames chosen the stacks have to be looked at; else labels alone. */
static int collect(struct api_query *q, struct label_totals *t)
{
	struct profile *profile;
	uint32_t value;
	int err;

	if (!q->matches_host)
		return 0;
	if (!q->has_selection) {
		err = store_reader_labels(q->reader, &q->filter, label_totals_add, t, &q->why);
		api_warn(q);
		return err < 0 ? api_fail_errno(q, err, "reading the labels of this time") : 0;
	}
	int status = api_query_profile(q, NULL, 0, &profile);
	if (status || !profile)
		return status;
	status = api_query_value(q, profile, &value);
	if (status == 0 && add_profile(t, profile, value) < 0)
		status = api_fail_errno(q, -ENOMEM, "reading the labels of this time");
	profile_free(profile);
	return status;
}

static void write_value(struct api_query *q, const char *value, int64_t total)
{
	json_object_begin(&q->json, NULL);
	json_string(&q->json, "value", value);
	json_int(&q->json, "total", total);
	json_object_end(&q->json);
}

static void write_key(struct api_query *q, const struct label_key *key, const struct label_value *values)
{
	json_object_begin(&q->json, NULL);
	json_string(&q->json, "key", key->key);
	json_uint(&q->json, "n", key->values.n);
	json_array_begin(&q->json, "values");
	for (size_t i = 0; i < key->values.n && i < VALUES_MAX; i++)
		write_value(q, values[i].value, values[i].total);
	json_array_end(&q->json);
	json_object_end(&q->json);
}

static size_t place_of(const char *key)
{
	size_t n = sizeof(order) / sizeof(order[0]), i = 0;

	while (i < n && strcmp(order[i], key) != 0)
		i++;
	return i;
}

static int by_place(const void *a, const void *b)
{
	const struct label_key *x = *(const struct label_key *const *)a, *y = *(const struct label_key *const *)b;
	size_t i = place_of(x->key), k = place_of(y->key);

	return i != k ? (i < k ? -1 : 1) : strcmp(x->key, y->key);
}

static int write_labels(struct api_query *q, const struct label_totals *t)
{
	const struct label_key *keys[LABEL_KEYS_MAX];
	struct label_value *values[LABEL_KEYS_MAX] = {NULL};
	int err = 0;

	for (size_t i = 0; i < t->names.n; i++)
		keys[i] = &t->keys[i];
	qsort(keys, t->names.n, sizeof(keys[0]), by_place);
	for (size_t i = 0; i < t->names.n && err == 0; i++)
		err = label_totals_sorted(keys[i], &values[i]);
	if (err == 0) {
		json_object_begin(&q->json, NULL);
		json_int(&q->json, "total", t->total);
		json_array_begin(&q->json, "labels");
		for (size_t i = 0; i < t->names.n; i++)
			write_key(q, keys[i], values[i]);
		if (t->names.n)
			write_key(q, &(struct label_key){.key = "host", .values = {.n = 1}}, &(struct label_value){q->context->host, t->total});
		json_array_end(&q->json);
		api_write_tail(q, t->total);
		json_object_end(&q->json);
	}
	for (size_t i = 0; i < t->names.n; i++)
		free(values[i]);
	return err < 0 ? api_fail_errno(q, err, "sorting labels") : 0;
}

int api_labels(struct api_query *q)
{
	AUTO_FREE struct label_totals *t = calloc(1, sizeof(*t));

	if (!t)
		return api_fail_errno(q, -ENOMEM, "reading labels");
	int status = api_query_store(q);
	if (status == 0)
		status = collect(q, t);
	if (status == 0)
		status = write_labels(q, t);
	label_totals_deinit(t);
	q->answer->is_final = true;
	return status;
}
