#include "pprof/flame_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "pprof/flame_build.h"

#define NOWHERE UINT32_MAX

/* A tree on the way from nodes as they were made to nodes in order. Numbers are the build's, but where they are said to be the tree's. */
struct layout {
	const struct flame_build *b;
	int64_t *values, *base_values; /* with all that was called */
	uint32_t *first_child, *next;  /* of kept nodes, siblings in order; 0: none; next is NOWHERE for what is left out */
	uint32_t *places; /* in the tree */
	struct flame_tree *tree;
};

static void layout_deinit(struct layout *l)
{
	free(l->values);
	free(l->base_values);
	free(l->first_child);
	free(l->next);
	free(l->places);
}

#define AUTO_LAYOUT __attribute__((cleanup(layout_deinit)))

static bool add_up(struct layout *l)
{
	const struct flame_build *b = l->b;

	l->values = malloc(b->n * sizeof(l->values[0]));
	l->base_values = b->has_base ? malloc(b->n * sizeof(l->base_values[0])) : NULL;
	if (!l->values || (b->has_base && !l->base_values))
		return false;
	memcpy(l->values, b->self, b->n * sizeof(l->values[0]));
	for (size_t i = b->n; i-- > 1;)
		l->values[b->keys[i].parent] += l->values[i];
	if (!b->has_base)
		return true;
	memcpy(l->base_values, b->base_self, b->n * sizeof(l->base_values[0]));
	for (size_t i = b->n; i-- > 1;)
		l->base_values[b->keys[i].parent] += l->base_values[i];
	return true;
}

/* --- the largest nodes --------------------------------------------------------------------------------------- */

/* No child weighs more than its parent. */
static double weight_of(const struct layout *l, size_t i)
{
	double share = (double)l->values[i];

	if (!l->b->has_base)
		return share;
	share /= l->values[0] ? (double)l->values[0] : 1;
	double base_share = (double)l->base_values[i] / (l->base_values[0] ? (double)l->base_values[0] : 1);
	return share > base_share ? share : base_share;
}

/* The weight that k of n weights are greater than or equal to, and no more than k are greater than. Quickselect, from the largest. */
static double kth_largest(double *weights, size_t n, size_t k)
{
	size_t low = 0, high = n - 1;

	while (low < high) {
		double pivot = weights[low + (high - low) / 2];
		size_t i = low, j = high;
		while (i <= j) {
			while (weights[i] > pivot)
				i++;
			while (weights[j] < pivot)
				j--;
			if (i > j)
				break;
			double swapped = weights[i];
			weights[i++] = weights[j];
			weights[j] = swapped;
			if (!j--)
				break;
		}
		if (k - 1 <= j && j < n)
			high = j;
		else if (k - 1 >= i)
			low = i;
		else
			break;
	}
	return weights[k - 1];
}

/* Mark in next what is left out. Of equal ones those stay that were made first: parents before their children. */
static int choose(struct layout *l, size_t max)
{
	size_t n = l->b->n, greater = 0, kept = 0;

	if (!max || n <= max) {
		l->tree->n_nodes = n;
		return 0;
	}
	AUTO_FREE double *weights = malloc(n * sizeof(*weights));
	if (!weights)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		weights[i] = weight_of(l, i);
	double least = kth_largest(weights, n, max);
	for (size_t i = 0; i < n; i++)
		greater += weight_of(l, i) > least;
	for (size_t i = 0; i < n; i++) {
		double weight = weight_of(l, i);
		bool stays = weight > least || (weight == least && greater < max);
		greater += stays && weight == least;
		kept += stays;
		l->next[i] = stays ? 0 : NOWHERE;
	}
	l->tree->n_nodes = kept;
	l->tree->n_left_out = n - kept;
	return 0;
}

/* --- frames in order ----------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b, void *context)
{
	const struct frame_set *t = context;
	const struct named_frame *x = &t->frames[*(const uint32_t *)a], *y = &t->frames[*(const uint32_t *)b];
	int order = x->name == y->name ? 0 : strcmp(t->names.texts[x->name], t->names.texts[y->name]);

	if (!order && x->module != y->module)
		order = strcmp(t->modules.texts[x->module], t->modules.texts[y->module]);
	if (!order)
		order = x->is_kernel - y->is_kernel;
	return order ? order : x->is_process - y->is_process;
}

/* The frames of kept nodes, by their names: frames_out; ranks_out: where each stands there. */
static int rank_frames(const struct layout *l, uint32_t **frames_out, uint32_t **ranks_out, size_t *n_out)
{
	const struct frame_set *t = &l->b->frames;
	AUTO_FREE uint32_t *frames = malloc((t->n + 1) * sizeof(*frames)), *ranks = calloc(t->n + 1, sizeof(*ranks));
	size_t n = 0;

	if (!frames || !ranks)
		return -ENOMEM;
	for (size_t i = 0; i < l->b->n; i++)
		if (l->next[i] != NOWHERE)
			ranks[l->b->keys[i].frame] = 1;
	for (uint32_t i = 0; i < t->n; i++)
		if (ranks[i])
			frames[n++] = i;
	qsort_r(frames, n, sizeof(*frames), by_name, (void *)t);
	for (uint32_t i = 0; i < n; i++)
		ranks[frames[i]] = i;
	*frames_out = take_ptr(frames);
	*ranks_out = take_ptr(ranks);
	*n_out = n;
	return 0;
}

/* Kept nodes by the rank of their frames, the last first: each is put before its siblings. Sorting by counting: no comparisons. */
static int link_siblings(struct layout *l, const uint32_t *ranks, size_t n_ranks)
{
	const struct flame_build *b = l->b;
	AUTO_FREE uint32_t *begins = calloc(n_ranks + 1, sizeof(*begins)), *sorted = malloc(l->tree->n_nodes * sizeof(*sorted));

	if (!begins || !sorted)
		return -ENOMEM;
	for (size_t i = 0; i < b->n; i++)
		if (l->next[i] != NOWHERE)
			begins[ranks[b->keys[i].frame] + 1]++;
	for (size_t i = 1; i <= n_ranks; i++)
		begins[i] += begins[i - 1];
	for (uint32_t i = 0; i < b->n; i++)
		if (l->next[i] != NOWHERE)
			sorted[begins[ranks[b->keys[i].frame]]++] = i;
	for (size_t i = l->tree->n_nodes; i-- > 0;) {
		uint32_t node = sorted[i], parent = b->keys[node].parent;
		if (!node)
			continue;
		l->next[node] = l->first_child[parent];
		l->first_child[parent] = node;
	}
	return 0;
}

/* --- the tree ------------------------------------------------------------------------------------------------ */

static void place(struct layout *l, uint32_t node, uint32_t at)
{
	const struct flame_build *b = l->b;
	const struct named_frame *frame = &b->frames.frames[b->keys[node].frame];
	struct flame_tree *t = l->tree;
	uint32_t parent = node ? l->places[b->keys[node].parent] : 0;

	l->places[node] = at;
	t->nodes[at] = (struct flame_node){
		.parent = parent,
		.name = b->keys[node].frame, /* put_texts() makes it a name */
		.module = frame->module,
		.file = frame->file,
		.depth = node ? t->nodes[parent].depth + 1 : 0,
		.is_kernel = frame->is_kernel,
		.is_process = node && frame->is_process,
		.value = l->values[node],
		.self = b->self[node],
		.base_value = b->has_base ? l->base_values[node] : 0,
		.base_self = b->has_base ? b->base_self[node] : 0,
	};
	if (t->nodes[at].depth > t->depth)
		t->depth = t->nodes[at].depth;
}

/* Pre-order; where a node's next sibling starts is known when all of the node is placed, and kept at the parent meanwhile. */
static void place_all(struct layout *l)
{
	struct flame_tree *t = l->tree;
	uint32_t node = 0, at = 0;

	place(l, 0, at++);
	for (;;) {
		if (l->first_child[node]) {
			uint32_t child = l->first_child[node];
			place(l, child, at);
			t->nodes[at++].start = t->nodes[l->places[node]].start;
			node = child;
			continue;
		}
		while (node && !l->next[node])
			node = l->b->keys[node].parent;
		if (!node)
			return;
		const struct flame_node *left = &t->nodes[l->places[node]];
		int64_t start = left->start + left->value;
		node = l->next[node];
		place(l, node, at);
		t->nodes[at++].start = start;
	}
}

/* Nodes were made one level of a block of samples after another: by their makers, and then as they were made, they are in the order of the samples. */
static int put_order(struct layout *l)
{
	const struct flame_build *b = l->b;
	uint32_t last = 0;

	for (size_t i = 0; i < b->n; i++)
		last = b->makers[i] > last ? b->makers[i] : last;
	AUTO_FREE uint32_t *begins = calloc((size_t)last + 2, sizeof(*begins));
	l->tree->order = malloc(l->tree->n_nodes * sizeof(l->tree->order[0]));
	if (!begins || !l->tree->order)
		return -ENOMEM;
	for (size_t i = 0; i < b->n; i++)
		if (l->next[i] != NOWHERE)
			begins[b->makers[i] + 1]++;
	for (size_t i = 1; i <= last; i++)
		begins[i] += begins[i - 1];
	for (size_t i = 0; i < b->n; i++)
		if (l->next[i] != NOWHERE)
			l->tree->order[begins[b->makers[i]]++] = l->places[i];
	return 0;
}

/* The texts of a set that nodes use, copied; *ids_out: their numbers in the tree. */
static int copy_texts(const struct string_set *set, const uint8_t *used, char **text, const char ***texts_out, size_t *n_out, uint32_t *ids)
{
	size_t n = 0;

	*texts_out = malloc((set->n + 1) * sizeof(**texts_out));
	if (!*texts_out)
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++) {
		if (!used[i])
			continue;
		ids[i] = (uint32_t)n;
		(*texts_out)[n++] = *text;
		*text = stpcpy(*text, set->texts[i]) + 1;
	}
	*n_out = n;
	return 0;
}

static int put_texts(struct layout *l)
{
	const struct frame_set *t = &l->b->frames;
	struct flame_tree *tree = l->tree;
	const struct string_set *const sets[] = {&t->names, &t->modules, &t->files};
	const char **const *const texts[] = {&tree->names, &tree->modules, &tree->files};
	size_t *const counts[] = {&tree->n_names, &tree->n_modules, &tree->n_files};
	AUTO_FREE uint8_t *used_names = calloc(t->names.n + 1, 1), *used_modules = calloc(t->modules.n + 1, 1), *used_files = calloc(t->files.n + 1, 1);
	AUTO_FREE uint32_t *names = calloc(t->names.n + 1, 4), *modules = calloc(t->modules.n + 1, 4), *files = calloc(t->files.n + 1, 4);
	uint8_t *const used[] = {used_names, used_modules, used_files};
	uint32_t *const ids[] = {names, modules, files};
	size_t bytes = 1;
	int err = 0;

	if (!used_names || !used_modules || !used_files || !names || !modules || !files)
		return -ENOMEM;
	used_modules[0] = used_files[0] = 1;
	for (size_t i = 0; i < tree->n_nodes; i++) {
		tree->nodes[i].name = t->frames[tree->nodes[i].name].name;
		used_names[tree->nodes[i].name] = used_modules[tree->nodes[i].module] = used_files[tree->nodes[i].file] = 1;
	}
	for (size_t s = 0; s < 3; s++)
		for (size_t i = 0; i < sets[s]->n; i++)
			bytes += used[s][i] ? strlen(sets[s]->texts[i]) + 1 : 0;
	tree->text = malloc(bytes);
	char *at = tree->text;
	for (size_t s = 0; s < 3 && err == 0; s++)
		err = at ? copy_texts(sets[s], used[s], &at, (const char ***)texts[s], counts[s], ids[s]) : -ENOMEM;
	for (size_t i = 0; i < tree->n_nodes && err == 0; i++) {
		tree->nodes[i].name = names[tree->nodes[i].name];
		tree->nodes[i].module = modules[tree->nodes[i].module];
		tree->nodes[i].file = files[tree->nodes[i].file];
	}
	return err;
}

static int lay_out(struct layout *l, size_t max_nodes)
{
	const struct flame_build *b = l->b;
	AUTO_FREE uint32_t *frames = NULL, *ranks = NULL;
	size_t n_ranks = 0;

	l->first_child = calloc(b->n, sizeof(l->first_child[0]));
	l->next = calloc(b->n, sizeof(l->next[0]));
	l->places = malloc(b->n * sizeof(l->places[0]));
	if (!l->first_child || !l->next || !l->places || !add_up(l))
		return -ENOMEM;
	int err = choose(l, max_nodes);
	if (err == 0)
		err = rank_frames(l, &frames, &ranks, &n_ranks);
	if (err == 0)
		err = link_siblings(l, ranks, n_ranks);
	if (err < 0)
		return err;
	l->tree->nodes = malloc(l->tree->n_nodes * sizeof(l->tree->nodes[0]));
	if (!l->tree->nodes)
		return -ENOMEM;
	place_all(l);
	l->tree->n_cut = b->n_cut;
	err = put_order(l);
	return err < 0 ? err : put_texts(l);
}

int flame_tree_create(const struct profile *profile, uint32_t value, const struct flame_options *options, struct flame_tree **tree_out)
{
	static const struct flame_options NONE = {0};
	struct flame_build b;

	if (value >= profile->n_sample_types)
		return -EINVAL;
	options = options ? options : &NONE;
	struct flame_tree *tree = calloc(1, sizeof(*tree));
	if (!tree)
		return -ENOMEM;
	int err = flame_build_init(&b, profile, value, options);
	if (err == 0) {
		AUTO_LAYOUT struct layout l = {.b = &b, .tree = tree};
		/* What finds children has done its work. */
		free(b.slots);
		b.slots = NULL;
		err = lay_out(&l, options->max_nodes);
	}
	flame_build_deinit(&b);
	if (err < 0) {
		flame_tree_destroy(tree);
		return err;
	}
	*tree_out = tree;
	return 0;
}

void flame_tree_destroy(struct flame_tree *tree)
{
	if (!tree)
		return;
	free(tree->nodes);
	free(tree->order);
	free(tree->names);
	free(tree->modules);
	free(tree->files);
	free(tree->text);
	free(tree);
}
