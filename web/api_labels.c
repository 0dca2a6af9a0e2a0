#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "web/api_endpoints.h"
#include "web/label_totals.h"

#define VALUES_MAX 100

/* What people look for comes first. */
static const char *const order[] = {"process", "service", "unit", "container", "pod", "namespace", "executable", "thread", "pid", "tid"};

static int collect(struct api_query *q, struct label_totals *t)
{
	if (!q->matches_host)
		return 0;
	api_query_select_in_store(q);
	int err = store_reader_labels(q->reader, &q->filter, label_totals_add, t, &q->why);
	api_warn(q);
	return err < 0 ? api_fail_errno(q, err, "reading the labels of this time") : 0;
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
