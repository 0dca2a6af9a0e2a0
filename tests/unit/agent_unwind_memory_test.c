/* Chunks on demand, ranges that are used again only when nobody reads them, and a budget that holds. */
#include "agent/unwind_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

#define MIB (1ull << 20)

struct source {
	uint32_t out; /* chunks */
	uint32_t fail_at;
	uint8_t owner[8][UNWIND_CHUNK_BYTES / 64]; /* of each 64 bytes; 0: free */
};

static int create_chunk(void *context, uint32_t index, void **at_out)
{
	struct source *source = context;

	if (index == source->fail_at)
		return -EPERM;
	assert_int_equal(index, source->out);
	source->out++;
	*at_out = malloc(UNWIND_CHUNK_BYTES + UNWIND_CHUNK_SLACK);
	return *at_out ? 0 : -ENOMEM;
}

static void destroy_chunk(void *context, uint32_t index, void *at)
{
	struct source *source = context;

	(void)index;
	source->out--;
	free(at);
}

static struct source source;
static struct unwind_memory *memory;

static void begin(uint64_t budget)
{
	struct unwind_chunk_source chunks = {create_chunk, destroy_chunk, &source};

	memset(&source, 0, sizeof(source));
	source.fail_at = UINT32_MAX;
	assert_int_equal(unwind_memory_create(budget, &chunks, &memory), 0);
}

static void end(void)
{
	unwind_memory_destroy(memory);
	assert_int_equal(source.out, 0);
}

static void chunks_come_on_demand(void **state)
{
	struct unwind_range range;

	(void)state;
	begin(3 * MIB + 77);
	assert_int_equal(unwind_memory_budget(memory), 3 * MIB);
	assert_int_equal(unwind_memory_allocated(memory), 0);
	assert_null(unwind_memory_at(memory, 0, 0));
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(unwind_memory_alloc(memory, UNWIND_CHUNK_BYTES, &range), 0);
		assert_int_equal(range.chunk, i);
		assert_int_equal(source.out, i + 1);
		memset(unwind_memory_at(memory, range.chunk, range.offset), 1, range.bytes);
	}
	assert_int_equal(unwind_memory_alloc(memory, 1, &range), -ENOSPC);
	assert_int_equal(unwind_memory_alloc(memory, UNWIND_CHUNK_BYTES + 1, &range), -E2BIG);
	assert_int_equal(unwind_memory_used(memory), 3 * MIB);
	end();
	begin(0);
	assert_int_equal(unwind_memory_budget(memory), MIB);
	end();
}

static void a_range_waits_until_it_is_settled(void **state)
{
	struct unwind_range all, again;

	(void)state;
	begin(MIB);
	assert_int_equal(unwind_memory_alloc(memory, UNWIND_CHUNK_BYTES, &all), 0);
	assert_true(unwind_memory_is_settled(memory));
	unwind_memory_free(memory, &all);
	assert_false(unwind_memory_is_settled(memory));
	assert_int_equal(unwind_memory_used(memory), MIB);
	assert_int_equal(unwind_memory_alloc(memory, 64, &again), -ENOSPC);
	unwind_memory_settle(memory);
	assert_true(unwind_memory_is_settled(memory));
	assert_int_equal(unwind_memory_used(memory), 0);
	assert_int_equal(unwind_memory_alloc(memory, 64, &again), 0);
	end();
}

static void the_chunk_source_may_fail(void **state)
{
	struct unwind_range range;

	(void)state;
	begin(4 * MIB);
	source.fail_at = 1;
	assert_int_equal(unwind_memory_alloc(memory, UNWIND_CHUNK_BYTES, &range), 0);
	assert_int_equal(unwind_memory_alloc(memory, 64, &range), -EPERM);
	assert_int_equal(unwind_memory_allocated(memory), MIB);
	source.fail_at = UINT32_MAX;
	assert_int_equal(unwind_memory_alloc(memory, 64, &range), 0);
	end();
}

static void holes_join(void **state)
{
	static const int ORDERS[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {0, 2, 1, 3}, {1, 3, 0, 2}, {0, 3, 1, 2}};
	struct unwind_range ranges[4], whole;

	(void)state;
	for (size_t i = 0; i < sizeof(ORDERS) / sizeof(ORDERS[0]); i++) {
		begin(MIB);
		for (int j = 0; j < 4; j++)
			assert_int_equal(unwind_memory_alloc(memory, UNWIND_CHUNK_BYTES / 4, &ranges[j]), 0);
		for (int j = 0; j < 4; j++) {
			unwind_memory_free(memory, &ranges[ORDERS[i][j]]);
			unwind_memory_settle(memory);
		}
		assert_int_equal(unwind_memory_alloc(memory, UNWIND_CHUNK_BYTES, &whole), 0);
		end();
	}
}

static uint32_t seed = 12345;

static uint32_t next_random(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)seed * below >> 32);
}

static void mark(const struct unwind_range *range, uint8_t from, uint8_t to)
{
	assert_int_equal(range->offset % 64, 0);
	assert_int_equal(range->bytes % 64, 0);
	assert_true(range->offset + range->bytes <= UNWIND_CHUNK_BYTES);
	for (uint32_t at = range->offset / 64; at < (range->offset + range->bytes) / 64; at++) {
		assert_int_equal(source.owner[range->chunk][at], from);
		source.owner[range->chunk][at] = to;
	}
}

#define RANGES 300

/* Against a model that knows the owner of each 64 bytes: no range overlaps another, a range that waits included. */
static void random_ranges_never_overlap(void **state)
{
	struct unwind_range held[RANGES], waiting[4096];
	bool is_held[RANGES] = {false};
	size_t n_waiting = 0;
	uint64_t used = 0;

	(void)state;
	begin(4 * MIB);
	for (int step = 0; step < 20000; step++) {
		uint32_t i = next_random(RANGES);
		if (is_held[i]) {
			unwind_memory_free(memory, &held[i]);
			mark(&held[i], 1, 2);
			waiting[n_waiting++] = held[i];
			is_held[i] = false;
		} else if (unwind_memory_alloc(memory, next_random(40000), &held[i]) == 0) {
			mark(&held[i], 0, 1);
			used += held[i].bytes;
			is_held[i] = true;
		}
		if (next_random(50) == 0 || n_waiting == 4096) {
			unwind_memory_settle(memory);
			while (n_waiting) {
				mark(&waiting[--n_waiting], 2, 0);
				used -= waiting[n_waiting].bytes;
			}
		}
		assert_int_equal(unwind_memory_used(memory), used);
		assert_true(unwind_memory_allocated(memory) <= 4 * MIB);
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_come_on_demand),
		cmocka_unit_test(a_range_waits_until_it_is_settled),
		cmocka_unit_test(the_chunk_source_may_fail),
		cmocka_unit_test(holes_join),
		cmocka_unit_test(random_ranges_never_overlap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
