#include "base/text_clean.h"

#include <string.h>

#include "tests/unit/cmocka_prelude.h"

/* Each byte value at each place of a text: what is looked at by words answers as what is looked at by bytes. */
static void each_byte_at_each_place(void **state)
{
	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		for (size_t bytes = 1; bytes < 40; bytes++) {
			for (size_t at = 0; at < bytes; at++) {
				char text[40];
				memset(text, 'a' + (int)(bytes % 20), bytes);
				text[at] = (char)byte;
				bool printable = byte >= 0x20 && byte < 0x7f;
				assert_int_equal(text_is_clean(text, bytes), printable);
				assert_int_equal(text_is_utf8(text, bytes), byte < 0x80);
			}
		}
	}
}

static void characters(void **state)
{
	static const char *const CLEAN[] = {"", "a", "12345678", "caf\xc3\xa9", "12345678\xe2\x82\xac", "\xf0\x9f\x98\x80 and more text"};
	static const char *const UNCLEAN[] = {"1234567\x7f", "12345678\x1f", "\xc2\x85 next line", "\xe2\x80\xae override", "\xed\xa0\x80", "\xc0\x80",
					      "12345678\xe2\x82", "\xf4\x90\x80\x80"};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(CLEAN) / sizeof(CLEAN[0]); i++) {
		assert_true(text_is_clean(CLEAN[i], strlen(CLEAN[i])));
		assert_int_equal(text_clean(CLEAN[i], strlen(CLEAN[i]), out, sizeof(out)), strlen(CLEAN[i]));
		assert_string_equal(out, CLEAN[i]);
	}
	for (size_t i = 0; i < sizeof(UNCLEAN) / sizeof(UNCLEAN[0]); i++) {
		assert_false(text_is_clean(UNCLEAN[i], strlen(UNCLEAN[i])));
		size_t n = text_clean(UNCLEAN[i], strlen(UNCLEAN[i]), out, sizeof(out));
		assert_true(text_is_clean(out, n));
	}
}

/* Whatever room there is, whole characters, and as many as fit. */
static void any_room(void **state)
{
	static const char TEXT[] = "a plain beginning, \xd0\x96\x01\xff and a plain end";
	static const char CLEAN[] = "a plain beginning, \xd0\x96?\xef\xbf\xbd and a plain end";
	char out[sizeof(CLEAN) + 8];

	(void)state;
	for (size_t room = 1; room <= sizeof(out); room++) {
		memset(out, 'x', sizeof(out));
		size_t n = text_clean(TEXT, strlen(TEXT), out, room);
		size_t most = room - 1 < strlen(CLEAN) ? room - 1 : strlen(CLEAN);
		assert_true(n <= most && n + 3 > most);
		assert_int_equal(out[n], 0);
		assert_memory_equal(out, CLEAN, n);
		assert_true(text_is_utf8(out, n));
	}
	assert_int_equal(text_clean(TEXT, strlen(TEXT), out, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_byte_at_each_place),
		cmocka_unit_test(characters),
		cmocka_unit_test(any_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
