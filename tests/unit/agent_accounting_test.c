#include "agent/accounting.h"

#include <string.h>

#include "tests/unit/cmocka_prelude.h"

static struct accounting sound(void)
{
	struct sampler_counts counts = {
		.fired = 100, .idle = 30, .filtered = 10, .samples = 58, .dropped = {2}, .missed = 5, .expected = 105};
	struct accounting a = {0};

	accounting_add_counts(&a, &counts, 3);
	/* 58 in entries, 3 of them could not be taken. */
	a.samples = 55;
	a.complete = 50;
	a.cut[CUT_BAD_FRAME] = 5;
	return a;
}

static void identity_holds(void **state)
{
	struct accounting a = sound();

	(void)state;
	assert_int_equal(accounting_ticks(&a), 65);
	assert_int_equal(accounting_dropped(&a), 10);
	assert_int_equal(accounting_truncated(&a), 5);
	assert_true(accounting_holds(&a));
}

static void one_lost_sample_breaks_it(void **state)
{
	struct accounting a = sound();

	(void)state;
	a.samples--;
	assert_false(accounting_holds(&a));
	a = sound();
	a.dropped[ACCOUNT_MISSED]++; /* a tick more, and a drop more: still sound */
	assert_true(accounting_holds(&a));
	a.fired++;
	assert_false(accounting_holds(&a));
	a = sound();
	a.complete++;
	assert_false(accounting_holds(&a));
}

static void windows_add_up(void **state)
{
	struct accounting sum = {0}, a = sound();

	(void)state;
	for (int i = 0; i < 3; i++)
		accounting_add(&sum, &a);
	assert_int_equal(accounting_ticks(&sum), 3 * 65);
	assert_int_equal(sum.cut[CUT_BAD_FRAME], 15);
	assert_int_equal(sum.expected, 105); /* since the start, not a sum */
	assert_true(accounting_holds(&sum));
}

static void every_reason_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < ACCOUNT_DROPS; i++)
		assert_non_null(accounting_drop_name((enum account_drop)i));
	for (int i = 0; i < ACCOUNT_CUTS; i++)
		assert_non_null(accounting_cut_name((enum account_cut)i));
}

static void describes_in_one_line(void **state)
{
	struct accounting a = sound();
	char text[512], small[16];

	(void)state;
	int n = accounting_describe(&a, text, sizeof(text));
	assert_int_equal(n, strlen(text));
	assert_string_equal(text, "ticks=65 samples=55 dropped=10 dropped_buffer_full=2 dropped_missed=5 "
				  "dropped_out_of_memory=3 complete=50 truncated=5 truncated_bad_frame_pointer=5 idle=30 "
				  "filtered=10 identity=holds");
	assert_int_equal(accounting_describe(&a, small, sizeof(small)), n);
	assert_string_equal(small, "ticks=65 sample");
	a.samples = 0;
	accounting_describe(&a, text, sizeof(text));
	assert_non_null(strstr(text, "identity=BROKEN"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_holds),	    cmocka_unit_test(one_lost_sample_breaks_it),
		cmocka_unit_test(windows_add_up),	    cmocka_unit_test(every_reason_has_a_name),
		cmocka_unit_test(describes_in_one_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
