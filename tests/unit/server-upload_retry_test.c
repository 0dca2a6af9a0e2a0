#include "server-upload/retry.h"

#include "base/clock.h"
#include "tests/unit/cmocka_prelude.h"

#define AGENTS 1000

static const uint64_t START_NS = 1000 * NS_PER_S;

static void waits_are_below_doubling_ceilings(void **state)
{
	struct retry r;
	uint64_t low_ns = UINT64_MAX, high_ns = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		uint64_t ceiling_ns = NS_PER_S;
		retry_init(&r, &RETRY_POLICY, seed, START_NS);
		assert_int_equal(retry_ready_ns(&r, START_NS), START_NS);
		for (int i = 0; i < 100; i++) {
			retry_failure(&r, RETRY_SOON, START_NS, 0);
			uint64_t wait_ns = retry_ready_ns(&r, START_NS) - START_NS;
			assert_in_range(wait_ns, 1, ceiling_ns);
			ceiling_ns = ceiling_ns * 2 < 300 * NS_PER_S ? ceiling_ns * 2 : 300 * NS_PER_S;
			low_ns = i > 20 && wait_ns < low_ns ? wait_ns : low_ns;
			high_ns = wait_ns > high_ns ? wait_ns : high_ns;
		}
		assert_int_equal(r.failures, 100);
	}
	/* Full jitter: anything from nothing to the ceiling. */
	assert_true(low_ns < NS_PER_S);
	assert_true(high_ns > 298 * NS_PER_S);
}

static void what_a_person_must_repair_is_tried_slowly(void **state)
{
	struct retry r;

	(void)state;
	retry_init(&r, &RETRY_POLICY, 7, START_NS);
	for (int i = 0; i < 50; i++) {
		retry_failure(&r, RETRY_SLOWLY, START_NS, 0);
		uint64_t wait_ns = retry_ready_ns(&r, START_NS) - START_NS;
		assert_in_range(wait_ns, (i < 4 ? 15 : 150) * NS_PER_S, (i == 0 ? 30 : 300) * NS_PER_S);
	}
	retry_now(&r);
	assert_int_equal(retry_ready_ns(&r, START_NS), START_NS);
}

static void retry_after_is_kept_up_to_a_cap(void **state)
{
	struct retry r;

	(void)state;
	for (uint64_t seed = 1; seed < 100; seed++) {
		retry_init(&r, &RETRY_POLICY, seed, START_NS);
		retry_failure(&r, RETRY_BUSY, START_NS, 20 * NS_PER_S);
		assert_in_range(retry_ready_ns(&r, START_NS) - START_NS, 20 * NS_PER_S, 25 * NS_PER_S);
		retry_failure(&r, RETRY_SOON, START_NS, UINT64_MAX);
		assert_in_range(retry_ready_ns(&r, START_NS) - START_NS, 900 * NS_PER_S, 1125 * NS_PER_S);
	}
}

static void bytes_are_limited(void **state)
{
	struct retry_policy policy = RETRY_POLICY;
	struct retry r;
	uint64_t now_ns = START_NS, sent = 0;

	(void)state;
	policy.pace_min_ns = 0;
	policy.bytes_per_s = 100000;
	retry_init(&r, &policy, 1, START_NS);
	while (now_ns < START_NS + 1000 * NS_PER_S) {
		retry_begin(&r, now_ns, 30000);
		retry_success(&r, now_ns, 0);
		sent += 30000;
		now_ns = retry_ready_ns(&r, now_ns);
	}
	assert_in_range(sent, 100000000, 100300000); /* and the full bucket of the beginning */
	/* One that is larger than the bucket goes, and the next waits. */
	now_ns += 100 * NS_PER_S;
	retry_begin(&r, now_ns, 50200000);
	assert_in_range(retry_ready_ns(&r, now_ns) - now_ns, 499 * NS_PER_S, 501 * NS_PER_S);
	/* Sizes and times that cannot be do no harm. */
	retry_begin(&r, now_ns, UINT64_MAX);
	assert_true(retry_ready_ns(&r, now_ns) > now_ns);
	retry_begin(&r, 5, 1);
	retry_begin(&r, UINT64_MAX, 1);
}

static void a_recovery_begins_slowly(void **state)
{
	struct retry r;
	uint64_t now_ns = START_NS, last_ns = UINT64_MAX;

	(void)state;
	retry_init(&r, &RETRY_POLICY, 1, START_NS);
	retry_success(&r, now_ns, 0);
	assert_int_equal(retry_ready_ns(&r, now_ns) - now_ns, 500 * NS_PER_MS);
	retry_failure(&r, RETRY_SOON, now_ns, 0);
	now_ns = retry_ready_ns(&r, now_ns) + 10 * NS_PER_S;
	for (int i = 0; i < 20; i++) {
		retry_success(&r, now_ns, NS_PER_MS);
		uint64_t pause_ns = retry_ready_ns(&r, now_ns) - now_ns;
		assert_true(pause_ns <= last_ns && pause_ns >= 500 * NS_PER_MS);
		assert_true(i > 0 || pause_ns > 1500 * NS_PER_MS);
		last_ns = pause_ns;
		now_ns += pause_ns;
	}
	assert_int_equal(last_ns, 500 * NS_PER_MS);
	/* A server that takes its time is given more of it; not without end. */
	retry_success(&r, now_ns, 2 * NS_PER_S);
	assert_int_equal(retry_ready_ns(&r, now_ns) - now_ns, 6 * NS_PER_S);
	retry_refused(&r, now_ns, UINT64_MAX);
	assert_int_equal(retry_ready_ns(&r, now_ns) - now_ns, 60 * NS_PER_S);
	/* 429 halves the pace. */
	retry_failure(&r, RETRY_BUSY, now_ns, 0);
	retry_failure(&r, RETRY_BUSY, now_ns, 0);
	now_ns += 400 * NS_PER_S;
	retry_success(&r, now_ns, 0);
	assert_int_equal(retry_ready_ns(&r, now_ns) - now_ns, 1600 * NS_PER_MS);
}

/* A fleet whose server was away for an hour. Each agent has 360 windows; the server takes 20 ms for each request, all at once. */
static void a_fleet_comes_back_spread(void **state)
{
	static struct retry agents[AGENTS];
	static uint64_t next_ns[AGENTS];
	static uint32_t left[AGENTS], by_s[3600];
	const uint64_t back_ns = START_NS + 3600 * NS_PER_S;
	uint32_t most = 0, first_minute = 0, done_s = 0;

	(void)state;
	for (uint64_t i = 0; i < AGENTS; i++) {
		retry_init(&agents[i], &RETRY_POLICY, i + 1, START_NS);
		left[i] = 360;
		for (uint64_t now_ns = START_NS; now_ns < back_ns; now_ns = next_ns[i]) {
			retry_failure(&agents[i], RETRY_SOON, now_ns, 0);
			next_ns[i] = retry_ready_ns(&agents[i], now_ns);
		}
		while (left[i]--) {
			uint64_t second = (next_ns[i] - back_ns) / NS_PER_S;
			assert_true(second < 3600);
			by_s[second]++;
			done_s = second > done_s ? (uint32_t)second : done_s;
			retry_begin(&agents[i], next_ns[i], 100000);
			retry_success(&agents[i], next_ns[i] + 20 * NS_PER_MS, 20 * NS_PER_MS);
			next_ns[i] = retry_ready_ns(&agents[i], next_ns[i] + 20 * NS_PER_MS);
		}
	}
	for (size_t i = 0; i < 3600; i++) {
		most = by_s[i] > most ? by_s[i] : most;
		first_minute += i < 60 ? by_s[i] : 0;
	}
	print_message("1,000 agents with 360 windows each: %u requests in the first second, %u in the first minute, %u/s at most, done after %u s\n",
		      by_s[0], first_minute, most, done_s);
	assert_true(by_s[0] < 30);
	assert_true(most < AGENTS * 2);
	assert_true(done_s < 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_are_below_doubling_ceilings), cmocka_unit_test(what_a_person_must_repair_is_tried_slowly),
		cmocka_unit_test(retry_after_is_kept_up_to_a_cap),   cmocka_unit_test(bytes_are_limited),
		cmocka_unit_test(a_recovery_begins_slowly),	     cmocka_unit_test(a_fleet_comes_back_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
