/* Flame graphs and profiles as Pyroscope has them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "pprof/encode.h"
#include "pprof/flame_tree.h"
#include "web/connect.h"
#include "web/pyroscope.h"

#define NUMBERS 4 /* of a node: distance, total, self, name */

int pyroscope_profile(struct pyroscope_query *p, struct profile **profile_out, uint32_t *value_out)
{
	struct api_query *q = p->q;
	struct profile *profile;

	int status = api_query_profile(q, API_KEEP_NONE, 0, &profile);
	status = p->err < 0 ? pyroscope_check(p, p->err, "summing windows") : status;
	if (status)
		return status;
	*profile_out = NULL;
	for (uint32_t i = 0; profile && i < profile->n_sample_types; i++) {
		if (strcmp(profile_string(profile, profile->sample_types[i].type), p->type) == 0 &&
		    strcmp(profile_string(profile, profile->sample_types[i].unit), p->unit) == 0) {
			*profile_out = profile;
			*value_out = i;
			return 0;
		}
	}
	profile_free(profile);
	return 0;
}

/* ---- levels ---- */

/* Where the nodes of the tree lie: a frame's own value is left of what it called. What was left out of a tree is a node "other", right of the rest. */
struct layout {
	const struct flame_tree *tree;
	int64_t *rest;	   /* of a node: neither its own nor its children's */
	size_t *per_level; /* nodes, then where a level's begin */
	size_t n, n_levels;
};

static int measure(struct layout *l)
{
	const struct flame_tree *t = l->tree;

	l->n_levels = (size_t)t->depth + 2;
	l->rest = calloc(t->n_nodes + 1, sizeof(*l->rest));
	l->per_level = calloc(l->n_levels + 1, sizeof(*l->per_level));
	if (!l->rest || !l->per_level)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_nodes; i++) {
		l->rest[i] += t->nodes[i].value - t->nodes[i].self;
		if (i)
			l->rest[t->nodes[i].parent] -= t->nodes[i].value;
		l->per_level[t->nodes[i].depth]++;
	}
	l->n = t->n_nodes;
	for (size_t i = 0; i < t->n_nodes; i++) {
		if (l->rest[i] <= 0)
			continue;
		l->per_level[t->nodes[i].depth + 1]++;
		l->n++;
	}
	while (l->n_levels > 1 && !l->per_level[l->n_levels - 1])
		l->n_levels--;
	return 0;
}

static int make_levels(struct pyroscope_flame *f, struct layout *l)
{
	size_t at = 0;

	f->levels = calloc(l->n_levels, sizeof(*f->levels));
	f->level_pointers = calloc(l->n_levels, sizeof(*f->level_pointers));
	f->values = calloc(l->n, NUMBERS * sizeof(*f->values));
	if (!f->levels || !f->level_pointers || !f->values)
		return -ENOMEM;
	for (size_t i = 0; i < l->n_levels; i++) {
		querier__level__init(&f->levels[i]);
		f->levels[i].values = f->values + at;
		f->level_pointers[i] = &f->levels[i];
		at += NUMBERS * l->per_level[i];
	}
	f->graph.levels = f->level_pointers;
	f->graph.n_levels = l->n_levels;
	return 0;
}

static void put_node(struct pyroscope_flame *f, size_t level, int64_t begin, int64_t total, int64_t self, int64_t name)
{
	Querier__Level *to = &f->levels[level];

	to->values[to->n_values++] = begin;
	to->values[to->n_values++] = total;
	to->values[to->n_values++] = self;
	to->values[to->n_values++] = name;
	f->graph.max_self = self > f->graph.max_self ? self : f->graph.max_self;
}

/* Begins become distances from the end of the node before. */
static void encode_begins(struct pyroscope_flame *f)
{
	for (size_t i = 0; i < f->graph.n_levels; i++) {
		int64_t end = 0, *values = f->levels[i].values;
		for (size_t k = 0; k < f->levels[i].n_values; k += NUMBERS) {
			int64_t begin = values[k];
			values[k] = begin - end;
			end = begin + values[k + 1];
		}
	}
}

/* Nodes are in pre-order: of a level, from left to right. But "other" lies right of its siblings and of all below them, so that it is put when its parent's last descendant was. */
static int put_nodes(struct pyroscope_flame *f, const struct layout *l, int64_t other)
{
	const struct flame_tree *t = l->tree;
	AUTO_FREE int64_t *next = calloc(t->n_nodes, sizeof(*next)); /* of a node: where its next child begins */
	AUTO_FREE uint32_t *path = calloc((size_t)t->depth + 1, sizeof(*path));

	if (!next || !path)
		return -ENOMEM;
	for (size_t i = 0; i <= t->n_nodes; i++) {
		uint32_t depth = i < t->n_nodes ? t->nodes[i].depth : 0;
		for (uint32_t d = i ? t->nodes[i - 1].depth + 1 : 0; d-- > depth;) /* those end here */
			if (l->rest[path[d]] > 0)
				put_node(f, d + 1, next[path[d]], l->rest[path[d]], l->rest[path[d]], other);
		if (i == t->n_nodes)
			break;
		const struct flame_node *node = &t->nodes[i];
		int64_t begin = i ? next[node->parent] : 0;
		if (i)
			next[node->parent] += node->value;
		next[i] = begin + node->self;
		path[depth] = (uint32_t)i;
		put_node(f, depth, begin, node->value, node->self, node->name);
	}
	encode_begins(f);
	return 0;
}

static int fill_graph(struct pyroscope_flame *f)
{
	const struct flame_tree *t = f->tree;
	struct layout l = {.tree = t};

	f->names = calloc(t->n_names + 1, sizeof(*f->names));
	int err = f->names ? measure(&l) : -ENOMEM;
	if (err == 0)
		err = make_levels(f, &l);
	if (err == 0) {
		for (size_t i = 0; i < t->n_names; i++)
			f->names[i] = (char *)(uintptr_t)t->names[i];
		f->names[t->nodes[0].name] = (char *)(uintptr_t)"total";
		f->names[t->n_names] = (char *)(uintptr_t)"other";
		f->graph.names = f->names;
		f->graph.n_names = t->n_names + 1;
		f->graph.total = t->nodes[0].value;
		err = put_nodes(f, &l, (int64_t)t->n_names);
	}
	free(l.rest);
	free(l.per_level);
	return err;
}

static int fill_empty(struct pyroscope_flame *f)
{
	f->names = calloc(1, sizeof(*f->names));
	f->levels = calloc(1, sizeof(*f->levels));
	f->level_pointers = calloc(1, sizeof(*f->level_pointers));
	f->values = calloc(NUMBERS, sizeof(*f->values));
	if (!f->names || !f->levels || !f->level_pointers || !f->values)
		return -ENOMEM;
	querier__level__init(&f->levels[0]);
	f->names[0] = (char *)(uintptr_t)"total";
	f->levels[0].values = f->values;
	f->levels[0].n_values = NUMBERS;
	f->level_pointers[0] = &f->levels[0];
	f->graph.names = f->names;
	f->graph.n_names = 1;
	f->graph.levels = f->level_pointers;
	f->graph.n_levels = 1;
	return 0;
}

int pyroscope_flame_init(struct pyroscope_flame *f, struct pyroscope_query *p, int64_t max_nodes)
{
	struct profile *profile;
	uint32_t value;

	*f = (struct pyroscope_flame){0};
	querier__flame_graph__init(&f->graph);
	struct flame_options options = {.no_process = true};
	options.max_nodes = max_nodes <= 0 ? PYROSCOPE_NODES : max_nodes < API_NODES_MAX ? (uint32_t)max_nodes : API_NODES_MAX;
	int status = pyroscope_profile(p, &profile, &value);
	if (status)
		return status;
	int err = profile ? flame_tree_create(profile, value, &options, &f->tree) : 0;
	profile_free(profile);
	if (err == 0)
		err = f->tree ? fill_graph(f) : fill_empty(f);
	return err < 0 ? api_fail_errno(p->q, err, "making the flame graph") : 0;
}

void pyroscope_flame_deinit(struct pyroscope_flame *f)
{
	flame_tree_destroy(f->tree);
	free(f->names);
	free(f->levels);
	free(f->level_pointers);
	free(f->values);
}

/* ---- calls ---- */

static int refuse_parts(struct api_query *q, const Querier__StackTraceSelector *stacks, size_t n_profiles)
{
	if (stacks && stacks->n_call_site)
		return api_fail(q, 501, "flame graphs of some stacks only (stackTraceSelector) are not answered here");
	return n_profiles ? api_fail(q, 501, "profiles have no ids here (profileIdSelector)") : 0;
}

int pyroscope_select_merge_stacktraces(struct api_query *q, const ProtobufCMessage *message)
{
	const Querier__SelectMergeStacktracesRequest *r = (const void *)message;
	Querier__SelectMergeStacktracesResponse response = QUERIER__SELECT_MERGE_STACKTRACES_RESPONSE__INIT;
	struct pyroscope_query p;
	struct pyroscope_flame flame = {0};

	int status = refuse_parts(q, r->stack_trace_selector, r->n_profile_id_selector);
	if (status == 0 && r->format == QUERIER__FORMAT__PROFILE_FORMAT_TREE)
		status = api_fail(q, 501, "trees are not answered here: ask for a flame graph");
	if (status)
		return status;
	status = pyroscope_begin(&p, q, r->start, r->end, &(char *){r->label_selector}, 1, r->profile_typeid);
	if (status == 0)
		status = pyroscope_flame_init(&flame, &p, r->max_nodes);
	response.flamegraph = &flame.graph;
	if (status == 0)
		status = connect_write(q, &response.base);
	pyroscope_flame_deinit(&flame);
	pyroscope_end(&p);
	return status;
}

static int write_profile(struct api_query *q, const struct profile *profile)
{
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n = 0;

	int err = profile ? profile_encode_plain(profile, &bytes, &n) : 0;
	if (err < 0)
		return api_fail_errno(q, err, "encoding the profile");
	q->answer->content_type = "application/proto";
	return fwrite(bytes ? bytes : (uint8_t *)"", 1, n, q->answer->body) == n ? 0 : -EIO;
}

int pyroscope_select_merge_profile(struct api_query *q, const ProtobufCMessage *message)
{
	const Querier__SelectMergeProfileRequest *r = (const void *)message;
	struct pyroscope_query p;
	struct profile *profile = NULL;
	uint32_t value;

	int status = refuse_parts(q, r->stack_trace_selector, r->n_profile_id_selector);
	if (status == 0 && connect_is_json(q->request))
		status = api_fail(q, 501, "profiles are answered as application/proto only");
	if (status)
		return status;
	status = pyroscope_begin(&p, q, r->start, r->end, &(char *){r->label_selector}, 1, r->profile_typeid);
	if (status == 0)
		status = pyroscope_profile(&p, &profile, &value);
	if (status == 0)
		status = write_profile(q, profile);
	profile_free(profile);
	pyroscope_end(&p);
	return status;
}
