#include <errno.h>
#include <stdlib.h>

#include "base/scope.h"
#include "pprof/flame_tree.h"
#include "pprof/format_value.h"
#include "pprof/render.h"
#include "tests/unit/sample_profile.h"

typedef int (*render_fn)(const struct profile *profile, FILE *stream);

static int folded(const struct profile *profile, FILE *stream)
{
	return profile_write_folded(profile, PROFILE_NONE, stream);
}

static int text(const struct profile *profile, FILE *stream)
{
	return profile_write_text(profile, PROFILE_NONE, 0, stream);
}

static int svg(const struct profile *profile, FILE *stream)
{
	struct profile_svg_options options = {.title = "app & co"};

	return profile_write_svg(profile, PROFILE_NONE, &options, stream);
}

static int diff(const struct profile *profile, FILE *stream)
{
	return profile_write_diff_svg(profile, profile, PROFILE_NONE, NULL, stream);
}

static int speedscope(const struct profile *profile, FILE *stream)
{
	return profile_write_speedscope(profile, "name", stream);
}

static int firefox(const struct profile *profile, FILE *stream)
{
	return profile_write_firefox(profile, "name", stream);
}

static char *rendered(const struct profile *profile, render_fn render)
{
	char *out = NULL;
	size_t bytes;
	FILE *stream = open_memstream(&out, &bytes);

	assert_int_equal(render(profile, stream), 0);
	fclose(stream);
	return out;
}

/* The expected text lies in tests/golden; HEARTH_RECORD=1 writes it anew, to be reviewed as a diff. */
static void matches_golden(const char *name, render_fn render)
{
	struct profile *profile = sample_profile();
	AUTO_FREE char *got = rendered(profile, render);
	char path[256], *expected = NULL;
	size_t bytes = 0;

	snprintf(path, sizeof(path), "tests/golden/%s", name);
	if (getenv("HEARTH_RECORD")) {
		FILE *file = fopen(path, "w");
		assert_non_null(file);
		fputs(got, file);
		fclose(file);
	}
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_true(getdelim(&expected, &bytes, '\0', file) > 0);
	fclose(file);
	assert_string_equal(got, expected);
	free(expected);
	profile_free(profile);
}

static void golden_folded(void **state)
{
	(void)state;
	matches_golden("pprof_sample.folded", folded);
}

static void golden_text(void **state)
{
	(void)state;
	matches_golden("pprof_sample.txt", text);
}

static void golden_svg(void **state)
{
	(void)state;
	matches_golden("pprof_sample.svg", svg);
}

static struct profile *hostile_profile(const char *name)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	uint32_t at = sample_location(b, PROFILE_NONE, 1, name, NULL);
	assert_int_equal(profile_builder_sample(b, &at, 1, NULL, 0, (int64_t[]){1}), 0);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

static void names_are_never_markup(void **state)
{
	struct profile *profile = hostile_profile("</text><script>alert(1)</script>]]>\"'&;\x1b[31m");
	AUTO_FREE char *picture = rendered(profile, svg);
	AUTO_FREE char *lines = rendered(profile, folded);

	(void)state;
	assert_null(strstr(picture, "<script>alert"));
	assert_null(strstr(picture, "\x1b"));
	assert_non_null(strstr(picture, "&lt;script&gt;alert(1)&lt;/script&gt;]]&gt;&quot;&#39;&amp;"));
	assert_string_equal(lines, "</text><script>alert(1)</script>]]>\"'&:?[31m 1\n");
	profile_free(profile);
}

/* 50,000 different stacks, and one of 2,000 frames. */
static void large_profiles(void **state)
{
	struct profile_builder *b;
	struct profile *profile;
	struct flame_tree *tree;
	uint32_t stack[2000];

	(void)state;
	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	for (uint32_t i = 0; i < 50000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "f%u", i);
		stack[0] = sample_location(b, PROFILE_NONE, i, name, NULL);
		assert_true(profile_builder_sample(b, stack, 1, NULL, 0, (int64_t[]){1}) >= 0);
	}
	for (uint32_t i = 0; i < 2000; i++)
		stack[i] = i % 10;
	assert_true(profile_builder_sample(b, stack, 2000, NULL, 0, (int64_t[]){50000}) >= 0);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	assert_int_equal(flame_tree_create(profile, 0, NULL, &tree), 0);
	assert_int_equal(tree->depth, 2000);
	assert_int_equal(tree->nodes[0].value, 100000);
	flame_tree_destroy(tree);
	flame_tree_destroy(NULL);
	AUTO_FREE char *picture = rendered(profile, svg);
	assert_non_null(strstr(picture, "49999 frames narrower than a hair are left out"));
	profile_free(profile);
}

static void siblings_lie_side_by_side(void **state)
{
	struct profile *profile = sample_profile();
	struct flame_tree *tree;

	(void)state;
	assert_int_equal(flame_tree_create(profile, 0, NULL, &tree), 0);
	for (size_t i = 1; i < tree->n_nodes; i++) {
		const struct flame_node *node = &tree->nodes[i], *parent = &tree->nodes[node->parent];
		assert_true(node->parent < i);
		assert_true(node->start >= parent->start && node->start + node->value <= parent->start + parent->value);
		for (size_t j = 1; j < i; j++) {
			const struct flame_node *other = &tree->nodes[j];
			if (other->depth == node->depth)
				assert_true(other->start + other->value <= node->start ||
					    node->start + node->value <= other->start);
		}
	}
	flame_tree_destroy(tree);
	assert_int_equal(flame_tree_create(profile, 9, NULL, &tree), -EINVAL);
	profile_free(profile);
}

static void recursion_counts_once(void **state)
{
	struct profile_builder *b;
	struct profile *profile;
	struct profile_top_row *rows;
	size_t n;

	(void)state;
	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	uint32_t f = sample_location(b, PROFILE_NONE, 1, "f", NULL), g = sample_location(b, PROFILE_NONE, 2, "g", NULL);
	assert_int_equal(profile_builder_sample(b, (uint32_t[]){f, g, f, f}, 4, NULL, 0, (int64_t[]){5}), 0);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	assert_int_equal(profile_top(profile, 0, &rows, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(rows[0].name, "f");
	assert_int_equal(rows[0].self, 5);
	assert_int_equal(rows[0].total, 5);
	assert_int_equal(rows[1].self, 0);
	assert_int_equal(rows[1].total, 5);
	free(rows);
	assert_int_equal(profile_top(profile, 3, &rows, &n), -EINVAL);
	profile_free(profile);
}

/* Half of "main" is gone, and something is there that was not. */
static void comparisons_tell_both(void **state)
{
	struct profile *now = sample_profile(), *then = sample_profile(), *other = hostile_profile("x");
	char *picture = NULL;
	size_t bytes;
	FILE *stream = open_memstream(&picture, &bytes);

	(void)state;
	now->values[3] = 0;		 /* vfs_read: 100 ns of 420 before, nothing of 320 now */
	then->values[5] = 0;		 /* the nameless one: new */
	assert_int_equal(profile_write_diff_svg(now, then, 1, NULL, stream), 0);
	fclose(stream);
	assert_non_null(strstr(picture, "<text id=\"title\" x=\"10\" y=\"22\">Comparison</text>"));
	assert_non_null(strstr(picture, "cpu 320 ns in 10.0 s, 2023-11-14 22:13:20 UTC"));
	assert_non_null(strstr(picture, "before: cpu 400 ns in 10.0 s, 2023-11-14 22:13:20 UTC"));
	assert_non_null(strstr(picture, "vfs_read  ([kernel.kallsyms])  0 ns, 0.00 %; before: 100 ns, 25.00 %; -25.00 points</title>"));
	assert_non_null(strstr(picture, "[app+0x2345]  (app)  20 ns, 6.25 %; before: 0 ns, 0.00 %; +6.25 points</title>"));
	assert_non_null(strstr(picture, "fill=\"hsl(214,85%,60%)\"/><text x=")); /* gone */
	assert_non_null(strstr(picture, "fill=\"hsl(6,85%,60%)\"/><text x="));	 /* new */
	free(picture);
	stream = fopen("/dev/null", "w");
	assert_non_null(stream);
	assert_int_equal(profile_write_diff_svg(now, other, 1, NULL, stream), -EINVAL); /* it has no "cpu" */
	assert_int_equal(profile_write_svg(now, 7, NULL, stream), -EINVAL);
	fclose(stream);
	profile_free(now);
	profile_free(then);
	profile_free(other);
}

/* The tree's options hold in pictures too; an icicle has its root in the first row. */
static void pictures_of_parts(void **state)
{
	struct profile *profile = sample_profile();
	const struct flame_options callers = {.function = "vfs_read", .from_leaf = true};
	char *picture = NULL;
	size_t bytes;
	FILE *stream = open_memstream(&picture, &bytes);

	(void)state;
	assert_int_equal(profile_write_svg(profile, 1, &(struct profile_svg_options){.icicle = true, .tree = &callers}, stream), 0);
	fclose(stream);
	assert_non_null(strstr(picture, "<title>read_it  (app)  100 ns, 100.00 %</title>"));
	assert_null(strstr(picture, "inlined"));
	const char *root = strstr(picture, "data-d=\"0\""), *leaf = strstr(picture, "data-d=\"3\"");
	assert_non_null(root);
	assert_non_null(leaf);
	assert_true(atoi(strstr(root, " y=\"") + 4) < atoi(strstr(leaf, " y=\"") + 4));
	free(picture);
	profile_free(profile);
}

static void names_in_json(void **state)
{
	struct profile *profile = hostile_profile("</script>\"\\{\x1b[31m");
	AUTO_FREE char *one = rendered(profile, speedscope);
	AUTO_FREE char *two = rendered(profile, firefox);

	(void)state;
	assert_non_null(strstr(one, "\"</script>\\\"\\\\{?[31m\""));
	assert_non_null(strstr(two, "\"</script>\\\"\\\\{?[31m\""));
	profile_free(profile);
}

static void errors_of_the_stream_are_seen(void **state)
{
	struct profile *profile = sample_profile();
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(full);
	assert_int_equal(folded(profile, full), -ENOSPC);
	assert_true(svg(profile, full) < 0);
	assert_true(text(profile, full) < 0);
	assert_true(diff(profile, full) < 0);
	assert_true(speedscope(profile, full) < 0);
	assert_true(firefox(profile, full) < 0);
	fclose(full);
	profile_free(profile);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names that begin alike, with characters before and behind ';': the order is that of whole lines. */
static void folded_lines_are_in_the_order_of_their_text(void **state)
{
	static const char *const NAMES[] = {"a", "a(int)", "a;b", "a:b", "ab", "a<b>", "", "a b", "ax", "a_[k]"};
	struct profile_builder *b;
	struct profile *profile;
	uint32_t locations[20], stack[6];
	uint64_t seed = 7;

	(void)state;
	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	struct profile_mapping kernel = {.filename = sample_string(b, "[kernel.kallsyms]")};
	uint32_t map = (uint32_t)profile_builder_mapping(b, &kernel);
	for (uint32_t i = 0; i < 20; i++)
		locations[i] = sample_location(b, i < 10 ? PROFILE_NONE : map, i, NAMES[i % 10], i % 7 ? NULL : "a");
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t n = 0;
		for (; n < i % 6; n++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			stack[n] = locations[(seed >> 33) % 20];
		}
		struct profile_label label = {.key = sample_string(b, "process"), .str = sample_string(b, NAMES[i / 6 % 10])};
		assert_true(profile_builder_sample(b, stack, n, &label, label.str != 0, (int64_t[]){i % 5 - 1}) >= 0);
	}
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	char *text = rendered(profile, folded), *lines[3001], *save;
	size_t n = 0;
	int64_t sum = 0;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), n++) {
		char *value = strrchr(line, ' ');
		assert_non_null(value);
		sum += atoll(value);
		*value = '\0';
		lines[n] = line;
		if (n)
			assert_true(by_text(&lines[n - 1], &lines[n]) < 0); /* each once */
	}
	assert_true(n > 1000);
	assert_int_equal(sum, profile_total(profile, 0));
	free(text);
	profile_free(profile);
}

static void values_for_people(void **state)
{
	static const struct {
		int64_t value;
		const char *unit, *text;
	} CASES[] = {
		{0, "nanoseconds", "0 ns"},	      {999, "nanoseconds", "999 ns"},	 {1500, "nanoseconds", "1.50 µs"},
		{45600000, "nanoseconds", "45.6 ms"}, {1230000000, "nanoseconds", "1.23 s"}, {-1230000000, "nanoseconds", "-1.23 s"},
		{90000000000, "nanoseconds", "1.50 min"}, {1536, "bytes", "1.50 KiB"},	 {1234567, "count", "1,234,567 samples"},
		{-1000, "count", "-1,000 samples"},   {7, "widgets", "7 widgets"},	 {INT64_MAX, "nanoseconds", "2562048 h"},
	};
	char out[64], small[4];

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		assert_int_equal(format_value(CASES[i].value, "samples", CASES[i].unit, out, sizeof(out)), strlen(CASES[i].text));
		assert_string_equal(out, CASES[i].text);
	}
	assert_int_equal(format_count(1234567, small, sizeof(small)), 3);
	assert_string_equal(small, "1,2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_folded),	 cmocka_unit_test(golden_text),
		cmocka_unit_test(golden_svg),		 cmocka_unit_test(names_are_never_markup),
		cmocka_unit_test(large_profiles),	 cmocka_unit_test(siblings_lie_side_by_side),
		cmocka_unit_test(recursion_counts_once), cmocka_unit_test(errors_of_the_stream_are_seen),
		cmocka_unit_test(values_for_people),	 cmocka_unit_test(comparisons_tell_both),
		cmocka_unit_test(folded_lines_are_in_the_order_of_their_text),
		cmocka_unit_test(pictures_of_parts),	 cmocka_unit_test(names_in_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
