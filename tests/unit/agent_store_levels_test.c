#include "tests/unit/cmocka_prelude.h"

#include <errno.h>
#include <string.h>

#include "agent/store_levels.h"
#include "base/clock.h"

static void good(void **state)
{
	struct store_level levels[STORE_LEVELS_MAX];
	struct why why;

	(void)state;
	assert_int_equal(store_levels_parse(STORE_LEVELS_USUAL, levels, &why), 0);
	assert_int_equal(levels[0].age_ns, 3600 * NS_PER_S);
	assert_int_equal(levels[0].window_ns, 60 * NS_PER_S);
	assert_int_equal(levels[1].age_ns, 86400 * NS_PER_S);
	assert_int_equal(levels[1].window_ns, 600 * NS_PER_S);
	assert_int_equal(levels[2].window_ns, 0);
	assert_int_equal(store_levels_parse("  30m:1m   2h:5m 1d:10m 3d:1h ", levels, &why), 0);
	assert_int_equal(levels[3].window_ns, 3600 * NS_PER_S);
	assert_int_equal(store_levels_parse("none", levels, &why), 0);
	assert_int_equal(levels[0].age_ns, INT64_MAX);
	assert_int_equal(levels[1].window_ns, 0);
}

static void bad(void **state)
{
	static const struct {
		const char *text, *says;
	} CASES[] = {
		{"", "'none' keeps"},
		{"   ", "'none' keeps"},
		{"1h", "AGE:WINDOW"},
		{"1h:", "duration"},
		{"x:1m", "duration"},
		{"1h:0", ""},
		{"1h:1m 1h:10m", "older"},
		{"1h:10m 2h:1m", "longer"},
		{"1h:1m 2h:2m 3h:3m 4h:4m 5h:5m", "more than 4"},
		{"1111111111111111111111111111111111111111111111111111111111111111h:1m", "AGE:WINDOW"},
		{"none 1h:1m", "AGE:WINDOW"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct store_level levels[STORE_LEVELS_MAX] = {{7, 7}};
		struct why why = {""};
		assert_int_equal(store_levels_parse(CASES[i].text, levels, &why), -EINVAL);
		if (!strstr(why.text, CASES[i].says))
			fail_msg("'%s': %s", CASES[i].text, why.text);
		assert_int_equal(levels[0].age_ns, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(bad)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
