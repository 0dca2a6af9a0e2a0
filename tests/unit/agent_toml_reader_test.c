#include "agent/toml_reader.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"

static struct toml_value *read_good(const char *text)
{
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	struct toml_value *root = NULL;

	if (toml_read(text, strlen(text), problems, &root) != 0)
		fail_msg("'%s': line %u: %s", text, problems->list[0].line, problems->list[0].text);
	return root;
}

/* "a.b.0.c" */
static const struct toml_value *at(const struct toml_value *value, const char *path)
{
	char copy[128], *rest = copy;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *part; (part = strsep(&rest, "."));) {
		if (value->type == TOML_ARRAY) {
			value = value->first;
			for (int i = atoi(part); i > 0; i--)
				value = value->next;
		} else {
			value = toml_find(value, part);
		}
		if (!value)
			fail_msg("no %s", path);
	}
	return value;
}

static void scalars(void **state)
{
	static const struct {
		const char *value, *text;
		enum toml_type type;
	} CASES[] = {
		{"19", "19", TOML_INTEGER},	   {"+1_000", "1000", TOML_INTEGER}, {"-0", "0", TOML_INTEGER},
		{"0xdead_BEEF", "3735928559", TOML_INTEGER}, {"0o17", "15", TOML_INTEGER}, {"0b1_0", "2", TOML_INTEGER},
		{"-9223372036854775808", "-9223372036854775808", TOML_INTEGER}, {"1.5", "1.5", TOML_FLOAT}, {"-2.5e-3", "-0.0025", TOML_FLOAT},
		{"1e1_0", "10000000000", TOML_FLOAT}, {"1_0.0_1", "10.01", TOML_FLOAT}, {"true", "true", TOML_BOOL}, {"false", "false", TOML_BOOL},
		{"\"\"", "", TOML_STRING}, {"''", "", TOML_STRING}, {"'C:\\x'", "C:\\x", TOML_STRING},
		{"\"\\b\\t\\n\\f\\r\\\"\\\\\"", "\b\t\n\f\r\"\\", TOML_STRING}, {"\"\\u00e9\\U0001F600\"", "\xc3\xa9\xf0\x9f\x98\x80", TOML_STRING},
		{"\"\xc3\xa9\"", "\xc3\xa9", TOML_STRING}, {"\"a\tb\"", "a\tb", TOML_STRING}, {"\"\"\"\na\nb\"\"\"", "a\nb", TOML_STRING},
		{"\"\"\"a\\  \n\n   b\"\"\"", "ab", TOML_STRING}, {"\"\"\"a\r\nb\"\"\"", "a\nb", TOML_STRING}, {"\"\"\"\"a\"\"\"\"\"", "\"a\"\"", TOML_STRING},
		{"'''\n\\n'a'''''", "\\n'a''", TOML_STRING}, {"\"\"\"\"\"\"", "", TOML_STRING},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		char text[128];
		snprintf(text, sizeof(text), "a = %s # comment", CASES[i].value);
		struct toml_value *root = read_good(text);
		assert_int_equal(at(root, "a")->type, CASES[i].type);
		assert_string_equal(at(root, "a")->text, CASES[i].text);
		toml_free(root);
	}
	struct toml_value *root = read_good("a = inf\nb = -inf\nc = nan\nd = -5\ne = true");
	assert_true(isinf(at(root, "a")->real) && at(root, "b")->real < 0 && isnan(at(root, "c")->real));
	assert_true(at(root, "d")->integer == -5 && at(root, "e")->flag);
	toml_free(root);
}

static void tables(void **state)
{
	struct toml_value *root = read_good("# first\r\n"
					    "a.b . \"c d\" = 1\r\n"
					    "a.b.e = 2\n"
					    "'' = 3\n"
					    "-1_x = 4\n"
					    "arr = [ 1, [2, 'x'], # in it\n  {y = 1, z.w = 2} ,\n]\n"
					    "[t.u.v]\n"
					    "k = 1\n"
					    "[t]\n"
					    "[ t . w ]\n"
					    "[[s]]\n"
					    "n = 1\n"
					    "[s.sub]\n"
					    "k = 1\n"
					    "[[s.list]]\n"
					    "[[s]]\n"
					    "[[s.list]]\n"
					    "k = 2\n"
					    "[[s.list]]");

	(void)state;
	assert_int_equal(at(root, "a.b.c d")->integer, 1);
	assert_int_equal(at(root, "a.b.c d")->line, 2);
	assert_int_equal(at(root, "a.b.e")->integer, 2);
	assert_int_equal(at(root, "-1_x")->integer, 4);
	assert_int_equal(at(root, "arr.1.0")->integer, 2);
	assert_string_equal(at(root, "arr.1.1")->text, "x");
	assert_int_equal(at(root, "arr.2.z.w")->integer, 2);
	assert_int_equal(at(root, "t.u.v.k")->integer, 1);
	assert_int_equal(at(root, "t.w")->type, TOML_TABLE);
	assert_int_equal(at(root, "s.0.sub.k")->integer, 1);
	assert_int_equal(at(root, "s.1.list.0.k")->integer, 2);
	assert_int_equal(at(root, "s.1.list.1")->line, 21);
	assert_null(toml_find(root, "none"));
	toml_free(root);
	toml_free(NULL);
}

/* Each is wrong in the line that is given. */
static void refused(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *why;
	} BAD[] = {
		{"a", 1, "'=' is missing"}, {"a =", 1, "a value is missing"}, {"= 1", 1, "a key is missing"}, {"a = 1 2", 1, "behind the value"},
		{"\n\na = yes", 3, "'yes' is no number; text is written \"yes\""}, {"a = 01", 1, "no number"}, {"a = 1__0", 1, "no number"},
		{"a = _1", 1, "no number"}, {"a = 1_", 1, "no number"}, {"a = 1.", 1, "no number"}, {"a = .5", 1, "no number"}, {"a = 1e", 1, "no number"},
		{"a = 1._5", 1, "no number"}, {"a = +0x1", 1, "no number"}, {"a = 0x", 1, "no number"}, {"a = 0xg", 1, "no number"}, {"a = 0b2", 1, "no number"},
		{"a = 1.5.5", 1, "no number"}, {"a = ++1", 1, "no number"}, {"a = 9223372036854775808", 1, "64 bits"}, {"a = 0xFFFFFFFFFFFFFFFF", 1, "64 bits"},
		{"a = 1979-05-27", 1, "date or a time"}, {"a = 1979-05-27T07:32:00Z", 1, "date or a time"}, {"a = 07:32:00", 1, "date or a time"},
		{"a = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1, "no number"},
		{"a = \"x", 1, "\" is missing"}, {"a = 'x", 1, "' is missing"}, {"a = \"x\ny\"", 1, "\" is missing"}, {"a = \"\"\"x\n\n", 1, "\"\"\" is missing"},
		{"a = '''x\n\n", 1, "''' is missing"}, {"a = \"\\x\"", 1, "'\\x' is no escape"}, {"a = \"\\u12\"", 1, "4 hex digits"},
		{"a = \"\\U1234567\"", 1, "8 hex digits"}, {"a = \"\\ud800\"", 1, "no character U+D800"}, {"a = \"\\U00110000\"", 1, "no character"},
		{"a = \"\\u0000\"", 1, "no NUL"}, {"a = \"\x01\"", 1, "control character in a string"}, {"a = \"\x7f\"", 1, "control character"},
		{"a = 1 # \x01", 1, "control character in a comment"}, {"a = \"x\ry\"", 1, "\" is missing"}, {"a = 1\rb = 2", 1, "behind the value"},
		{"\"\"\"a\"\"\" = 1", 1, "three quotes"}, {"a. = 1", 1, "a key is missing"}, {".a = 1", 1, "a key is missing"}, {"a b = 1", 1, "'=' is missing"},
		{"a = [1 2]", 1, "a comma or a ]"}, {"a = [1,\n2", 1, "a ] is missing"}, {"a = [,]", 1, "a value is missing"},
		{"a = {x = 1", 1, "a comma or a }"}, {"a = {x = 1,}", 1, "a key is missing"}, {"a = {x = 1\n}", 1, "a comma or a }"}, {"a = {,}", 1, "a key is missing"},
		{"[a", 1, "] is missing"}, {"[[a]", 1, "]] is missing"}, {"[]", 1, "a key is missing"}, {"[a] x", 1, "behind the value"}, {"[ [a]]", 1, "a key is missing"},
		{"a = 1\nb = 2\na = 3", 3, "'a' is set a second time; the first time was in line 1"}, {"a = {x = 1, x = 2}", 1, "'x' is set a second time"},
		{"[a]\n[a]", 2, "'a' is set a second time"}, {"a = 1\n[a]", 2, "'a' is set a second time"}, {"a.b = 1\n[a]", 2, "'a' is set a second time"},
		{"[a.b]\n[a]\nb.c = 1", 3, "nothing can be added"}, {"a = {}\n[a.b]", 2, "was set to {...} in line 1"}, {"a = {}\na.b = 1", 2, "nothing can be added"},
		{"a = 1\n[a.b]", 2, "was set to a number in line 1"}, {"a = 1\na.b = 1", 2, "nothing can be added"}, {"a = [1]\n[[a]]", 2, "'a' is set a second time"},
		{"[a]\n[[a]]", 2, "'a' is set a second time"}, {"[[a]]\n[a]", 2, "write [[a]]"}, {"a = [{}]\n[a.b]", 2, "was set to an array"},
		{"a.b = 1\n[c]\n[x]\n[a.d]\n[a]", 5, "'a' is set a second time"}, {"[[a.b]]\n[a]\nb.c = 1", 3, "nothing can be added"},
		{"a = \"\xff\"", 1, "not UTF-8"}, {"a = 1\nb = 2 # \xc3", 2, "not UTF-8"}, {"a = [\n1,\n2 3,\n4]\nb = 1", 3, "a comma or a ]"},
		{"[a\nx = 1\nx = 2", 1, "] is missing"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
		struct toml_value *root = NULL;
		assert_int_equal(toml_read(BAD[i].text, strlen(BAD[i].text), problems, &root), -EBADMSG);
		if (problems->list[0].line != BAD[i].line || !strstr(problems->list[0].text, BAD[i].why))
			fail_msg("'%s': %zu, line %u: %s", BAD[i].text, problems->n, problems->list[0].line, problems->list[0].text);
		toml_free(root);
	}
}

/* One error does not hide the next, nor what is good. */
static void goes_on(void **state)
{
	static const char TEXT[] = "a = yes\nb = 1\nc = [1,\n 2 3,\n 4,\n]\nd = 2\n[e\nf = 1\n[g]\nh = \"x\ni = 3\n";
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	struct toml_value *root = NULL;

	(void)state;
	assert_int_equal(toml_read(TEXT, strlen(TEXT), problems, &root), -EBADMSG);
	assert_int_equal(problems->n, 4);
	assert_int_equal(problems->list[1].line, 4);
	assert_int_equal(problems->list[3].line, 11);
	assert_true(at(root, "a")->is_broken && at(root, "c")->is_broken && at(root, "g.h")->is_broken);
	assert_int_equal(at(root, "b")->integer, 1);
	assert_int_equal(at(root, "d")->integer, 2);
	assert_int_equal(at(root, "g.i")->integer, 3);
	assert_null(toml_find(root, "f")); /* it belongs to a header that was wrong */
	toml_free(root);
}

static void repeat(char *out, const char *what, size_t times)
{
	for (size_t i = 0; i < times; i++)
		memcpy(out + i * strlen(what), what, strlen(what));
	out[times * strlen(what)] = '\0';
}

static void limits(void **state)
{
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	AUTO_FREE char *text = malloc(TOML_BYTES_MAX + 2);
	static const struct {
		const char *begin, *what;
		size_t times;
		const char *why;
	} CASES[] = {
		{"", "#", TOML_BYTES_MAX + 1, "more than 1048576 bytes"},
		{"a = ", "[", 100000, "deep in each other"},
		{"a = ", "{a=", 100000, "deep in each other"},
		{"a", ".a", 100000, "more than 32 parts"},
		{"", "a", 256, "more than 255 bytes"},
		{"a = [", "1,", 100000, "more than 5000 values"},
		{"", "x\n", 1000, "is missing"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct toml_value *root = NULL;
		memset(problems, 0, sizeof(*problems));
		memcpy(text, CASES[i].begin, strlen(CASES[i].begin));
		repeat(text + strlen(CASES[i].begin), CASES[i].what, CASES[i].times);
		assert_int_equal(toml_read(text, strlen(text), problems, &root), -EBADMSG);
		if (!strstr(problems->list[0].text, CASES[i].why))
			fail_msg("%zu: %s", i, problems->list[0].text);
		toml_free(root);
	}
	assert_int_equal(problems->n, CONFIG_PROBLEMS_MAX);
	assert_int_equal(problems->more, 1000 - CONFIG_PROBLEMS_MAX);
}

/* Cut anywhere: a problem or none, never more than that. Under sanitizers. */
static void cut(void **state)
{
	static const char TEXT[] = "a = \"x\\u00e9\"\nb = '''y\n'''\nc = [1, {d = 2.5e1}]\n[e.f]\n\"g\" = 0x1F # h\n[[i]]\nj.k = \"\"\"l\\\n \"\"\"\n";

	(void)state;
	for (size_t n = 0; n < sizeof(TEXT); n++) {
		AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
		AUTO_FREE char *copy = malloc(n ? n : 1);
		struct toml_value *root = NULL;
		memcpy(copy, TEXT, n);
		int err = toml_read(copy, n, problems, &root);
		assert_true(err == 0 ? problems->n == 0 : problems->n > 0);
		toml_free(root);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars), cmocka_unit_test(tables), cmocka_unit_test(refused),
		cmocka_unit_test(goes_on), cmocka_unit_test(limits), cmocka_unit_test(cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
