#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "pprof/function_table.h"
#include "web/api_endpoints.h"

#define FUNCTIONS     500
#define FUNCTIONS_MAX 100000
#define LINES_MAX     100000

static int by_total(const void *a, const void *b)
{
	const struct function_row *x = a, *y = b;

	if (x->total != y->total)
		return x->total > y->total ? -1 : 1;
	if (x->self != y->self)
		return x->self > y->self ? -1 : 1;
	int order = strcmp(x->name, y->name);
	return order ? order : strcmp(x->module, y->module);
}

/* Those whose name or module has the text move to the front. */
static size_t search(struct function_row *rows, size_t n, const char *text)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		if (strcasestr(rows[i].name, text) || strcasestr(rows[i].module, text))
			rows[found++] = rows[i];
	return found;
}

static void write_function(struct json_writer *json, const struct function_row *row)
{
	json_object_begin(json, NULL);
	json_string(json, "name", row->name);
	json_string(json, "module", row->module);
	json_string(json, "file", row->file);
	json_bool(json, "kernel", row->is_kernel);
	json_int(json, "self", row->self);
	json_int(json, "total", row->total);
	json_object_end(json);
}

static int write_functions(struct api_query *q, const struct profile *profile, uint32_t value, int64_t limit)
{
	AUTO_FREE struct function_row *rows = NULL;
	const char *sort = api_text(q, "sort"), *text = api_text(q, "search");
	int64_t total = profile ? profile_total(profile, value) : 0;
	size_t n = 0;

	if (sort && strcmp(sort, "self") != 0 && strcmp(sort, "total") != 0)
		return api_fail(q, 400, "sort=%.32s: it is self or total", sort);
	int err = profile ? function_table_create(profile, NULL, value, &rows, &n) : 0;
	if (err < 0)
		return api_fail_errno(q, err, "making the table of functions");
	if (sort && strcmp(sort, "total") == 0 && n)
		qsort(rows, n, sizeof(*rows), by_total);
	if (text && *text)
		n = search(rows, n, text);
	json_object_begin(&q->json, NULL);
	api_write_head(q, profile, value);
	json_int(&q->json, "total", total);
	json_uint(&q->json, "n", n);
	json_array_begin(&q->json, "functions");
	for (size_t i = 0; i < n && i < (size_t)limit; i++)
		write_function(&q->json, &rows[i]);
	json_array_end(&q->json);
	api_write_tail(q, total);
	json_object_end(&q->json);
	return 0;
}

static int load(struct api_query *q, struct profile **profile_out, uint32_t *value_out)
{
	int status = api_query_store(q);

	if (status == 0)
		status = api_query_profile(q, API_KEEP_NONE, 0, profile_out);
	return status ? status : api_query_value(q, *profile_out, value_out);
}

int api_functions(struct api_query *q)
{
	struct profile *profile = NULL;
	uint32_t value;
	int64_t limit;

	int status = api_number(q, "limit", FUNCTIONS, 1, FUNCTIONS_MAX, &limit);
	if (status == 0)
		status = load(q, &profile, &value);
	if (status == 0)
		status = write_functions(q, profile, value, limit);
	profile_free(profile);
	q->answer->is_final = true;
	return status;
}

/* ---- lines ---- */

static int write_lines(struct api_query *q, const struct profile *profile, uint32_t value, const char *function)
{
	AUTO_FREE struct line_row *rows = NULL;
	int64_t total = profile ? profile_total(profile, value) : 0;
	size_t n = 0;

	int err = profile ? line_table_create(profile, value, function, &rows, &n) : 0;
	if (err < 0)
		return api_fail_errno(q, err, "making the table of lines");
	json_object_begin(&q->json, NULL);
	api_write_head(q, profile, value);
	json_int(&q->json, "total", total);
	json_uint(&q->json, "n", n);
	json_array_begin(&q->json, "lines");
	for (size_t i = 0; i < n && i < LINES_MAX; i++) {
		json_object_begin(&q->json, NULL);
		json_string(&q->json, "file", rows[i].file);
		json_int(&q->json, "line", rows[i].line);
		json_int(&q->json, "self", rows[i].self);
		json_int(&q->json, "total", rows[i].total);
		json_object_end(&q->json);
	}
	json_array_end(&q->json);
	api_write_tail(q, total);
	json_object_end(&q->json);
	return 0;
}

int api_lines(struct api_query *q)
{
	struct profile *profile = NULL;
	const char *function;
	uint32_t value;

	int status = api_needed(q, "function", &function);
	if (status == 0)
		status = load(q, &profile, &value);
	if (status == 0)
		status = write_lines(q, profile, value, function);
	profile_free(profile);
	q->answer->is_final = true;
	return status;
}
