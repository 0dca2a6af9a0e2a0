/* Address spaces for the kernel program: their form, their sharing, and which goes when there is no room. */
#include "agent/unwind_spaces.h"
#include "tests/unit/walk_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

#define SLOTS	  4
#define PROCESSES 8

static struct walk_fixture fixture;
static struct unwind_mapset slots[SLOTS];
static struct unwind_spaces *spaces;
static struct process processes[PROCESSES];
static struct unwind_spaces_stats stats;

static void begin(uint64_t budget)
{
	walk_fixture_init(&fixture, budget);
	struct unwind_spaces_options options = {
		.images = fixture.images,
		.tables = fixture.tables,
		.memory = fixture.memory,
		.slots = slots,
		.n_slots = SLOTS,
		.processes_fd = -1,
		.epoch = &fixture.epoch,
		.settle = fixture_settle,
		.context = &fixture,
	};
	memset(slots, 0, sizeof(slots));
	assert_int_equal(unwind_spaces_create(&options, &spaces), 0);
	for (int i = 0; i < PROCESSES; i++)
		processes[i] = (struct process){.tgid = i + 1, .end_ns = UINT64_MAX, .mappings = mapset_create()};
}

static void end(void)
{
	unwind_spaces_destroy(spaces);
	for (int i = 0; i < SLOTS; i++)
		assert_int_equal(slots[i].serial, 0);
	for (int i = 0; i < PROCESSES; i++)
		mapset_unref(processes[i].mappings);
	walk_fixture_deinit(&fixture);
}

/* n anonymous mappings of a page, a page apart. */
static void map_pages(struct process *process, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct mapping mapping = {.start = 0x10000 + i * 0x2000, .end = 0x11000 + i * 0x2000, .image = MAPPING_NO_IMAGE};
		assert_int_equal(mapset_add(&process->mappings, &mapping), 0);
	}
}

/* The slot with this many mappings; -1: none. */
static int slot_with(size_t n)
{
	for (int i = 0; i < SLOTS; i++) {
		size_t sum = 0;
		for (uint32_t part = 0; slots[i].serial && part < slots[i].n_parts; part++)
			sum += slots[i].parts[part].n;
		if (slots[i].serial && sum == n)
			return i;
	}
	return -1;
}

static void holds_what_the_process_maps(void **state)
{
	(void)state;
	begin(16 << 20);
	assert_int_equal(unwind_spaces_load(spaces, fixture.process, 1, 0), 0);
	assert_true(fixture.process->in_kernel);
	const struct unwind_mapset *set = &slots[0];
	assert_int_not_equal(set->serial, 0);
	assert_int_equal(set->n_parts, 1);
	const struct unwind_mapping *mappings = unwind_memory_at(fixture.memory, set->parts[0].chunk, set->parts[0].offset);
	uint64_t at = 0, pc = (uint64_t)(uintptr_t)holds_what_the_process_maps;
	bool found = false;
	for (uint32_t i = 0; i < set->parts[0].n; i++) {
		assert_true(mappings[i].start >= at && mappings[i].bytes);
		at = mappings[i].start + mappings[i].bytes;
		if (pc - mappings[i].start >= mappings[i].bytes)
			continue;
		found = true;
		assert_int_not_equal(mappings[i].table, UNWIND_TABLE_NONE);
		assert_int_equal(fixture.slots[mappings[i].table].serial, mappings[i].serial);
	}
	assert_true(found);
	end();
}

static void processes_share_until_one_changes(void **state)
{
	(void)state;
	begin(4 << 20);
	map_pages(&processes[0], 5);
	assert_int_equal(unwind_spaces_load(spaces, &processes[0], 1, 0), 0);
	mapset_unref(processes[1].mappings);
	processes[1].mappings = mapset_ref(processes[0].mappings);
	assert_int_equal(unwind_spaces_load(spaces, &processes[1], 1, 0), 0);
	unwind_spaces_stats(spaces, &stats);
	assert_int_equal(stats.mapsets, 1);
	assert_int_equal(stats.built, 1);
	map_pages(&processes[1], 6);
	assert_int_equal(unwind_spaces_load(spaces, &processes[1], 1, 0), 0);
	unwind_spaces_stats(spaces, &stats);
	assert_int_equal(stats.mapsets, 2);
	assert_true(slot_with(5) >= 0 && slot_with(6) >= 0);
	unwind_spaces_unload(spaces, &processes[1]);
	assert_false(processes[1].in_kernel);
	end();
}

static void a_process_without_mappings(void **state)
{
	(void)state;
	begin(1 << 20);
	assert_int_equal(unwind_spaces_load(spaces, &processes[0], 1, 0), 0);
	assert_int_equal(slots[0].n_parts, 1);
	assert_int_equal(slots[0].parts[0].n, 0);
	end();
}

static void the_longest_unsampled_goes_when_slots_are_full(void **state)
{
	(void)state;
	begin(4 << 20);
	for (uint32_t i = 0; i < SLOTS; i++) {
		map_pages(&processes[i], i + 1);
		assert_int_equal(unwind_spaces_load(spaces, &processes[i], 1, 0), 0);
	}
	map_pages(&processes[4], 5);
	/* All of them are of this epoch. */
	assert_int_equal(unwind_spaces_load(spaces, &processes[4], 1, 0), -ENOSPC);
	fixture.epoch++;
	for (size_t n = 1; n <= SLOTS; n++)
		if (n != 3)
			slots[slot_with(n)].used = fixture.epoch;
	uint32_t serial = slots[slot_with(3)].serial;
	assert_int_equal(unwind_spaces_load(spaces, &processes[4], 1, 0), 0);
	assert_int_equal(slot_with(3), -1);
	assert_int_not_equal(slots[slot_with(5)].serial, serial);
	unwind_spaces_stats(spaces, &stats);
	assert_int_equal(stats.evicted, 1);
	fixture.epoch++;
	assert_int_equal(unwind_spaces_load(spaces, &processes[2], 1, 0), 0);
	assert_true(slot_with(3) >= 0);
	end();
}

/* Room is made from others, never from the mapset that is being written. */
static void the_longest_unsampled_goes_when_memory_is_full(void **state)
{
	(void)state;
	begin(2 << 20);
	map_pages(&processes[0], UNWIND_PART_MAPPINGS);
	map_pages(&processes[1], UNWIND_PART_MAPPINGS + 1);
	map_pages(&processes[2], UNWIND_PART_MAPPINGS + 2);
	assert_int_equal(unwind_spaces_load(spaces, &processes[0], 1, 0), 0);
	/* Its second part finds no room, and the first one is of this epoch. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(unwind_spaces_load(spaces, &processes[2], 1, 0), -ENOSPC);
	unwind_spaces_stats(spaces, &stats);
	assert_int_equal(stats.mapsets, 1);
	assert_int_equal(stats.refused, 3);
	fixture.epoch++;
	assert_int_equal(unwind_spaces_load(spaces, &processes[1], 1, 0), 0);
	assert_int_equal(slots[slot_with(UNWIND_PART_MAPPINGS + 1)].n_parts, 2);
	assert_int_equal(slot_with(UNWIND_PART_MAPPINGS), -1);
	fixture.epoch++;
	assert_int_equal(unwind_spaces_load(spaces, &processes[2], 1, 0), 0);
	assert_int_equal(slot_with(UNWIND_PART_MAPPINGS + 1), -1);
	unwind_spaces_stats(spaces, &stats);
	assert_int_equal(stats.mapsets, 1);
	assert_true(stats.mapset_bytes <= unwind_memory_used(fixture.memory));
	assert_true(unwind_memory_allocated(fixture.memory) <= 2 << 20);
	end();
}

static void more_mappings_than_a_mapset_holds(void **state)
{
	const size_t max = UNWIND_PARTS_MAX * UNWIND_PART_MAPPINGS;

	(void)state;
	begin(6 << 20);
	map_pages(&processes[0], max);
	assert_int_equal(unwind_spaces_load(spaces, &processes[0], 1, 0), 0);
	unwind_spaces_stats(spaces, &stats);
	assert_int_equal(stats.cut, 0);
	assert_true(slot_with(max) >= 0);
	/* Two images' code comes on top: both are cut into several mappings by their tables. */
	struct mapping more = {.start = 0x1000, .end = 0x2000, .image = MAPPING_NO_IMAGE};
	assert_int_equal(mapset_add(&processes[0].mappings, &more), -E2BIG);
	unwind_spaces_unload(spaces, &processes[0]);
	const struct mapping *code = mapset_find(fixture.process->mappings, (uint64_t)(uintptr_t)begin);
	struct mapping last = {.start = 0x10000 + (max - 1) * 0x2000 + 0x1000, .end = 0, .file_offset = code->file_offset,
			       .image = code->image};
	struct process *other = &processes[1];
	map_pages(other, max - 1);
	last.end = last.start + (code->end - code->start);
	assert_int_equal(mapset_add(&other->mappings, &last), 0);
	fixture.epoch++;
	assert_int_equal(unwind_spaces_load(spaces, other, 1, 0), 0);
	unwind_spaces_stats(spaces, &stats);
	assert_int_equal(stats.cut, 1);
	assert_true(slot_with(max) >= 0);
	end();
}

static void reload_builds_anew(void **state)
{
	(void)state;
	begin(2 << 20);
	map_pages(&processes[0], 3);
	assert_int_equal(unwind_spaces_load(spaces, &processes[0], 1, 0), 0);
	uint32_t serial = slots[slot_with(3)].serial;
	assert_int_equal(unwind_spaces_reload(spaces, &processes[0], 1, 0), 0);
	assert_int_not_equal(slots[slot_with(3)].serial, serial);
	unwind_spaces_stats(spaces, &stats);
	assert_int_equal(stats.mapsets, 1);
	assert_int_equal(stats.built, 2);
	end();
}

static void unsampled_mapsets_go_after_a_while(void **state)
{
	(void)state;
	begin(2 << 20);
	map_pages(&processes[0], 3);
	map_pages(&processes[1], 4);
	unwind_spaces_load(spaces, &processes[0], 1, 0);
	unwind_spaces_load(spaces, &processes[1], 1, 0);
	for (int i = 0; i < 8; i++) {
		fixture.epoch++;
		slots[slot_with(4)].used = fixture.epoch;
		unwind_spaces_end_window(spaces);
	}
	assert_int_equal(slot_with(3), -1);
	assert_true(slot_with(4) >= 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_what_the_process_maps),
		cmocka_unit_test(processes_share_until_one_changes),
		cmocka_unit_test(a_process_without_mappings),
		cmocka_unit_test(the_longest_unsampled_goes_when_slots_are_full),
		cmocka_unit_test(the_longest_unsampled_goes_when_memory_is_full),
		cmocka_unit_test(more_mappings_than_a_mapset_holds),
		cmocka_unit_test(reload_builds_anew),
		cmocka_unit_test(unsampled_mapsets_go_after_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
