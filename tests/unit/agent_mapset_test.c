#include "agent/mapset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

static struct mapping range(uint64_t start, uint64_t end, uint32_t image)
{
	return (struct mapping){.start = start, .end = end, .file_offset = start / 2, .image = image};
}

static uint32_t image_at(struct mapset *set, uint64_t pc)
{
	const struct mapping *mapping = mapset_find(set, pc);

	return mapping ? mapping->image : 999;
}

static void finds_by_range(void **state)
{
	struct mapset *set = mapset_create();
	struct mapping mappings[] = {range(0x3000, 0x4000, 3), range(0x1000, 0x2000, 1), range(0x2000, 0x3000, 2)};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(mapset_add(&set, &mappings[i]), 0);
	assert_int_equal(image_at(set, 0xfff), 999);
	assert_int_equal(image_at(set, 0x1000), 1);
	assert_int_equal(image_at(set, 0x1fff), 1);
	assert_int_equal(image_at(set, 0x2000), 2);
	assert_int_equal(image_at(set, 0x3fff), 3);
	assert_int_equal(image_at(set, 0x4000), 999);
	assert_int_equal(mapset_count(set), 3);
	mapset_unref(set);
}

static void a_newer_mapping_hides_an_older_one(void **state)
{
	struct mapset *set = mapset_create();
	struct mapping whole = range(0x1000, 0x9000, 1), inner = range(0x3000, 0x5000, 2), later = range(0x4000, 0x6000, 3);

	(void)state;
	mapset_add(&set, &whole);
	mapset_add(&set, &inner);
	assert_int_equal(image_at(set, 0x4800), 2);
	mapset_add(&set, &later);
	assert_int_equal(image_at(set, 0x2fff), 1);
	assert_int_equal(image_at(set, 0x3000), 2);
	assert_int_equal(image_at(set, 0x4000), 3);
	assert_int_equal(image_at(set, 0x5fff), 3);
	assert_int_equal(image_at(set, 0x6000), 1);
	/* The piece behind the hole still knows its place in the file. */
	const struct mapping *behind = mapset_find(set, 0x6000);
	assert_int_equal(behind->file_offset, whole.file_offset + (behind->start - whole.start));
	mapset_unref(set);
}

static void sharing_copies_on_change(void **state)
{
	struct mapset *parent = mapset_create(), *child;
	struct mapping one = range(0x1000, 0x2000, 1), two = range(0x2000, 0x3000, 2);

	(void)state;
	mapset_add(&parent, &one);
	child = mapset_ref(parent);
	mapset_add(&child, &two);
	assert_ptr_not_equal(parent, child);
	assert_int_equal(image_at(parent, 0x2000), 999);
	assert_int_equal(image_at(child, 0x1000), 1);
	assert_int_equal(image_at(child, 0x2000), 2);
	mapset_unref(parent);
	mapset_unref(child);
}

static void refuses_what_is_no_range_and_what_is_too_much(void **state)
{
	struct mapset *set = mapset_create();
	struct mapping empty = range(0x1000, 0x1000, 1), backwards = range(0x2000, 0x1000, 1);

	(void)state;
	assert_int_equal(mapset_add(&set, &empty), -EINVAL);
	assert_int_equal(mapset_add(&set, &backwards), -EINVAL);
	for (uint64_t i = 0; i < MAPSET_MAX; i++) {
		struct mapping mapping = range(0x100000000 - i * 0x2000, 0x100000000 - i * 0x2000 + 0x1000, (uint32_t)i);
		assert_int_equal(mapset_add(&set, &mapping), 0);
	}
	struct mapping more = range(0x200000000, 0x200001000, 7);
	assert_int_equal(mapset_add(&set, &more), -E2BIG);
	assert_int_equal(image_at(set, 0x100000000 - 5 * 0x2000), 5);
	assert_int_equal(mapset_count(set), MAPSET_MAX);
	mapset_unref(set);
	mapset_unref(NULL);
}

/* Random adds against an array that holds the truth for each page. */
static void agrees_with_a_page_table(void **state)
{
	enum { PAGES = 256 };
	uint32_t truth[PAGES];
	struct mapset *set = mapset_create();

	(void)state;
	srand(7);
	memset(truth, 0xff, sizeof(truth));
	for (uint32_t round = 0; round < 2000; round++) {
		uint64_t first = (uint64_t)rand() % PAGES, last = first + (uint64_t)rand() % 20;
		if (last >= PAGES)
			last = PAGES - 1;
		struct mapping mapping = range(first << 12, (last + 1) << 12, round);
		assert_int_equal(mapset_add(&set, &mapping), 0);
		for (uint64_t page = first; page <= last; page++)
			truth[page] = round;
		if (round % 50 != 49)
			continue;
		for (uint64_t page = 0; page < PAGES; page++)
			assert_int_equal(image_at(set, (page << 12) + 5), truth[page] == UINT32_MAX ? 999 : truth[page]);
	}
	mapset_unref(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_by_range),
		cmocka_unit_test(a_newer_mapping_hides_an_older_one),
		cmocka_unit_test(sharing_copies_on_change),
		cmocka_unit_test(refuses_what_is_no_range_and_what_is_too_much),
		cmocka_unit_test(agrees_with_a_page_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
