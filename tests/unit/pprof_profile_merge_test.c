#include "pprof/profile_merge.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/random_profile.h"
#include "tests/unit/sample_profile.h"

static struct profile *merged(const struct profile *a, const struct profile *b)
{
	const struct profile *both[] = {a, b};
	struct profile *profile = NULL;
	struct why why = {""};

	if (profile_merge(both, 2, &profile, &why) != 0)
		fail_msg("%s", why.text);
	return profile;
}

static void values_are_added(void **state)
{
	struct profile *one = sample_profile(), *two = sample_profile();
	struct profile *sum = merged(one, two);

	(void)state;
	assert_int_equal(sum->n_samples, 3);
	assert_int_equal(sum->n_locations, one->n_locations);
	assert_int_equal(sum->n_functions, one->n_functions);
	assert_int_equal(sum->n_mappings, 2);
	assert_int_equal(profile_total(sum, 0), 84);
	assert_int_equal(profile_total(sum, 1), 840);
	assert_int_equal(sum->time_ns, one->time_ns);
	assert_int_equal(sum->duration_ns, 20000000000);
	assert_int_equal(sum->period, one->period);
	assert_int_equal(sum->n_comments, 1); /* both say the same */
	assert_string_equal(profile_string(sum, sum->default_sample_type), "cpu");
	profile_free(sum);
	assert_int_equal(profile_merge((const struct profile *const *)&one, 1, &sum, NULL), 0);
	assert_int_equal(profile_total(sum, 1), 420);
	profile_free(sum);
	profile_free(one);
	profile_free(two);
}

/* A small profile of any producer. */
struct made {
	const char *types[3][2];
	const char *period, *comment, *file, *build_id;
	int64_t time_ns, period_value, values[3];
	uint64_t start, limit;
};

static struct profile *make(const struct made *m)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	for (size_t i = 0; i < 3 && m->types[i][0]; i++)
		assert_int_equal(profile_builder_sample_type(b, m->types[i][0], m->types[i][1]), 0);
	assert_int_equal(profile_builder_period(b, m->period ? m->period : "", m->period ? "ns" : "", m->period_value), 0);
	if (m->comment)
		assert_int_equal(profile_builder_comment(b, m->comment), 0);
	profile_builder_time(b, m->time_ns, 5);
	struct profile_mapping mapping = {.start = m->start, .limit = m->limit, .filename = sample_string(b, m->file ? m->file : ""),
					  .build_id = sample_string(b, m->build_id ? m->build_id : "")};
	uint32_t at = sample_location(b, (uint32_t)profile_builder_mapping(b, &mapping), m->start + 0x10, "work", NULL);
	assert_int_equal(profile_builder_sample(b, &at, 1, NULL, 0, m->values), 0);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

/* Merge two of them and check the sum: one sample? which values? */
static void merges(const struct made *a, const struct made *b, size_t n_samples, int64_t first, int64_t second)
{
	struct profile *one = make(a), *two = make(b), *sum = merged(one, two);

	assert_int_equal(sum->n_samples, n_samples);
	assert_int_equal(profile_total(sum, 0), first);
	assert_int_equal(profile_total(sum, 1), second);
	profile_free(sum);
	profile_free(one);
	profile_free(two);
}

#define BOTH                                       \
	{                                          \
		{"samples", "count"}, {"cpu", "ns"} \
	}
#define TURNED                                     \
	{                                          \
		{"cpu", "ns"}, {"samples", "count"} \
	}

static void programs_that_lay_elsewhere(void **state)
{
	const struct made a = {.types = BOTH, .values = {1, 10}, .start = 0x1000, .limit = 0x3000, .file = "/bin/a"};
	struct made b = a;

	(void)state;
	b.start = 0x7f1000000000, b.limit = 0x7f1000001801; /* as many pages, when rounded up */
	merges(&a, &b, 1, 2, 20);
	b.file = "/bin/b";
	merges(&a, &b, 2, 2, 20);
	b.build_id = "ab";
	merges(&a, &b, 2, 2, 20);
	struct made c = a;
	c.build_id = "ab"; /* the same, whatever it is called */
	merges(&b, &c, 1, 2, 20);
	c.limit += 0x1000;
	merges(&b, &c, 2, 2, 20);
}

static void sample_types_in_another_order(void **state)
{
	const struct made a = {.types = BOTH, .values = {1, 10}}, b = {.types = TURNED, .values = {20, 2}};

	(void)state;
	merges(&a, &b, 1, 3, 30);
}

static void weights(void **state)
{
	const struct made a = {.types = BOTH, .values = {3, 10}, .comment = "weight=2.5"}, b = {.types = BOTH, .values = {4, 40}};
	const struct made c = {.types = BOTH, .values = {INT64_MAX, -INT64_MAX}, .comment = "weight=2"}, odd = {.types = BOTH, .values = {1, 1}, .comment = "weight=-inf"};

	(void)state;
	merges(&a, &b, 1, 4 + 8, 40 + 25); /* 7.5 is rounded */
	merges(&odd, &b, 1, 5, 41);
	struct profile *one = make(&a), *huge = make(&c);
	struct profile *sum = merged(one, one);
	assert_int_equal(sum->n_comments, 0);
	profile_free(sum);
	assert_int_equal(profile_merge((const struct profile *const *)&huge, 1, &sum, NULL), 0);
	assert_int_equal(profile_total(sum, 0), INT64_MAX);
	assert_int_equal(profile_total(sum, 1), INT64_MIN);
	profile_free(sum);
	profile_free(one);
	profile_free(huge);
}

static void heads(void **state)
{
	const struct made a = {.types = BOTH, .values = {1, 0}, .time_ns = 50, .comment = "one"}, b = {.types = BOTH, .values = {0, 0}, .time_ns = 40, .comment = "two", .period = "cpu", .period_value = 7};
	struct profile *one = make(&a), *two = make(&b), *sum = merged(one, two);

	(void)state;
	assert_int_equal(sum->time_ns, 40);
	assert_int_equal(sum->duration_ns, 10);
	assert_int_equal(sum->period, 7);
	assert_string_equal(profile_string(sum, sum->period_type.type), "cpu");
	assert_int_equal(sum->n_comments, 2);
	assert_string_equal(profile_string(sum, sum->comments[1]), "two");
	assert_int_equal(sum->n_samples, 1); /* without one that is all zero */
	profile_free(sum);
	profile_free(one);
	profile_free(two);
}

static void refuses(const struct made *a, const struct made *b, const char *text)
{
	struct profile *one = make(a), *two = make(b), *sum = NULL;
	const struct profile *const all[] = {one, one, two};
	struct why why = {""};

	assert_int_equal(profile_merge(all, 3, &sum, &why), -EINVAL);
	if (!strstr(why.text, text) || !strstr(why.text, "profile 3"))
		fail_msg("%s", why.text);
	assert_null(sum);
	profile_free(one);
	profile_free(two);
}

static void others_are_refused(void **state)
{
	const struct made a = {.types = BOTH, .period = "cpu"};
	struct profile *sum = NULL;
	struct why why;

	(void)state;
	refuses(&a, &(struct made){.types = {{"cpu", "ns"}}}, "has 1 sample types, the first one 2");
	refuses(&a, &(struct made){.types = {{"samples", "count"}, {"wall", "ns"}}}, "has no sample type cpu/ns");
	refuses(&a, &(struct made){.types = {{"samples", "count"}, {"cpu", "ms"}}}, "has no sample type cpu/ns");
	refuses(&a, &(struct made){.types = BOTH, .period = "wall"}, "was sampled by wall/ns, the first one by cpu/ns");
	assert_int_equal(profile_merge(NULL, 0, &sum, &why), -EINVAL);
}

/* Of many profiles nothing is lost, in whatever order. */
static void sums_hold(void **state)
{
	struct profile *parts[6], *sum, *back;
	const struct profile *turned[6];
	struct why why;
	int64_t total = 0;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		const struct random_profile how = {.seed = i % 4, .n_samples = 800, .n_processes = 9, .depth = 30, .odd_values = true};
		parts[i] = random_profile(&how);
		turned[5 - i] = parts[i];
		total += profile_total(parts[i], 1);
	}
	assert_int_equal(profile_merge((const struct profile *const *)parts, 6, &sum, &why), 0);
	assert_int_equal(profile_merge(turned, 6, &back, &why), 0);
	assert_int_equal(profile_total(sum, 1), total);
	assert_int_equal(profile_total(back, 1), total);
	assert_int_equal(sum->n_samples, back->n_samples);
	assert_int_equal(sum->n_locations, back->n_locations);
	assert_true(sum->n_mappings <= 8);
	profile_free(sum);
	profile_free(back);
	for (unsigned i = 0; i < 6; i++)
		profile_free(parts[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_added), cmocka_unit_test(programs_that_lay_elsewhere), cmocka_unit_test(sample_types_in_another_order),
		cmocka_unit_test(weights),	    cmocka_unit_test(heads),			   cmocka_unit_test(others_are_refused),
		cmocka_unit_test(sums_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
