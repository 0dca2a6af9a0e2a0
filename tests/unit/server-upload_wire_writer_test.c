#include <errno.h>
#include <stdlib.h>

#include "server-upload/wire_writer.h"
#include "tests/unit/wire_reader.h"

static void test_numbers(void **state)
{
	static const uint64_t values[] = {1, 127, 128, 300, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};
	AUTO_WIRE struct wire w = {0};
	struct wire_field field;

	(void)state;
	wire_number(&w, 1, 0);
	assert_int_equal(w.n, 0);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		size_t before = w.n;
		wire_number(&w, 3, values[i]);
		assert_int_equal(w.n - before, 1 + wire_varint_size(values[i]));
		wire_fixed64(&w, 20, values[i]);
	}
	struct wire_reader r = read_bytes(w.bytes, w.n);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		assert_true(read_next(&r, &field));
		assert_true(field.number == 3 && field.value == values[i]);
		assert_true(read_next(&r, &field));
		assert_true(field.number == 20 && field.value == values[i]);
	}
	assert_false(read_next(&r, &field));
}

/* The length of a message takes as many bytes as it needs, and those outside of it are still right. */
static void test_nested(void **state)
{
	static const size_t sizes[] = {0, 1, 127 - 2, 128 - 2, 16383 - 3, 16384 - 3, 1 << 21, 3 << 20};
	uint8_t *content = calloc(1, 4 << 20);

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		AUTO_WIRE struct wire w = {0};
		struct wire_field outer, inner, leaf, tail;
		wire_text(&w, 1, "before");
		size_t a = wire_open(&w, 2), b = wire_open(&w, 3);
		wire_bytes(&w, 4, content, sizes[i]);
		wire_close(&w, b);
		wire_number(&w, 5, 77);
		wire_close(&w, a);
		wire_text(&w, 6, "");
		assert_int_equal(wire_error(&w), 0);
		struct wire_reader r = read_bytes(w.bytes, w.n);
		assert_true(read_next(&r, &outer) && field_is(&outer, "before"));
		assert_true(read_next(&r, &outer) && outer.number == 2);
		assert_true(read_next(&r, &tail) && tail.number == 6 && field_is(&tail, ""));
		assert_false(read_next(&r, &tail));
		r = read_field(&outer);
		assert_true(read_next(&r, &inner) && inner.number == 3);
		assert_true(read_next(&r, &leaf) && leaf.number == 5 && leaf.value == 77);
		r = read_field(&inner);
		assert_true(read_next(&r, &leaf) && leaf.number == 4 && leaf.n == sizes[i]);
	}
	free(content);
}

static void test_too_much(void **state)
{
	AUTO_WIRE struct wire w = {0};

	(void)state;
	wire_text(&w, 1, "x");
	wire_bytes(&w, 2, "", WIRE_BYTES_MAX);
	assert_int_equal(wire_error(&w), -E2BIG);
	wire_number(&w, 3, 1);
	assert_int_equal(wire_error(&w), -E2BIG);
	wire_reset(&w);
	wire_number(&w, 3, 1);
	assert_int_equal(wire_error(&w), 0);
	assert_int_equal(w.n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_nested), cmocka_unit_test(test_too_much)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
