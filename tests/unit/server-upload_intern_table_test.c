#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server-upload/intern_table.h"
#include "server-upload/wire_writer.h"
#include "tests/unit/cmocka_prelude.h"

static uint32_t put(struct intern_table *t, const char *text)
{
	int64_t number = intern_table_put(t, text, strlen(text));

	assert_true(number >= 0);
	return (uint32_t)number;
}

static void test_each_once(void **state)
{
	struct intern_table t = {.seed = 7};
	char text[32];
	size_t n;

	(void)state;
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 5000; i++) {
			snprintf(text, sizeof(text), "%.*s%u", (int)(i % 9), "padpadpad", i);
			assert_int_equal(put(&t, text), i);
		}
	assert_int_equal(t.n, 5000);
	assert_int_equal(put(&t, ""), 5000);
	assert_int_equal(put(&t, ""), 5000);
	assert_string_equal(intern_table_get(&t, 5000, &n), "");
	assert_int_equal(n, 0);
	assert_string_equal(intern_table_get(&t, 12, &n), "pad12");
	assert_int_equal(n, 5);
	assert_int_equal((uintptr_t)intern_table_get(&t, 13, NULL) % 8, 0);
	intern_table_deinit(&t);
}

/* What is cut is forgotten, what is left is still found, and numbers go on from there: also when the table grew in between. */
static void test_cut(void **state)
{
	struct intern_table t = {.seed = 1};
	AUTO_WIRE struct wire w = {0};
	char text[300];

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		memset(text, 'a' + (int)(i % 26), sizeof(text));
		snprintf(text + i % 250, sizeof(text) - i % 250, "%u", i);
		put(&t, text);
		if (i % 7 == 6) {
			uint32_t before = t.n;
			size_t bytes = t.wire_bytes;
			for (unsigned k = 0; k < i % 101; k++) {
				snprintf(text, sizeof(text), "away %u", k);
				assert_int_equal(put(&t, text), before + k);
			}
			intern_table_cut(&t, before);
			assert_int_equal(t.wire_bytes, bytes);
		}
	}
	assert_int_equal(t.n, 3000);
	for (unsigned i = 0; i < 3000; i++) {
		size_t n;
		const char *known = intern_table_get(&t, i, &n);
		assert_int_equal(intern_table_put(&t, known, n), i);
		wire_bytes(&w, 15, known, n);
	}
	assert_int_equal(w.n, t.wire_bytes);
	intern_table_cut(&t, 0);
	assert_int_equal(t.wire_bytes, 0);
	assert_int_equal(put(&t, "first"), 0);
	intern_table_deinit(&t);
}

static void test_too_long(void **state)
{
	struct intern_table t = {.seed = 1};

	(void)state;
	assert_int_equal(intern_table_put(&t, "", (size_t)2 << 30), -E2BIG);
	intern_table_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_once), cmocka_unit_test(test_cut), cmocka_unit_test(test_too_long)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
