#include "pprof/flame_tree.h"

#include <errno.h>
#include <stdlib.h>

#include "base/scope.h"
#include "tests/unit/random_profile.h"
#include "tests/unit/sample_profile.h"

static struct flame_tree *tree_of(const struct profile *profile, const struct flame_options *options)
{
	struct flame_tree *tree = NULL;

	assert_int_equal(flame_tree_create(profile, 0, options, &tree), 0);
	return tree;
}

/* A profile without labels: stacks "main;work;leaf", each with its value. */
static struct profile *profile_of(const char *module, const char *const *stacks, const int64_t *values, size_t n)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	struct profile_mapping mapping = {.filename = sample_string(b, module)};
	uint32_t map = (uint32_t)profile_builder_mapping(b, &mapping);
	for (size_t i = 0; i < n; i++) {
		char text[256], *save;
		uint32_t locations[32], stack[32];
		uint32_t depth = 0;
		snprintf(text, sizeof(text), "%s", stacks[i]);
		for (char *name = strtok_r(text, ";", &save); name; name = strtok_r(NULL, ";", &save), depth++)
			locations[depth] = sample_location(b, map, depth, name, NULL);
		for (uint32_t k = 0; k < depth; k++)
			stack[k] = locations[depth - 1 - k];
		assert_true(profile_builder_sample(b, stack, depth, NULL, 0, &values[i]) >= 0);
	}
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

/* A tree as text: "all 9/0(f 9/4(g 5/5))": value/self; with a base ":value/self" of it. */
static void put_node(const struct flame_tree *tree, uint32_t *at, bool base, FILE *out)
{
	const struct flame_node *node = &tree->nodes[*at];
	uint32_t self = (*at)++;
	bool any = false;

	fprintf(out, "%s %d/%d", tree->names[node->name], (int)node->value, (int)node->self);
	if (base)
		fprintf(out, ":%d/%d", (int)node->base_value, (int)node->base_self);
	while (*at < tree->n_nodes && tree->nodes[*at].depth > node->depth) {
		assert_int_equal(tree->nodes[*at].parent, self);
		fputs(any ? " " : "(", out);
		put_node(tree, at, base, out);
		any = true;
	}
	if (any)
		fputs(")", out);
}

static void looks(const struct profile *profile, const struct flame_options *options, const char *expected)
{
	struct flame_tree *tree = tree_of(profile, options);
	AUTO_FREE char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	uint32_t at = 0;

	put_node(tree, &at, options && options->base, out);
	fclose(out);
	assert_int_equal(at, tree->n_nodes);
	assert_string_equal(text, expected);
	flame_tree_destroy(tree);
}

static const char *const STACKS[] = {"main;f;g", "main;f;g;f", "main;g", "main;h", "main"};
static const int64_t VALUES[] = {5, 3, 2, -7, 1};

static void shapes(void **state)
{
	struct profile *p = profile_of("/bin/a", STACKS, VALUES, 5);

	(void)state;
	looks(p, NULL, "all 11/0(main 11/1(f 8/0(g 8/5(f 3/3)) g 2/2))");
	looks(p, &(struct flame_options){.from_leaf = true}, "all 11/0(f 3/0(g 3/0(f 3/0(main 3/3))) g 7/0(f 5/0(main 5/5) main 2/2) main 1/1)");
	/* What f called, from its outermost frame; its callers, from the innermost one: each sample once. */
	looks(p, &(struct flame_options){.function = "f"}, "all 8/0(f 8/0(g 8/5(f 3/3)))");
	looks(p, &(struct flame_options){.function = "f", .from_leaf = true}, "all 8/0(f 8/0(g 3/0(f 3/0(main 3/3)) main 5/5))");
	looks(p, &(struct flame_options){.function = "nobody"}, "all 0/0");
	looks(p, &(struct flame_options){.function = ""}, "all 0/0");
	profile_free(p);
}

static void processes(void **state)
{
	struct profile *p = sample_profile();
	struct flame_tree *tree = tree_of(p, NULL);

	(void)state;
	looks(p, NULL, "all 42/0(app 42/0(main 42/0([app+0x2345] 2/2 outer 30/0(inlined<int, \"x\"> 30/30) read_it 10/0(vfs_read 10/10))))");
	looks(p, &(struct flame_options){.no_process = true},
	      "all 42/0(main 42/0([app+0x2345] 2/2 outer 30/0(inlined<int, \"x\"> 30/30) read_it 10/0(vfs_read 10/10)))");
	looks(p, &(struct flame_options){.function = "read_it", .from_leaf = true}, "all 10/0(read_it 10/0(main 10/10))");
	profile_free(p); /* the tree stands alone */
	assert_true(tree->nodes[1].is_process && !tree->nodes[0].is_process && !tree->nodes[2].is_process);
	assert_string_equal(tree->modules[tree->nodes[1].module], "");
	assert_string_equal(tree->modules[tree->nodes[2].module], "/usr/bin/app");
	assert_string_equal(tree->files[tree->nodes[2].file], "work.c");
	assert_string_equal(tree->names[tree->nodes[7].name], "vfs_read");
	assert_true(tree->nodes[7].is_kernel && !tree->nodes[6].is_kernel);
	flame_tree_destroy(tree);
}

static void comparisons(void **state)
{
	static const char *const THEN[] = {"main;f;g", "main;old"};
	struct profile *now = profile_of("/bin/a", STACKS, VALUES, 5), *then = profile_of("/opt/b", THEN, (int64_t[]){4, 6}, 2);

	(void)state;
	looks(now, &(struct flame_options){.base = then}, "all 11/0:10/0(main 11/1:10/0(f 8/0:4/0(g 8/5:4/4(f 3/3:0/0)) g 2/2:0/0 old 0/0:6/6))");
	looks(then, &(struct flame_options){.base = now, .function = "f"}, "all 4/0:8/0(f 4/0:8/0(g 4/4:8/5(f 0/0:3/3)))");
	/* The larger share of both counts. */
	looks(now, &(struct flame_options){.base = then, .max_nodes = 4}, "all 11/0:10/0(main 11/1:10/0(f 8/0:4/0(g 8/5:4/4)))");
	struct profile *other = sample_profile();
	struct flame_tree *tree = NULL;
	assert_int_equal(flame_tree_create(other, 1, &(struct flame_options){.base = now}, &tree), -EINVAL);
	assert_int_equal(flame_tree_create(other, 2, NULL, &tree), -EINVAL);
	profile_free(other);
	profile_free(now);
	profile_free(then);
}

/* Programs of one name in several places are one; functions of one name in several programs are not. */
static void modules(void **state)
{
	struct profile_builder *b;
	struct profile *p;
	static const char *const FILES[] = {"/bin/a", "/usr/bin/a", "/bin/b", "[kernel.kallsyms]"};

	(void)state;
	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	for (uint32_t i = 0; i < 4; i++) {
		struct profile_mapping mapping = {.filename = sample_string(b, FILES[i])};
		uint32_t at = sample_location(b, (uint32_t)profile_builder_mapping(b, &mapping), i, "init", NULL);
		assert_true(profile_builder_sample(b, &at, 1, NULL, 0, (int64_t[]){1 << i}) >= 0);
	}
	assert_int_equal(profile_builder_finish(b, &p), 0);
	profile_builder_destroy(b);
	looks(p, NULL, "all 15/0(init 3/3 init 4/4 init 8/8)");
	profile_free(p);
}

static void sums_are_never_too_large(void **state)
{
	static const char *const LARGE[] = {"a;x", "a;y", "b"};
	struct profile *p = profile_of("/bin/a", LARGE, (int64_t[]){INT64_MAX - 10, 100, 5}, 3);
	struct flame_tree *tree = tree_of(p, NULL);

	(void)state;
	assert_int_equal(tree->nodes[0].value, INT64_MAX);
	assert_int_equal(tree->nodes[1].value, INT64_MAX);
	assert_int_equal(tree->nodes[3].value, 10);
	flame_tree_destroy(tree);
	profile_free(p);
}

static void deep_stacks_are_cut(void **state)
{
	uint32_t *stack = malloc(10000 * sizeof(*stack));
	struct profile_builder *b;
	struct profile *p;

	(void)state;
	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	for (uint32_t i = 0; i < 100; i++) {
		char name[16];
		snprintf(name, sizeof(name), "f%u", i);
		sample_location(b, PROFILE_NONE, i, name, NULL);
	}
	for (uint32_t i = 0; i < 10000; i++)
		stack[i] = i % 100;
	assert_true(profile_builder_sample(b, stack, 10000, NULL, 0, (int64_t[]){3}) >= 0);
	assert_true(profile_builder_sample(b, stack, FLAME_DEPTH_MAX, NULL, 0, (int64_t[]){4}) >= 0);
	assert_int_equal(profile_builder_finish(b, &p), 0);
	profile_builder_destroy(b);
	for (int from_leaf = 0; from_leaf < 2; from_leaf++) {
		struct flame_tree *tree = tree_of(p, &(struct flame_options){.from_leaf = from_leaf});
		assert_int_equal(tree->n_cut, 1);
		assert_int_equal(tree->depth, FLAME_DEPTH_MAX);
		assert_int_equal(tree->nodes[0].value, 7);
		assert_string_equal(tree->names[tree->nodes[1].name], from_leaf ? "f0" : "f47");
		flame_tree_destroy(tree);
	}
	profile_free(p);
	free(stack);
}

/* A million samples at a location of a million frames would never end. */
static void locations_of_many_frames(void **state)
{
	struct profile_line *lines = calloc(50000, sizeof(*lines));
	struct profile_builder *b;
	struct profile *p;

	(void)state;
	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	sample_location(b, PROFILE_NONE, 0, "f", "g");
	for (uint32_t i = 0; i < 50000; i++)
		lines[i] = (struct profile_line){.function = i % 2, .line = i};
	int64_t at = profile_builder_location(b, PROFILE_NONE, 1, lines, 50000);
	for (uint32_t i = 0; i < 2000; i++) {
		struct profile_label label = {.key = sample_string(b, "tid"), .num = i};
		assert_true(profile_builder_sample(b, (uint32_t[]){(uint32_t)at}, 1, &label, 1, (int64_t[]){1}) >= 0);
	}
	assert_int_equal(profile_builder_finish(b, &p), 0);
	profile_builder_destroy(b);
	struct flame_tree *tree = tree_of(p, NULL);
	assert_int_equal(tree->n_nodes, 1 + PROFILE_INLINED_MAX);
	assert_string_equal(tree->names[tree->nodes[PROFILE_INLINED_MAX].name], "f"); /* the innermost */
	assert_int_equal(tree->nodes[PROFILE_INLINED_MAX].self, 2000);
	flame_tree_destroy(tree);
	profile_free(p);
	free(lines);
}

static void check_invariants(const struct flame_tree *t)
{
	AUTO_FREE int64_t *below = calloc(t->n_nodes, sizeof(*below));
	AUTO_FREE int64_t *end = calloc(t->n_nodes, sizeof(*end)); /* of the last child */
	AUTO_FREE uint32_t *last = calloc(t->n_nodes, sizeof(*last));
	AUTO_FREE uint8_t *ordered = calloc(t->n_nodes, 1);

	for (uint32_t i = 1; i < t->n_nodes; i++) {
		const struct flame_node *node = &t->nodes[i], *parent = &t->nodes[node->parent];
		assert_true(node->parent < i && node->depth == parent->depth + 1 && node->value > 0);
		if (last[node->parent])
			assert_true(strcmp(t->names[t->nodes[last[node->parent]].name], t->names[node->name]) <= 0);
		assert_int_equal(node->start, last[node->parent] ? end[node->parent] : parent->start);
		last[node->parent] = i;
		end[node->parent] = node->start + node->value;
		below[node->parent] += node->value;
	}
	for (uint32_t i = 0; i < t->n_nodes; i++) {
		assert_true(below[i] + t->nodes[i].self <= t->nodes[i].value);
		if (!t->n_left_out)
			assert_int_equal(below[i] + t->nodes[i].self, t->nodes[i].value);
		ordered[t->order[i]]++;
	}
	for (uint32_t i = 0; i < t->n_nodes; i++)
		assert_int_equal(ordered[i], 1);
}

/* The value of the path to a node, by looking at all samples. */
static int64_t value_of_path(const struct profile *p, const struct flame_tree *t, uint32_t node)
{
	const char *path[128];
	uint32_t depth = t->nodes[node].depth;
	int64_t sum = 0;

	for (uint32_t at = node; at; at = t->nodes[at].parent)
		path[t->nodes[at].depth - 1] = t->names[t->nodes[at].name];
	for (size_t i = 0; i < p->n_samples; i++) {
		const struct profile_sample *sample = &p->samples[i];
		uint32_t n = 0, same = 0;
		same += strcmp(path[n++], profile_label_string(p, sample, "process")) == 0;
		for (uint32_t k = sample->n_locations; k-- > 0 && n < depth;) {
			const struct profile_location *l = &p->locations[p->stack_locations[sample->first_location + k]];
			for (uint32_t line = l->n_lines ? l->n_lines : 1; line-- > 0 && n < depth;) {
				char buffer[PROFILE_FRAME_NAME_MAX];
				same += strcmp(path[n++], profile_frame_name(p, l, line, buffer)) == 0;
			}
		}
		sum += same == depth && n == depth ? p->values[i * p->n_sample_types] : 0;
	}
	return sum;
}

static void random_trees(void **state)
{
	const struct random_profile how = {.seed = 21, .n_samples = 1000, .n_processes = 9, .depth = 40};
	struct profile *p = random_profile(&how);
	struct flame_tree *tree = tree_of(p, NULL);

	(void)state;
	check_invariants(tree);
	assert_int_equal(tree->nodes[0].value, profile_total(p, 0));
	for (uint32_t i = 1; i < tree->n_nodes; i += 1 + (uint32_t)tree->n_nodes / 40)
		assert_int_equal(tree->nodes[i].value, value_of_path(p, tree, i));
	for (uint32_t max = 1; max < 3 * tree->n_nodes; max = max * 3 + 1) {
		struct flame_tree *part = tree_of(p, &(struct flame_options){.max_nodes = max});
		size_t expected = max < tree->n_nodes ? max : tree->n_nodes;
		int64_t least = INT64_MAX;
		check_invariants(part);
		assert_int_equal(part->n_nodes, expected);
		assert_int_equal(part->n_left_out, tree->n_nodes - expected);
		/* What stays is no smaller than what is left out. */
		for (size_t i = 0; i < part->n_nodes; i++)
			least = part->nodes[i].value < least ? part->nodes[i].value : least;
		size_t larger = 0;
		for (size_t i = 0; i < tree->n_nodes; i++)
			larger += tree->nodes[i].value > least;
		assert_true(larger <= expected);
		flame_tree_destroy(part);
	}
	struct flame_tree *callers = tree_of(p, &(struct flame_options){.from_leaf = true, .function = "function_5_00"});
	check_invariants(callers);
	flame_tree_destroy(callers);
	flame_tree_destroy(tree);
	profile_free(p);
}

static void nothing_at_all(void **state)
{
	struct profile *p = profile_of("/bin/a", NULL, NULL, 0);
	static const char *const NO_FRAMES[] = {""};
	struct profile *q = profile_of("/bin/a", NO_FRAMES, (int64_t[]){9}, 1);

	(void)state;
	looks(p, NULL, "all 0/0");
	looks(p, &(struct flame_options){.base = p, .max_nodes = 1}, "all 0/0:0/0");
	looks(q, NULL, "all 9/9");
	looks(p, &(struct flame_options){.base = q}, "all 0/0:9/9");
	flame_tree_destroy(NULL);
	profile_free(p);
	profile_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shapes),      cmocka_unit_test(processes),	       cmocka_unit_test(comparisons),
		cmocka_unit_test(modules),     cmocka_unit_test(sums_are_never_too_large), cmocka_unit_test(deep_stacks_are_cut),
		cmocka_unit_test(locations_of_many_frames),
		cmocka_unit_test(random_trees), cmocka_unit_test(nothing_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
