#include "web/label_selector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

static void reads_matchers(void **state)
{
	struct label_selector s;
	struct why why;

	(void)state;
	assert_int_equal(label_selector_parse(" process_cpu:cpu:nanoseconds:cpu:nanoseconds{ a=\"1\" ,b!=\"x\\\"\\n\\u00e4\\x41\\101\",\tc=~`\\d+`, d!~'q'\"\" }", &s, &why), -EINVAL);
	assert_int_equal(label_selector_parse(" process_cpu:cpu:nanoseconds:cpu:nanoseconds{ a=\"1\" ,b!=\"x\\\"\\n\\u00e4\\x41\\101\",\tc=~`\\d+`, d!~'q\\'', }\n", &s, &why), 0);
	assert_int_equal(s.n, 5);
	assert_string_equal(s.matchers[0].name, "__name__");
	assert_string_equal(s.matchers[0].value, "process_cpu:cpu:nanoseconds:cpu:nanoseconds");
	assert_string_equal(s.matchers[1].name, "a");
	assert_int_equal(s.matchers[1].op, LABEL_EQUAL);
	assert_string_equal(s.matchers[2].value, "x\"\nä" "AA");
	assert_int_equal(s.matchers[2].op, LABEL_NOT_EQUAL);
	assert_string_equal(s.matchers[3].value, "\\d+");
	assert_int_equal(s.matchers[3].op, LABEL_MATCHES);
	assert_string_equal(s.matchers[4].value, "q'");
	assert_int_equal(s.matchers[4].op, LABEL_MATCHES_NOT);
	assert_int_equal(label_matcher_holds(&s.matchers[1], "1"), 1);
	assert_int_equal(label_matcher_holds(&s.matchers[1], "11"), 0);
	assert_int_equal(label_matcher_holds(&s.matchers[2], ""), 1);
	assert_int_equal(label_matcher_holds(&s.matchers[3], "123"), 1);
	assert_int_equal(label_matcher_holds(&s.matchers[3], "123x"), 0); /* the whole value */
	assert_int_equal(label_matcher_holds(&s.matchers[4], "q'"), 0);
	assert_int_equal(label_matcher_holds(&s.matchers[4], ""), 1);
	label_selector_deinit(&s);
	assert_int_equal(s.n, 0);
	for (const char *const *empty = (const char *const[]){"", "{}", " { } ", NULL}; *empty; empty++) {
		assert_int_equal(label_selector_parse(*empty, &s, &why), 0);
		assert_int_equal(s.n, 0);
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{"{", "byte 2: a label's name"},
		{"{a", "byte 3: =, !=, =~ or !~"},
		{"{a=", "byte 4: a value in quotes"},
		{"{a=b}", "byte 4: a value in quotes"},
		{"{a=\"b", "closing quote"},
		{"{a=\"b\\", "escapes nothing"},
		{"{a=\"\\q\"}", "escapes nothing"},
		{"{a=\"\\x4\"}", "digits are missing"},
		{"{a=\"\\0\"}", "digits are missing"},
		{"{a=\"\\000\"}", "no character"},
		{"{a=\"\\777\"}", "no character"},
		{"{a=\"\\U00110000\"}", "no character"},
		{"{a=\"\\ud800\"}", "not UTF-8"},
		{"{a=\"\\xff\"}", "not UTF-8"},
		{"{a=\"b\" c=\"d\"}", "a comma or }"},
		{"{a=\"b\"}}", "nothing is expected"},
		{"{a=\"b\"} or {a=\"c\"}", "nothing is expected"},
		{"{=\"b\"}", "a label's name"},
		{"{1a=\"b\"}", "a label's name"},
		{"{a:b=\"b\"}", "=, !=, =~ or !~"},
		{",", "nothing is expected"},
		{"{a=~\"(\"}", "expression for 'a' is wrong"},
		{"{a=~\"(?=x)\"}", "expression for 'a' is wrong"},
	};
	struct label_selector s;
	struct why why;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int err = label_selector_parse(cases[i].text, &s, &why);
		if (err != -EINVAL || !strstr(why.text, cases[i].part))
			print_message("%s: %d %s\n", cases[i].text, err, why.text);
		assert_int_equal(err, -EINVAL);
		assert_non_null(strstr(why.text, cases[i].part));
	}
}

static void has_limits(void **state)
{
	struct label_selector s;
	struct why why;
	char *text = malloc(2 * LABEL_SELECTOR_MAX), *at = text;

	(void)state;
	memset(text, ' ', LABEL_SELECTOR_MAX);
	text[LABEL_SELECTOR_MAX] = '\0';
	assert_int_equal(label_selector_parse(text, &s, &why), 0);
	text[LABEL_SELECTOR_MAX] = ' ';
	text[LABEL_SELECTOR_MAX + 1] = '\0';
	assert_int_equal(label_selector_parse(text, &s, &why), -E2BIG);
	*at++ = '{';
	for (int i = 0; i < LABEL_MATCHERS_MAX; i++)
		at += sprintf(at, "a%d=\"\",", i);
	strcpy(at, "}");
	assert_int_equal(label_selector_parse(text, &s, &why), 0);
	label_selector_deinit(&s);
	strcpy(at, "b=\"\"}");
	assert_int_equal(label_selector_parse(text, &s, &why), -E2BIG);
	assert_int_equal(label_selector_parse("{a=~\"(x+)+z|(x+x+)+y\"}", &s, &why), 0);
	memset(text, 'x', 2048);
	strcpy(text + 2048, "yz.");
	assert_int_equal(label_matcher_holds(&s.matchers[0], text), -E2BIG); /* too many ways to match */
	label_selector_deinit(&s);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_matchers),
		cmocka_unit_test(refuses),
		cmocka_unit_test(has_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
