#include "symbolizer/go_switches.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/cfi_writer.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/elf_writer.h"

#define TEXT	   0x1000
#define FUNCTION   0x40 /* bytes of each function below */
#define TEXT_BYTES 0x800
#define LONG_AT	   0x500
#define LONG_BYTES 0x300

#define FRAME	   0x55, 0x48, 0x89, 0xe5 /* push %rbp; mov %rsp,%rbp */
#define FRAME_1_20 0x48, 0x83, 0xec, 0x18, 0x48, 0x89, 0x6c, 0x24, 0x10, 0x48, 0x8d, 0x6c, 0x24, 0x10
#define CHECK	   0x49, 0x3b, 0x66, 0x10 /* cmp 0x10(%r14),%rsp */

/* What follows is as Go 1.19's and 1.26's assemblers encode it. */
static const struct function {
	const char *name;
	uint8_t code[FUNCTION];
	uint32_t from; /* the first byte behind the switch; 0: none */
	bool has_frame;
	bool saves_fp; /* before that */
} FUNCTIONS[] = {
	{"systemstack", {FRAME, 0x48, 0x8b, 0x62, 0x38, 0xff, 0xd7, 0x48, 0x8b, 0x60, 0x38, 0x5d, 0xc3}, 8, true, false},
	{"systemstack 1.19", {0x48, 0x89, 0xdc, 0xff, 0xd7, 0x48, 0x8b, 0x60, 0x38, 0xc3}, 3, false, false},
	{"mcall", {FRAME, 0x49, 0x8b, 0x66, 0x38, 0x48, 0xc7, 0xc5, 0, 0, 0, 0, 0x50}, 8, false, false},
	{"mcall, shorter", {FRAME, 0x49, 0x8b, 0x66, 0x38, 0x31, 0xed, 0x50}, 8, false, false},
	{"gogo", {0x48, 0x8b, 0x23, 0x48, 0x8b, 0x53, 0x18}, 3, false, false},
	{"time.now 1.19", {FRAME_1_20, 0x48, 0x83, 0xe4, 0xf0}, 18, true, false},
	{"vgetrandom1", {FRAME, 0x48, 0x83, 0xec, 0x10, 0x48, 0x83, 0xe4, 0xf0}, 12, true, false},
	{"clone", {0x0f, 0x05, 0x48, 0x89, 0xf4}, 5, false, false},
	{"by r12", {FRAME, 0x4c, 0x89, 0xe4}, 7, true, false},
	{"callCgoMmap's end", {FRAME, 0x48, 0x8b, 0x24, 0x24}, 8, true, false},
	{"(%r12)", {FRAME, 0x49, 0x8b, 0x64, 0x24, 0x38}, 9, true, false},
	/* No switches. */
	{"a compiled function's operand", {CHECK, 0x76, 0x20, 0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8, 0x48, 0x89, 0xdc}, 0, false, false},
	{"one with a large frame", {0x4c, 0x8d, 0x64, 0x24, 0x80, 0x48, 0xb8, 0x48, 0x89, 0xdc}, 0, false, false},
	{"an epilogue", {FRAME, 0x48, 0x89, 0xec, 0x5d, 0xc3}, 0, false, false},
	{"mov 0x38(%rip),%rsp", {0x48, 0x8b, 0x25, 0x38}, 0, false, false},
	{"and $56,%rsp", {0x48, 0x83, 0xe4, 0x38}, 0, false, false},
	/* By their row at the second byte. */
	{"a frame before 1.21", {0x90, 0x48, 0x89, 0x6c, 0x24, 0x10}, 0, false, true},
	{"a large frame before 1.21", {0x90, 0x48, 0x89, 0xac, 0x24, 0x10, 0x10}, 0, false, true},
	{"push of a value", {0x55, 0x9c}, 0, false, false},
	{"crosscall2", {0x9c, 0xfc}, 0, false, false},
};
#define N_FUNCTIONS (sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]))
_Static_assert(N_FUNCTIONS * FUNCTION <= LONG_AT, "functions overlap");

struct image {
	const char *mark; /* a section of Go's; NULL: none */
	uint64_t text_bytes; /* that the file says to have */
	bool by_eh_frame;
};
static const struct image GO = {".gopclntab", TEXT_BYTES, false};

/* Each function has rsp+8, a byte on rsp+16, and rsp+8 in its second half's first byte. */
static void put_rules(struct writer *w, bool is_eh)
{
	static const uint8_t ROWS[] = {DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_advance_loc | 0x1f, DW_CFA_def_cfa_offset, 8,
				       DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16};
	size_t cie = is_eh ? put_cie(w, "zR") : put_debug_cie(w);

	for (size_t i = 0; i <= N_FUNCTIONS; i++) {
		uint64_t start = TEXT + (i < N_FUNCTIONS ? i * FUNCTION : LONG_AT);
		uint32_t bytes = i < N_FUNCTIONS ? FUNCTION : LONG_BYTES;
		if (is_eh)
			put_fde(w, cie, start, bytes, ROWS, sizeof(ROWS));
		else
			put_debug_fde(w, cie, start, bytes, ROWS, sizeof(ROWS));
	}
}

static struct unwind_image *compile_image(const struct image *image)
{
	AUTO_WRITER struct writer w = {.n = 0};
	uint8_t text[TEXT_BYTES] = {0};
	struct unwind_image *compiled = NULL;
	struct elf_writer elf;
	struct elf_file file;

	for (size_t i = 0; i < N_FUNCTIONS; i++)
		memcpy(text + i * FUNCTION, FUNCTIONS[i].code, FUNCTION);
	memcpy(text + LONG_AT, FUNCTIONS[0].code, FUNCTION);
	put_rules(&w, image->by_eh_frame);
	elf_writer_init(&elf, true);
	uint32_t section = elf_writer_section(&elf, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, TEXT, text, sizeof(text));
	if (image->by_eh_frame)
		elf_writer_section(&elf, ".eh_frame", SHT_PROGBITS, SHF_ALLOC, SECTION_VADDR, w.bytes, w.n);
	else
		elf_writer_section(&elf, ".debug_frame", SHT_PROGBITS, 0, 0, w.bytes, w.n);
	if (image->mark)
		elf_writer_section(&elf, image->mark, SHT_PROGBITS, SHF_ALLOC, 0x3000, "x", 1);
	elf_writer_segment(&elf, PT_LOAD, PF_R | PF_X, section, TEXT);
	elf.segments[0].claimed_bytes = image->text_bytes;
	int fd = elf_writer_fd(&elf);
	elf_writer_deinit(&elf);
	assert_int_equal(elf_file_open(fd, &file), 0);
	assert_int_equal(unwind_image_compile(&file, NULL, &compiled), 0);
	close(fd);
	return compiled;
}

static bool is_changed(const struct unwind_image *image, uint64_t vaddr)
{
	const struct unwind_rule *rule = rule_at(image, vaddr);

	assert_non_null(rule);
	return rule->cfa != CFA_REGISTER || rule->ra != AT_CFA;
}

static void switches_end_what_the_rows_say(void **state)
{
	struct unwind_image *image = compile_image(&GO);

	(void)state;
	for (size_t i = 0; i < N_FUNCTIONS; i++) {
		const struct function *function = &FUNCTIONS[i];
		uint64_t start = TEXT + i * FUNCTION;
		for (uint64_t at = 0; at < FUNCTION; at++) {
			bool is_behind = function->from && at >= function->from;
			/* The caller's frame pointer is back, and the first stack. */
			bool is_back = at == 0x20 && function->has_frame;
			if (is_changed(image, start + at) != (is_behind && !is_back))
				fail_msg("%s + %#lx", function->name, at);
		}
		if (!function->from)
			continue;
		const struct unwind_rule *rule = rule_at(image, start + function->from);
		assert_int_equal(rule->ra, function->has_frame ? AT_CFA : AT_UNDEFINED);
	}
	unwind_image_free(image);
}

static void a_frame_is_found_by_the_frame_pointer(void **state)
{
	static const struct unwind_rule WANTED = {.cfa = CFA_REGISTER | CFA_SWITCHES_STACK, .cfa_register = X86_64_FP, .cfa_offset = 16,
						  .fp = AT_CFA, .fp_offset = -16, .ra = AT_CFA, .ra_offset = -8};
	struct unwind_image *image = compile_image(&GO);

	(void)state;
	assert_memory_equal(rule_at(image, TEXT + 8), &WANTED, sizeof(WANTED));
	assert_memory_equal(rule_at(image, TEXT + 0x21), &WANTED, sizeof(WANTED));
	assert_int_equal(rule_at(image, TEXT + 7)->cfa_offset, 16);
	assert_int_equal(rule_at(image, TEXT + 0x20)->cfa_offset, 8);
	unwind_image_free(image);
}

/* .debug_frame does not say so, but prologues do. */
static void frame_pointers_are_where_prologues_save_them(void **state)
{
	struct unwind_image *image = compile_image(&GO);

	(void)state;
	for (size_t i = 0; i < N_FUNCTIONS; i++) {
		const struct function *function = &FUNCTIONS[i];
		bool saves = function->saves_fp || memcmp(function->code, (uint8_t[]){FRAME}, 4) == 0;
		for (uint64_t at = 0; at < (function->from ? function->from : FUNCTION); at++) {
			const struct unwind_rule *rule = rule_at(image, TEXT + i * FUNCTION + at);
			bool is_saved = saves && at != 0 && at != 0x20;
			if (rule->fp != (is_saved ? AT_CFA : IN_PLACE) || rule->fp_offset != (is_saved ? -16 : 0))
				fail_msg("%s + %#lx: %#x %d", function->name, at, rule->fp, rule->fp_offset);
		}
	}
	unwind_image_free(image);
}

static void functions_too_long_for_assembly_do_not_switch(void **state)
{
	struct unwind_image *image = compile_image(&GO);

	(void)state;
	assert_false(is_changed(image, TEXT + LONG_AT + 8));
	unwind_image_free(image);
}

static void expect_no_change(const struct image *which)
{
	struct unwind_image *image = compile_image(which);

	for (uint64_t vaddr = TEXT; vaddr < TEXT + N_FUNCTIONS * FUNCTION; vaddr++)
		assert_false(is_changed(image, vaddr) || rule_at(image, vaddr)->fp != IN_PLACE);
	unwind_image_free(image);
}

static void other_images_keep_their_rows(void **state)
{
	(void)state;
	expect_no_change(&(struct image){NULL, TEXT_BYTES, false});
	expect_no_change(&(struct image){".gopclntab.x", TEXT_BYTES, false});
	expect_no_change(&(struct image){".gopclntab", TEXT_BYTES, true}); /* C's */
}

static void either_section_marks_a_go_image(void **state)
{
	(void)state;
	const char *const marks[] = {".note.go.buildid", ".data.rel.ro.gopclntab"};
	for (size_t i = 0; i < 2; i++) {
		struct unwind_image *image = compile_image(&(struct image){marks[i], TEXT_BYTES, false});
		assert_true(is_changed(image, TEXT + 8));
		unwind_image_free(image);
	}
}

/* Code that is not in the file keeps the rows that its CFI has. */
static void a_text_that_ends_early_costs_what_is_missing(void **state)
{
	(void)state;
	expect_no_change(&(struct image){".gopclntab", 1, false});
	struct unwind_image *image = compile_image(&(struct image){".gopclntab", 2 * FUNCTION - 1, false});
	assert_true(is_changed(image, TEXT + 8));
	assert_false(is_changed(image, TEXT + FUNCTION + 8));
	unwind_image_free(image);
	image = compile_image(&(struct image){".gopclntab", 1ULL << 40, false}); /* more than the file has */
	assert_true(is_changed(image, TEXT + 8));
	unwind_image_free(image);
}

static void a_switch_cut_off_by_the_functions_end_is_none(void **state)
{
	static const uint8_t text[] = {FRAME, 0x48, 0x8b, 0x62, 0x38};
	struct go_switches *switches = NULL;
	struct elf_writer elf;
	struct elf_file file;

	(void)state;
	elf_writer_init(&elf, true);
	uint32_t section = elf_writer_section(&elf, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, TEXT, text, sizeof(text));
	elf_writer_section(&elf, ".gopclntab", SHT_PROGBITS, SHF_ALLOC, 0x3000, "x", 1);
	elf_writer_segment(&elf, PT_LOAD, PF_R | PF_X, section, TEXT);
	int fd = elf_writer_fd(&elf);
	elf_writer_deinit(&elf);
	assert_int_equal(elf_file_open(fd, &file), 0);
	assert_int_equal(go_switches_open(&file, &switches), 0);
	assert_non_null(switches);
	assert_int_equal(go_switches_find(switches, TEXT, TEXT + 8).behind_switch, TEXT + 8);
	for (uint64_t end = TEXT; end < TEXT + 8; end++)
		assert_true(go_switches_find(switches, TEXT, end).behind_switch == UINT64_MAX);
	assert_true(go_switches_find(switches, TEXT, 0).behind_switch == UINT64_MAX); /* ends before it begins */
	assert_true(go_switches_find(switches, UINT64_MAX - 8, UINT64_MAX).behind_switch == UINT64_MAX);
	assert_true(go_switches_find(NULL, TEXT, TEXT + 8).behind_switch == UINT64_MAX);
	go_switches_close(switches);
	go_switches_close(NULL);
	file.machine = EM_AARCH64;
	assert_int_equal(go_switches_open(&file, &switches), 0);
	assert_null(switches);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(switches_end_what_the_rows_say),
		cmocka_unit_test(a_frame_is_found_by_the_frame_pointer),
		cmocka_unit_test(frame_pointers_are_where_prologues_save_them),
		cmocka_unit_test(functions_too_long_for_assembly_do_not_switch),
		cmocka_unit_test(other_images_keep_their_rows),
		cmocka_unit_test(either_section_marks_a_go_image),
		cmocka_unit_test(a_text_that_ends_early_costs_what_is_missing),
		cmocka_unit_test(a_switch_cut_off_by_the_functions_end_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
