/* Tables of files that compilers, assemblers and linkers wrote (tests/fixtures/cfi/), against libdw and by hand. */
#include "symbolizer/unwind_compiler.h"

#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/cfi/compare.h"
#include "tests/cfi/exercise.h"
#include "tests/unit/cfi_writer.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/elf_writer.h"

#define FOLDER "build/tests/fixtures/cfi/"

struct fixture {
	int fd;
	struct elf_file file;
	struct unwind_image *image;
	Elf *elf;
};

static void fixture_close(struct fixture *f)
{
	elf_end(f->elf);
	unwind_image_free(f->image);
	close(f->fd);
}
#define AUTO_FIXTURE __attribute__((cleanup(fixture_close)))

/* Open a fixture and compile it. Skips the test when it was not built. */
static struct fixture fixture_open(const char *name)
{
	struct fixture f = {.fd = -1};
	char path[256];

	snprintf(path, sizeof(path), FOLDER "%s", name);
	f.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f.fd < 0) {
		print_message("%s is missing: no cross compiler? (packaging/deps test)\n", path);
		skip();
	}
	assert_int_equal(elf_file_open(f.fd, &f.file), 0);
	assert_int_equal(unwind_image_compile(&f.file, NULL, &f.image), 0);
	elf_version(EV_CURRENT);
	f.elf = elf_begin(f.fd, ELF_C_READ_MMAP_PRIVATE, NULL);
	assert_non_null(f.elf);
	return f;
}

/* All rows are as libdw says, except not_expressed of them. */
static void is_as_libdw_says(const struct fixture *f, const char *name, uint64_t at_least, uint64_t not_expressed)
{
	struct comparison c = {.name = name, .image = f->image, .machine = f->file.machine};

	compare_elf(&c, f->elf);
	assert_int_equal(f->image->bad_fdes, 0);
	assert_int_equal(c.rows[ROW_DIFFERENT], 0);
	assert_int_equal(c.rows[ROW_RA_NOT_EXPRESSED] + c.rows[ROW_FP_NOT_EXPRESSED], not_expressed);
	assert_int_equal(c.rows[ROW_CFA_NOT_EXPRESSED] + c.rows[ROW_CFA_INVALID] + c.rows[ROW_BAD_FDE], 0);
	assert_true(c.rows[ROW_IDENTICAL] >= at_least);
	assert_int_equal(c.rows[ROW_IDENTICAL] + not_expressed, f->image->cfi_rows);
}

/* vaddr of a label. */
static uint64_t label(const struct fixture *f, const char *name)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(f->elf, scn))) {
		GElf_Shdr header;
		GElf_Sym symbol;
		if (!gelf_getshdr(scn, &header) || header.sh_type != SHT_DYNSYM)
			continue;
		Elf_Data *data = elf_getdata(scn, NULL);
		for (int i = 0; gelf_getsym(data, i, &symbol); i++)
			if (strcmp(elf_strptr(f->elf, header.sh_link, symbol.st_name), name) == 0)
				return symbol.st_value;
	}
	fail_msg("no label %s", name);
	return 0;
}

static GElf_Shdr section_header(const struct fixture *f, const char *name)
{
	Elf_Scn *scn = NULL;
	size_t names;

	assert_int_equal(elf_getshdrstrndx(f->elf, &names), 0);
	GElf_Shdr header = {.sh_size = 0};
	while ((scn = elf_nextscn(f->elf, scn)))
		if (gelf_getshdr(scn, &header) && strcmp(elf_strptr(f->elf, names, header.sh_name), name) == 0)
			return header;
	fail_msg("no section %s", name);
	return header;
}

/* What a rule is expected to be at a label. */
struct expectation {
	const char *label;
	struct unwind_rule rule;
};

static void rules_are(const struct fixture *f, const struct expectation *expectations, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct unwind_rule *want = &expectations[i].rule, *rule = rule_at(f->image, label(f, expectations[i].label));
		assert_non_null(rule);
		if (memcmp(rule, want, sizeof(*rule)) != 0)
			fail_msg("%s: cfa %#x reg %u offset %d add %d, fp %#x %d, ra %#x %d", expectations[i].label, rule->cfa,
				 rule->cfa_register, rule->cfa_offset, rule->cfa_add, rule->fp, rule->fp_offset, rule->ra,
				 rule->ra_offset);
	}
}

/* The usual ones: a register and an offset; return address and frame pointer at the CFA (offset 0: in place). */
#define REGISTER_RULE(reg, offset, fp_at, ra_at)                                                             \
	{.cfa = CFA_REGISTER, .cfa_register = (reg), .cfa_offset = (offset), .fp = (fp_at) ? AT_CFA : IN_PLACE, \
	 .fp_offset = (fp_at), .ra = (ra_at) ? AT_CFA : IN_PLACE, .ra_offset = (ra_at)}

static void x86_64_compilers_rows_are_libdws(void **state)
{
	static const char *const NAMES[] = {"x86_64.so", "x86_64_fp.so", "x86_64_no_hdr.so", "x86_64_debug_frame.so", "x86_64_zlib.so"};

	(void)state;
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		AUTO_FIXTURE struct fixture f = fixture_open(NAMES[i]);
		is_as_libdw_says(&f, NAMES[i], 40, i == 0 ? 2 : 0);
	}
}

static void x86_64_rules_are_those_of_the_directives(void **state)
{
	static const struct expectation EXPECTATIONS[] = {
		{"remembers", REGISTER_RULE(X86_64_SP, 8, 0, -8)},
		{"remembers_pushed", REGISTER_RULE(X86_64_SP, 16, -16, -8)},
		{"remembers_popped", REGISTER_RULE(X86_64_SP, 8, 0, -8)},
		{"remembers_again", REGISTER_RULE(X86_64_SP, 16, -16, -8)},
		{"outermost", REGISTER_RULE(X86_64_SP, 8, 0, -8)},
		{"outermost_undefined",
		 {.cfa = CFA_REGISTER, .cfa_register = X86_64_SP, .cfa_offset = 8, .fp = IN_PLACE, .ra = AT_UNDEFINED}},
		{"arguments_pushed", REGISTER_RULE(X86_64_SP, 8, 0, -8)},
		{"by_value_fp",
		 {.cfa = CFA_REGISTER, .cfa_register = X86_64_SP, .cfa_offset = 8, .fp = AT_UNKNOWN, .ra = AT_CFA, .ra_offset = -8}},
		{"by_value_ra",
		 {.cfa = CFA_REGISTER, .cfa_register = X86_64_SP, .cfa_offset = 8, .fp = IN_PLACE, .ra = AT_UNKNOWN}},
		{"from_rbx_row", REGISTER_RULE(3, 48, 0, -8)},
		{"from_r10_row", REGISTER_RULE(10, 48, 0, -8)},
		{"dereferenced_row",
		 {.cfa = CFA_DEREF, .cfa_register = X86_64_FP, .cfa_offset = -8, .ra = AT_CFA, .ra_offset = -8}},
		{"dereferenced_plus",
		 {.cfa = CFA_DEREF, .cfa_register = X86_64_SP, .cfa_offset = 40, .cfa_add = 8, .ra = AT_CFA, .ra_offset = -8}},
		{"moved_row",
		 {.cfa = CFA_REGISTER, .cfa_register = X86_64_SP, .cfa_offset = 8, .fp = IN_REGISTER | 11, .ra = IN_REGISTER | 2}},
		{"signals",
		 {.cfa = CFA_REGISTER | CFA_SIGNAL_FRAME, .cfa_register = X86_64_SP, .cfa_offset = 8, .ra = AT_CFA, .ra_offset = -8}},
		{"signals_row",
		 {.cfa = CFA_DEREF | CFA_SIGNAL_FRAME, .cfa_register = X86_64_SP, .cfa_offset = 160,
		  .fp = AT_REGISTER_PLUS | X86_64_SP, .fp_offset = 120, .ra = AT_REGISTER_PLUS | X86_64_SP, .ra_offset = 168}},
	};

	(void)state;
	AUTO_FIXTURE struct fixture f = fixture_open("x86_64.so");
	rules_are(&f, EXPECTATIONS, sizeof(EXPECTATIONS) / sizeof(EXPECTATIONS[0]));
}

static void plt_entries_have_their_rule(void **state)
{
	(void)state;
	AUTO_FIXTURE struct fixture f = fixture_open("x86_64.so");
	uint64_t plt = section_header(&f, ".plt").sh_addr;
	/* The first entry: pushes the link map, jumps; the second: jumps, pushes its index at byte 6, jumps. */
	assert_int_equal(rule_at(f.image, plt)->cfa_offset, 16);
	assert_int_equal(rule_at(f.image, plt + 6)->cfa_offset, 24);
	const struct unwind_rule *rule = rule_at(f.image, plt + 16);
	assert_int_equal(rule->cfa, CFA_PLT);
	assert_int_equal(rule->cfa_register, X86_64_SP);
	assert_int_equal(rule->cfa_offset, 8);
	assert_int_equal(rule->cfa_add, 11);
	assert_int_equal(rule->ra_offset, -8);
}

static void arm64_compilers_rows_are_libdws(void **state)
{
	static const char *const NAMES[] = {"arm64.so", "arm64_omit.so", "arm64_pac.so", "arm64_debug_frame.so"};

	(void)state;
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		AUTO_FIXTURE struct fixture f = fixture_open(NAMES[i]);
		is_as_libdw_says(&f, NAMES[i], 40, 0);
	}
}

static void arm64_rules_are_those_of_the_directives(void **state)
{
	static const struct expectation EXPECTATIONS[] = {
		{"framed", REGISTER_RULE(ARM64_SP, 0, 0, 0)},
		{"framed_pushed", REGISTER_RULE(ARM64_SP, 32, -32, -24)},
		{"framed_set_up", REGISTER_RULE(ARM64_FP, 32, -32, -24)},
		{"framed_popped", REGISTER_RULE(ARM64_SP, 0, 0, 0)},
		{"signed_address", REGISTER_RULE(ARM64_SP, 0, 0, 0)},
		{"signed_address_signed", REGISTER_RULE(ARM64_SP, 0, 0, 0)},
		{"signed_address_pushed", REGISTER_RULE(ARM64_SP, 16, -16, -8)},
		{"signed_address_checked", REGISTER_RULE(ARM64_SP, 16, -16, -8)},
		{"moved_row", {.cfa = CFA_REGISTER, .cfa_register = ARM64_SP, .fp = IN_PLACE, .ra = IN_REGISTER | 9}},
		{"outermost_undefined", {.cfa = CFA_REGISTER, .cfa_register = ARM64_SP, .fp = IN_PLACE, .ra = AT_UNDEFINED}},
		{"from_x19_row", REGISTER_RULE(19, 64, 0, 0)},
	};

	(void)state;
	AUTO_FIXTURE struct fixture f = fixture_open("arm64.so");
	rules_are(&f, EXPECTATIONS, sizeof(EXPECTATIONS) / sizeof(EXPECTATIONS[0]));
}

/* Does some row of a function have its frame pointer, or return address, in memory? */
static void saved_in(const struct fixture *f, const char *name, unsigned bytes, bool *fp, bool *ra)
{
	uint64_t start = label(f, name);

	*fp = *ra = false;
	for (uint64_t vaddr = start; vaddr < start + bytes; vaddr += 4) {
		const struct unwind_rule *rule = rule_at(f->image, vaddr);
		assert_non_null(rule);
		*fp |= rule->fp == AT_CFA;
		*ra |= rule->ra == AT_CFA;
	}
}

static void arm64_frames_are_kept_or_omitted(void **state)
{
	bool fp, ra;

	(void)state;
	AUTO_FIXTURE struct fixture kept = fixture_open("arm64.so");
	saved_in(&kept, "leaf", 8, &fp, &ra);
	assert_false(fp);
	assert_false(ra);
	saved_in(&kept, "calls", 24, &fp, &ra);
	assert_true(fp);
	assert_true(ra);
	AUTO_FIXTURE struct fixture omitted = fixture_open("arm64_omit.so");
	saved_in(&omitted, "calls", 24, &fp, &ra);
	assert_false(fp);
	assert_true(ra);
}

static void tables_are_equal(const struct unwind_image *a, const struct unwind_image *b)
{
	assert_true(a->n_tables > 0);
	assert_int_equal(a->n_tables, b->n_tables);
	for (size_t i = 0; i < a->n_tables; i++) {
		assert_int_equal(a->tables[i].vaddr, b->tables[i].vaddr);
		assert_int_equal(a->tables[i].n_bytes, b->tables[i].n_bytes);
		assert_memory_equal(a->tables[i].bytes, b->tables[i].bytes, a->tables[i].n_bytes);
	}
}

/* libdw 0.188 does not read zstd, so that the table of the uncompressed section is what is compared with. */
static void compressed_sections_give_the_same_table(void **state)
{
	static const char *const NAMES[] = {"x86_64_zlib.so", "x86_64_zstd.so"};

	(void)state;
	AUTO_FIXTURE struct fixture plain = fixture_open("x86_64_debug_frame.so");
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		AUTO_FIXTURE struct fixture f = fixture_open(NAMES[i]);
		tables_are_equal(plain.image, f.image);
	}
}

static void a_separate_debug_file_is_read(void **state)
{
	struct unwind_image *image = NULL;

	(void)state;
	AUTO_FIXTURE struct fixture stripped = fixture_open("x86_64_no_cfi.so");
	AUTO_FIXTURE struct fixture debug = fixture_open("x86_64_debug_frame.so");
	AUTO_FIXTURE struct fixture other = fixture_open("x86_64_zlib.so");
	assert_int_equal(stripped.image->n_tables, 0);
	assert_int_equal(unwind_image_compile(&stripped.file, &debug.file, &image), 0);
	tables_are_equal(debug.image, image);
	unwind_image_free(image);
	assert_int_equal(unwind_image_compile(&stripped.file, &other.file, &image), 0);
	tables_are_equal(debug.image, image);
	unwind_image_free(image);
}

/* As sstrip leaves it: program headers only. .eh_frame_hdr leads to .eh_frame. */
static void section_headers_are_not_needed(void **state)
{
	struct unwind_image *image = NULL;
	struct elf_file file;
	Elf64_Ehdr header;

	(void)state;
	AUTO_FIXTURE struct fixture f = fixture_open("x86_64.so");
	uint8_t *bytes = malloc(f.file.file_bytes);
	assert_non_null(bytes);
	assert_int_equal(elf_file_read(&f.file, 0, bytes, f.file.file_bytes), 0);
	memcpy(&header, bytes, sizeof(header));
	header.e_shoff = 0;
	header.e_shnum = header.e_shstrndx = 0;
	memcpy(bytes, &header, sizeof(header));
	int fd = bytes_fd(bytes, f.file.file_bytes);
	assert_int_equal(elf_file_open(fd, &file), 0);
	assert_int_equal(unwind_image_compile(&file, NULL, &image), 0);
	tables_are_equal(f.image, image);
	unwind_image_free(image);
	close(fd);
	free(bytes);
}

/* A short `make fuzz-cfi`. */
static void mutants_are_survived(void **state)
{
	static const char *const NAMES[] = {"x86_64.so", "x86_64_fp.so", "arm64_pac.so", "arm64_debug_frame.so"};

	(void)state;
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		AUTO_FIXTURE struct fixture f = fixture_open(NAMES[i]);
		struct dice dice = {i};
		bool is_eh = i != 3;
		GElf_Shdr header = section_header(&f, is_eh ? ".eh_frame" : ".debug_frame");
		uint8_t bytes[4096], mutant[8192];
		assert_true(header.sh_size <= sizeof(bytes));
		assert_int_equal(elf_file_read(&f.file, header.sh_offset, bytes, header.sh_size), 0);
		for (int run = 0; run < 1500; run++) {
			memcpy(mutant, bytes, header.sh_size);
			size_t n = mutate(&dice, mutant, header.sh_size, sizeof(mutant));
			exercise_section(mutant, n, is_eh, f.file.machine);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x86_64_compilers_rows_are_libdws),
		cmocka_unit_test(x86_64_rules_are_those_of_the_directives),
		cmocka_unit_test(plt_entries_have_their_rule),
		cmocka_unit_test(arm64_compilers_rows_are_libdws),
		cmocka_unit_test(arm64_rules_are_those_of_the_directives),
		cmocka_unit_test(arm64_frames_are_kept_or_omitted),
		cmocka_unit_test(compressed_sections_give_the_same_table),
		cmocka_unit_test(a_separate_debug_file_is_read),
		cmocka_unit_test(section_headers_are_not_needed),
		cmocka_unit_test(mutants_are_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
