#include "agent/arguments.h"

#include <stdio.h>

#include "tests/unit/cmocka_prelude.h"

static int quiet(void **state)
{
	(void)state;
	return freopen("/dev/null", "w", stderr) ? 0 : -1;
}

static void numbers(void **state)
{
	static const char *const BAD[] = {"", "-1", "+1", " 1", "1 ", "0", "101", "1e2", "0x10", "99999999999999999999"};
	uint64_t value = 7;

	(void)state;
	assert_true(argument_uint("-F", "1", 1, 100, &value));
	assert_int_equal(value, 1);
	assert_true(argument_uint("-F", "100", 1, 100, &value));
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_false(argument_uint("-F", BAD[i], 1, 100, &value));
	assert_int_equal(value, 100); /* untouched by failures */
}

static void bytes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} GOOD[] = {{"1024", 1024}, {"64M", 64 << 20}, {"64MiB", 64 << 20}, {"1G", 1 << 30}, {"2k", 2048}, {"1T", 1ull << 40}};
	static const char *const BAD[] = {"", "-1", "M", "64MB", "64Mi", "64 M", "1.5G", "1023", "2T", "64X", "16777216T",
					  "99999999999999999999", "64MiBs"};
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
		assert_true(argument_bytes("--x", GOOD[i].text, 1024, 1ull << 40, &value));
		assert_int_equal(value, GOOD[i].bytes);
	}
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_false(argument_bytes("--x", BAD[i], 1024, 1ull << 40, &value));
	assert_int_equal(value, 1ull << 40); /* untouched by failures */
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} GOOD[] = {{"10", 10000000000}, {"2.5", 2500000000}, {"500ms", 500000000}, {"5m", 300000000000},
		    {"1h", 3600000000000}, {"1d", 86400000000000}, {"3s", 3000000000}, {"0.001", 1000000}};
	static const char *const BAD[] = {"", "0", "-1", "s", "1y", "1 s", "inf", "nan", "1e300", "0.0001", ".5", "400d"};
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
		assert_true(argument_duration("-d", GOOD[i].text, &ns));
		assert_int_equal(ns, GOOD[i].ns);
	}
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_false(argument_duration("-d", BAD[i], &ns));
}

static void pid_lists(void **state)
{
	static const char *const BAD[] = {"", ",", "1,", ",1", "1,,2", "1 2", "x", "0", "-5", "99999999999"};
	pid_t pids[4];
	size_t n = 0;

	(void)state;
	assert_true(argument_pids("-p", "12,34", pids, 4, &n));
	assert_int_equal(n, 2);
	assert_true(argument_pids("-p", "56", pids, 4, &n)); /* -p may be given twice */
	assert_int_equal(n, 3);
	assert_int_equal(pids[2], 56);
	assert_false(argument_pids("-p", "1,2", pids, 4, &n)); /* too many */
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		n = 0;
		assert_false(argument_pids("-p", BAD[i], pids, 4, &n));
	}
}

static void demangle_styles(void **state)
{
	enum demangle_style style = DEMANGLE_FULL;

	(void)state;
	assert_true(argument_demangle("--demangle", "short", &style));
	assert_int_equal(style, DEMANGLE_SHORT);
	assert_true(argument_demangle("--demangle", "none", &style));
	assert_int_equal(style, DEMANGLE_NONE);
	assert_false(argument_demangle("--demangle", "Full", &style));
	assert_false(argument_demangle("--demangle", "", &style));
	assert_int_equal(style, DEMANGLE_NONE);
	assert_true(argument_demangle("--demangle", "full", &style));
	assert_int_equal(style, DEMANGLE_FULL);
}

static void folders(void **state)
{
	const char *path = "unchanged";

	(void)state;
	assert_false(argument_folder("--host-root", "/nowhere/at/all", &path));
	assert_false(argument_folder("--host-root", "/dev/null", &path));
	assert_false(argument_folder("--host-root", "", &path));
	assert_string_equal(path, "unchanged");
	assert_true(argument_folder("--host-root", "/", &path));
	assert_string_equal(path, "/");
}

static void usage_errors(void **state)
{
	(void)state;
	assert_int_equal(usage_error("record", "x"), STATUS_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(bytes),
		cmocka_unit_test(durations),
		cmocka_unit_test(pid_lists),
		cmocka_unit_test(demangle_styles),
		cmocka_unit_test(folders),
		cmocka_unit_test(usage_errors),
	};
	return cmocka_run_group_tests(tests, quiet, NULL);
}
