#include "symbolizer/go_functions.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/cfi_writer.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/elf_writer.h"

#define TEXT 0x401000
#define NONE UINT64_MAX

static const uint8_t CODE[0x80] = {
	0xc3, [0x20] = /* systemstack */ 0x55, 0x48, 0x89, 0xe5, 0x48, 0x8b, 0x62, 0x38, 0xff, 0xd7, 0x48, 0x8b, 0x60, 0x38, 0x5d, 0xc3, 0xff, 0xe7,
	[0x40] = /* gogo */ 0x48, 0x8b, 0x23, [0x60] = 0xc3,
};

/* The header, and behind it functions at 0, 0x20, 0x40, 0x60; the last entry is where they end. */
struct table {
	uint32_t magic;
	uint8_t zeros[2], quantum, pointer_bytes;
	uint64_t n_functions, n_files, text, offsets[4], functions;
	uint32_t functab[9];
};

static const struct table TABLE = {
	.magic = 0xfffffff1,
	.quantum = 1,
	.pointer_bytes = 8,
	.n_functions = 4,
	.functions = 72,
	.functab = {0, 0, 0x20, 0, 0x40, 0, 0x60, 0, 0x80},
};

/* moduledata, which has where Go's text begins. */
static const uint64_t MODULE[23] = {[22] = TEXT};

/* bytes: of the table that the file has. c_bytes: of C's code before Go's. */
static struct unwind_image *compile_linked(const struct table *table, size_t bytes, uint64_t claimed, size_t c_bytes)
{
	uint8_t code[sizeof(CODE) + 64] = {0};
	struct unwind_image *image = NULL;
	struct elf_writer elf;
	struct elf_file file;

	memcpy(code + c_bytes, CODE, sizeof(CODE));
	elf_writer_init(&elf, true);
	uint32_t text = elf_writer_section(&elf, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, TEXT - c_bytes, code, sizeof(code));
	if (c_bytes)
		elf_writer_section(&elf, ".go.module", SHT_PROGBITS, SHF_ALLOC, 0x600000, MODULE, sizeof(MODULE));
	uint32_t section = elf_writer_section(&elf, ".gopclntab", SHT_PROGBITS, SHF_ALLOC, 0x500000, table, bytes);
	elf.sections[section].claimed_bytes = claimed;
	elf_writer_segment(&elf, PT_LOAD, PF_R | PF_X, text, TEXT - c_bytes);
	int fd = elf_writer_fd(&elf);
	elf_writer_deinit(&elf);
	assert_int_equal(elf_file_open(fd, &file), 0);
	assert_int_equal(unwind_image_compile(&file, NULL, &image), 0);
	close(fd);
	return image;
}

static struct unwind_image *compile_table(const struct table *table, size_t bytes, uint64_t claimed)
{
	return compile_linked(table, bytes, claimed, 0);
}

/* Which of the text's bytes have which rule. */
static void expect_parts(const struct table *table, size_t c_bytes)
{
	struct unwind_image *image = compile_linked(table, sizeof(*table), 0, c_bytes);

	for (uint64_t at = 0; at < sizeof(CODE); at++) {
		const struct unwind_rule *rule = rule_at(image, TEXT + at);
		if (at < 0x28 || at >= 0x40) {
			assert_true(!rule || rule->cfa == CFA_NONE);
			continue;
		}
		assert_non_null(rule);
		assert_int_equal(rule->cfa, at == 0x2f ? CFA_REGISTER : CFA_REGISTER | CFA_SWITCHES_STACK);
		assert_int_equal(rule->cfa_register, at == 0x2f ? X86_64_SP : X86_64_FP);
		assert_int_equal(rule->cfa_offset, at == 0x2f ? 8 : 16);
		assert_int_equal(rule->ra, AT_CFA);
		assert_int_equal(rule->ra_offset, -8);
	}
	unwind_image_free(image);
}

static void functions_without_cfi_are_found_by_gos_table(void **state)
{
	struct table table = TABLE;

	(void)state;
	expect_parts(&table, 0);
	expect_parts(&table, 48);
	table.magic = 0xfffffff0; /* Go 1.18 */
	table.text = TEXT;
	expect_parts(&table, 0);
}

static void expect_nothing(const struct table *table, size_t bytes, uint64_t claimed)
{
	struct unwind_image *image = compile_table(table, bytes, claimed);

	assert_int_equal(image->n_tables, 0);
	unwind_image_free(image);
}

static void damaged_tables_have_no_functions(void **state)
{
	struct table table = TABLE;

	(void)state;
	table.magic = 0xfffffffa; /* Go 1.16 */
	expect_nothing(&table, sizeof(table), 0);
	table = TABLE;
	table.text = TEXT + 8; /* not where the text is */
	expect_nothing(&table, sizeof(table), 0);
	table.text = NONE - 0x30; /* entries wrap */
	expect_nothing(&table, sizeof(table), 0);
	table = TABLE;
	const uint64_t counts[] = {0, 6, GO_FUNCTIONS_MAX, GO_FUNCTIONS_MAX + 1, NONE / 8, NONE};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		table.n_functions = counts[i];
		expect_nothing(&table, sizeof(table), 0);
	}
	table = TABLE;
	const uint64_t offsets[] = {76, sizeof(table), sizeof(table) + 1, NONE, NONE - 8};
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		table.functions = offsets[i];
		expect_nothing(&table, sizeof(table), 0);
	}
	table = TABLE;
	table.functab[4] = 0x20; /* not ascending */
	expect_nothing(&table, sizeof(table), 0);
	table = TABLE;
	for (size_t bytes = 1; bytes < 72 + 4 * 8; bytes++)
		expect_nothing(&table, bytes, 0);
	table.n_functions = GO_FUNCTIONS_MAX;
	expect_nothing(&table, sizeof(table), 1ULL << 40); /* the section is not in the file */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_without_cfi_are_found_by_gos_table),
		cmocka_unit_test(damaged_tables_have_no_functions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
