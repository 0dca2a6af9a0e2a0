#include "agent/text_columns.h"

#include <locale.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

static void check(const char *text, size_t columns, bool is_utf8, const char *wanted, size_t wanted_columns)
{
	char out[256];

	assert_int_equal(text_columns(text, columns, is_utf8, out, sizeof(out)), wanted_columns);
	assert_string_equal(out, wanted);
}

static void plain(void **state)
{
	(void)state;
	check("name", 10, true, "name", 4);
	check("name", 4, true, "name", 4);
	check("names", 4, true, "nam~", 4);
	check("names", 1, true, "~", 1);
	check("names", 0, true, "", 0);
	check("", 5, true, "", 0);
	check("a\x1b[31m\tb\x7f", 20, true, "a?[31m?b?", 9);
}

static void wide_letters(void **state)
{
	(void)state;
	check("中文", 4, true, "中文", 4);
	check("中文", 3, true, "中~", 3);
	check("中文", 2, true, "~", 1);
	check("中文x", 4, true, "中~", 3);
	check("é", 1, true, "é", 1);
	check("中é", 10, false, "??", 2);
	check("a中", 1, true, "~", 1);
}

static void without_width(void **state)
{
	(void)state;
	check("e\xcc\x81\xcc\x81\xcc\x81\xcc\x81x", 10, true, "e\xcc\x81\xcc\x81x", 2);
	check("\xcc\x81x", 10, true, "x", 1); /* on nothing */
	check("a\xe2\x80\xae" "b\xe2\x80\x8d\xef\xb8\x8f" "c", 10, true, "abc", 3);
	check("a\xc2\xad" "b", 10, true, "ab", 2);
	check("a\xc2\x9b" "b", 10, true, "a?b", 3);
	check("e\xcc\x81", 10, false, "e?", 2);
}

static void no_utf8(void **state)
{
	(void)state;
	check("a\xff" "b", 10, true, "a?b", 3);
	check("a\xe4\xb8", 10, true, "a??", 3);
	check("\xf0\x9f\x98", 10, true, "???", 3);
}

static void small_buffers(void **state)
{
	char out[6];

	(void)state;
	for (size_t bytes = 0; bytes <= sizeof(out); bytes++) {
		memset(out, 'z', sizeof(out));
		size_t columns = text_columns("中文 name", 20, true, out, bytes);
		assert_true(columns <= 5);
		if (bytes)
			assert_true(strlen(out) < bytes);
		for (size_t i = bytes; i < sizeof(out); i++)
			assert_int_equal(out[i], 'z');
	}
	assert_int_equal(text_columns("x", 5000, true, out, sizeof(out)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain), cmocka_unit_test(wide_letters), cmocka_unit_test(without_width), cmocka_unit_test(no_utf8), cmocka_unit_test(small_buffers),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
