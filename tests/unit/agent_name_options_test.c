#include "agent/name_options.h"
#include "agent/name_cache.h"
#include "tests/unit/cmocka_prelude.h"

#include <stdlib.h>
#include <string.h>

static bool take(struct name_options *o, int option, const char *argument)
{
	optarg = (char *)(uintptr_t)argument;
	return name_options_take(o, "record", option);
}

static void defaults(void **state)
{
	struct name_options o;

	(void)state;
	setenv("DEBUGINFOD_URLS", "http://a http://b", 1);
	name_options_init(&o);
	assert_string_equal(o.debuginfod_urls, "http://a http://b");
	assert_int_equal(o.cache_bytes, NAME_CACHE_BUDGET_DEFAULT);
	assert_int_equal(o.demangle, DEMANGLE_FULL);
	assert_null(o.cache);
	assert_false(o.keep);
	name_options_deinit(&o);
}

static void each_option(void **state)
{
	struct name_options o;

	(void)state;
	name_options_init(&o);
	assert_true(take(&o, NAME_OPTION_DEMANGLE, "short"));
	assert_true(take(&o, NAME_OPTION_CACHE, "/x"));
	assert_true(take(&o, NAME_OPTION_CACHE_BUDGET, "3M"));
	assert_true(take(&o, NAME_OPTION_DEBUGINFOD, ""));
	assert_true(take(&o, NAME_OPTION_KEEP, NULL));
	assert_true(take(&o, NAME_OPTION_DEBUG_PATH, "/usr/../usr"));
	assert_int_equal(o.demangle, DEMANGLE_SHORT);
	assert_string_equal(o.cache, "/x");
	assert_int_equal(o.cache_bytes, 3 << 20);
	assert_string_equal(o.debuginfod_urls, "");
	assert_true(o.keep);
	assert_int_equal(o.n_folders, 1);
	assert_string_equal(o.folders[0], "/usr");
	name_options_deinit(&o);
}

static void bad_arguments(void **state)
{
	struct name_options o;

	(void)state;
	name_options_init(&o);
	assert_false(take(&o, NAME_OPTION_DEMANGLE, "much"));
	assert_false(take(&o, NAME_OPTION_CACHE_BUDGET, "3Q"));
	assert_false(take(&o, NAME_OPTION_DEBUG_PATH, "/there/is/none"));
	for (int i = 0; i < NAME_FOLDERS_MAX; i++)
		assert_true(take(&o, NAME_OPTION_DEBUG_PATH, "/"));
	assert_false(take(&o, NAME_OPTION_DEBUG_PATH, "/"));
	assert_int_equal(o.n_folders, NAME_FOLDERS_MAX);
	name_options_deinit(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(each_option),
		cmocka_unit_test(bad_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
