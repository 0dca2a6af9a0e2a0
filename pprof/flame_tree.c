#include "pprof/flame_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/scope.h"

/* Hash tables of node and name numbers; 0: free. */
struct slots {
	uint32_t *slots; /* number + 1 */
	size_t n_slots;	 /* a power of two */
};

struct building {
	const struct profile *profile;
	struct flame_tree *tree;
	size_t nodes_capacity, names_capacity;
	struct slots nodes, names;
	uint64_t seed;
};

static uint64_t hash_node(const struct building *b, const struct flame_node *node)
{
	uint64_t key[2] = {(uint64_t)node->parent << 32 | node->name, (uint64_t)node->module << 1 | node->is_kernel};

	return XXH3_64bits_withSeed(key, sizeof(key), b->seed);
}

static uint64_t hash_name(const struct building *b, const char *name)
{
	return XXH3_64bits_withSeed(name, strlen(name), b->seed);
}

static int slots_grow(const struct building *b, struct slots *s, size_t n, bool of_nodes)
{
	if (2 * (n + 1) <= s->n_slots)
		return 0;
	struct slots grown = {.n_slots = s->n_slots ? 2 * s->n_slots : 1024};
	grown.slots = calloc(grown.n_slots, sizeof(grown.slots[0]));
	if (!grown.slots)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		uint64_t hash = of_nodes ? hash_node(b, &b->tree->nodes[i]) : hash_name(b, b->tree->names[i]);
		size_t at = hash & (grown.n_slots - 1);
		while (grown.slots[at])
			at = (at + 1) & (grown.n_slots - 1);
		grown.slots[at] = (uint32_t)i + 1;
	}
	free(s->slots);
	*s = grown;
	return 0;
}

static int64_t intern_name(struct building *b, const char *name)
{
	struct flame_tree *t = b->tree;

	if (slots_grow(b, &b->names, t->n_names, false) < 0)
		return -ENOMEM;
	size_t at = hash_name(b, name) & (b->names.n_slots - 1);
	for (; b->names.slots[at]; at = (at + 1) & (b->names.n_slots - 1))
		if (strcmp(t->names[b->names.slots[at] - 1], name) == 0)
			return b->names.slots[at] - 1;
	if (t->n_names == b->names_capacity) {
		size_t capacity = b->names_capacity ? 2 * b->names_capacity : 256;
		char **grown = realloc(t->names, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->names = grown;
		b->names_capacity = capacity;
	}
	t->names[t->n_names] = strdup(name);
	if (!t->names[t->n_names])
		return -ENOMEM;
	b->names.slots[at] = (uint32_t)++t->n_names;
	return (int64_t)t->n_names - 1;
}

/* The child of a node, made when it is new. */
static int64_t child_of(struct building *b, uint32_t parent, const char *name, uint32_t module, bool is_kernel)
{
	struct flame_tree *t = b->tree;
	int64_t name_id = intern_name(b, name);

	if (name_id < 0 || slots_grow(b, &b->nodes, t->n_nodes, true) < 0)
		return -ENOMEM;
	struct flame_node node = {
		.parent = parent,
		.name = (uint32_t)name_id,
		.module = module,
		.is_kernel = is_kernel,
		.depth = t->n_nodes ? t->nodes[parent].depth + 1 : 0,
	};
	size_t at = hash_node(b, &node) & (b->nodes.n_slots - 1);
	for (; b->nodes.slots[at]; at = (at + 1) & (b->nodes.n_slots - 1)) {
		const struct flame_node *known = &t->nodes[b->nodes.slots[at] - 1];
		if (known->parent == parent && known->name == node.name && known->module == module &&
		    known->is_kernel == is_kernel && known->depth == node.depth)
			return b->nodes.slots[at] - 1;
	}
	if (t->n_nodes == b->nodes_capacity) {
		size_t capacity = b->nodes_capacity ? 2 * b->nodes_capacity : 1024;
		struct flame_node *grown = realloc(t->nodes, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->nodes = grown;
		b->nodes_capacity = capacity;
	}
	t->nodes[t->n_nodes] = node;
	b->nodes.slots[at] = (uint32_t)++t->n_nodes;
	if (node.depth > t->depth)
		t->depth = node.depth;
	return (int64_t)t->n_nodes - 1;
}

static int add_sample(struct building *b, const struct profile_sample *sample, int64_t value)
{
	const struct profile *p = b->profile;
	const char *process = profile_label_string(p, sample, "process");
	char buffer[PROFILE_FRAME_NAME_MAX];
	int64_t node = 0;

	b->tree->nodes[0].value += value;
	if (*process) {
		node = child_of(b, 0, process, 0, false);
		if (node < 0)
			return -ENOMEM;
		b->tree->nodes[node].value += value;
	}
	for (uint32_t i = sample->n_locations; i-- > 0;) {
		const struct profile_location *location = &p->locations[p->stack_locations[sample->first_location + i]];
		uint32_t module = location->mapping == PROFILE_NONE ? 0 : p->mappings[location->mapping].filename;
		bool is_kernel = profile_location_is_kernel(p, location);
		for (uint32_t line = location->n_lines ? location->n_lines : 1; line-- > 0;) {
			const char *name = profile_frame_name(p, location, line, buffer);
			node = child_of(b, (uint32_t)node, name, module, is_kernel);
			if (node < 0)
				return -ENOMEM;
			b->tree->nodes[node].value += value;
		}
	}
	return 0;
}

static int by_parent_and_name(const void *a, const void *b, void *context)
{
	const struct flame_tree *t = context;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const struct flame_node *x = &t->nodes[i], *y = &t->nodes[j];

	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	int order = strcmp(t->names[x->name], t->names[y->name]);
	return order ? order : i < j ? -1 : i > j;
}

/* Siblings side by side in the order of their names. A parent has a smaller number than its children, so its place is known
 * before theirs. */
static int lay_out(struct flame_tree *t)
{
	AUTO_FREE uint32_t *order = malloc(t->n_nodes * sizeof(*order));
	int64_t at = 0;

	if (!order)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->n_nodes; i++)
		order[i] = i;
	qsort_r(order, t->n_nodes, sizeof(*order), by_parent_and_name, t);
	for (size_t i = 0; i < t->n_nodes; i++) {
		struct flame_node *node = &t->nodes[order[i]];
		if (!order[i])
			continue;
		if (!i || t->nodes[order[i - 1]].parent != node->parent || !order[i - 1])
			at = t->nodes[node->parent].start;
		node->start = at;
		at += node->value;
	}
	return 0;
}

static int build(struct building *b, uint32_t value)
{
	const struct profile *p = b->profile;

	if (getrandom(&b->seed, sizeof(b->seed), 0) != (ssize_t)sizeof(b->seed))
		return -EIO;
	int err = child_of(b, 0, "all", 0, false) < 0 ? -ENOMEM : 0;
	for (size_t i = 0; err == 0 && i < p->n_samples; i++) {
		int64_t amount = p->values[i * p->n_sample_types + value];
		if (amount > 0)
			err = add_sample(b, &p->samples[i], amount);
	}
	return err < 0 ? err : lay_out(b->tree);
}

int flame_tree_create(const struct profile *profile, uint32_t value, struct flame_tree **tree_out)
{
	struct building b = {.profile = profile, .tree = calloc(1, sizeof(*b.tree))};

	if (!b.tree)
		return -ENOMEM;
	int err = value < profile->n_sample_types ? build(&b, value) : -EINVAL;
	free(b.nodes.slots);
	free(b.names.slots);
	if (err < 0) {
		flame_tree_destroy(b.tree);
		return err;
	}
	*tree_out = b.tree;
	return 0;
}

void flame_tree_destroy(struct flame_tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->n_names; i++)
		free(tree->names[i]);
	free(tree->names);
	free(tree->nodes);
	free(tree);
}
