#include "agent/governor.h"

#include "tests/unit/cmocka_prelude.h"

#define WINDOW_NS 10000000000ull
#define CPUS	  2

/* A window in which hearth took a share of the machine. */
static bool window(struct governor *g, double share)
{
	return governor_update(g, (uint64_t)(share * (double)WINDOW_NS * CPUS), WINDOW_NS, CPUS);
}

static void keeps_the_rate_within_the_budget(void **state)
{
	struct governor g;

	(void)state;
	governor_init(&g, 0.01, 19);
	for (int i = 0; i < 100; i++)
		assert_false(window(&g, 0.0089));
	assert_int_equal(g.rate_hz, 19);
	assert_int_equal(g.lowered, 0);
}

static void one_costly_window_is_forgiven(void **state)
{
	struct governor g;

	(void)state;
	governor_init(&g, 0.01, 19);
	assert_false(window(&g, 0.05));
	assert_false(window(&g, 0.001));
	assert_int_equal(g.rate_hz, 19);
}

static void lowers_before_the_mean_reaches_the_budget(void **state)
{
	struct governor g;
	double sum = 0, cost = 0.03 / 1000; /* of the machine for each Hz: 3 times the budget */

	(void)state;
	governor_init(&g, 0.01, 1000);
	for (int i = 0; i < 60; i++) {
		double share = cost * (double)g.rate_hz;
		sum += share;
		window(&g, share);
	}
	assert_true(g.lowered >= 1 && g.lowered < 10);
	assert_true(sum / 60 < 0.01);
	/* Not lower than it has to be. */
	assert_true(cost * (double)g.rate_hz > 0.004 && cost * (double)g.rate_hz < 0.01);
}

static void never_stops(void **state)
{
	struct governor g;

	(void)state;
	governor_init(&g, 0.0001, 19);
	for (int i = 0; i < 10; i++)
		window(&g, 0.9);
	assert_int_equal(g.rate_hz, 1);
	assert_false(governor_update(&g, 9000, 0, 2));
	assert_false(governor_update(&g, 9000, 10, 0));
}

static void comes_back_up_to_what_was_asked_for(void **state)
{
	struct governor g;

	(void)state;
	governor_init(&g, 0.01, 99);
	for (int i = 0; i < 20; i++)
		window(&g, 0.9);
	assert_int_equal(g.rate_hz, 1);
	for (int i = 0; i < 60; i++) {
		uint64_t before = g.rate_hz;
		window(&g, 0.00001);
		assert_true(g.rate_hz >= before && g.rate_hz <= 2 * before + 1);
	}
	assert_int_equal(g.rate_hz, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_rate_within_the_budget),
		cmocka_unit_test(one_costly_window_is_forgiven),
		cmocka_unit_test(lowers_before_the_mean_reaches_the_budget),
		cmocka_unit_test(never_stops),
		cmocka_unit_test(comes_back_up_to_what_was_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
