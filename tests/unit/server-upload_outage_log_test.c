#include "server-upload/outage_log.h"

#include "base/clock.h"
#include "tests/unit/cmocka_prelude.h"

static void an_outage_is_said_once(void **state)
{
	struct outage_log log = {0};
	uint64_t lasted_ns, lines = 0;
	uint32_t failures;

	(void)state;
	assert_int_equal(outage_ended(&log, NS_PER_S, &lasted_ns, &failures), OUTAGE_NOTHING);
	assert_int_equal(outage_failed(&log, NS_PER_S, 503, false), OUTAGE_NOTHING);
	assert_int_equal(outage_failed(&log, 2 * NS_PER_S, 503, false), OUTAGE_BEGINS);
	for (uint64_t s = 3; s < 86400; s++)
		lines += outage_failed(&log, s * NS_PER_S, 503, false) != OUTAGE_NOTHING;
	assert_int_equal(lines, 0);
	assert_int_equal(outage_failed(&log, 86400 * NS_PER_S, 504, false), OUTAGE_CHANGES);
	assert_int_equal(outage_failed(&log, 86401 * NS_PER_S, 504, false), OUTAGE_NOTHING);
	assert_int_equal(outage_ended(&log, 86402 * NS_PER_S, &lasted_ns, &failures), OUTAGE_OVER);
	assert_int_equal(lasted_ns, 86401 * NS_PER_S);
	assert_int_equal(failures, 86401);
	assert_int_equal(outage_ended(&log, 86402 * NS_PER_S, &lasted_ns, &failures), OUTAGE_NOTHING);
	/* One failure that is made up for is no outage; what a person must see is. */
	assert_int_equal(outage_failed(&log, 90000 * NS_PER_S, 503, false), OUTAGE_NOTHING);
	assert_int_equal(outage_ended(&log, 90001 * NS_PER_S, &lasted_ns, &failures), OUTAGE_NOTHING);
	assert_int_equal(outage_failed(&log, 90002 * NS_PER_S, 401, true), OUTAGE_BEGINS);
}

static void what_changes_all_the_time_is_not_said_all_the_time(void **state)
{
	struct outage_log log = {0};
	uint64_t lines = 0, lasted_ns;
	uint32_t failures;

	(void)state;
	for (uint64_t s = 1; s <= 3600; s++)
		lines += outage_failed(&log, s * NS_PER_S, (uint32_t)s % 2, false) != OUTAGE_NOTHING;
	assert_in_range(lines, 50, 72);
	/* The last word is said in the end. */
	lines = 0;
	for (uint64_t s = 3601; s <= 3800; s++)
		lines += outage_failed(&log, s * NS_PER_S, 7, false) != OUTAGE_NOTHING;
	assert_int_equal(lines, 1);
	assert_int_equal(outage_ended(&log, 3800 * NS_PER_S, &lasted_ns, &failures), OUTAGE_OVER);
}

static void other_lines_are_limited_and_counted(void **state)
{
	struct outage_log log = {0};
	uint64_t said = 0, unsaid, left_out = 0;

	(void)state;
	for (uint64_t s = 1000; s < 4600; s++) {
		if (outage_may_say(&log, s * NS_PER_S, &unsaid)) {
			said++;
			left_out += unsaid;
		}
	}
	assert_in_range(said, 60, 71);
	assert_int_equal(said + left_out + log.unsaid, 3600);
	/* A clock that goes back gives no lines. */
	assert_false(outage_may_say(&log, 5, &unsaid));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_outage_is_said_once),
		cmocka_unit_test(what_changes_all_the_time_is_not_said_all_the_time),
		cmocka_unit_test(other_lines_are_limited_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
