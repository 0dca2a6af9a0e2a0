#include "pprof/profile_builder.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/sample_profile.h"

static struct profile_builder *new_builder(void)
{
	struct profile_builder *b;

	assert_int_equal(profile_builder_create(&b), 0);
	return b;
}

static void interns(void **state)
{
	struct profile_builder *b = new_builder();

	(void)state;
	assert_int_equal(profile_builder_string(b, "", 0), 0);
	assert_int_equal(profile_builder_string(b, "one", 3), 1);
	assert_int_equal(profile_builder_string(b, "two", 3), 2);
	assert_int_equal(profile_builder_string(b, "one more", 3), 1); /* the length counts, not the NUL */
	for (int i = 0; i < 5000; i++) {
		char text[16];
		int n = snprintf(text, sizeof(text), "s%d", i);
		int64_t id = profile_builder_string(b, text, (size_t)n);
		assert_int_equal(profile_builder_string(b, text, (size_t)n), id);
	}
	profile_builder_destroy(b);
}

static void cleans_strings(void **state)
{
	struct profile_builder *b = new_builder();
	struct profile *profile;

	(void)state;
	profile_str bad = sample_string(b, "a\xff\x01z"), control = sample_string(b, "x\ny"), good = sample_string(b, "gr\xc3\xbcn");
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	assert_string_equal(profile_string(profile, bad), "a\xef\xbf\xbd?z");
	assert_string_equal(profile_string(profile, control), "x?y");
	assert_string_equal(profile_string(profile, good), "gr\xc3\xbcn");
	assert_string_equal(profile_string(profile, 9999), "");
	profile_free(profile);
	profile_builder_destroy(b);
}

static void equal_things_are_one(void **state)
{
	struct profile_builder *b = new_builder();
	struct profile_mapping mapping = {.start = 1, .limit = 2, .filename = sample_string(b, "f")};
	struct profile *profile;

	(void)state;
	int64_t first = profile_builder_mapping(b, &mapping);
	assert_int_equal(profile_builder_mapping(b, &mapping), first);
	mapping.has_functions = true;
	assert_int_not_equal(profile_builder_mapping(b, &mapping), first);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	uint32_t one = sample_location(b, 0, 5, "f", NULL), two = sample_location(b, 0, 5, "f", "g");
	assert_int_not_equal(one, two);
	assert_int_equal(sample_location(b, 0, 5, "f", NULL), one);
	struct profile_label pid1 = {.key = sample_string(b, "pid"), .num = 1}, pid2 = {.key = sample_string(b, "pid"), .num = 2};
	assert_int_equal(profile_builder_sample(b, &one, 1, &pid1, 1, (int64_t[]){3}), 0);
	assert_int_equal(profile_builder_sample(b, &one, 1, &pid1, 1, (int64_t[]){4}), 0);
	assert_int_equal(profile_builder_sample(b, &one, 1, &pid2, 1, (int64_t[]){5}), 1);
	assert_int_equal(profile_builder_sample(b, &two, 1, &pid1, 1, (int64_t[]){6}), 2);
	assert_int_equal(profile_builder_sample(b, NULL, 0, NULL, 0, (int64_t[]){7}), 3);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	assert_int_equal(profile->n_samples, 4);
	assert_int_equal(profile->values[0], 7);
	assert_int_equal(profile_total(profile, 0), 25);
	assert_int_equal(profile_total(profile, 1), 0);
	profile_free(profile);
	profile_builder_destroy(b);
}

static void refuses_indices_that_do_not_exist(void **state)
{
	struct profile_builder *b = new_builder();
	struct profile_mapping mapping = {.filename = 99};
	struct profile_function function = {.name = 99};
	struct profile_line line = {.function = 0};
	uint32_t location = 0;
	struct profile_label label = {.key = 99};

	(void)state;
	assert_int_equal(profile_builder_mapping(b, &mapping), -EINVAL);
	assert_int_equal(profile_builder_function(b, &function), -EINVAL);
	assert_int_equal(profile_builder_location(b, 0, 1, NULL, 0), -EINVAL);
	assert_int_equal(profile_builder_location(b, PROFILE_NONE, 1, &line, 1), -EINVAL);
	assert_int_equal(profile_builder_sample(b, NULL, 0, NULL, 0, (int64_t[]){1}), -EINVAL); /* no sample type */
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	assert_int_equal(profile_builder_sample(b, &location, 1, NULL, 0, (int64_t[]){1}), -EINVAL);
	assert_int_equal(profile_builder_sample(b, NULL, 0, &label, 1, (int64_t[]){1}), -EINVAL);
	assert_int_equal(profile_builder_sample(b, NULL, 0, NULL, 0, (int64_t[]){1}), 0);
	assert_int_equal(profile_builder_sample_type(b, "late", "count"), -EINVAL);
	profile_builder_destroy(b);
	profile_builder_destroy(NULL);
	profile_free(NULL);
}

static void many_samples(void **state)
{
	enum { N = 50000 };
	struct profile_builder *b = new_builder();
	struct profile *profile;

	(void)state;
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < N; i++) {
			int64_t leaf = profile_builder_location(b, PROFILE_NONE, i, NULL, 0);
			int64_t root = profile_builder_location(b, PROFILE_NONE, i % 7, NULL, 0);
			uint32_t stack[2] = {(uint32_t)leaf, (uint32_t)root};
			assert_int_equal(profile_builder_sample(b, stack, 2, NULL, 0, (int64_t[]){1}), i);
		}
	}
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	assert_int_equal(profile->n_samples, N);
	assert_int_equal(profile_total(profile, 0), 2 * N);
	profile_free(profile);
	profile_builder_destroy(b);
}

/* Samples of one process on one thread have one set of labels; a profile holds it once. */
static void equal_labels_are_shared(void **state)
{
	struct profile_builder *b = new_builder();
	struct profile *profile;

	(void)state;
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	uint32_t at = sample_location(b, PROFILE_NONE, 1, "a", NULL), other = sample_location(b, PROFILE_NONE, 2, "b", NULL);
	struct profile_label labels[] = {
		{.key = sample_string(b, "process"), .str = sample_string(b, "app")},
		{.key = sample_string(b, "pid"), .num = 7},
	};
	struct profile_label more[] = {labels[0], {.key = labels[1].key, .num = 8}};
	assert_int_equal(profile_builder_sample(b, &at, 1, labels, 2, (int64_t[]){1}), 0);
	assert_int_equal(profile_builder_sample(b, &other, 1, labels, 2, (int64_t[]){1}), 1);
	assert_int_equal(profile_builder_sample(b, &at, 1, more, 2, (int64_t[]){1}), 2);
	assert_int_equal(profile_builder_sample(b, &at, 1, labels, 1, (int64_t[]){1}), 3);
	assert_int_equal(profile_builder_sample(b, &at, 1, NULL, 0, (int64_t[]){1}), 4);
	assert_int_equal(profile_builder_sample(b, &at, 1, NULL, 0, (int64_t[]){1}), 4);
	assert_int_equal(profile_builder_sample(b, &at, 1, labels, 2, (int64_t[]){1}), 0);
	assert_int_equal(profile_builder_sample(b, &at, 1, &(struct profile_label){.key = 99999, .num = 1}, 1, (int64_t[]){1}), -EINVAL);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	assert_int_equal(profile->n_labels, 5);
	assert_int_equal(profile->samples[0].first_label, profile->samples[1].first_label);
	assert_string_equal(profile_label_string(profile, &profile->samples[1], "process"), "app");
	assert_int_equal(profile->labels[profile->samples[2].first_label + 1].num, 8);
	assert_int_equal(profile->samples[4].n_labels, 0);
	assert_int_equal(profile_total(profile, 0), 7);
	profile_free(profile);
	profile_builder_destroy(b);
}

static void the_default_value(void **state)
{
	struct profile *profile = sample_profile();

	(void)state;
	assert_int_equal(profile_default_value(profile), 1);
	profile->default_sample_type = 0;
	assert_int_equal(profile_default_value(profile), 1);
	profile->default_sample_type = profile->sample_types[0].type;
	assert_int_equal(profile_default_value(profile), 0);
	profile_free(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interns),
		cmocka_unit_test(cleans_strings),
		cmocka_unit_test(equal_things_are_one),
		cmocka_unit_test(refuses_indices_that_do_not_exist),
		cmocka_unit_test(many_samples),
		cmocka_unit_test(equal_labels_are_shared),
		cmocka_unit_test(the_default_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
