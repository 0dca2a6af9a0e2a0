#include "agent/values.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

/* Numbers, bytes and durations: tests/unit/agent_arguments_test.c. */

static void shares(void **state)
{
	static const char *const BAD[] = {"", "0", "-1", "101", "x", "1x", "nan", "%"};
	double share = 7;
	struct why why;

	(void)state;
	assert_int_equal(value_percent("1", &share, &why), 0);
	assert_true(share == 0.01);
	assert_int_equal(value_percent("50%", &share, &why), 0);
	assert_true(share == 0.5);
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_int_equal(value_percent(BAD[i], &share, &why), -EINVAL);
	assert_true(share == 0.5);
	assert_int_equal(value_fraction("0.25", &share, &why), 0);
	assert_true(share == 0.25);
	assert_int_equal(value_fraction("1", &share, &why), 0);
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_int_equal(value_fraction(BAD[i], &share, &why), -EINVAL);
	assert_int_equal(value_fraction("1.5", &share, &why), -EINVAL);
	assert_string_equal(why.text, "'1.5' is not a fraction above 0 and up to 1, such as 0.1");
}

static void flags_and_choices(void **state)
{
	static const char *const NAMES[] = {"red", "green", NULL};
	struct why why;
	bool flag = false;
	int choice = 7;

	(void)state;
	assert_int_equal(value_flag("true", &flag, &why), 0);
	assert_true(flag);
	assert_int_equal(value_flag("0", &flag, &why), 0);
	assert_false(flag);
	assert_int_equal(value_flag("1", &flag, &why), 0);
	assert_int_equal(value_flag("false", &flag, &why), 0);
	assert_int_equal(value_flag("yes", &flag, &why), -EINVAL);
	assert_string_equal(why.text, "'yes' is neither true nor false");
	assert_int_equal(value_choice("green", NAMES, &choice, &why), 0);
	assert_int_equal(choice, 1);
	assert_int_equal(value_choice("Red", NAMES, &choice, &why), -EINVAL);
	assert_string_equal(why.text, "'Red' is none of red, green");
	assert_int_equal(choice, 1);
}

/* What is shown reads back as the same. */
static void shown(void **state)
{
	static const uint64_t BYTES[] = {0, 1, 1023, 1024, 1536, 64 << 20, 1ull << 40, 5ull << 40, 1ull << 60};
	static const uint64_t TIMES[] = {1000000, 1500000, 100000000, 2500000000, 10000000000, 60000000000, 90000000000, 7ull * 86400000000000};
	struct why why;
	uint64_t value;
	char text[40];

	(void)state;
	for (size_t i = 0; i < sizeof(BYTES) / sizeof(BYTES[0]); i++) {
		value_show_bytes(BYTES[i], text, sizeof(text));
		assert_int_equal(value_bytes(text, 0, UINT64_MAX, &value, &why), 0);
		assert_int_equal(value, BYTES[i]);
	}
	for (size_t i = 0; i < sizeof(TIMES) / sizeof(TIMES[0]); i++) {
		value_show_duration(TIMES[i], text, sizeof(text));
		assert_int_equal(value_duration(text, &value, &why), 0);
		assert_int_equal(value, TIMES[i]);
	}
	value_show_duration(10000000000, text, sizeof(text));
	assert_string_equal(text, "10s");
	value_show_bytes(64 << 20, text, sizeof(text));
	assert_string_equal(text, "64M");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(shares), cmocka_unit_test(flags_and_choices), cmocka_unit_test(shown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
