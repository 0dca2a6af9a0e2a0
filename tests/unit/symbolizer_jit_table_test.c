/* symbolizer/jit_ranges.c and jit_table.c: beside a plain model, moves, times, limits. */
#include "symbolizer/jit_ranges.h"
#include "symbolizer/jit_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

#define SPACE 4096

static void like_a_painted_array(void **state)
{
	static uint32_t model[SPACE];
	unsigned seed = 7;

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct jit_ranges r = {0};
		memset(model, 0, sizeof(model));
		unsigned longest = round % 3 == 0 ? 8 : round % 3 == 1 ? 60 : 3000;
		for (uint32_t put = 1; put < 3000; put++) {
			uint32_t start = (uint32_t)rand_r(&seed) % (SPACE - longest), bytes = 1 + (uint32_t)rand_r(&seed) % longest;
			assert_int_equal(jit_ranges_put(&r, start, bytes, put), 0);
			for (uint32_t i = start; i < start + bytes; i++)
				model[i] = put;
		}
		size_t n = 0;
		for (uint32_t pc = 0; pc < SPACE; pc++) {
			const struct jit_range *range = jit_ranges_find(&r, pc);
			assert_int_equal(range ? range->code : 0, model[pc]);
			n += range && range->start == pc;
		}
		assert_int_equal(n, r.n);
		jit_ranges_clear(&r);
	}
}

static void in_order_and_all_hidden_at_once(void **state)
{
	struct jit_ranges r = {0};

	(void)state;
	for (uint64_t i = 0; i < 200000; i++)
		assert_int_equal(jit_ranges_put(&r, 0x1000 + 16 * i, 16, (uint32_t)i), 0);
	assert_int_equal(r.n, 200000);
	assert_true(jit_ranges_bytes(&r) < 200000 * 17); /* blocks are full */
	assert_int_equal(jit_ranges_find(&r, 0x1000 + 16 * 12345 + 15)->code, 12345);
	assert_int_equal(jit_ranges_put(&r, 0x1008, 199999 * 16, 7), 0);
	assert_int_equal(r.n, 3);
	assert_int_equal(jit_ranges_find(&r, 0x1007)->code, 0);
	assert_int_equal(jit_ranges_find(&r, 0x1008)->code, 7);
	assert_int_equal(jit_ranges_find(&r, 0x1000 + 16 * 199999 + 8)->code, 199999);
	assert_null(jit_ranges_find(&r, 0x1000 + 16 * 200000));
	jit_ranges_clear(&r);
	assert_null(jit_ranges_find(&r, 0x1008));
}

static void edges(void **state)
{
	struct jit_ranges r = {0};

	(void)state;
	assert_null(jit_ranges_find(&r, 0));
	assert_int_equal(jit_ranges_put(&r, 5, 0, 1), -EINVAL);
	assert_int_equal(jit_ranges_put(&r, UINT64_MAX - 3, 4, 1), -EINVAL);
	assert_int_equal(jit_ranges_put(&r, UINT64_MAX - 4, 4, 1), 0);
	assert_int_equal(jit_ranges_put(&r, 0, UINT32_MAX, 2), 0);
	assert_int_equal(jit_ranges_find(&r, UINT64_MAX - 1)->code, 1);
	assert_null(jit_ranges_find(&r, UINT64_MAX));
	assert_int_equal(jit_ranges_find(&r, 0)->code, 2);
	for (uint64_t i = 0; r.n + 2 <= JIT_RANGES_MAX; i++)
		assert_int_equal(jit_ranges_put(&r, (1ull << 33) + 2 * i, 1, 3), 0);
	assert_int_equal(jit_ranges_put(&r, 7, 1, 4), -E2BIG);
	assert_int_equal(jit_ranges_find(&r, 7)->code, 2);
	jit_ranges_clear(&r);
}

static int load(struct jit_table *t, uint64_t time_ns, uint64_t start, uint32_t bytes, const char *name)
{
	return jit_table_load(t, time_ns, start, bytes, name, strlen(name), NULL, 0);
}

static const char *name_at(struct jit_table *t, uint64_t pc)
{
	struct jit_match match;

	return jit_table_find(t, pc, &match) == 0 ? match.name : "-";
}

static void code_has_its_time(void **state)
{
	struct jit_table *t;

	(void)state;
	assert_int_equal(jit_table_create(&t), 0);
	assert_int_equal(load(t, 100, 0x1000, 64, "first"), 0);
	assert_int_equal(load(t, 200, 0x1000, 64, "second"), 0);
	assert_int_equal(jit_table_move(t, 300, 0x1000, 0x2000, 64), 0);
	assert_int_equal(load(t, 50, 0x1000, 64, "late"), 0); /* counts as 300 */
	assert_int_equal(jit_table_move(t, 300, 0x9000, 0xa000, 64), 0); /* nothing is there */
	assert_string_equal(name_at(t, 0x1000), "-");
	jit_table_advance(t, 150);
	assert_string_equal(name_at(t, 0x1000), "first");
	jit_table_advance(t, 299);
	assert_string_equal(name_at(t, 0x103f), "second");
	assert_string_equal(name_at(t, 0x1040), "-");
	assert_string_equal(name_at(t, 0x2000), "-");
	jit_table_advance(t, UINT64_MAX);
	assert_string_equal(name_at(t, 0x2000), "second");
	assert_string_equal(name_at(t, 0x1000), "late");
	assert_string_equal(name_at(t, 0xa000), "-");
	assert_int_equal(jit_table_lost(t), 0);
	jit_table_clear(t);
	assert_string_equal(name_at(t, 0x2000), "-");
	jit_table_destroy(t);
	jit_table_destroy(NULL);
}

static void lines_go_with_the_code(void **state)
{
	struct jit_table *t;
	struct jit_match match;

	(void)state;
	assert_int_equal(jit_table_create(&t), 0);
	int64_t file = jit_table_text(t, "a.js", 4);
	assert_true(file > 0);
	assert_int_equal(jit_table_text(t, "a.js and more", 4), file);
	assert_int_equal(jit_table_text(t, "", 0), 0);
	struct jit_line lines[] = {{4, 10, (uint32_t)file}, {8, 11, (uint32_t)file}};
	assert_int_equal(jit_table_load(t, 0, 0x1000, 16, "f", 1, lines, 2), 0);
	assert_int_equal(jit_table_find(t, 0x1003, &match), 0);
	assert_string_equal(match.file, "");
	assert_int_equal(jit_table_find(t, 0x1007, &match), 0);
	assert_string_equal(match.file, "a.js");
	assert_int_equal(match.line, 10);
	assert_int_equal(jit_table_move(t, 0, 0x1000, 0x8000, 16), 0);
	assert_int_equal(jit_table_find(t, 0x800f, &match), 0);
	assert_int_equal(match.line, 11);
	assert_int_equal(match.start, 0x8000);
	assert_int_equal(match.end, 0x8010);
	jit_table_destroy(t);
}

static void names_are_kept_once_and_cut(void **state)
{
	static char name[2 * JIT_NAME_MAX];
	struct jit_table *t;

	(void)state;
	assert_int_equal(jit_table_create(&t), 0);
	size_t before = 0;
	for (uint64_t i = 0; i < 100000; i++) {
		assert_int_equal(load(t, 0, 0x1000 + (i & 255) * 16, 16, i & 1 ? "odd" : "even"), 0);
		if (i == 1000)
			before = jit_table_bytes(t);
	}
	assert_int_equal(jit_table_bytes(t), before);
	memset(name, 'n', sizeof(name) - 1);
	assert_int_equal(load(t, 0, 1, 1, name), 0);
	assert_int_equal(strlen(name_at(t, 1)), JIT_NAME_MAX);
	assert_int_equal(jit_table_load(t, 0, 2, 1, "ab\0cd", 5, NULL, 0), 0);
	assert_string_equal(name_at(t, 2), "ab");
	assert_int_equal(load(t, 0, 2, 0, "empty"), -EINVAL);
	assert_int_equal(load(t, 0, 2, 1, ""), -EINVAL);
	assert_int_equal(load(t, 0, UINT64_MAX, 1, "wrap"), -EINVAL);
	assert_int_equal(jit_table_move(t, 0, 1, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(jit_table_move(t, 0, 1, 5, 0), -EINVAL);
	jit_table_destroy(t);
}

static void limits(void **state)
{
	static char name[JIT_NAME_MAX];
	struct jit_table *t;
	int err = 0;

	(void)state;
	assert_int_equal(jit_table_create(&t), 0);
	memset(name, 'n', sizeof(name) - 1);
	for (unsigned i = 0; err == 0; i++) {
		snprintf(name, 16, "%08x", i);
		name[8] = 'n';
		err = load(t, 0, i, 1, name);
	}
	assert_int_equal(err, -E2BIG);
	assert_int_equal(load(t, 0, 0, 1, "00000001"), 0); /* a short one fits still */
	assert_true(jit_table_bytes(t) <= JIT_TABLE_MAX_BYTES);
	jit_table_clear(t);
	err = 0;
	for (unsigned i = 0; err == 0; i++) {
		snprintf(name, sizeof(name), "%x", i);
		err = load(t, 0, i, 1, name);
	}
	assert_int_equal(err, -E2BIG);
	assert_true(jit_table_bytes(t) < JIT_TABLE_MAX_BYTES + JIT_TABLE_MAX_BYTES / 2);
	jit_table_clear(t);
	/* What waits for its time is let go before there is too much of it. */
	for (uint64_t i = 0; i < 3 * JIT_EVENTS_MAX; i++)
		assert_int_equal(load(t, 1000 + i, 16 * (i & 1023), 16, i & 1 ? "odd" : "even"), 0);
	assert_true(jit_table_bytes(t) < JIT_TABLE_MAX_BYTES);
	assert_string_equal(name_at(t, 16), "odd");
	jit_table_advance(t, UINT64_MAX);
	assert_int_equal(jit_table_lost(t), 0);
	jit_table_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_a_painted_array),
		cmocka_unit_test(in_order_and_all_hidden_at_once),
		cmocka_unit_test(edges),
		cmocka_unit_test(code_has_its_time),
		cmocka_unit_test(lines_go_with_the_code),
		cmocka_unit_test(names_are_kept_once_and_cut),
		cmocka_unit_test(limits),
	};
	return cmocka_run_group_tests_name("symbolizer/jit_table", tests, NULL, NULL);
}
