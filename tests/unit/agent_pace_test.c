#include "agent/pace.h"

#include "base/clock.h"
#include "tests/unit/cmocka_prelude.h"

#define S    NS_PER_S
#define WALL (1800000000 * S) /* 2027 */

static struct pace_settings settings(void)
{
	return (struct pace_settings){.rate_hz = 19, .window_ns = 10 * S, .max_share = 0.01, .sample_fraction = 1, .host = 42};
}

static void plain_windows(void **state)
{
	struct pace_settings s = settings();
	struct pace p;

	(void)state;
	pace_init(&p, &s);
	pace_begin_window(&p, 100 * S, WALL);
	assert_int_equal(p.end_ns, 110 * S);
	assert_int_equal(pace_due_ns(&p), 110 * S);
	assert_true(pace_is_sampling(&p));
	assert_int_equal(pace_rate_hz(&p), 19);
	assert_true(pace_weight(&p) == 1);
	pace_begin_window(&p, 112 * S, WALL); /* late: the beat stays */
	assert_int_equal(p.end_ns, 120 * S);
	pace_begin_window(&p, 115 * S, WALL); /* ended early */
	assert_int_equal(p.end_ns, 125 * S);
	pace_begin_window(&p, 140 * S, WALL); /* one was missed */
	assert_int_equal(p.end_ns, 150 * S);
}

/* Whenever it begins: from the second window on the ends are one beat, and hosts' beats lie all over the window. */
static void jitter(void **state)
{
	uint64_t tenths[10] = {0};

	(void)state;
	for (uint64_t host = 1; host <= 1000; host++) {
		struct pace_settings s = settings();
		struct pace p;
		s.host = host;
		s.is_jittered = true;
		pace_init(&p, &s);
		pace_begin_window(&p, 100 * S, WALL + host * 123456789);
		uint64_t first_ns = p.end_ns - 100 * S, wall_ns = WALL + host * 123456789 + first_ns;
		assert_true(first_ns >= S && first_ns <= 11 * S);
		tenths[wall_ns % (10 * S) / S]++;
		/* A little late, as it is; and after a minute's stop. */
		pace_begin_window(&p, 200 * S, wall_ns + 3000000);
		assert_int_equal(p.end_ns - 200 * S, 10 * S - 3000000);
		pace_begin_window(&p, 300 * S, wall_ns + 63 * S);
		assert_int_equal((wall_ns + 63 * S + p.end_ns - 300 * S) % (10 * S), wall_ns % (10 * S));
		/* The clock is set back: one odd window. */
		pace_begin_window(&p, 400 * S, wall_ns - 3600 * S - 2 * S);
		assert_int_equal(p.end_ns - 400 * S, 2 * S);
		/* A little early: not a window of nothing. */
		pace_begin_window(&p, 500 * S, wall_ns - 1000);
		assert_int_equal(p.end_ns - 500 * S, 10 * S + 1000);
	}
	for (size_t i = 0; i < 10; i++)
		assert_in_range(tenths[i], 60, 140);
}

/* About the fraction, in each host, and not the same windows everywhere. */
static void fractions(void **state)
{
	struct pace_settings s = settings();
	uint64_t both = 0;

	(void)state;
	s.sample_fraction = 0.1;
	for (uint64_t host = 1; host <= 10; host++) {
		struct pace p, other;
		uint64_t sampled = 0;
		s.host = host;
		pace_init(&p, &s);
		s.host = host + 1000;
		pace_init(&other, &s);
		assert_true(pace_weight(&p) == 10);
		for (uint64_t i = 0; i < 10000; i++) {
			pace_begin_window(&p, i * 10 * S, WALL + i * 10 * S + 3 * S);
			pace_begin_window(&other, i * 10 * S, WALL + i * 10 * S + 3 * S);
			bool is_sampled = pace_is_sampling(&p);
			sampled += is_sampled;
			both += is_sampled && pace_is_sampling(&other);
			/* The same window is the same choice, also after a restart in it. */
			pace_begin_window(&p, i * 10 * S, WALL + i * 10 * S + 4 * S);
			assert_int_equal(pace_is_sampling(&p), is_sampled);
		}
		assert_in_range(sampled, 880, 1120);
	}
	assert_in_range(both, 800, 1200);
}

static void boosts(void **state)
{
	struct pace_settings s = settings();
	struct pace p;

	(void)state;
	s.sample_fraction = 0.001;
	pace_init(&p, &s);
	pace_begin_window(&p, 100 * S, WALL);
	pace_boost(&p, 99, 105 * S);
	assert_int_equal(pace_rate_hz(&p), 99);
	assert_int_equal(pace_due_ns(&p), 105 * S);
	assert_true(pace_is_sampling(&p)); /* all of it, whatever the fraction */
	assert_true(pace_weight(&p) == 1);
	pace_expire(&p, 104 * S);
	assert_int_equal(pace_rate_hz(&p), 99);
	pace_boost(&p, 199, 106 * S); /* in place of the first */
	pace_expire(&p, 105 * S);
	assert_int_equal(pace_rate_hz(&p), 199);
	pace_expire(&p, 106 * S);
	assert_int_equal(pace_rate_hz(&p), 19);
	assert_int_equal(p.governor.wanted_hz, 19);
	assert_int_equal(p.boost_hz, 0);
	assert_int_equal(pace_due_ns(&p), 110 * S);
	pace_end_boost(&p); /* none */
	assert_int_equal(pace_rate_hz(&p), 19);
}

/* hearth's budget holds in a boost too, and what the governor took before it is still taken after it. */
static void boosts_within_the_budget(void **state)
{
	struct pace_settings s = settings();
	struct pace p;

	(void)state;
	pace_init(&p, &s);
	for (int i = 0; i < 30; i++)
		pace_govern(&p, (uint64_t)(0.03 / 19 * (double)pace_rate_hz(&p) * 10e9), 10 * S, 1);
	uint64_t lowered = pace_rate_hz(&p);
	assert_true(lowered < 8);
	pace_boost(&p, 99, 1000 * S);
	for (int i = 0; i < 30; i++)
		pace_govern(&p, (uint64_t)(0.03 / 19 * (double)pace_rate_hz(&p) * 10e9), 10 * S, 1);
	assert_true(pace_rate_hz(&p) < 8);
	pace_end_boost(&p);
	assert_int_equal(pace_rate_hz(&p), lowered);
}

static void pauses(void **state)
{
	struct pace_settings s = settings();
	struct pace p;

	(void)state;
	pace_init(&p, &s);
	pace_begin_window(&p, 100 * S, WALL);
	pace_pause(&p, 103 * S);
	assert_false(pace_is_sampling(&p));
	assert_int_equal(pace_due_ns(&p), 103 * S);
	pace_expire(&p, 103 * S);
	assert_true(pace_is_sampling(&p));
	pace_pause(&p, PACE_FOREVER);
	assert_int_equal(pace_due_ns(&p), 110 * S);
	pace_expire(&p, 1000000 * S);
	assert_false(pace_is_sampling(&p));
	pace_resume(&p);
	assert_true(pace_is_sampling(&p));
}

static void new_settings(void **state)
{
	struct pace_settings s = settings(), faster = settings();
	struct pace p;

	(void)state;
	faster.rate_hz = 49;
	faster.window_ns = S;
	pace_init(&p, &s);
	pace_set(&p, &faster);
	assert_int_equal(pace_rate_hz(&p), 49);
	pace_begin_window(&p, 100 * S, WALL);
	assert_int_equal(p.end_ns, 101 * S);
	pace_set(&p, &s);
	assert_int_equal(pace_rate_hz(&p), 19);
	/* In a boost: after it. */
	pace_boost(&p, 99, 200 * S);
	pace_set(&p, &faster);
	assert_int_equal(pace_rate_hz(&p), 99);
	pace_end_boost(&p);
	assert_int_equal(pace_rate_hz(&p), 49);
	/* A rate that the governor lowered is not raised by it, but it may go higher from there. */
	pace_set(&p, &s);
	for (int i = 0; i < 30; i++)
		pace_govern(&p, (uint64_t)(0.03 / 19 * (double)pace_rate_hz(&p) * 10e9), 10 * S, 1);
	uint64_t lowered = pace_rate_hz(&p);
	assert_true(lowered < 8);
	pace_set(&p, &faster);
	assert_int_equal(pace_rate_hz(&p), lowered);
	assert_int_equal(p.governor.wanted_hz, 49);
	assert_true(pace_host() == pace_host() && pace_host() != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_windows), cmocka_unit_test(jitter), cmocka_unit_test(fractions),	   cmocka_unit_test(boosts),
		cmocka_unit_test(boosts_within_the_budget), cmocka_unit_test(pauses), cmocka_unit_test(new_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
