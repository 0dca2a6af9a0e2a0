/* One function's CFI as it is in the file, and what of it is let through to an evaluator. */
#include "symbolizer/frame_entry.h"
#include "symbolizer/cfi.h"
#include "symbolizer/frame_screen.h"
#include "symbolizer/libunwind_walk.h"
#include "symbolizer/section_reader.h"
#include "symbolizer/engine.h"
#include "symbolizer/unwind_compiler.h"
#include "tests/unit/elf_writer.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "tests/unit/cmocka_prelude.h"

static bool is_safe(const uint8_t *bytes, size_t n)
{
	/* From the heap, exactly: a sanitizer sees a read behind its end. */
	uint8_t *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, n);
	bool safe = frame_program_is_safe((struct byte_reader){copy, copy + n, false});
	free(copy);
	return safe;
}
#define IS_SAFE(...) is_safe((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void screens_instructions(void **state)
{
	(void)state;
	assert_true(is_safe((const uint8_t *)"", 0));
	assert_true(IS_SAFE(DW_CFA_def_cfa, 7, 8, DW_CFA_offset + 16, 1, DW_CFA_nop));
	assert_true(IS_SAFE(DW_CFA_remember_state, DW_CFA_advance_loc4, 1, 2, 3, 4, DW_CFA_restore_state));
	assert_false(IS_SAFE(DW_CFA_def_cfa, 7));
	assert_false(IS_SAFE(DW_CFA_advance_loc4, 1, 2, 3));
	assert_false(IS_SAFE(DW_CFA_restore_state));
	assert_false(IS_SAFE(0x3f));
	assert_false(IS_SAFE(DW_CFA_set_loc, 0, 0, 0, 0, 0, 0, 0, 0));
	assert_false(IS_SAFE(DW_CFA_offset + 16, 0x80));
	uint8_t many[65];
	memset(many, DW_CFA_remember_state, sizeof(many));
	assert_true(is_safe(many, 64));
	assert_false(is_safe(many, 65));
}

static void screens_expressions(void **state)
{
	(void)state;
	assert_true(IS_SAFE(DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 0, DW_OP_deref, DW_OP_deref));
	assert_true(IS_SAFE(DW_CFA_def_cfa_expression, 11, DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and,
			    DW_OP_lit11, DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus));
	assert_true(IS_SAFE(DW_CFA_expression, 6, 2, DW_OP_breg6, 0x70));
	/* An operand that looks like a division is none. */
	assert_true(IS_SAFE(DW_CFA_val_expression, 6, 2, DW_OP_const1u, DW_OP_div));
	assert_false(IS_SAFE(DW_CFA_val_expression, 6, 3, DW_OP_lit1, DW_OP_lit0, DW_OP_div));
	assert_false(IS_SAFE(DW_CFA_def_cfa_expression, 3, DW_OP_skip, 0xfd, 0xff));
	assert_false(IS_SAFE(DW_CFA_def_cfa_expression, 4, DW_OP_lit1, DW_OP_bra, 0xfc, 0xff));
	assert_false(IS_SAFE(DW_CFA_def_cfa_expression, 3, DW_OP_lit1, DW_OP_lit2, DW_OP_mod));
	assert_false(IS_SAFE(DW_CFA_def_cfa_expression, 1, DW_OP_call_frame_cfa));
	assert_false(IS_SAFE(DW_CFA_def_cfa_expression, 3, DW_OP_breg7, 0));
	assert_false(IS_SAFE(DW_CFA_def_cfa_expression, 1, DW_OP_breg7, 0)); /* its operand lies behind it */
	assert_false(IS_SAFE(DW_CFA_def_cfa_expression, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, DW_OP_lit0));
}

/* ---- the same entries as the CFI compiler's parser finds ---- */

static uint8_t *read_section(const struct elf_file *elf, const char *name, struct elf_section *section_out, size_t *n_out)
{
	struct elf_section *sections;
	uint8_t *bytes = NULL;
	size_t n;

	assert_int_equal(elf_file_sections(elf, &sections, &n), 0);
	for (size_t i = 0; i < n && !bytes; i++) {
		if (sections[i].type == SHT_NOBITS || !elf_file_section_is(elf, sections, n, &sections[i], name))
			continue;
		*section_out = sections[i];
		assert_int_equal(section_read(elf, &sections[i], 64 << 20, &bytes, n_out), 0);
	}
	free(sections);
	return bytes;
}

static void finds_all_entries_of(const char *path)
{
	static struct frame_entry entry;
	struct elf_section section;
	struct elf_file elf;
	struct cfi *cfi;
	size_t n, bytes, step;
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return;
	assert_int_equal(elf_file_open(fd, &elf), 0);
	uint8_t *eh_frame = read_section(&elf, ".eh_frame", &section, &bytes);
	assert_non_null(eh_frame);
	struct cfi_section cfi_section = {.bytes = eh_frame, .n = bytes, .vaddr = section.vaddr, .is_eh = true, .address_bytes = 8,
					  .machine = EM_X86_64};
	assert_int_equal(cfi_open(&cfi_section, &cfi), 0);
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
	assert_true(n > 10);
	step = RUNNING_ON_VALGRIND ? n / 50 + 1 : n / 2000 + 1;
	for (size_t i = 0; i < n; i += step) {
		const uint64_t places[] = {fdes[i].start, fdes[i].start + fdes[i].bytes / 2, fdes[i].start + fdes[i].bytes - 1};
		for (size_t j = 0; j < 3 && fdes[i].bytes; j++) {
			assert_int_equal(frame_entry_find(&elf, places[j], &entry), 0);
			assert_int_equal(entry.start, fdes[i].start);
			assert_int_equal(entry.bytes, fdes[i].bytes);
			assert_int_equal(entry.program.n, fdes[i].instructions_end - fdes[i].instructions);
			assert_memory_equal(entry.program.bytes, eh_frame + fdes[i].instructions, entry.program.n);
		}
	}
	cfi_close(cfi);
	free(eh_frame);
	close(fd);
}

static void finds_all_entries(void **state)
{
	(void)state;
	finds_all_entries_of("/proc/self/exe");
	finds_all_entries_of("/lib/x86_64-linux-gnu/libc.so.6");
	finds_all_entries_of("/lib/x86_64-linux-gnu/libcrypto.so.3");
}

/* ---- .debug_frame, and damage ---- */

static const uint8_t DEBUG_FRAME[] = {
	/* CIE */ 20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 1, 0x78, 16, DW_CFA_def_cfa, 7, 8, DW_CFA_offset + 16, 1, 0, 0, 0, 0, 0, 0,
	/* FDE */ 28, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0,
	DW_CFA_advance_loc + 4, DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 0, DW_OP_deref, DW_OP_deref, 0,
};

static int find_in(const uint8_t *bytes, size_t n, uint64_t vaddr, struct frame_entry *entry)
{
	struct elf_writer writer;
	struct elf_file elf;

	elf_writer_init(&writer, true);
	elf_writer_section(&writer, ".debug_frame", SHT_PROGBITS, 0, 0, bytes, n);
	int fd = elf_writer_fd(&writer);
	assert_int_equal(elf_file_open(fd, &elf), 0);
	int err = frame_entry_find(&elf, vaddr, entry);
	close(fd);
	elf_writer_deinit(&writer);
	return err;
}

static void finds_in_debug_frame(void **state)
{
	static struct frame_entry entry;

	(void)state;
	assert_int_equal(find_in(DEBUG_FRAME, sizeof(DEBUG_FRAME), 0x1000, &entry), 0);
	assert_int_equal(entry.start, 0x1000);
	assert_int_equal(entry.bytes, 0x40);
	assert_int_equal(entry.data_align, -8);
	assert_int_equal(entry.ra_register, 16);
	assert_int_equal(find_in(DEBUG_FRAME, sizeof(DEBUG_FRAME), 0x103f, &entry), 0);
	assert_int_equal(find_in(DEBUG_FRAME, sizeof(DEBUG_FRAME), 0x1040, &entry), -ENOENT);
	assert_int_equal(find_in(DEBUG_FRAME, sizeof(DEBUG_FRAME), 0xfff, &entry), -ENOENT);
	for (size_t n = 0; n < sizeof(DEBUG_FRAME); n++)
		assert_int_not_equal(find_in(DEBUG_FRAME, n, 0x1000, &entry), 0);
	uint8_t hostile[sizeof(DEBUG_FRAME)];
	memcpy(hostile, DEBUG_FRAME, sizeof(hostile));
	hostile[sizeof(hostile) - 2] = DW_OP_div;
	assert_int_equal(find_in(hostile, sizeof(hostile), 0x1000, &entry), -EOPNOTSUPP);
}

static void tables_of_a_debug_file(void **state)
{
	static const uint8_t ID[] = "0123456789abcdefghij";
	struct elf_writer image_writer, debug_writer;
	struct engine *symbolizer;
	struct unwind_image *image;
	struct image_info info;

	(void)state;
	elf_writer_init(&image_writer, true);
	uint32_t text = elf_writer_section(&image_writer, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, ID, 20);
	elf_writer_segment(&image_writer, PT_LOAD, PF_R | PF_X, text, 0x1000);
	elf_writer_build_id(&image_writer, ID, 20);
	elf_writer_init(&debug_writer, true);
	elf_writer_section(&debug_writer, ".debug_frame", SHT_PROGBITS, 0, 0, DEBUG_FRAME, sizeof(DEBUG_FRAME));
	text = elf_writer_section(&debug_writer, ".text", SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, NULL, 0);
	debug_writer.sections[text].claimed_bytes = 0x1000000;
	elf_writer_segment(&debug_writer, PT_LOAD, PF_R | PF_X, text, 0x1000);
	debug_writer.segments[0].claimed_bytes = 0x1000000; /* as eu-strip leaves it */
	elf_writer_build_id(&debug_writer, ID, 20);
	int fd = elf_writer_fd(&image_writer), debug_fd = elf_writer_fd(&debug_writer);

	assert_int_equal(engine_create(NULL, &symbolizer), 0);
	assert_int_equal(engine_image(symbolizer, fd, &info), 0);
	assert_true(info.lacks_cfi);
	assert_true(engine_is_debug_file(symbolizer, debug_fd, ID, 20));
	assert_false(engine_is_debug_file(symbolizer, debug_fd, ID, 19));
	assert_false(engine_is_debug_file(symbolizer, debug_fd, ID + 1, 20));
	assert_false(engine_is_debug_file(symbolizer, debug_fd, ID, 0));
	assert_int_equal(engine_unwind(symbolizer, fd, -1, &image), 0);
	assert_int_equal(image->n_tables, 0);
	unwind_image_free(image);
	assert_int_equal(engine_unwind(symbolizer, fd, debug_fd, &image), 0);
	assert_int_equal(image->n_tables, 1);
	struct unwind_rule rule;
	assert_int_equal(unwind_image_find(image, 0x1000, &rule), 0);
	assert_int_equal(rule.cfa, CFA_REGISTER);
	assert_int_equal(unwind_image_find(image, 0x1004, &rule), 0);
	assert_int_equal(rule.cfa, CFA_UNSUPPORTED);
	unwind_image_free(image);
	engine_destroy(symbolizer);
	elf_writer_deinit(&image_writer);
	elf_writer_deinit(&debug_writer);
	close(fd);
	close(debug_fd);
}

/* ---- libunwind over damaged bytes ---- */

static uint32_t seed = 4711;

static uint32_t next_random(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)seed * below >> 32);
}

struct walked {
	int fd;
	uint64_t text;
};

static int find_image(void *context, uint64_t pc, int *fd_out, uint64_t *bias_out)
{
	const struct walked *walked = context;

	if (pc < walked->text || pc - walked->text > 16 << 20)
		return -ENOENT;
	*fd_out = walked->fd;
	*bias_out = walked->text;
	return 0;
}

/* A whole file in which bytes of its CFI are something else. */
static int damaged_copy(const uint8_t *file, size_t n, const struct elf_section *where, uint8_t *scratch)
{
	memcpy(scratch, file, n);
	for (uint32_t i = 1 + next_random(200); i; i--)
		scratch[where->file_offset + next_random((uint32_t)where->bytes)] = (uint8_t)next_random(256);
	return bytes_fd(scratch, n);
}

static void walks_damaged_files(void **state)
{
	static uint64_t stack[512];
	uint64_t registers[LIBUNWIND_REGISTERS];
	struct libunwind_frame frame;
	struct elf_section sections[2];
	struct libunwind_walk *walk;
	struct elf_file elf;
	size_t n, ignored;
	int fd = open("/lib/x86_64-linux-gnu/libz.so.1", O_RDONLY), steps = 0, ends[3] = {0};

	(void)state;
	if (fd < 0)
		skip();
	assert_int_equal(elf_file_open(fd, &elf), 0);
	free(read_section(&elf, ".eh_frame", &sections[0], &ignored));
	free(read_section(&elf, ".eh_frame_hdr", &sections[1], &ignored));
	n = elf.file_bytes;
	uint8_t *file = malloc(n), *scratch = malloc(n);
	assert_int_equal(elf_file_read(&elf, 0, file, n), 0);
	assert_int_equal(libunwind_walk_create(&walk), 0);
	for (int round = RUNNING_ON_VALGRIND ? 20 : 400; round; round--) {
		struct walked walked = {damaged_copy(file, n, &sections[round % 8 == 0], scratch), 0x7f0000000000};
		for (int i = 0; i < 20; i++) {
			for (size_t j = 0; j < LIBUNWIND_REGISTERS; j++)
				registers[j] = 0x10000 + 8 * next_random(512);
			for (size_t j = 0; j < 512; j++)
				stack[j] = next_random(2) ? walked.text + next_random((uint32_t)n) : 0x10000 + 8 * next_random(512);
			struct libunwind_input input = {registers, walked.text + 0x2000 + next_random((uint32_t)n - 0x2000),
							(uint8_t *)stack, 0x10000, sizeof(stack), find_image, &walked};
			int err = libunwind_walk_begin(walk, &input);
			while (err == 0 && (err = libunwind_walk_step(walk, &frame)) == 1) {
				steps++;
				err = 0;
			}
			ends[err == 0 ? 0 : err == -EFAULT ? 1 : 2]++;
			assert_true(libunwind_walk_step(walk, &frame) <= 0);
		}
		close(walked.fd);
	}
	print_message("# %d steps\n", steps);
	assert_true(steps > 0 && ends[1] && ends[2]);
	libunwind_walk_destroy(walk);
	free(file);
	free(scratch);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(screens_instructions),
		cmocka_unit_test(screens_expressions),
		cmocka_unit_test(finds_all_entries),
		cmocka_unit_test(finds_in_debug_frame),
		cmocka_unit_test(tables_of_a_debug_file),
		cmocka_unit_test(walks_damaged_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
