#include "symbolizer/cfi.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/cfi_expression.h"
#include "symbolizer/unwind_compiler.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/elf_writer.h"

#define SECTION_VADDR 0x5000

/* Writes an .eh_frame: CIEs and FDEs one behind the other. */
struct writer {
	uint8_t bytes[8192];
	size_t n;
};

static void put(struct writer *w, const void *bytes, size_t n)
{
	assert_true(w->n + n <= sizeof(w->bytes));
	memcpy(w->bytes + w->n, bytes, n);
	w->n += n;
}

static void put_u32(struct writer *w, uint32_t value)
{
	put(w, &value, sizeof(value));
}

#define PUT(w, ...) put((w), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* def_cfa rsp+8; rip at cfa-8. Returns its offset. */
static size_t put_cie(struct writer *w, const char *augmentation)
{
	size_t at = w->n, bytes = strlen(augmentation) + 1;

	put_u32(w, (uint32_t)(4 + 1 + bytes + 3 + (augmentation[0] ? 2 : 0) + 5));
	put_u32(w, 0);
	PUT(w, 1);
	put(w, augmentation, bytes);
	PUT(w, 1, 0x78, 16); /* code alignment 1, data alignment -8, return address column 16 */
	if (augmentation[0])
		PUT(w, 1, DW_EH_PE_pcrel | DW_EH_PE_sdata4);
	PUT(w, DW_CFA_def_cfa, 7, 8, DW_CFA_offset | 16, 1);
	return at;
}

static void put_fde(struct writer *w, size_t cie, uint64_t start, uint32_t length, const uint8_t *code, size_t n)
{
	put_u32(w, (uint32_t)(4 + 4 + 4 + 1 + n));
	put_u32(w, (uint32_t)(w->n - cie));
	put_u32(w, (uint32_t)(start - (SECTION_VADDR + w->n)));
	put_u32(w, length);
	PUT(w, 0); /* augmentation data */
	put(w, code, n);
}

#define FDE(w, cie, start, length, ...) \
	put_fde((w), (cie), (start), (length), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

struct row {
	uint64_t start, end;
	struct unwind_rule rule;
};

struct rows {
	struct row rows[256];
	size_t n;
};

static void take(void *context, uint64_t start, uint64_t end, const struct unwind_rule *rule)
{
	struct rows *rows = context;

	assert_true(rows->n < 256);
	rows->rows[rows->n++] = (struct row){start, end, *rule};
}

static struct cfi *open_cfi(const struct writer *w, uint16_t machine)
{
	struct cfi_section section = {.bytes = w->bytes, .n = w->n, .vaddr = SECTION_VADDR, .is_eh = true,
				      .address_bytes = 8, .machine = machine};
	struct cfi *cfi;

	assert_int_equal(cfi_open(&section, &cfi), 0);
	return cfi;
}

/* Rows of the only FDE. */
static int rows_of(const struct writer *w, struct rows *rows)
{
	struct cfi *cfi = open_cfi(w, EM_X86_64);
	size_t n;
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n);

	assert_int_equal(n, 1);
	rows->n = 0;
	int err = cfi_rows(cfi, fdes, take, rows);
	cfi_close(cfi);
	return err;
}

static void a_prologue_gives_its_rows(void **state)
{
	struct writer w = {.n = 0};
	struct rows rows;
	size_t cie = put_cie(&w, "zR");

	(void)state;
	/* push %rbp; mov %rsp,%rbp; ...; leave; ret */
	FDE(&w, cie, 0x1000, 0x40, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 6, 2,
	    DW_CFA_advance_loc | 3, DW_CFA_def_cfa_register, 6, DW_CFA_remember_state, DW_CFA_advance_loc1, 0x30, DW_CFA_def_cfa,
	    7, 8, DW_CFA_restore | 6, DW_CFA_advance_loc | 1, DW_CFA_restore_state);
	assert_int_equal(rows_of(&w, &rows), 0);
	assert_int_equal(rows.n, 5);
	assert_int_equal(rows.rows[0].start, 0x1000);
	assert_int_equal(rows.rows[0].rule.cfa_register, X86_64_SP);
	assert_int_equal(rows.rows[0].rule.cfa_offset, 8);
	assert_int_equal(rows.rows[0].rule.fp, IN_PLACE);
	assert_int_equal(rows.rows[0].rule.ra, AT_CFA);
	assert_int_equal(rows.rows[0].rule.ra_offset, -8);
	assert_int_equal(rows.rows[1].start, 0x1001);
	assert_int_equal(rows.rows[1].rule.cfa_offset, 16);
	assert_int_equal(rows.rows[1].rule.fp, AT_CFA);
	assert_int_equal(rows.rows[1].rule.fp_offset, -16);
	assert_int_equal(rows.rows[2].rule.cfa_register, X86_64_FP);
	assert_int_equal(rows.rows[3].start, 0x1034);
	assert_int_equal(rows.rows[3].rule.cfa_offset, 8);
	assert_int_equal(rows.rows[3].rule.fp, IN_PLACE);
	assert_int_equal(rows.rows[4].rule.cfa_register, X86_64_FP);
	assert_int_equal(rows.rows[4].end, 0x1040);
}

static void bad_instructions_cost_their_fde(void **state)
{
	static const struct {
		const char *what;
		uint8_t code[8];
		size_t n;
	} CASES[] = {
		{"restore_state without remember_state", {DW_CFA_restore_state}, 1},
		{"an opcode that does not exist", {0x3e}, 1},
		{"an operand behind the end", {DW_CFA_def_cfa, 7}, 2},
		{"a LEB128 without an end", {DW_CFA_def_cfa_offset, 0x80, 0x80, 0x80}, 4},
		{"a block longer than the FDE", {DW_CFA_def_cfa_expression, 0x70}, 2},
		{"a location behind itself", {DW_CFA_advance_loc | 4, DW_CFA_set_loc, 0, 0, 0, 0}, 6},
		{"an offset change of an expression", {DW_CFA_def_cfa_expression, 2, DW_OP_breg7, 8, DW_CFA_def_cfa_offset, 8}, 6},
	};
	struct rows rows;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct writer w = {.n = 0};
		put_fde(&w, put_cie(&w, "zR"), 0x1000, 0x40, CASES[i].code, CASES[i].n);
		if (rows_of(&w, &rows) != -EBADMSG)
			fail_msg("%s was taken", CASES[i].what);
	}
}

/* SAFETY.md's corpus: careless readers take 1.5 GB for this. */
static void huge_registers_and_remembered_states_cost_nothing(void **state)
{
	struct writer w = {.n = 0};
	uint8_t code[CFI_REMEMBER_MAX + 40];
	struct rows rows;
	size_t n = 0;

	(void)state;
	memcpy(code, (uint8_t[]){DW_CFA_offset_extended, 0xff, 0xff, 0xff, 0xff, 0x0f, 1}, 7);
	n = 7;
	for (int i = 0; i < CFI_REMEMBER_MAX; i++)
		code[n++] = DW_CFA_remember_state;
	put_fde(&w, put_cie(&w, "zR"), 0x1000, 0x40, code, n);
	assert_int_equal(rows_of(&w, &rows), 0);
	assert_int_equal(rows.n, 1);
	w.n = 0;
	code[n++] = DW_CFA_remember_state;
	put_fde(&w, put_cie(&w, "zR"), 0x1000, 0x40, code, n);
	assert_int_equal(rows_of(&w, &rows), -EBADMSG);
}

static void a_bad_cie_costs_its_fdes_only(void **state)
{
	struct writer w = {.n = 0};
	struct cfi_stats stats;
	size_t n;

	(void)state;
	size_t bad = put_cie(&w, "zR");
	w.bytes[bad + 8] = 77; /* version */
	FDE(&w, bad, 0x1000, 0x40, DW_CFA_nop);
	FDE(&w, put_cie(&w, "zR"), 0x2000, 0x40, DW_CFA_nop);
	struct cfi *cfi = open_cfi(&w, EM_X86_64);
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
	assert_int_equal(n, 1);
	assert_int_equal(fdes[0].start, 0x2000);
	cfi_stats(cfi, &stats);
	assert_int_equal(stats.bad_cies, 1);
	assert_int_equal(stats.bad_fdes, 1);
	cfi_close(cfi);
}

static void lengths_that_leave_the_section_end_it(void **state)
{
	struct writer w = {.n = 0};
	struct cfi_stats stats;
	size_t n;

	(void)state;
	size_t cie = put_cie(&w, "zR");
	FDE(&w, cie, 0x1000, 0x40, DW_CFA_nop);
	size_t at = w.n;
	FDE(&w, cie, 0x2000, 0x40, DW_CFA_nop);
	memcpy(w.bytes + at, &(uint32_t){0x7fffffff}, 4);
	struct cfi *cfi = open_cfi(&w, EM_X86_64);
	cfi_fdes(cfi, &n);
	assert_int_equal(n, 1);
	cfi_stats(cfi, &stats);
	assert_int_equal(stats.bad_fdes, 1);
	cfi_close(cfi);
}

/* Every prefix, and every byte damaged: nothing is read outside the section (the sanitizers see to that). */
static void damage_is_survived(void **state)
{
	struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR");

	(void)state;
	FDE(&w, cie, 0x1000, 0x40, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 6, 2,
	    DW_CFA_def_cfa_expression, 3, DW_OP_breg7, 8, DW_OP_deref);
	FDE(&w, cie, 0x2000, 0x40, DW_CFA_remember_state, DW_CFA_advance_loc2, 4, 0, DW_CFA_restore_state);
	for (size_t i = 0; i < w.n * 256 + w.n; i++) {
		size_t bytes = i < w.n ? i : w.n, n;
		uint8_t *copy = malloc(bytes + !bytes);
		assert_non_null(copy);
		memcpy(copy, w.bytes, bytes);
		if (i >= w.n)
			copy[(i - w.n) / 256] = (uint8_t)i;
		struct cfi_section section = {.bytes = copy, .n = bytes, .vaddr = SECTION_VADDR, .is_eh = true,
					      .address_bytes = 8, .machine = EM_X86_64};
		struct cfi *cfi;
		assert_int_equal(cfi_open(&section, &cfi), 0);
		const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
		for (size_t j = 0; j < n; j++) {
			struct rows rows = {.n = 0};
			cfi_rows(cfi, &fdes[j], take, &rows);
		}
		cfi_close(cfi);
		free(copy);
	}
}

static void a_machine_without_rules_is_refused(void **state)
{
	struct cfi_section section = {.machine = EM_386, .address_bytes = 4};
	struct cfi *cfi;

	(void)state;
	assert_int_equal(cfi_open(&section, &cfi), -EOPNOTSUPP);
}

static void arm64_has_its_own_registers(void **state)
{
	struct writer w = {.n = 0};
	struct rows rows = {.n = 0};
	size_t n;

	(void)state;
	/* CIE: code alignment 4, data alignment -8, return address x30; def_cfa sp+0 */
	put_u32(&w, 4 + 1 + 3 + 3 + 2 + 3);
	put_u32(&w, 0);
	PUT(&w, 1, 'z', 'R', 0, 4, 0x78, 30, 1, DW_EH_PE_pcrel | DW_EH_PE_sdata4, DW_CFA_def_cfa, 31, 0);
	/* stp x29, x30, [sp, #-16]! */
	FDE(&w, 0, 0x1000, 0x40, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 29, 2, DW_CFA_offset | 30, 1,
	    DW_CFA_GNU_window_save);
	struct cfi *cfi = open_cfi(&w, EM_AARCH64);
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
	assert_int_equal(n, 1);
	assert_int_equal(cfi_rows(cfi, fdes, take, &rows), 0);
	assert_int_equal(rows.n, 2);
	assert_int_equal(rows.rows[0].rule.cfa_register, ARM64_SP);
	assert_int_equal(rows.rows[0].rule.ra, IN_PLACE);
	assert_int_equal(rows.rows[1].start, 0x1004);
	assert_int_equal(rows.rows[1].rule.fp_offset, -16);
	assert_int_equal(rows.rows[1].rule.ra_offset, -8);
	cfi_close(cfi);
}

static struct expression classify(const uint8_t *bytes, size_t n)
{
	return expression_classify((struct byte_reader){bytes, bytes + n, false});
}
#define CLASSIFY(...) classify((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void known_expressions_are_recognized(void **state)
{
	struct expression e;

	(void)state;
	/* The linker's .plt. */
	e = CLASSIFY(DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and, DW_OP_lit11, DW_OP_ge, DW_OP_lit3, DW_OP_shl,
		     DW_OP_plus);
	assert_int_equal(e.kind, EXPRESSION_PLT);
	assert_int_equal(e.reg, 7);
	assert_int_equal(e.offset, 8);
	assert_int_equal(e.add, 11);
	/* gcc's realigned stacks: *(rbp - 8). */
	e = CLASSIFY(DW_OP_breg6, 0x78, DW_OP_deref);
	assert_int_equal(e.kind, EXPRESSION_DEREF);
	assert_int_equal(e.offset, -8);
	assert_int_equal(e.add, 0);
	/* OpenSSL's assembly: *(rsp + 40) + 8. */
	e = CLASSIFY(DW_OP_breg7, 40, DW_OP_deref, DW_OP_plus_uconst, 8);
	assert_int_equal(e.kind, EXPRESSION_DEREF);
	assert_int_equal(e.add, 8);
	e = CLASSIFY(DW_OP_breg7, 0xa8, 1);
	assert_int_equal(e.kind, EXPRESSION_ADDRESS);
	assert_int_equal(e.offset, 168);
	e = CLASSIFY(DW_OP_breg7, 8, DW_OP_lit2, DW_OP_plus);
	assert_int_equal(e.kind, EXPRESSION_ADDRESS);
	assert_int_equal(e.offset, 10);
}

static void other_expressions_are_not(void **state)
{
	(void)state;
	assert_int_equal(classify(NULL, 0).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_breg7).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_breg7, 8, DW_OP_deref, DW_OP_deref).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_lit0).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_bregx, 99, 0).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_breg7, 8, DW_OP_plus_uconst, 0xff, 0xff, 0xff, 0xff, 0x7f).kind, EXPRESSION_OTHER);
}

/* An image with one .eh_frame. */
static struct unwind_image *compile(const struct writer *w)
{
	struct unwind_image *image = NULL;
	struct elf_writer elf;
	struct elf_file file;

	elf_writer_init(&elf, true);
	elf_writer_section(&elf, ".eh_frame", SHT_PROGBITS, SHF_ALLOC, SECTION_VADDR, w->bytes, w->n);
	int fd = elf_writer_fd(&elf);
	elf_writer_deinit(&elf);
	assert_int_equal(elf_file_open(fd, &file), 0);
	assert_int_equal(unwind_image_compile(&file, NULL, &image), 0);
	close(fd);
	return image;
}

static void tables_find_what_rows_said(void **state)
{
	struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR");

	(void)state;
	FDE(&w, cie, 0x3000, 0x100, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16);
	FDE(&w, cie, 0x1ff8, 0x1008 - 16, DW_CFA_advance_loc | 4, DW_CFA_def_cfa_offset, 32);
	struct unwind_image *image = compile(&w);
	assert_int_equal(image->fdes, 2);
	assert_null(unwind_image_find(image, 0x1ff7));
	assert_int_equal(unwind_image_find(image, 0x1ff8)->cfa_offset, 8);
	assert_int_equal(unwind_image_find(image, 0x1ffc)->cfa_offset, 32);
	assert_int_equal(unwind_image_find(image, 0x2fef)->cfa_offset, 32); /* over a page */
	/* A gap of 16 bytes is not padding. */
	assert_int_equal(unwind_image_find(image, 0x2ff0)->cfa, CFA_NONE);
	assert_int_equal(unwind_image_find(image, 0x3000)->cfa_offset, 8);
	assert_int_equal(unwind_image_find(image, 0x30ff)->cfa_offset, 16);
	assert_null(unwind_image_find(image, 0x3100));
	unwind_image_free(image);
}

static void overlaps_go_to_the_later_start(void **state)
{
	struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR");

	(void)state;
	FDE(&w, cie, 0x1000, 0x100, DW_CFA_def_cfa_offset, 16);
	FDE(&w, cie, 0x1080, 0x40, DW_CFA_def_cfa_offset, 24);
	FDE(&w, cie, 0x1080, 0x40, DW_CFA_def_cfa_offset, 48);
	struct unwind_image *image = compile(&w);
	assert_int_equal(unwind_image_find(image, 0x107f)->cfa_offset, 16);
	assert_int_equal(unwind_image_find(image, 0x1080)->cfa_offset, 24);
	unwind_image_free(image);
}

/* 80,000 rows in one FDE: quadratic in libdw (SAFETY.md). Here it is what it is: over a table's size, or a table. */
static void many_rows_are_linear(void **state)
{
	struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR"), n = 80000;
	uint8_t *code = malloc(3 * n), *bytes;
	struct unwind_image *image = NULL;
	struct elf_writer elf;
	struct elf_file file;

	(void)state;
	assert_non_null(code);
	for (size_t i = 0; i < n; i++)
		memcpy(code + 3 * i, (uint8_t[]){DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, (uint8_t)(8 + i % 100)}, 3);
	FDE(&w, cie, 0x10000, (uint32_t)n, DW_CFA_nop);
	size_t fde = w.n - 18;
	bytes = malloc(w.n + 3 * n);
	assert_non_null(bytes);
	memcpy(bytes, w.bytes, w.n);
	memcpy(bytes + w.n, code, 3 * n);
	memcpy(bytes + fde, &(uint32_t){(uint32_t)(14 + 3 * n)}, 4);
	elf_writer_init(&elf, true);
	elf_writer_section(&elf, ".eh_frame", SHT_PROGBITS, SHF_ALLOC, SECTION_VADDR, bytes, w.n + 3 * n);
	int fd = elf_writer_fd(&elf);
	elf_writer_deinit(&elf);
	assert_int_equal(elf_file_open(fd, &file), 0);
	assert_int_equal(unwind_image_compile(&file, NULL, &image), 0);
	assert_int_equal(image->cfi_rows, n);
	assert_int_equal(unwind_image_find(image, 0x10000 + 50001)->cfa_offset, 8 + 50000 % 100);
	unwind_image_free(image);
	close(fd);
	free(bytes);
	free(code);
}

static void a_large_image_has_several_tables(void **state)
{
	size_t n = 300000, fde_bytes = 24;
	struct unwind_image *image = NULL;
	struct writer w = {.n = 0};
	struct elf_writer elf;
	struct elf_file file;

	(void)state;
	size_t cie = put_cie(&w, "zR"), head = w.n;
	uint8_t *bytes = malloc(head + n * fde_bytes);
	assert_non_null(bytes);
	memcpy(bytes, w.bytes, head);
	for (size_t i = 0; i < n; i++) {
		uint8_t *at = bytes + head + i * fde_bytes;
		uint32_t offset = (uint32_t)(head + i * fde_bytes);
		memset(at, 0, fde_bytes);
		memcpy(at, &(uint32_t){(uint32_t)fde_bytes - 4}, 4);
		memcpy(at + 4, &(uint32_t){offset + 4 - (uint32_t)cie}, 4);
		memcpy(at + 8, &(uint32_t){0x100000 + (uint32_t)i * 32 - (SECTION_VADDR + offset + 8)}, 4);
		memcpy(at + 12, &(uint32_t){32}, 4);
		at[17] = DW_CFA_advance_loc | 1;
		at[18] = DW_CFA_def_cfa_offset;
		at[19] = (uint8_t)(16 + i % 50);
	}
	elf_writer_init(&elf, true);
	elf_writer_section(&elf, ".eh_frame", SHT_PROGBITS, SHF_ALLOC, SECTION_VADDR, bytes, head + n * fde_bytes);
	int fd = elf_writer_fd(&elf);
	elf_writer_deinit(&elf);
	assert_int_equal(elf_file_open(fd, &file), 0);
	assert_int_equal(unwind_image_compile(&file, NULL, &image), 0);
	assert_int_equal(image->fdes >= n, 1);
	assert_true(image->n_tables > 1);
	for (size_t i = 0; i < image->n_tables; i++)
		assert_true(image->tables[i].n_bytes <= UNWIND_TABLE_MAX_BYTES);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(unwind_image_find(image, 0x100000 + i * 32)->cfa_offset, 8);
		assert_int_equal(unwind_image_find(image, 0x100000 + i * 32 + 31)->cfa_offset, 16 + i % 50);
	}
	unwind_image_free(image);
	close(fd);
	free(bytes);
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
	elf_writer_deinit(&elf);
	assert_int_equal(elf_file_open(fd, &file), 0);
	assert_int_equal(unwind_image_compile(&file, NULL, &image), 0);
	assert_non_null(unwind_image_find(image, 0x1001));
	assert_int_equal(unwind_image_find(image, 0x1001)->cfa, CFA_DEREF | CFA_SIGNAL_FRAME);
	assert_null(unwind_image_find(image, 0x1000 + sizeof(TEXT)));
	unwind_image_free(image);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_prologue_gives_its_rows),
		cmocka_unit_test(bad_instructions_cost_their_fde),
		cmocka_unit_test(huge_registers_and_remembered_states_cost_nothing),
		cmocka_unit_test(a_bad_cie_costs_its_fdes_only),
		cmocka_unit_test(lengths_that_leave_the_section_end_it),
		cmocka_unit_test(damage_is_survived),
		cmocka_unit_test(a_machine_without_rules_is_refused),
		cmocka_unit_test(arm64_has_its_own_registers),
		cmocka_unit_test(known_expressions_are_recognized),
		cmocka_unit_test(other_expressions_are_not),
		cmocka_unit_test(tables_find_what_rows_said),
		cmocka_unit_test(overlaps_go_to_the_later_start),
		cmocka_unit_test(many_rows_are_linear),
		cmocka_unit_test(a_large_image_has_several_tables),
		cmocka_unit_test(a_restorer_without_cfi_is_a_signal_frame),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
