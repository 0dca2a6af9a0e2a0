#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/scope.h"
#include "pprof/flame_tree.h"
#include "pprof/function_table.h"
#include "web/api_account.h"
#include "web/api_endpoints.h"
#include "web/tree_json.h"

#define DIFF_FUNCTIONS 200
#define SANDWICH_NODES 10000

static void scope_tree(struct flame_tree **tree)
{
	flame_tree_destroy(*tree);
}

static void scope_profile(struct profile **profile)
{
	profile_free(*profile);
}

#define AUTO_TREE    __attribute__((cleanup(scope_tree)))
#define AUTO_PROFILE __attribute__((cleanup(scope_profile)))

static const char *const by_process[] = {"process"};

/* A tree of no samples is its root. */
static int make_tree(struct api_query *q, const struct profile *profile, uint32_t value, const struct flame_options *options, struct flame_tree **tree_out)
{
	static struct profile_value_type no_type;
	static const char *no_text = "";
	static uint32_t no_length;
	struct profile none = {.sample_types = &no_type, .n_sample_types = 1, .strings = &no_text, .string_lengths = &no_length, .n_strings = 1};

	int err = flame_tree_create(profile ? profile : &none, profile ? value : 0, options, tree_out);
	return err < 0 ? api_fail_errno(q, err, "making the tree of frames") : 0;
}

static int64_t total_of(const struct profile *profile, uint32_t value)
{
	return profile ? profile_total(profile, value) : 0;
}

/* The windows that the answer is made of: they may reach beyond the range, which is why they are told. */
struct windows {
	uint64_t n;
	int64_t from_ns, to_ns;
};

static int count_window(void *context, const struct store_window *window)
{
	struct windows *w = context;

	w->from_ns = w->n && w->from_ns < window->time_ns ? w->from_ns : window->time_ns;
	w->to_ns = w->n && w->to_ns > window->end_ns ? w->to_ns : window->end_ns;
	w->n++;
	return 0;
}

static int count_windows(struct api_query *q, struct windows *w)
{
	*w = (struct windows){0};
	int err = q->matches_host ? store_reader_windows(q->reader, &q->filter, count_window, w, &q->why) : 0;
	return err < 0 ? api_fail_errno(q, err, "counting windows") : 0;
}

static void write_windows(struct json_writer *json, const struct windows *w)
{
	json_uint(json, "windows", w->n);
	json_int(json, "windows_from_ms", w->from_ns / (int64_t)NS_PER_MS);
	json_int(json, "windows_to_ms", w->to_ns / (int64_t)NS_PER_MS);
}

/* Whether the first level is the process; and how many nodes. */
static int tree_options(struct api_query *q, int64_t usual_nodes, struct flame_options *options)
{
	const char *first = api_text(q, "first");
	int64_t nodes;

	if (first && strcmp(first, "process") != 0 && strcmp(first, "none") != 0)
		return api_fail(q, 400, "first=%.32s: it is process or none", first);
	options->no_process = first && strcmp(first, "none") == 0;
	int status = api_number(q, "max_nodes", usual_nodes, 1, API_NODES_MAX, &nodes);
	options->max_nodes = (uint32_t)nodes;
	return status;
}

/* Of the labels only the process's name has a part in the tree. */
static int load(struct api_query *q, const struct flame_options *options, struct profile **profile_out, uint32_t *value_out)
{
	int status = api_query_profile(q, options->no_process ? API_KEEP_NONE : by_process, options->no_process ? 0 : 1, profile_out);

	return status ? status : api_query_value(q, *profile_out, value_out);
}

static int write_flame(struct api_query *q, const struct flame_options *options, const struct profile *profile, uint32_t value)
{
	AUTO_TREE struct flame_tree *tree = NULL;
	int64_t total = total_of(profile, value);
	struct windows windows;

	int status = count_windows(q, &windows);
	if (status == 0)
		status = make_tree(q, profile, value, options, &tree);
	if (status)
		return status;
	json_object_begin(&q->json, NULL);
	api_write_head(q, profile, value);
	json_int(&q->json, "total", total);
	json_uint(&q->json, "samples", profile ? profile->n_samples : 0);
	write_windows(&q->json, &windows);
	api_account_write(&q->json, profile);
	api_write_tail(q, total);
	int err = tree_json_write(&q->json, tree, false);
	json_object_end(&q->json);
	return err;
}

int api_flame(struct api_query *q)
{
	AUTO_PROFILE struct profile *profile = NULL;
	struct flame_options options = {0};
	uint32_t value;

	int status = tree_options(q, API_NODES, &options);
	if (status == 0)
		status = api_query_store(q);
	if (status == 0)
		status = load(q, &options, &profile, &value);
	q->answer->is_final = true;
	return status ? status : write_flame(q, &options, profile, value);
}

/* ---- two ranges ---- */

static void write_diff_functions(struct json_writer *json, const struct function_row *rows, size_t n)
{
	json_array_begin(json, "functions");
	for (size_t i = 0; i < n && i < DIFF_FUNCTIONS; i++) {
		json_object_begin(json, NULL);
		json_string(json, "name", rows[i].name);
		json_string(json, "module", rows[i].module);
		json_bool(json, "kernel", rows[i].is_kernel);
		json_int(json, "self", rows[i].self);
		json_int(json, "total", rows[i].total);
		json_int(json, "base_self", rows[i].base_self);
		json_int(json, "base_total", rows[i].base_total);
		json_object_end(json);
	}
	json_array_end(json);
}

struct side {
	struct profile *profile;
	uint32_t value;
	int64_t from_ns, to_ns;
	struct windows windows;
};

static void write_base(struct api_query *q, const struct side *base)
{
	json_object_begin(&q->json, "base");
	json_int(&q->json, "from_ms", base->from_ns / (int64_t)NS_PER_MS);
	json_int(&q->json, "to_ms", base->to_ns / (int64_t)NS_PER_MS);
	json_uint(&q->json, "samples", base->profile ? base->profile->n_samples : 0);
	write_windows(&q->json, &base->windows);
	api_account_write(&q->json, base->profile);
	json_object_end(&q->json);
}

/* An empty profile with the sample types of another one, so that they can be compared. */
static struct profile like(const struct profile *other)
{
	struct profile none = {
		.sample_types = other->sample_types,
		.n_sample_types = other->n_sample_types,
		.strings = other->strings,
		.string_lengths = other->string_lengths,
		.n_strings = other->n_strings,
		.default_sample_type = other->default_sample_type,
	};

	return none;
}

/* Two sides as profiles that can be compared. */
struct pair {
	const struct profile *now, *base; /* both NULL: no samples at all */
	uint32_t value;
	struct profile none;
};

static void pair_sides(struct pair *pair, const struct side *now, const struct side *base)
{
	const struct profile *either = now->profile ? now->profile : base->profile;

	*pair = (struct pair){.value = now->profile ? now->value : base->value};
	if (!either)
		return;
	pair->none = like(either);
	pair->now = now->profile ? now->profile : &pair->none;
	pair->base = base->profile ? base->profile : &pair->none;
}

static int write_diff(struct api_query *q, struct flame_options *options, const struct side *now, const struct side *base)
{
	AUTO_TREE struct flame_tree *tree = NULL;
	AUTO_FREE struct function_row *rows = NULL;
	int64_t total = total_of(now->profile, now->value), base_total = total_of(base->profile, base->value);
	struct pair pair;
	size_t n = 0;

	pair_sides(&pair, now, base);
	options->base = pair.base;
	int err = pair.now ? function_table_create(pair.now, pair.base, pair.value, &rows, &n) : 0;
	int status = err < 0 ? api_fail_errno(q, err, "comparing functions") : make_tree(q, pair.now, pair.value, options, &tree);
	if (status)
		return status;
	json_object_begin(&q->json, NULL);
	api_write_head(q, pair.now, pair.value);
	json_int(&q->json, "total", total);
	json_int(&q->json, "base_total", base_total);
	json_uint(&q->json, "samples", now->profile ? now->profile->n_samples : 0);
	write_windows(&q->json, &now->windows);
	api_account_write(&q->json, now->profile);
	write_base(q, base);
	api_write_tail(q, total > base_total ? total : base_total);
	write_diff_functions(&q->json, rows, n);
	err = tree_json_write(&q->json, tree, true);
	json_object_end(&q->json);
	return err;
}

static int load_side(struct api_query *q, const struct flame_options *options, struct side *side)
{
	side->from_ns = q->from_ns;
	side->to_ns = q->to_ns;
	int status = load(q, options, &side->profile, &side->value);
	return status ? status : count_windows(q, &side->windows);
}

/* The base first: what the answer says of its range is that of the other one. */
static int load_both(struct api_query *q, const struct flame_options *options, struct side *now, struct side *base)
{
	const char *from;

	int status = api_needed(q, "base_from", &from);
	if (status == 0)
		status = api_needed(q, "base_to", &from);
	if (status == 0)
		status = api_query_parse(q, "base_");
	bool is_fixed = q->is_fixed;
	if (status == 0)
		status = load_side(q, options, base);
	if (status == 0)
		status = api_query_parse(q, "");
	q->is_fixed = q->is_fixed && is_fixed && base->to_ns <= q->context->now_ns - API_FINAL_AFTER_NS;
	return status ? status : load_side(q, options, now);
}

int api_diff(struct api_query *q)
{
	struct flame_options options = {0};
	struct side now = {0}, base = {0};

	int status = tree_options(q, API_NODES, &options);
	if (status == 0)
		status = api_query_store(q);
	if (status == 0)
		status = load_both(q, &options, &now, &base);
	if (status == 0)
		status = write_diff(q, &options, &now, &base);
	profile_free(now.profile);
	profile_free(base.profile);
	q->answer->is_final = true;
	return status;
}

/* ---- callers and callees ---- */

/* What a function spent itself, by its rows in the table: one for each module. */
static int find_function(struct api_query *q, const struct pair *pair, const char *name, int64_t *self_out, int64_t *base_self_out)
{
	AUTO_FREE struct function_row *rows = NULL;
	size_t n = 0;

	int err = pair->now ? function_table_create(pair->now, pair->base, pair->value, &rows, &n) : 0;
	if (err < 0)
		return api_fail_errno(q, err, "looking for the function");
	for (size_t i = 0; i < n; i++) {
		if (strcmp(rows[i].name, name) != 0)
			continue;
		*self_out += rows[i].self;
		*base_self_out += rows[i].base_self;
	}
	return 0;
}

static int write_tree(struct json_writer *json, const char *key, const struct flame_tree *tree, bool with_base)
{
	json_object_begin(json, key);
	int err = tree_json_write(json, tree, with_base);
	json_object_end(json);
	return err;
}

/* base: NULL when nothing is compared. */
static int write_sandwich(struct api_query *q, struct flame_options *options, const struct side *now, const struct side *base)
{
	AUTO_TREE struct flame_tree *callers = NULL, *callees = NULL;
	struct pair pair = {.now = now->profile, .value = now->value};
	int64_t self = 0, base_self = 0, total = total_of(now->profile, now->value), base_total = base ? total_of(base->profile, base->value) : 0;

	if (base)
		pair_sides(&pair, now, base);
	options->base = pair.base;
	int status = find_function(q, &pair, options->function, &self, &base_self);
	if (status == 0)
		status = make_tree(q, pair.now, pair.value, options, &callees);
	options->from_leaf = true;
	if (status == 0)
		status = make_tree(q, pair.now, pair.value, options, &callers);
	if (status)
		return status;
	json_object_begin(&q->json, NULL);
	api_write_head(q, pair.now, pair.value);
	json_string(&q->json, "function", options->function);
	json_int(&q->json, "total", total);
	json_int(&q->json, "self", self);
	json_int(&q->json, "function_total", callees->nodes[0].value);
	if (base) {
		json_int(&q->json, "base_total", base_total);
		json_int(&q->json, "base_self", base_self);
		json_int(&q->json, "function_base_total", callees->nodes[0].base_value);
	}
	api_write_tail(q, total > base_total ? total : base_total);
	int err = write_tree(&q->json, "callers", callers, base != NULL);
	if (err == 0)
		err = write_tree(&q->json, "callees", callees, base != NULL);
	json_object_end(&q->json);
	return err;
}

int api_sandwich(struct api_query *q)
{
	struct flame_options options = {0};
	struct side now = {0}, base = {0};
	bool compares = api_text(q, "base_from") || api_text(q, "base_to");

	int status = api_needed(q, "function", &options.function);
	if (status == 0)
		status = tree_options(q, SANDWICH_NODES, &options);
	options.no_process = true;
	if (status == 0)
		status = api_query_store(q);
	if (status == 0)
		status = compares ? load_both(q, &options, &now, &base) : load(q, &options, &now.profile, &now.value);
	if (status == 0)
		status = write_sandwich(q, &options, &now, compares ? &base : NULL);
	profile_free(now.profile);
	profile_free(base.profile);
	q->answer->is_final = true;
	return status;
}
