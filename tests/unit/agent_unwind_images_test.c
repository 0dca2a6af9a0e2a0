/* Which images' tables are in memory when not all of them fit. */
#include "agent/unwind_images.h"
#include "tests/unit/elf_writer.h"
#include "tests/unit/walk_fixture.h"

#include <dwarf.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/zygote_fixture.h"

#define IMAGES 8
#define TEXT   0x100000
#define KIB    1024u

static struct symbolizer *symbolizer;
static struct unwind_memory *memory;
static struct unwind_images *tables;
static struct unwind_slot slots[64];
static uint32_t epoch, chunks;
static unsigned settled;
static struct image images[IMAGES];

static void settle(void *context)
{
	(void)context;
	settled++;
	unwind_memory_settle(memory);
}

static void begin(uint64_t budget)
{
	struct unwind_chunk_source source = {fake_chunk_create, fake_chunk_destroy, &chunks};

	memset(slots, 0, sizeof(slots));
	epoch = 10;
	settled = 0;
	assert_int_equal(test_symbolizer_create(&symbolizer), 0);
	assert_int_equal(unwind_memory_create(budget, &source, &memory), 0);
	assert_int_equal(unwind_images_create(symbolizer, memory, slots, 64, &epoch, settle, NULL, &tables), 0);
}

static void end(void)
{
	unwind_images_destroy(tables);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(slots[i].serial, 0);
	unwind_memory_settle(memory);
	assert_int_equal(unwind_memory_used(memory), 0);
	unwind_memory_destroy(memory);
	symbolizer_destroy(symbolizer);
	assert_int_equal(chunks, 0);
	for (size_t i = 0; i < IMAGES; i++)
		if (images[i].fd > 0)
			close(images[i].fd);
	memset(images, 0, sizeof(images));
}

static void put(uint8_t **at, const void *bytes, size_t n)
{
	memcpy(*at, bytes, n);
	*at += n;
}

#define FDE_ROWS 20000u

/* A .eh_frame whose table has n_rows rows: FDEs in which the CFA changes with each byte. */
static size_t make_cfi(uint8_t *bytes, uint32_t n_rows)
{
	static const uint8_t CIE[] = {20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0x78, 16, DW_CFA_def_cfa, 7, 8, DW_CFA_offset + 16, 1,
				      0, 0, 0, 0, 0, 0};
	uint8_t *at = bytes;
	uint64_t start = TEXT;

	put(&at, CIE, sizeof(CIE));
	for (uint32_t n; n_rows; n_rows -= n, start += n) {
		n = n_rows < FDE_ROWS ? n_rows : FDE_ROWS;
		uint32_t fde_bytes = 4 + 16 + 3 * (n - 1), to_cie = (uint32_t)(at - bytes) + 4;
		uint64_t length = n;
		put(&at, &fde_bytes, 4);
		put(&at, &to_cie, 4);
		put(&at, &start, 8);
		put(&at, &length, 8);
		for (uint32_t i = 1; i < n; i++) {
			uint8_t row[] = {DW_CFA_advance_loc + 1, DW_CFA_def_cfa_offset, i & 1 ? 24 : 8}; /* no step of a run */
			put(&at, row, sizeof(row));
		}
	}
	put(&at, (uint32_t[]){0}, 4);
	return (size_t)(at - bytes);
}

/* An image whose table takes about this many KiB. */
static const struct image *add_image(uint32_t i, uint32_t kib)
{
	uint32_t n_rows = kib * KIB / UNWIND_ROW_BYTES;
	uint8_t *cfi = malloc(4 * (size_t)n_rows + 256);
	struct elf_writer writer;

	assert_non_null(cfi);
	elf_writer_init(&writer, true);
	elf_writer_section(&writer, ".eh_frame", SHT_PROGBITS, SHF_ALLOC, 0x1000, cfi, make_cfi(cfi, n_rows));
	images[i] = (struct image){.id = i, .debug_fd = -1, .state = IMAGE_READ, .fd = elf_writer_fd(&writer)};
	assert_true(images[i].fd >= 0);
	elf_writer_deinit(&writer);
	free(cfi);
	return &images[i];
}

static bool is_resident(uint32_t i)
{
	const struct unwind_entry *entry = unwind_images_get(tables, &images[i], false);

	assert_non_null(entry);
	if (entry->resident)
		assert_int_equal(slots[entry->pieces[0].slot].serial, entry->pieces[0].serial);
	return entry->resident;
}

static void sample(uint32_t i)
{
	slots[unwind_images_get(tables, &images[i], false)->pieces[0].slot].used = epoch;
}

static void assert_resident(const char *which)
{
	struct unwind_images_stats stats;

	assert_true(unwind_memory_allocated(memory) <= unwind_memory_budget(memory));
	for (uint32_t i = 0; which[i]; i++)
		assert_int_equal(is_resident(i), which[i] == 'x');
	unwind_images_stats(tables, &stats);
	assert_true(stats.table_bytes <= unwind_memory_used(memory));
}

static void the_longest_unsampled_goes_first(void **state)
{
	(void)state;
	begin(1 << 20);
	for (uint32_t i = 0; i < 4; i++)
		assert_true(unwind_images_get(tables, add_image(i, 240), false)->resident);
	/* Without a sample that wants it nobody gives way. */
	assert_false(unwind_images_get(tables, add_image(4, 240), false)->resident);
	assert_resident("xxxx.");
	epoch = 11;
	sample(0);
	epoch = 12;
	sample(3);
	sample(2);
	epoch = 13;
	assert_true(unwind_images_get(tables, &images[4], true)->resident);
	assert_resident("x.xxx");
	assert_true(settled > 0); /* before another one lay where a walk might still read */
	epoch = 14;
	assert_true(unwind_images_get(tables, &images[1], true)->resident);
	assert_resident(".xxxx");
	end();
}

static void what_was_sampled_in_this_epoch_stays(void **state)
{
	struct unwind_images_stats stats;

	(void)state;
	begin(1 << 20);
	for (uint32_t i = 0; i < 4; i++)
		unwind_images_get(tables, add_image(i, 240), true);
	epoch++;
	for (uint32_t i = 0; i < 4; i++)
		sample(i);
	add_image(4, 240);
	for (int i = 0; i < 5; i++)
		assert_false(unwind_images_get(tables, &images[4], true)->resident);
	assert_resident("xxxx.");
	unwind_images_stats(tables, &stats);
	assert_int_equal(stats.evicted, 0);
	assert_true(stats.refused >= 1);
	epoch++;
	assert_true(unwind_images_get(tables, &images[4], true)->resident);
	end();
}

/* A hot image that finds no room would be compiled with each of its samples. */
static void one_try_an_epoch(void **state)
{
	struct symbolizer_stats before, after;

	(void)state;
	begin(1 << 20);
	unwind_images_get(tables, add_image(0, 600), true);
	unwind_images_get(tables, add_image(1, 600), true);
	symbolizer_stats(symbolizer, &before);
	for (int i = 0; i < 100; i++)
		assert_false(unwind_images_get(tables, &images[1], true)->resident);
	symbolizer_stats(symbolizer, &after);
	assert_true(after.unwind_images - before.unwind_images <= 1);
	epoch++;
	assert_true(unwind_images_get(tables, &images[1], true)->resident);
	end();
}

static void an_evicted_image_comes_back_as_it_was(void **state)
{
	(void)state;
	begin(1 << 20);
	const struct unwind_entry *entry = unwind_images_get(tables, add_image(0, 600), true);
	struct unwind_piece first = entry->pieces[0];
	uint8_t *copy = malloc(first.range.bytes);
	struct unwind_slot slot = slots[first.slot];
	memcpy(copy, unwind_memory_at(memory, first.range.chunk, first.range.offset), first.range.bytes);
	epoch++;
	assert_true(unwind_images_get(tables, add_image(1, 600), true)->resident);
	assert_false(is_resident(0));
	assert_int_equal(slots[first.slot].serial, 0);
	epoch++;
	entry = unwind_images_get(tables, &images[0], true);
	/* The same slot and serial: address spaces in the kernel that name it are right again. */
	assert_int_equal(entry->pieces[0].slot, first.slot);
	assert_int_equal(entry->pieces[0].serial, first.serial);
	assert_int_equal(slots[first.slot].serial, slot.serial);
	assert_int_equal(slots[first.slot].vaddr, slot.vaddr);
	assert_int_equal(slots[first.slot].n_pages, slot.n_pages);
	assert_memory_equal(unwind_memory_at(memory, entry->pieces[0].range.chunk, entry->pieces[0].range.offset), copy,
			    slots[first.slot].rules - slots[first.slot].pages);
	free(copy);
	end();
}

static void two_images_never_share_a_serial(void **state)
{
	(void)state;
	begin(8 << 20);
	for (uint32_t i = 0; i < IMAGES; i++)
		unwind_images_get(tables, add_image(i, 4), true);
	for (uint32_t i = 0; i < IMAGES; i++)
		for (uint32_t j = 0; j < i; j++) {
			const struct unwind_piece *a = unwind_images_get(tables, &images[i], true)->pieces;
			const struct unwind_piece *b = unwind_images_get(tables, &images[j], true)->pieces;
			assert_int_not_equal(a->serial, b->serial);
			assert_int_not_equal(a->slot, b->slot);
		}
	end();
}

static void larger_than_the_budget(void **state)
{
	struct unwind_images_stats stats;

	(void)state;
	begin(1 << 20);
	unwind_images_get(tables, add_image(0, 10), true);
	epoch++;
	add_image(1, 2000);
	for (int i = 0; i < 10; i++) {
		const struct unwind_entry *entry = unwind_images_get(tables, &images[1], true);
		assert_true(entry->n_pieces >= 2);
		assert_false(entry->resident);
		epoch++;
	}
	unwind_images_stats(tables, &stats);
	assert_true(stats.refused >= 1);
	assert_true(unwind_memory_allocated(memory) <= 1 << 20);
	/* What was given up in vain comes back. */
	assert_true(unwind_images_get(tables, &images[0], true)->resident);
	end();
}

static void a_file_that_is_no_elf_fails_once(void **state)
{
	struct unwind_images_stats stats;

	(void)state;
	begin(1 << 20);
	images[0] = (struct image){.id = 1, .debug_fd = -1, .fd = bytes_fd("nothing", 7)};
	for (int i = 0; i < 3; i++)
		assert_int_equal(unwind_images_get(tables, &images[0], true)->n_pieces, 0);
	unwind_images_stats(tables, &stats);
	assert_int_equal(stats.failed, 1);
	images[1] = (struct image){.id = 2, .debug_fd = -1, .fd = -1};
	assert_null(unwind_images_get(tables, &images[1], true));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_unsampled_goes_first),
		cmocka_unit_test(what_was_sampled_in_this_epoch_stays),
		cmocka_unit_test(one_try_an_epoch),
		cmocka_unit_test(an_evicted_image_comes_back_as_it_was),
		cmocka_unit_test(two_images_never_share_a_serial),
		cmocka_unit_test(larger_than_the_budget),
		cmocka_unit_test(a_file_that_is_no_elf_fails_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
