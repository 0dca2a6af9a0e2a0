#include "pprof/function_table.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/random_profile.h"
#include "tests/unit/sample_profile.h"

/* A profile of one mapping and stacks of functions of it: "main;work;leaf 5", "inlined<caller" is one place of two functions, "#1f" one without a name. */
static struct profile *profile_of(const char *module, const char *const *stacks, const int64_t *values, size_t n)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	struct profile_mapping mapping = {.start = 0x1000, .limit = 0x9000, .filename = sample_string(b, module)};
	uint32_t map = (uint32_t)profile_builder_mapping(b, &mapping);
	for (size_t i = 0; i < n; i++) {
		char text[256], *save, *name;
		uint32_t locations[32], stack[32];
		size_t depth = 0;
		snprintf(text, sizeof(text), "%s", stacks[i]);
		for (name = strtok_r(text, ";", &save); name; name = strtok_r(NULL, ";", &save)) {
			char *caller = strchr(name, '<');
			if (caller)
				*caller = '\0';
			locations[depth] = *name == '#' ? (uint32_t)profile_builder_location(b, map, strtoul(name + 1, NULL, 16), NULL, 0)
							: sample_location(b, map, 0x1000 + depth, name, caller ? caller + 1 : NULL);
			depth++;
		}
		for (size_t k = 0; k < depth; k++)
			stack[k] = locations[depth - 1 - k];
		assert_true(profile_builder_sample(b, stack, depth, NULL, 0, &values[i]) >= 0);
	}
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

static void check_row(const struct function_row *row, const char *name, int64_t self, int64_t total, int64_t base_self, int64_t base_total)
{
	assert_string_equal(row->name, name);
	assert_int_equal(row->self, self);
	assert_int_equal(row->total, total);
	assert_int_equal(row->base_self, base_self);
	assert_int_equal(row->base_total, base_total);
}

static void functions_of_a_profile(void **state)
{
	struct profile *profile = sample_profile();
	struct function_row *rows;
	size_t n;

	(void)state;
	assert_int_equal(function_table_create(profile, NULL, PROFILE_NONE, &rows, &n), 0);
	profile_free(profile); /* rows stand alone */
	assert_int_equal(n, 6);
	check_row(&rows[0], "inlined<int, \"x\">", 300, 300, 0, 0);
	check_row(&rows[1], "vfs_read", 100, 100, 0, 0);
	assert_true(rows[1].is_kernel && !rows[0].is_kernel);
	assert_string_equal(rows[1].module, "[kernel.kallsyms]");
	check_row(&rows[2], "[app+0x2345]", 20, 20, 0, 0);
	check_row(&rows[3], "main", 0, 420, 0, 0);
	assert_string_equal(rows[3].module, "/usr/bin/app");
	assert_string_equal(rows[3].file, "work.c");
	free(rows);
}

static void recursion_counts_once(void **state)
{
	static const char *const STACKS[] = {"main;f;g;f;f", "main;f<f;f"};
	struct profile *profile = profile_of("/bin/a", STACKS, (int64_t[]){5, 3}, 2);
	struct function_row *rows;
	size_t n;

	(void)state;
	assert_int_equal(function_table_create(profile, NULL, 0, &rows, &n), 0);
	assert_int_equal(n, 3);
	check_row(&rows[0], "f", 8, 8, 0, 0);
	check_row(&rows[1], "main", 0, 8, 0, 0);
	check_row(&rows[2], "g", 0, 5, 0, 0);
	free(rows);
	profile_free(profile);
}

static void differences_come_first(void **state)
{
	static const char *const NOW[] = {"main;same", "main;more", "main;fresh"}, *const THEN[] = {"main;same", "main;more", "main;gone"};
	struct profile *now = profile_of("/bin/a", NOW, (int64_t[]){50, 40, 10}, 3), *then = profile_of("/bin/a", THEN, (int64_t[]){100, 20, 80}, 3);
	struct function_row *rows;
	size_t n;

	(void)state;
	assert_int_equal(function_table_create(now, then, 0, &rows, &n), 0);
	assert_int_equal(n, 5);
	check_row(&rows[0], "gone", 0, 0, 80, 80); /* 40 % to 0 % */
	check_row(&rows[1], "more", 40, 40, 20, 20); /* 10 % to 40 % */
	check_row(&rows[2], "fresh", 10, 10, 0, 0);
	check_row(&rows[3], "same", 50, 50, 100, 100);
	check_row(&rows[4], "main", 0, 100, 0, 200);
	free(rows);
	profile_free(now);
	profile_free(then);
}

/* A library's next version, a program that was built under another name; but two functions of a name stay two. */
static void modules_may_be_renamed(void **state)
{
	static const char *const STACKS[] = {"main;work"};
	struct profile *now = profile_of("/lib/libwork.so.2", STACKS, (int64_t[]){7}, 1), *then = profile_of("/lib/libwork.so.1", STACKS, (int64_t[]){9}, 1);
	struct profile *moved = profile_of("/opt/libwork.so.2", STACKS, (int64_t[]){3}, 1);
	struct function_row *rows;
	size_t n;

	(void)state;
	assert_int_equal(function_table_create(now, then, 0, &rows, &n), 0);
	assert_int_equal(n, 2);
	check_row(&rows[0], "work", 7, 7, 9, 9);
	assert_string_equal(rows[0].module, "/lib/libwork.so.2");
	free(rows);
	assert_int_equal(function_table_create(now, moved, 0, &rows, &n), 0);
	assert_int_equal(n, 2);
	check_row(&rows[0], "work", 7, 7, 3, 3);
	free(rows);
	profile_free(now);
	profile_free(then);
	profile_free(moved);
}

static void values_may_be_negative(void **state)
{
	static const char *const STACKS[] = {"main;less", "main;more", "main;none"};
	struct profile *profile = profile_of("/bin/a", STACKS, (int64_t[]){-5, 8, 0}, 3);
	struct function_row *rows;
	size_t n;

	(void)state;
	assert_int_equal(function_table_create(profile, NULL, 0, &rows, &n), 0);
	assert_int_equal(n, 3);
	check_row(&rows[0], "more", 8, 8, 0, 0);
	check_row(&rows[1], "main", 0, 3, 0, 0);
	check_row(&rows[2], "less", -5, -5, 0, 0);
	free(rows);
	profile_free(profile);
}

static void lines_of_a_function(void **state)
{
	static const char *const STACKS[] = {"main;f", "main;f<f", "main;f;g", "main;#2000"};
	struct profile *profile = profile_of("/bin/a", STACKS, (int64_t[]){5, 3, 2, 1}, 4);
	struct line_row *rows;
	size_t n;

	(void)state;
	assert_int_equal(line_table_create(profile, PROFILE_NONE, "f", &rows, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(rows[0].file, "work.c");
	assert_int_equal(rows[0].line, 10);
	assert_int_equal(rows[0].self, 8);
	assert_int_equal(rows[0].total, 10);
	assert_int_equal(rows[1].line, 11); /* the caller of an inlined f, which is f */
	assert_int_equal(rows[1].self, 0);
	assert_int_equal(rows[1].total, 3);
	free(rows);
	assert_int_equal(line_table_create(profile, 0, "[a+0x2000]", &rows, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(rows[0].file, "");
	assert_int_equal(rows[0].line, 0);
	assert_int_equal(rows[0].self, 1);
	free(rows);
	assert_int_equal(line_table_create(profile, 0, "nobody", &rows, &n), 0);
	assert_int_equal(n, 0);
	free(rows);
	profile_free(profile);
}

/* Each function's sums, counted again for it alone. */
static void sums_hold(void **state)
{
	const struct random_profile how = {.seed = 11, .n_samples = 2000, .n_processes = 9, .depth = 40};
	struct profile *profile = random_profile(&how);
	struct function_row *rows;
	int64_t self = 0;
	size_t n;

	(void)state;
	assert_int_equal(function_table_create(profile, NULL, 1, &rows, &n), 0);
	for (size_t r = 0; r < n; r++)
		self += rows[r].self;
	assert_int_equal(self, profile_total(profile, 1));
	for (size_t r = 0; r < n; r += 17) {
		int64_t total = 0;
		for (size_t i = 0; i < profile->n_samples; i++) {
			const struct profile_sample *sample = &profile->samples[i];
			bool has = false;
			for (uint32_t k = 0; k < sample->n_locations; k++) {
				const struct profile_location *l = &profile->locations[profile->stack_locations[sample->first_location + k]];
				char buffer[PROFILE_FRAME_NAME_MAX];
				const char *module = l->mapping == PROFILE_NONE ? "" : profile_string(profile, profile->mappings[l->mapping].filename);
				for (uint32_t line = 0; line < (l->n_lines ? l->n_lines : 1); line++)
					has = has || (strcmp(profile_frame_name(profile, l, line, buffer), rows[r].name) == 0 && strcmp(module, rows[r].module) == 0);
			}
			total += has ? profile->values[i * 2 + 1] : 0;
		}
		assert_int_equal(rows[r].total, total);
	}
	free(rows);
	profile_free(profile);
}

static void errors(void **state)
{
	static const char *const STACKS[] = {"main"};
	struct profile *profile = sample_profile(), *other = profile_of("/bin/a", STACKS, (int64_t[]){1}, 1), *empty = profile_of("/bin/a", STACKS, NULL, 0);
	struct function_row *rows;
	struct line_row *lines;
	size_t n;

	(void)state;
	assert_int_equal(function_table_create(profile, NULL, 2, &rows, &n), -EINVAL);
	assert_int_equal(function_table_create(profile, other, 1, &rows, &n), -EINVAL); /* it has no "cpu" */
	assert_int_equal(line_table_create(profile, 2, "main", &lines, &n), -EINVAL);
	assert_int_equal(function_table_create(empty, empty, 0, &rows, &n), 0);
	assert_int_equal(n, 0);
	free(rows);
	profile_free(profile);
	profile_free(other);
	profile_free(empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_of_a_profile), cmocka_unit_test(recursion_counts_once), cmocka_unit_test(differences_come_first),
		cmocka_unit_test(modules_may_be_renamed), cmocka_unit_test(values_may_be_negative), cmocka_unit_test(lines_of_a_function),
		cmocka_unit_test(sums_hold),		  cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
