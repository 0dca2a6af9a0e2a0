/* pprof/'s analyses on files, for tests/pprof/analysis_test.py:
 * random SEED SAMPLES OUT | hostile OUT | select IN OUT KEY=VALUE... | merge OUT IN... | functions IN [BASE] | lines IN FUNCTION | tree IN [FUNCTION [leaf]]
 * | svg IN | icicle IN | diff IN BASE | speedscope IN | firefox IN */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pprof/decode.h"
#include "pprof/encode.h"
#include "pprof/function_table.h"
#include "pprof/profile_merge.h"
#include "pprof/profile_select.h"
#include "pprof/render.h"
#include "tests/unit/random_profile.h"

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static struct profile *read_profile(const char *path)
{
	FILE *in = fopen(path, "rb");
	struct stat status;
	struct profile *profile = NULL;
	const char *why = "no memory";

	if (!in || fstat(fileno(in), &status) < 0)
		fail(path, strerror(errno));
	uint8_t *bytes = malloc((size_t)status.st_size + 1);
	size_t n = bytes ? fread(bytes, 1, (size_t)status.st_size, in) : 0;
	if (profile_decode(bytes, n, 0, &profile, &why) < 0)
		fail(path, why);
	free(bytes);
	fclose(in);
	return profile;
}

static void write_profile(const char *path, const struct profile *profile)
{
	FILE *out = fopen(path, "wb");
	uint8_t *bytes;
	size_t n;

	if (!out || profile_encode(profile, &bytes, &n) < 0 || fwrite(bytes, 1, n, out) != n || fclose(out) != 0)
		fail(path, "cannot be written");
	free(bytes);
}

static void need(int err, const char *what, const struct why *why)
{
	if (err < 0)
		fail(what, why && *why->text ? why->text : strerror(-err));
}

static struct profile *select_parts(const struct profile *in, int n, char **parts)
{
	struct profile_selection s = {0};
	struct profile *out = NULL;
	struct why why = {""};

	for (int i = 0; i < n; i++) {
		char *value = strchr(parts[i], '=');
		if (!value)
			fail(parts[i], "not KEY=VALUE");
		*value++ = '\0';
		if (strcmp(parts[i], "side") == 0)
			s.side = strcmp(value, "kernel") == 0 ? PROFILE_KERNEL_SIDE : PROFILE_USER_SIDE;
		else if (strcmp(parts[i], "focus") == 0)
			s.focus = value;
		else if (strcmp(parts[i], "ignore") == 0)
			s.ignore = value;
		else if (strcmp(parts[i], "hide") == 0)
			s.hide = value;
		else if (strcmp(parts[i], "show") == 0)
			s.show = value;
		else {
			s.labels[s.n_labels].key = parts[i];
			s.labels[s.n_labels++].value = value;
		}
	}
	need(profile_select(in, &s, &out, &why), "select", &why);
	return out;
}

static void print_functions(const struct profile *profile, const struct profile *base)
{
	struct function_row *rows;
	size_t n;

	need(function_table_create(profile, base, PROFILE_NONE, &rows, &n), "functions", NULL);
	for (size_t i = 0; i < n; i++)
		printf("%s\t%s\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\n", rows[i].name, rows[i].module, rows[i].self, rows[i].total, rows[i].base_self,
		       rows[i].base_total);
	free(rows);
}

static void print_lines(const struct profile *profile, const char *function)
{
	struct line_row *rows;
	size_t n;

	need(line_table_create(profile, PROFILE_NONE, function, &rows, &n), "lines", NULL);
	for (size_t i = 0; i < n; i++)
		printf("%s\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\n", rows[i].file, rows[i].line, rows[i].self, rows[i].total);
	free(rows);
}

static void print_tree(const struct profile *profile, const char *function, bool from_leaf)
{
	struct flame_options options = {.function = function, .from_leaf = from_leaf};
	struct flame_tree *tree;

	need(flame_tree_create(profile, profile_default_value(profile), &options, &tree), "tree", NULL);
	for (size_t i = 0; i < tree->n_nodes; i++)
		printf("%u\t%" PRId64 "\t%" PRId64 "\t%s\n", tree->nodes[i].depth, tree->nodes[i].value, tree->nodes[i].self, tree->names[tree->nodes[i].name]);
	flame_tree_destroy(tree);
}

/* Names that would do something where they are not escaped; sums that do not fit; deep stacks; values below zero. */
static struct profile *hostile(void)
{
	static const char *const NAMES[] = {"</text><script>alert(1)</script>", "]]><svg onload=alert(2)>", "\"';--&amp;<!--", "\x1b[31mred\x1b]0;title\a", "two\nlines\r\n",
					    "{\"a\":[1", "\xff\xfe not UTF-8 \xc3", "", "${x}`y`%s%n", "\xe2\x80\xae right to left", "a;b c 7"};
	const size_t n_names = sizeof(NAMES) / sizeof(NAMES[0]);
	uint32_t locations[16], deep[6000];
	struct profile_builder *b;
	struct profile *profile;
	struct random_source r = {0};

	RANDOM_NEED(profile_builder_create(&b) == 0);
	r.builder = b;
	RANDOM_NEED(profile_builder_sample_type(b, "cpu", "nanoseconds") == 0);
	for (size_t i = 0; i < n_names; i++) {
		struct profile_mapping mapping = {.start = 0x1000 * i, .filename = random_string(&r, i % 2 ? NAMES[i] : "/bin/<b>\"x")};
		struct profile_function function = {.name = random_string(&r, NAMES[i]), .filename = random_string(&r, NAMES[(i + 1) % n_names])};
		struct profile_line line = {.function = (uint32_t)profile_builder_function(b, &function), .line = -1};
		locations[i] = (uint32_t)profile_builder_location(b, (uint32_t)profile_builder_mapping(b, &mapping), i, &line, 1);
	}
	for (size_t i = 0; i < 6000; i++)
		deep[i] = locations[i % n_names];
	for (size_t i = 0; i < n_names; i++) {
		struct profile_label label = {.key = random_string(&r, "process"), .str = random_string(&r, NAMES[i])};
		RANDOM_NEED(profile_builder_sample(b, locations + i, n_names - i, &label, label.str != 0, (int64_t[]){1000000 * (int64_t)(i + 1)}) >= 0);
	}
	RANDOM_NEED(profile_builder_sample(b, deep, 6000, NULL, 0, (int64_t[]){50000000}) >= 0);
	RANDOM_NEED(profile_builder_sample(b, deep, 1, NULL, 0, (int64_t[]){-7000000}) >= 0);
	RANDOM_NEED(profile_builder_finish(b, &profile) == 0);
	profile_builder_destroy(b);
	return profile;
}

static int usage(void)
{
	fputs("analyze: see the head of tests/pprof/analyze.c\n", stderr);
	return 2;
}

static int make(const char *what, int n, char **v)
{
	struct profile *out = NULL;
	const char *path = v[n - 1];

	if (strcmp(what, "random") == 0 && n == 3) {
		const struct random_profile how = {.seed = strtoull(v[0], NULL, 10), .n_samples = (uint32_t)atoi(v[1]), .n_processes = 20, .depth = 50};
		out = random_profile(&how);
	} else if (strcmp(what, "hostile") == 0 && n == 1) {
		out = hostile();
	} else if (strcmp(what, "merge") == 0 && n > 1) {
		const struct profile **in = calloc((size_t)n, sizeof(*in));
		struct why why = {""};
		path = v[0];
		for (int i = 1; i < n; i++)
			in[i - 1] = read_profile(v[i]);
		need(profile_merge(in, (size_t)n - 1, &out, &why), "merge", &why);
		for (int i = 1; i < n; i++)
			profile_free((struct profile *)in[i - 1]);
		free(in);
	} else {
		return usage();
	}
	write_profile(path, out);
	profile_free(out);
	return 0;
}

static int print(const char *what, const struct profile *in, const struct profile *base, int n, char **v)
{
	const struct profile_svg_options icicle = {.title = "an icicle", .icicle = true};
	int err = 0;

	if (strcmp(what, "functions") == 0)
		print_functions(in, base);
	else if (strcmp(what, "lines") == 0 && n == 1)
		print_lines(in, v[0]);
	else if (strcmp(what, "tree") == 0)
		print_tree(in, n > 0 ? v[0] : NULL, n > 1);
	else if (strcmp(what, "svg") == 0)
		err = profile_write_svg(in, PROFILE_NONE, NULL, stdout);
	else if (strcmp(what, "icicle") == 0)
		err = profile_write_svg(in, PROFILE_NONE, &icicle, stdout);
	else if (strcmp(what, "diff") == 0 && base)
		err = profile_write_diff_svg(in, base, PROFILE_NONE, NULL, stdout);
	else if (strcmp(what, "speedscope") == 0)
		err = profile_write_speedscope(in, "a \"name\"", stdout);
	else if (strcmp(what, "firefox") == 0)
		err = profile_write_firefox(in, "a \"name\"", stdout);
	else
		return usage();
	need(err, what, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return usage();
	if (strcmp(argv[1], "random") == 0 || strcmp(argv[1], "hostile") == 0 || strcmp(argv[1], "merge") == 0)
		return make(argv[1], argc - 2, argv + 2);
	struct profile *in = read_profile(argv[2]), *second = NULL;
	int status = 0;
	if (strcmp(argv[1], "select") == 0 && argc > 3) {
		second = select_parts(in, argc - 4, argv + 4);
		write_profile(argv[3], second);
	} else {
		bool two = strcmp(argv[1], "functions") == 0 || strcmp(argv[1], "diff") == 0;
		second = two && argc > 3 ? read_profile(argv[3]) : NULL;
		status = print(argv[1], in, second, argc - 3, argv + 3);
	}
	profile_free(in);
	profile_free(second);
	return status;
}
