#include "symbolizer/unwind_compiler.h"

#include <dwarf.h>
#include <elf.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/cfi/exercise.h"
#include "tests/unit/cfi_writer.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/elf_writer.h"

static void tables_find_what_rows_said(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR");

	(void)state;
	FDE(&w, cie, 0x3000, 0x100, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16);
	FDE(&w, cie, 0x1ff8, 0x1008 - 16, DW_CFA_advance_loc | 4, DW_CFA_def_cfa_offset, 32);
	struct unwind_image *image = compile(&w, NULL);
	assert_int_equal(image->fdes, 2);
	assert_null(rule_at(image, 0x1ff7));
	assert_int_equal(rule_at(image, 0x1ff8)->cfa_offset, 8);
	assert_int_equal(rule_at(image, 0x1ffc)->cfa_offset, 32);
	assert_int_equal(rule_at(image, 0x2fef)->cfa_offset, 32); /* over a page */
	/* A gap of 16 bytes is not padding. */
	assert_int_equal(rule_at(image, 0x2ff0)->cfa, CFA_NONE);
	assert_int_equal(rule_at(image, 0x3000)->cfa_offset, 8);
	assert_int_equal(rule_at(image, 0x30ff)->cfa_offset, 16);
	assert_null(rule_at(image, 0x3100));
	unwind_image_free(image);
}

/* Six pushes and their pops: a row each way. */
static void pushes_and_pops_are_runs(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR"), at = begin_fde(&w, cie, 0x1000, 0x40);

	(void)state;
	for (uint8_t i = 1; i <= 6; i++) {
		PUT(&w, DW_CFA_advance_loc | 2, DW_CFA_def_cfa_offset, (uint8_t)(8 + 8 * i));
		if (i == 5)
			PUT(&w, DW_CFA_offset | 6, 6);
	}
	PUT(&w, DW_CFA_advance_loc | 20);
	for (uint8_t i = 6; i-- > 0;) {
		PUT(&w, DW_CFA_def_cfa_offset, (uint8_t)(8 + 8 * i));
		if (i == 4)
			PUT(&w, DW_CFA_restore | 6);
		PUT(&w, DW_CFA_advance_loc | 1);
	}
	end_entry(&w, at);
	struct unwind_image *image = compile(&w, NULL);
	for (uint64_t vaddr = 0x1000; vaddr < 0x1040; vaddr++) {
		uint64_t pushes = (vaddr - 0x1000) / 2 < 6 ? (vaddr - 0x1000) / 2 : 6, pops = vaddr < 0x1020 ? 0 : vaddr - 0x101f;
		const struct unwind_rule *rule = rule_at(image, vaddr);
		assert_int_equal(rule->cfa, CFA_REGISTER);
		assert_int_equal(rule->cfa_add, 0);
		assert_int_equal(rule->cfa_offset, 8 + 8 * (int)(pushes - (pops < 6 ? pops : 6)));
		assert_int_equal(rule->fp, pushes >= 5 && pops < 2 ? AT_CFA : IN_PLACE);
		assert_int_equal(rule->fp_offset, pushes >= 5 && pops < 2 ? -48 : 0);
	}
	assert_int_equal(image->cfi_rows, 14); /* the last two are equal */
	assert_int_equal(image->tables[0].n_rows, 3); /* and the one that ends the table */
	unwind_image_free(image);
}

/* Instructions at random, most of them pushes and pops, over a page's border; then each byte's rule against the row's. */
static void put_random_steps(struct writer *w, struct dice *dice)
{
	uint8_t offset = 8;

	for (int i = 0; i < 60; i++) {
		uint64_t roll = dice_roll(dice, 12);
		PUT(w, (uint8_t)(DW_CFA_advance_loc | (1 + dice_roll(dice, roll ? 3 : 30))));
		if (roll < 9)
			offset = (uint8_t)(roll < 5 ? offset + 8 : offset - 8) & 0x78;
		else if (roll == 9)
			offset = (uint8_t)(8 * dice_roll(dice, 10));
		PUT(w, DW_CFA_def_cfa_offset, offset);
		if (roll == 10 || dice_roll(dice, 6) == 0)
			PUT(w, DW_CFA_offset | 6, (uint8_t)(2 + dice_roll(dice, 2)));
		else if (roll == 11 || dice_roll(dice, 6) == 0)
			PUT(w, DW_CFA_restore | 6);
	}
}

static void runs_are_exact(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 500; seed++) {
		AUTO_WRITER struct writer w = {.n = 0};
		struct dice dice = {seed};
		struct rows rows;
		size_t cie = put_cie(&w, "zR"), at = begin_fde(&w, cie, 0x1fc0 + dice_roll(&dice, 32), 400);
		put_random_steps(&w, &dice);
		end_entry(&w, at);
		assert_int_equal(rows_of(&w, &rows), 0);
		struct unwind_image *image = compile(&w, NULL);
		for (size_t i = 0; i < rows.n; i++)
			for (uint64_t vaddr = rows.rows[i].start; vaddr < rows.rows[i].end; vaddr++)
				assert_memory_equal(rule_at(image, vaddr), &rows.rows[i].rule, sizeof(struct unwind_rule));
		assert_true(image->tables[0].n_rows < rows.n);
		unwind_image_free(image);
	}
}

static void overlaps_go_to_the_later_start(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR");

	(void)state;
	FDE(&w, cie, 0x1000, 0x100, DW_CFA_def_cfa_offset, 16);
	FDE(&w, cie, 0x1080, 0x40, DW_CFA_def_cfa_offset, 24);
	FDE(&w, cie, 0x1080, 0x40, DW_CFA_def_cfa_offset, 48);
	struct unwind_image *image = compile(&w, NULL);
	assert_int_equal(rule_at(image, 0x107f)->cfa_offset, 16);
	assert_int_equal(rule_at(image, 0x1080)->cfa_offset, 24);
	unwind_image_free(image);
}

/* 80,000 rows in one FDE: quadratic in libdw (SAFETY.md). */
static void many_rows_are_linear(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t n = 80000, at = begin_fde(&w, put_cie(&w, "zR"), 0x10000, (uint32_t)n);

	(void)state;
	for (size_t i = 0; i < n; i++)
		PUT(&w, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, (uint8_t)(8 + i % 100));
	end_entry(&w, at);
	struct unwind_image *image = compile(&w, NULL);
	assert_int_equal(image->cfi_rows, n);
	assert_int_equal(rule_at(image, 0x10000 + 50001)->cfa_offset, 8 + 50000 % 100);
	unwind_image_free(image);
}

/* Rows, each of which differs from the one before. */
static void put_rows(struct writer *w, size_t cie, uint64_t start, uint32_t n)
{
	size_t at = begin_fde(w, cie, start, n);

	for (uint32_t i = 1; i < n; i++)
		PUT(w, DW_CFA_def_cfa_offset, (uint8_t)(i % 100), DW_CFA_advance_loc | 1);
	end_entry(w, at);
}

static void a_function_of_more_rows_than_a_table_holds_is_left_out(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR");
	uint32_t too_many = UNWIND_TABLE_MAX_BYTES / UNWIND_ROW_BYTES + 1;

	(void)state;
	FDE(&w, cie, 0x10000, 0x40, DW_CFA_nop);
	put_rows(&w, cie, 0x10040, too_many);
	FDE(&w, cie, 0x10040 + too_many + 16, 0x40, DW_CFA_nop);
	struct unwind_image *image = compile(&w, NULL);
	assert_int_equal(image->bad_fdes, 1);
	assert_non_null(rule_at(image, 0x10010));
	const struct unwind_rule *left_out = rule_at(image, 0x10100);
	assert_true(!left_out || left_out->cfa == CFA_NONE);
	assert_non_null(rule_at(image, 0x10040 + too_many + 20));
	unwind_image_free(image);
}

static void a_table_has_4096_rules_at_most(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR"), n = 3 * UNWIND_RULES_MAX;

	(void)state;
	for (size_t i = 0; i < n; i++)
		FDE(&w, cie, 0x10000 + 32 * i, 32, DW_CFA_def_cfa_offset, 0x80 | (i & 0x7f), (uint8_t)(i >> 7));
	struct unwind_image *image = compile(&w, NULL);
	assert_int_equal(image->bad_fdes, 0);
	assert_true(image->n_tables > 2);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(rule_at(image, 0x10000 + 32 * i)->cfa_offset, i);
	unwind_image_free(image);
}

/* Holes end tables, but not so many that none are left. */
static void functions_far_from_each_other_cost_little(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR"), n = 4 * UNWIND_TABLES_MAX;

	(void)state;
	for (size_t i = 0; i < n; i++)
		FDE(&w, cie, 0x100000 * (i + 1), 32, DW_CFA_def_cfa_offset, (uint8_t)(i % 100));
	struct unwind_image *image = compile(&w, NULL);
	assert_int_equal(image->bad_fdes, 0);
	assert_true(image->n_tables <= UNWIND_TABLES_MAX);
	assert_true(unwind_image_bytes(image) < n * 2048);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(rule_at(image, 0x100000 * (i + 1))->cfa_offset, i % 100);
		const struct unwind_rule *hole = rule_at(image, 0x100000 * (i + 1) + 32);
		assert_true(!hole || hole->cfa == CFA_NONE);
	}
	unwind_image_free(image);
}

/* Functions of 1 GiB with a row at their end: each begins a quarter of a million pages, and no table has room for it. */
static void functions_as_long_as_the_address_space_cost_their_budget(void **state)
{
	static const uint8_t CODE[] = {DW_CFA_advance_loc4, 0, 0, 0, 0x3f, DW_CFA_def_cfa_offset, 16};
	AUTO_WRITER struct writer eh = {.n = 0}, debug = {.n = 0};
	size_t n = 100000;

	(void)state;
	FDE(&eh, put_cie(&eh, "zR"), 0x10000, 0x40, DW_CFA_nop);
	size_t cie = put_debug_cie(&debug);
	for (size_t i = 0; i < n; i++)
		put_debug_fde(&debug, cie, 0x20000 + ((uint64_t)i << 30), 1 << 30, CODE, sizeof(CODE));
	uint64_t begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	struct unwind_image *image = compile(&eh, &debug);
	assert_true(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin < 20 * NS_PER_S); /* each page a row: hours */
	assert_int_equal(rule_at(image, 0x10000)->cfa_offset, 8);
	assert_int_equal(image->bad_fdes, n);
	assert_true(image->n_tables <= 2);
	unwind_image_free(image);
}

static void a_large_image_has_several_tables(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR"), n = 300000;

	(void)state;
	for (size_t i = 0; i < n; i++)
		FDE(&w, cie, 0x100000 + i * 32, 32, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, (uint8_t)(16 + i % 50));
	struct unwind_image *image = compile(&w, NULL);
	assert_int_equal(image->fdes, n);
	assert_true(image->n_tables > 1);
	for (size_t i = 0; i < image->n_tables; i++)
		assert_true(image->tables[i].n_bytes <= UNWIND_TABLE_MAX_BYTES);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(rule_at(image, 0x100000 + i * 32)->cfa_offset, 8);
		assert_int_equal(rule_at(image, 0x100000 + i * 32 + 31)->cfa_offset, 16 + i % 50);
	}
	unwind_image_free(image);
}

static void eh_frame_wins_over_debug_frame(void **state)
{
	AUTO_WRITER struct writer eh = {.n = 0}, debug = {.n = 0};
	static const uint8_t OTHER[] = {DW_CFA_def_cfa_offset, 80};

	(void)state;
	FDE(&eh, put_cie(&eh, "zR"), 0x1000, 0x40, DW_CFA_nop);
	size_t cie = put_debug_cie(&debug);
	put_debug_fde(&debug, cie, 0x1000, 0x40, OTHER, sizeof(OTHER));
	put_debug_fde(&debug, cie, 0x2000, 0x40, OTHER, sizeof(OTHER));
	struct unwind_image *image = compile(&eh, &debug);
	assert_int_equal(rule_at(image, 0x1000)->cfa_offset, 8);
	assert_int_equal(rule_at(image, 0x2000)->cfa_offset, 80);
	unwind_image_free(image);
	image = compile(NULL, &debug);
	assert_int_equal(rule_at(image, 0x1000)->cfa_offset, 80);
	unwind_image_free(image);
}

/* A bad FDE between two good ones: what it described is without rules. */
static void a_bad_fde_leaves_a_hole(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR");

	(void)state;
	FDE(&w, cie, 0x1000, 0x100, DW_CFA_def_cfa_offset, 16);
	FDE(&w, cie, 0x1100, 0x100, DW_CFA_def_cfa_offset, 24, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 48, DW_CFA_restore_state);
	FDE(&w, cie, 0x1200, 0x100, DW_CFA_def_cfa_offset, 32);
	struct unwind_image *image = compile(&w, NULL);
	assert_int_equal(image->fdes, 2);
	assert_int_equal(image->bad_fdes, 1);
	assert_int_equal(rule_at(image, 0x10ff)->cfa_offset, 16);
	assert_int_equal(rule_at(image, 0x1100)->cfa, CFA_NONE);
	assert_int_equal(rule_at(image, 0x11ff)->cfa, CFA_NONE);
	assert_int_equal(rule_at(image, 0x1200)->cfa_offset, 32);
	unwind_image_free(image);
}

/* Fifteen bytes are as long as padding, but no padding. */
static void a_short_bad_fde_leaves_a_hole_too(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR");

	(void)state;
	FDE(&w, cie, 0x1000, 0x101, DW_CFA_def_cfa_offset, 16);
	FDE(&w, cie, 0x1101, 15, DW_CFA_restore_state);
	FDE(&w, cie, 0x1110, 0x100, DW_CFA_def_cfa_offset, 32);
	struct unwind_image *image = compile(&w, NULL);
	assert_int_equal(rule_at(image, 0x1100)->cfa_offset, 16);
	assert_int_equal(rule_at(image, 0x1101)->cfa, CFA_NONE);
	assert_int_equal(rule_at(image, 0x110f)->cfa, CFA_NONE);
	assert_int_equal(rule_at(image, 0x1110)->cfa_offset, 32);
	unwind_image_free(image);
}

static void an_image_without_cfi_has_no_tables(void **state)
{
	(void)state;
	struct unwind_image *image = compile(NULL, NULL);
	assert_int_equal(image->n_tables, 0);
	assert_null(rule_at(image, 0x1000));
	unwind_image_free(image);
	unwind_image_free(NULL);
}

static void a_restorer_without_cfi_is_a_signal_frame(void **state)
{
	static const uint8_t TEXT[] = {0x90, 0x90, 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05, 0x90};
	struct unwind_image *image = NULL;
	struct elf_writer elf;
	struct elf_file file;

	(void)state;
	elf_writer_init(&elf, true);
	uint32_t text = elf_writer_section(&elf, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, TEXT, sizeof(TEXT));
	elf_writer_segment(&elf, PT_LOAD, PF_R | PF_X, text, 0x1000);
	int fd = elf_writer_fd(&elf);
	assert_int_equal(elf_file_open(fd, &file), 0);
	assert_int_equal(unwind_image_compile(&file, NULL, &image), 0);
	assert_non_null(rule_at(image, 0x1001));
	assert_int_equal(rule_at(image, 0x1001)->cfa, CFA_DEREF | CFA_SIGNAL_FRAME);
	assert_int_equal(rule_at(image, 0x100b)->cfa, CFA_DEREF | CFA_SIGNAL_FRAME); /* in the system call */
	assert_null(rule_at(image, 0x1000 + sizeof(TEXT)));
	unwind_image_free(image);
	close(fd);
}

/* A function that calls install(), an empty function, and leaves by __builtin_eh_return(). */
static struct unwind_image *compile_eh_return(uint32_t empty_bytes)
{
	uint8_t text[0x400] = {0};
	AUTO_WRITER struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR");
	struct unwind_image *image = NULL;
	struct elf_writer elf;
	struct elf_file file;

	FDE(&w, cie, 0x1000, 0x100, DW_CFA_advance_loc1, 0x80, DW_CFA_def_cfa, 2, 8, DW_CFA_advance_loc1, 3, DW_CFA_def_cfa, 7, 8);
	FDE(&w, cie, 0x1200, 0x40, DW_CFA_nop);
	FDE(&w, cie, 0x1300, empty_bytes, DW_CFA_nop);
	text[0x30] = 0xe8; /* of nothing that is known */
	memcpy(text + 0x40, (uint8_t[]){0xe8, 0xbb, 0x01}, 3); /* 0x1200 - 0x1045 */
	memcpy(text + 0x50, (uint8_t[]){0xe8, 0xab, 0x02}, 3); /* 0x1300 - 0x1055 */
	elf_writer_init(&elf, true);
	uint32_t section = elf_writer_section(&elf, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, text, sizeof(text));
	elf_writer_section(&elf, ".eh_frame", SHT_PROGBITS, SHF_ALLOC, SECTION_VADDR, w.bytes, w.n);
	elf_writer_segment(&elf, PT_LOAD, PF_R | PF_X, section, 0x1000);
	int fd = elf_writer_fd(&elf);
	assert_int_equal(elf_file_open(fd, &file), 0);
	assert_int_equal(unwind_image_compile(&file, NULL, &image), 0);
	close(fd);
	return image;
}

static void rows_without_a_caller_before_an_eh_return(void **state)
{
	struct unwind_image *image = compile_eh_return(5);

	(void)state;
	assert_int_equal(rule_at(image, 0x1043)->ra, AT_CFA);
	assert_int_equal(rule_at(image, 0x1044)->ra, AT_UNRELIABLE);
	assert_int_equal(rule_at(image, 0x107f)->ra, AT_UNRELIABLE);
	assert_int_equal(rule_at(image, 0x1080)->ra, AT_CFA);
	assert_int_equal(rule_at(image, 0x1083)->cfa_register, X86_64_SP);
	assert_int_equal(rule_at(image, 0x1200)->ra, AT_CFA);
	unwind_image_free(image);
	image = compile_eh_return(64); /* the last call is not of an empty function: nothing is known */
	assert_int_equal(rule_at(image, 0x1044)->ra, AT_CFA);
	unwind_image_free(image);
}

/* Samples in rt_sigreturn have the pc behind the restorer's last instruction. */
static void a_signal_frame_holds_one_byte_behind_its_end(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t plain = put_cie(&w, "zR"), signal = put_cie(&w, "zRS");

	(void)state;
	FDE(&w, signal, 0x1000, 9, DW_CFA_nop);
	FDE(&w, plain, 0x1010, 0x10, DW_CFA_nop);
	FDE(&w, signal, 0x1020, 9, DW_CFA_nop);
	FDE(&w, plain, 0x1029, 7, DW_CFA_nop);
	struct unwind_image *image = compile(&w, NULL);
	assert_int_equal(rule_at(image, 0x1009)->cfa, CFA_REGISTER | CFA_SIGNAL_FRAME);
	assert_int_equal(rule_at(image, 0x100a)->cfa, CFA_REGISTER);
	assert_int_equal(rule_at(image, 0x101f)->cfa, CFA_REGISTER);
	assert_int_equal(rule_at(image, 0x1028)->cfa, CFA_REGISTER | CFA_SIGNAL_FRAME);
	assert_int_equal(rule_at(image, 0x1029)->cfa, CFA_REGISTER);
	unwind_image_free(image);
}

/* Go's .debug_frame has an FDE for the restorer, as if it had been called. */
static void a_restorer_in_debug_frame_is_a_signal_frame(void **state)
{
	static const uint8_t TEXT[] = {0x90, 0x90, 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05, 0x90};
	static const uint8_t FRAME[] = {
		20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 3, 0, 1, 0x78, 16, DW_CFA_def_cfa, 7, 8, DW_CFA_offset | 16, 1, 0, 0, 0, 0, 0, 0,
		20, 0, 0, 0, 0, 0, 0, 0, 2, 0x10, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0,
	};
	struct unwind_image *image = NULL;
	struct elf_writer elf;
	struct elf_file file;

	(void)state;
	elf_writer_init(&elf, true);
	uint32_t text = elf_writer_section(&elf, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, TEXT, sizeof(TEXT));
	elf_writer_section(&elf, ".debug_frame", SHT_PROGBITS, 0, 0, FRAME, sizeof(FRAME));
	elf_writer_segment(&elf, PT_LOAD, PF_R | PF_X, text, 0x1000);
	int fd = elf_writer_fd(&elf);
	elf_writer_deinit(&elf);
	assert_int_equal(elf_file_open(fd, &file), 0);
	assert_int_equal(unwind_image_compile(&file, NULL, &image), 0);
	assert_non_null(rule_at(image, 0x1002));
	assert_int_equal(rule_at(image, 0x1002)->cfa, CFA_DEREF | CFA_SIGNAL_FRAME);
	unwind_image_free(image);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_find_what_rows_said),
		cmocka_unit_test(pushes_and_pops_are_runs),
		cmocka_unit_test(runs_are_exact),
		cmocka_unit_test(overlaps_go_to_the_later_start),
		cmocka_unit_test(many_rows_are_linear),
		cmocka_unit_test(a_function_of_more_rows_than_a_table_holds_is_left_out),
		cmocka_unit_test(a_table_has_4096_rules_at_most),
		cmocka_unit_test(functions_far_from_each_other_cost_little),
		cmocka_unit_test(functions_as_long_as_the_address_space_cost_their_budget),
		cmocka_unit_test(a_large_image_has_several_tables),
		cmocka_unit_test(eh_frame_wins_over_debug_frame),
		cmocka_unit_test(a_bad_fde_leaves_a_hole),
		cmocka_unit_test(a_short_bad_fde_leaves_a_hole_too),
		cmocka_unit_test(an_image_without_cfi_has_no_tables),
		cmocka_unit_test(a_restorer_without_cfi_is_a_signal_frame),
		cmocka_unit_test(a_restorer_in_debug_frame_is_a_signal_frame),
		cmocka_unit_test(rows_without_a_caller_before_an_eh_return),
		cmocka_unit_test(a_signal_frame_holds_one_byte_behind_its_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
