#include "agent/frame_cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"

static struct frame_cache *create(uint64_t budget)
{
	struct frame_cache *c = NULL;

	assert_int_equal(frame_cache_create(budget, &c), 0);
	return c;
}

static struct frame_cache_stats stats_of(const struct frame_cache *c)
{
	struct frame_cache_stats stats;

	frame_cache_stats(c, &stats);
	return stats;
}

static void add(struct frame_cache *c, uint64_t image, uint64_t serial, uint64_t vaddr, size_t n)
{
	struct frame_key key = {image, serial, vaddr};
	struct symbolizer_frame frames[8];
	char names[8][64];

	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "function_%llu_%zu", (unsigned long long)vaddr / 16, i);
		frames[i] = (struct symbolizer_frame){.name = names[i], .system_name = names[i], .file = "/src/file.c", .line = (int64_t)vaddr, .start_line = 7};
	}
	frame_cache_add(c, &key, frames, n);
	memset(names, 'X', sizeof(names)); /* they were copied */
}

/* -1: not found; else the number of frames, which are as add() made them. */
static int find(struct frame_cache *c, uint64_t image, uint64_t serial, uint64_t vaddr)
{
	struct frame_key key = {image, serial, vaddr};
	const struct symbolizer_frame *frames;
	char name[64];
	size_t n;

	if (!frame_cache_find(c, &key, &frames, &n))
		return -1;
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "function_%llu_%zu", (unsigned long long)vaddr / 16, i);
		assert_string_equal(frames[i].name, name);
		assert_string_equal(frames[i].system_name, name);
		assert_string_equal(frames[i].file, "/src/file.c");
		assert_int_equal(frames[i].line, vaddr);
		assert_int_equal(frames[i].start_line, 7);
	}
	return (int)n;
}

static void finds_what_was_added(void **state)
{
	struct frame_cache *c = create(1 << 20);

	(void)state;
	assert_int_equal(find(c, 1, 0, 100), -1);
	add(c, 1, 0, 100, 3);
	add(c, 1, 0, 200, 0);
	assert_int_equal(find(c, 1, 0, 100), 3);
	assert_int_equal(find(c, 1, 0, 200), 0);
	assert_int_equal(find(c, 2, 0, 100), -1);
	/* A table arrived: what was said before it does not count. */
	assert_int_equal(find(c, 1, 9, 100), -1);
	add(c, 1, 9, 100, 5);
	assert_int_equal(find(c, 1, 9, 100), 5);
	/* The first answer stays. */
	add(c, 1, 9, 100, 2);
	assert_int_equal(find(c, 1, 9, 100), 5);
	assert_int_equal(stats_of(c).entries, 3);
	assert_int_equal(stats_of(c).hits, 4);
	assert_int_equal(stats_of(c).misses, 3);
	frame_cache_destroy(c);
	frame_cache_destroy(NULL);
}

static void within_its_budget(void **state)
{
	static const uint64_t BUDGETS[] = {FRAME_CACHE_BYTES_MIN, 1 << 20, 3000000};

	(void)state;
	for (size_t b = 0; b < 3; b++) {
		struct frame_cache *c = create(BUDGETS[b]);
		for (uint64_t i = 0; i < 100000; i++) {
			add(c, 1, 0, i, i % 5);
			if (i % 500 == 0)
				assert_true(stats_of(c).bytes <= BUDGETS[b]);
			/* What is asked for stays, whatever else comes and goes. */
			if (i % 20 == 19)
				assert_int_equal(find(c, 1, 0, 19), 4);
		}
		assert_true(stats_of(c).generations > 1);
		assert_int_equal(find(c, 1, 0, 50), -1);
		assert_int_equal(find(c, 1, 0, 99999), 4);
		frame_cache_destroy(c);
	}
}

static void too_large_answers(void **state)
{
	struct frame_cache *c = create(FRAME_CACHE_BYTES_MIN);
	AUTO_FREE char *name = malloc(100001);
	struct frame_key key = {1, 0, 5};

	(void)state;
	add(c, 1, 0, 1, 2);
	memset(name, 'n', 100000);
	name[100000] = '\0';
	struct symbolizer_frame frame = {.name = name, .system_name = name, .file = ""};
	frame_cache_add(c, &key, &frame, 1);
	assert_int_equal(stats_of(c).too_large, 1);
	assert_int_equal(stats_of(c).generations, 0);
	assert_int_equal(find(c, 1, 0, 5), -1);
	assert_int_equal(find(c, 1, 0, 1), 2);
	frame_cache_destroy(c);
}

static void wrong_budgets(void **state)
{
	struct frame_cache *c = NULL;

	(void)state;
	assert_int_equal(frame_cache_create(FRAME_CACHE_BYTES_MIN - 1, &c), -EINVAL);
	assert_int_equal(frame_cache_create(1ull << 32, &c), -EINVAL);
	assert_null(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_added),
		cmocka_unit_test(within_its_budget),
		cmocka_unit_test(too_large_answers),
		cmocka_unit_test(wrong_budgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
