#include "agent/stack_report.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/sample_profile.h"

static void add(struct profile_builder *b, const char *process, const char *root, int64_t count)
{
	struct profile_label label = {.key = sample_string(b, "process"), .str = sample_string(b, process)};
	uint32_t leaf = sample_location(b, PROFILE_NONE, 0x1000, "leaf", NULL);
	uint32_t outermost = sample_location(b, PROFILE_NONE, 0, root, NULL);

	assert_true(profile_builder_sample(b, (uint32_t[]){leaf, outermost}, 2, &label, 1, (int64_t[]){count}) >= 0);
}

static struct profile *some_profile(void)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	add(b, "whole", "_start", 1000);
	add(b, "java", "[truncated: no_unwind_table]", 30);
	add(b, "sort", "_start", 7);
	add(b, "java", "main", 70);
	add(b, "sort", "[truncated: no_mapping]", 3);
	add(b, "java", "[truncated: no_mapping]", 10);
	/* Names that only look like it. */
	add(b, "odd", "[truncated: ", 1);
	add(b, "odd", "[truncated: ]", 1);
	add(b, "odd", "[truncated: no_such_reason]", 1);
	add(b, "odd", "]", 1);
	add(b, "odd", "[truncated: no_mapping", 1);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

static void programs_by_truncated_stacks(void **state)
{
	struct profile *profile = some_profile();
	struct stack_report_row *rows;
	char text[256];
	size_t n;

	(void)state;
	assert_int_equal(stack_report(profile, &rows, &n), 0);
	assert_int_equal(n, 4);
	assert_string_equal(rows[0].process, "java");
	assert_int_equal(rows[0].samples, 110);
	assert_int_equal(rows[0].complete, 70);
	assert_int_equal(rows[0].cut[CUT_NO_TABLE], 30);
	assert_int_equal(rows[0].cut[CUT_NO_MAPPING], 10);
	assert_string_equal(rows[1].process, "sort");
	assert_int_equal(rows[1].cut[CUT_NO_MAPPING], 3);
	assert_string_equal(rows[2].process, "odd");
	assert_int_equal(rows[2].complete, 5);
	assert_string_equal(rows[3].process, "whole");
	int length = stack_report_describe(&rows[0], text, sizeof(text));
	assert_int_equal(length, strlen(text));
	assert_string_equal(text, "java: samples=110 complete=70 truncated_no_mapping=10 truncated_no_unwind_table=30");
	/* Too little room: the length that it would need, nothing behind the end. */
	char small[9] = "........";
	assert_int_equal(stack_report_describe(&rows[0], small, 8), length);
	assert_string_equal(small, "java: s");
	free(rows);
	profile_free(profile);
}

static void an_empty_profile(void **state)
{
	struct profile_builder *b;
	struct profile *profile;
	struct stack_report_row *rows;
	size_t n = 7;

	(void)state;
	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	assert_int_equal(stack_report(profile, &rows, &n), 0);
	assert_int_equal(n, 0);
	free(rows);
	profile_free(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_by_truncated_stacks),
		cmocka_unit_test(an_empty_profile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
