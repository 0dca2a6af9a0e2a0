#include "agent/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/nearest_name.h"
#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"

struct object {
	bool flag;
	uint64_t number, bytes, duration;
	double percent, fraction;
	int choice;
	char *text;
};

static const char *const CHOICES[] = {"red", "green", NULL};
#define AT(member) offsetof(struct object, member)
static const struct setting TABLE[] = {
	{.name = "some-flag", .letter = 's', .kind = SETTING_FLAG, .offset = AT(flag), .help = "a flag"},
	{.name = "number", .kind = SETTING_NUMBER, .offset = AT(number), .low = 1, .high = 100, .usual = "19", .argument = "N", .help = "a number"},
	{.name = "bytes", .kind = SETTING_BYTES, .offset = AT(bytes), .low = 1, .high = 1 << 30, .usual = "64M", .argument = "BYTES", .help = "two\nlines"},
	{.name = "duration", .kind = SETTING_DURATION, .offset = AT(duration), .low = 1000000000, .high = 60000000000, .usual = "10", .argument = "TIME", .help = "a time"},
	{.name = "percent", .kind = SETTING_PERCENT, .offset = AT(percent), .usual = "1", .argument = "P", .help = "a percentage"},
	{.name = "fraction", .kind = SETTING_FRACTION, .offset = AT(fraction), .usual = "1", .argument = "F", .help = "a fraction"},
	{.name = "choice", .kind = SETTING_CHOICE, .offset = AT(choice), .choices = CHOICES, .usual = "green", .argument = "COLOUR", .help = "a choice"},
	{.name = "a-very-long-name-of-a-text", .kind = SETTING_TEXT, .offset = AT(text), .argument = "TEXT", .help = "a text"},
};
#define N (sizeof(TABLE) / sizeof(TABLE[0]))

static const char *show(const struct object *object, size_t i)
{
	static char text[64];

	setting_show(&TABLE[i], object, text, sizeof(text));
	return text;
}

static void defaults(void **state)
{
	static const char *const SHOWN[N] = {"false", "19", "64M", "10s", "1", "1", "green", ""};
	struct object object;

	(void)state;
	assert_int_equal(settings_init(TABLE, N, &object), 0);
	for (size_t i = 0; i < N; i++)
		assert_string_equal(show(&object, i), SHOWN[i]);
	settings_deinit(TABLE, N, &object);
}

static void taken(void **state)
{
	static const char *const GOOD[N] = {"true", "100", "1M", "1m", "2.5", "0.5", "red", "x"};
	static const char *const BAD[N] = {"maybe", "101", "2G", "61", "0", "2", "blue", "x\ny"};
	static const char *const WHY[N] = {"neither", "from 1 to 100", "number of bytes", "not from 1s to 1m", "percentage", "fraction", "none of red", "control"};
	const struct setting *changed[N];
	struct object object, other;
	struct why why;

	(void)state;
	assert_int_equal(settings_init(TABLE, N, &object), 0);
	assert_int_equal(settings_init(TABLE, N, &other), 0);
	for (size_t i = 0; i < N; i++) {
		assert_true(setting_is_equal(&TABLE[i], &object, &other));
		assert_int_equal(setting_take(&TABLE[i], &object, GOOD[i], &why), 0);
		assert_string_equal(show(&object, i), GOOD[i]);
		assert_int_equal(setting_take(&TABLE[i], &object, BAD[i], &why), -EINVAL);
		if (!strstr(why.text, WHY[i]))
			fail_msg("%s: %s", BAD[i], why.text);
		assert_string_equal(show(&object, i), GOOD[i]); /* untouched by failures */
		assert_false(setting_is_equal(&TABLE[i], &object, &other));
		assert_int_equal(setting_copy(&TABLE[i], &other, &object), 0);
		assert_true(setting_is_equal(&TABLE[i], &object, &other));
	}
	assert_int_equal(settings_diff(TABLE, N, &object, &other, changed), 0);
	assert_int_equal(setting_take(&TABLE[7], &object, "y", &why), 0);
	object.number--;
	assert_int_equal(settings_diff(TABLE, N, &object, &other, changed), 2);
	assert_true(changed[0] == &TABLE[1] && changed[1] == &TABLE[7]);
	assert_string_equal(other.text, "x"); /* a copy */
	settings_deinit(TABLE, N, &other);
	assert_null(other.text);
	assert_int_equal(setting_copy(&TABLE[7], &object, &other), 0);
	assert_null(object.text);
	settings_deinit(TABLE, N, &object);
}

static void from_files(void **state)
{
	static const char *const GOOD[N] = {"true", "5", "1024", "2.5", "50", "0.1", "'red'", "'t'"};
	static const char *const BAD[N] = {"1", "'5'", "1.5", "true", "[1]", "'0.1'", "1", "{}"};
	static const char *const WHY[N] = {"should be true or false", "should be a number", "a string such as \"64M\"", "number of seconds", "of percent",
					   "such as 0.1", "should be a string", "it is a table, but should be a string"};
	struct object object;
	struct why why;

	(void)state;
	assert_int_equal(settings_init(TABLE, N, &object), 0);
	for (size_t i = 0; i < N; i++) {
		AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
		struct toml_value *root;
		char text[64];
		snprintf(text, sizeof(text), "good = %s\nbad = %s", GOOD[i], BAD[i]);
		assert_int_equal(toml_read(text, strlen(text), problems, &root), 0);
		assert_int_equal(setting_take_toml(&TABLE[i], &object, toml_find(root, "good"), &why), 0);
		assert_int_equal(setting_take_toml(&TABLE[i], &object, toml_find(root, "bad"), &why), -EINVAL);
		if (!strstr(why.text, WHY[i]))
			fail_msg("%s: %s", BAD[i], why.text);
		toml_free(root);
	}
	assert_int_equal(object.duration, 2500000000);
	settings_deinit(TABLE, N, &object);
}

static void names(void **state)
{
	char text[SETTING_NAME_MAX];

	(void)state;
	setting_key(&TABLE[0], text);
	assert_string_equal(text, "some_flag");
	setting_variable(&TABLE[0], text);
	assert_string_equal(text, "HEARTH_SOME_FLAG");
	assert_ptr_equal(settings_find(TABLE, N, "some_flag"), &TABLE[0]);
	assert_ptr_equal(settings_find(TABLE, N, "some-flag"), &TABLE[0]);
	assert_null(settings_find(TABLE, N, "some"));
}

static void help(void **state)
{
	AUTO_FREE char *text = NULL;
	size_t bytes;
	FILE *stream = open_memstream(&text, &bytes);

	(void)state;
	settings_help(TABLE, N, stream);
	fclose(stream);
	assert_non_null(strstr(text, "  -s, --some-flag           a flag\n"));
	assert_non_null(strstr(text, "      --bytes BYTES         two\n                            lines\n"));
	assert_non_null(strstr(text, "      --a-very-long-name-of-a-text TEXT\n                            a text\n"));
}

static void nearest(void **state)
{
	static const char *const NAMES[] = {"freq", "window", "max-cpu", "output", "output-bytes"};
	static const struct {
		const char *name, *nearest;
	} CASES[] = {{"frek", "freq"}, {"windwo", "window"}, {"max_cpu", "max-cpu"}, {"maxcpu", "max-cpu"}, {"OUTPUT", "output"},
		     {"output_bytse", "output-bytes"}, {"xyz", NULL}, {"something", NULL}, {"", NULL}};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		const char *best = NULL;
		for (size_t j = 0; j < sizeof(NAMES) / sizeof(NAMES[0]); j++)
			nearest_name(CASES[i].name, NAMES[j], &best);
		if (best != CASES[i].nearest && (!best || !CASES[i].nearest || strcmp(best, CASES[i].nearest) != 0))
			fail_msg("%s: %s", CASES[i].name, best ? best : "none");
	}
	assert_int_equal(name_distance("", "abc"), 3);
	assert_int_equal(name_distance("abc", "acb"), 1);
	assert_int_equal(name_distance("kitten", "sitting"), 3);
	assert_int_equal(name_distance("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ""), 63);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(taken), cmocka_unit_test(from_files),
		cmocka_unit_test(names),    cmocka_unit_test(help),  cmocka_unit_test(nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
