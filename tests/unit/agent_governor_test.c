#include "agent/governor.h"

#include "tests/unit/cmocka_prelude.h"

static void keeps_the_rate_within_the_budget(void **state)
{
	struct governor g;

	(void)state;
	governor_init(&g, 0.01, 19);
	assert_false(governor_update(&g, 10, 10000)); /* 0.1 % */
	assert_int_equal(g.rate_hz, 19);
	assert_false(governor_update(&g, 89, 10000)); /* 0.89 %: still below 90 % of the budget */
	assert_int_equal(g.lowered, 0);
}

static void lowers_before_the_budget_is_reached(void **state)
{
	struct governor g;

	(void)state;
	governor_init(&g, 0.01, 1000);
	assert_true(governor_update(&g, 95, 10000)); /* 0.95 % */
	assert_true(g.rate_hz < 1000 && g.rate_hz >= 700);
	uint64_t lower = g.rate_hz;
	assert_true(governor_update(&g, 1000, 10000)); /* 10 % */
	assert_true(g.rate_hz <= lower / 10);
	assert_int_equal(g.lowered, 2);
}

static void never_stops(void **state)
{
	struct governor g;

	(void)state;
	governor_init(&g, 0.001, 19);
	for (int i = 0; i < 10; i++)
		governor_update(&g, 9000, 10000);
	assert_int_equal(g.rate_hz, 1);
	assert_false(governor_update(&g, 9000, 0));
}

static void comes_back_up_to_what_was_asked_for(void **state)
{
	struct governor g;
	uint64_t before;

	(void)state;
	governor_init(&g, 0.01, 99);
	governor_update(&g, 5000, 10000);
	assert_int_equal(g.rate_hz, 1);
	for (int i = 0; i < 30; i++) {
		before = g.rate_hz;
		governor_update(&g, 1, 10000);
		assert_true(g.rate_hz >= before && g.rate_hz <= 2 * before + 1);
	}
	assert_int_equal(g.rate_hz, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_rate_within_the_budget),
		cmocka_unit_test(lowers_before_the_budget_is_reached),
		cmocka_unit_test(never_stops),
		cmocka_unit_test(comes_back_up_to_what_was_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
