#include "base/regex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/cmocka_prelude.h"

static struct regex *compile(const char *pattern)
{
	struct regex *regex = NULL;
	struct why why = {""};

	if (regex_create(pattern, REGEX_WHOLE, &regex, &why) != 0)
		fail_msg("%s: %s", pattern, why.text);
	return regex;
}

static int matches(const char *pattern, const char *subject)
{
	struct regex *regex = compile(pattern);
	int result = regex_match(regex, subject);

	regex_destroy(regex);
	return result;
}

static void whole_subjects(void **state)
{
	static const struct {
		const char *pattern, *subject;
		int matches;
	} CASES[] = {
		{"", "", 1},
		{"", "x", 0},
		{"foo", "foo", 1},
		{"foo", "xfoo", 0},
		{"foo", "foox", 0},
		{"foo|foobar", "foobar", 1}, /* the end is part of the expression */
		{"foo|bar", "foobar", 0},
		{"(?:a|b)+", "abba", 1},
		{"(?i)FOO", "foo", 1},
		{"(?i:F)oo", "foo", 1},
		{"a.c", "a\nc", 1},
		{".*", "two\nlines\n", 1},
		{"a$", "a\n", 0},
		{"caf.", "caf\xc3\xa9", 1},
		{"\\p{Greek}+", "\xce\xb1\xce\xb2", 1},
		{"[[:alpha:]+*?]{2,3}", "a+", 1},
		{"[]+]+", "]+", 1},
		{"[^]+]+", "ab", 1},
		{"\\Qa.*+\\E", "a.*+", 1},
		{"a{,5}", "a{,5}", 1}, /* not a number of repeats */
		{"a{x}", "a{x}", 1},
		{"\\(\\*\\?\\+\\+", "(*?++", 1},
		{"a\\x41\\x{42}", "aAB", 1},
		{"(?P<n>a)(?<m>b)", "ab", 1},
		{"a*?b+?c??", "aabb", 1},
		{".*", "\xff", 0}, /* not UTF-8 */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
		if (matches(CASES[i].pattern, CASES[i].subject) != CASES[i].matches)
			fail_msg("'%s' on '%s': not %d", CASES[i].pattern, CASES[i].subject, CASES[i].matches);
}

static void parts_of_subjects(void **state)
{
	static const struct {
		const char *pattern, *subject;
		int matches;
	} CASES[] = {
		{"", "x", 1},	   {"oo", "xfoox", 1},	 {"^oo", "xfoox", 0}, {"oox$", "xfoox", 1}, {"oo$", "xfoox", 0},  {"a$", "a\n", 0},
		{"a.c", "xa\ncx", 1}, {"(?i)FOO", "a food", 1}, {"bar", "foo", 0},  {"o{2}", "foo", 1},	  {"o", "\xffo", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct regex *regex = NULL;
		struct why why = {""};
		assert_int_equal(regex_create(CASES[i].pattern, REGEX_SOMEWHERE, &regex, &why), 0);
		if (regex_match(regex, CASES[i].subject) != CASES[i].matches)
			fail_msg("'%s' in '%s': not %d", CASES[i].pattern, CASES[i].subject, CASES[i].matches);
		regex_destroy(regex);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *pattern, *why;
	} BAD[] = {
		{"(a)\\1", "back references"},	   {"(?=a)", "look-around"},	     {"(?<=a)b", "look-around"},
		{"(?!a)", "look-around"},	   {"(?<!a)b", "look-around"},	     {"(?>a)", "atomic"},
		{"a++", "possessive"},		   {"a*+", "possessive"},	     {"a?+", "possessive"},
		{"a{1,2}+", "possessive"},	   {"(?R)", "conditions"},	     {"(?1)", "conditions"},
		{"(?#x)", "comments"},		   {"(?(1)a|b)(b)", "conditions"},   {"(*ACCEPT)a", "verbs"},
		{"\\Kx", "escape"},		   {"\\R", "escape"},		     {"\\Cx", "escape"},
		{"\\g{1}(a)", "escape"},	   {"\\k<a>(?<a>b)", "escape"},	     {"a{1001}", "1000 repeats"},
		{"a{2,1001}", "1000 repeats"},	   {"(", "(at character "},	     {"[a", "(at character "},
		{"*", "(at character "},	   {"a)", "(at character "},	     {"[b-a]", "(at character "},
		{"(?P<1>a)", "(at character "},	   {"((((a{999}){999}){999}){999})", "(at character "},
	};
	char *longer = calloc(1, REGEX_MAX + 2);
	struct regex *regex = NULL;
	struct why why;

	(void)state;
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		assert_int_equal(regex_create(BAD[i].pattern, i % 2 ? REGEX_SOMEWHERE : REGEX_WHOLE, &regex, &why), -EINVAL);
		if (!strstr(why.text, BAD[i].why) || regex)
			fail_msg("%s: %s", BAD[i].pattern, why.text);
	}
	memset(longer, 'a', REGEX_MAX + 1);
	assert_int_equal(regex_create(longer, REGEX_WHOLE, &regex, &why), -EINVAL);
	free(longer);
}

static void replacements(void **state)
{
	static const struct {
		const char *replacement, *expected;
	} CASES[] = {
		{"$1-$2", "ab-cd"}, {"${1}x", "abx"},	   {"$1x", ""},	  {"$tail", "cd"}, {"${tail}$$1", "cd$1"}, {"$0", "abcd"},
		{"$9", ""},	    {"$3", ""},		   {"$", "$"},	  {"a$-b", "a$-b"}, {"${1", "${1"},	     {"${}", "${}"},
		{"", ""},	    {"${1-}", "${1-}"},	   {"$$", "$"},	  {"$99999999999", ""}, {"$none", ""},
	};
	struct regex *regex = compile("(a.)(?P<tail>..)(e)?");
	char out[64];

	(void)state;
	assert_int_equal(regex_match(regex, "abcd"), 1);
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		int n = regex_expand(regex, "abcd", CASES[i].replacement, out, sizeof(out));
		assert_string_equal(out, CASES[i].expected);
		assert_int_equal(n, strlen(out));
	}
	assert_int_equal(regex_expand(regex, "abcd", "$1$2", out, 5), 4);
	assert_int_equal(regex_expand(regex, "abcd", "$1$2", out, 4), -E2BIG);
	assert_int_equal(regex_expand(regex, "abcd", "xyz", out, 3), -E2BIG);
	regex_destroy(regex);
}

/* Each of these would take a backtracking matcher longer than the age of the universe. */
static void bounded_time(void **state)
{
	static const char *const SLOW[] = {"(a+)+[bc]", "(.*)*[xy]", "(a|a)*[bc]", "(a|aa)+[bc]", "(?:a?){100}[xy]", "(.*)(.*)(.*)(.*)[xy]", "(?:(a+)+[bc]|.*)"};
	const size_t n = sizeof(SLOW) / sizeof(SLOW[0]);
	char *subject = calloc(1, REGEX_SUBJECT_MAX + 2);
	struct timespec begin, end;

	(void)state;
	memset(subject, 'a', 2048);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(matches(SLOW[i], subject), -E2BIG);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	printf("# measured: %.1f ms of CPU each for %zu matches that would never end\n", 1000 * seconds / (double)n, n);
	assert_true(seconds < 10);

	/* Long values are no trouble for sound expressions. */
	assert_int_equal(matches("(.*);(.*)", subject), 0);
	assert_int_equal(matches("[a-z]+(.*)", subject), 1);
	memset(subject, 'a', REGEX_SUBJECT_MAX + 1);
	assert_int_equal(matches("a*", subject), 0);
	subject[REGEX_SUBJECT_MAX] = '\0';
	assert_int_equal(matches("a*", subject), 1);
	free(subject);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_subjects),
		cmocka_unit_test(parts_of_subjects),
		cmocka_unit_test(refused),
		cmocka_unit_test(replacements),
		cmocka_unit_test(bounded_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
