/* Frames from instructions: by hand-written code, and against what CFI says of whole libraries. */
#include "symbolizer/code_frame.h"
#include "symbolizer/cfi.h"
#include "symbolizer/section_reader.h"
#include "symbolizer/unwind_compiler.h"
#include "symbolizer/x86_decoder.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "tests/unit/cmocka_prelude.h"

static int frame_at(const uint8_t *code, size_t n, size_t at, struct code_frame *frame)
{
	/* From the heap, exactly: a sanitizer sees a read behind its end. */
	uint8_t *copy = malloc(n + 1);

	assert_non_null(copy);
	memcpy(copy, code, n);
	int err = code_frame_at(copy, n, at, frame);
	free(copy);
	return err;
}

/* The CFA's distance from rsp at an offset; a negative errno. */
#define CFA_AT(code, at) cfa_at(code, sizeof(code), at)
static int cfa_at(const uint8_t *code, size_t n, size_t at)
{
	struct code_frame frame;
	int err = frame_at(code, n, at, &frame);

	return err < 0 ? err : !frame.has_cfa ? -ENODATA : frame.by_frame_pointer ? -1000 : frame.cfa_offset;
}

static void pushes_and_subtractions(void **state)
{
	static const uint8_t CODE[] = {
		0x53,			      /* 0 push %rbx */
		0x41, 0x54,		      /* 1 push %r12 */
		0x48, 0x81, 0xec, 0, 1, 0, 0, /* 3 sub $256,%rsp */
		0x66, 0x0f, 0x6f, 0xe5,	      /* 10 movdqa %xmm5,%xmm4 */
		0xff, 0xc9,		      /* 14 dec %ecx */
		0x75, 0xf8,		      /* 16 jne 10 */
		0x48, 0x81, 0xc4, 0, 1, 0, 0, /* 18 add $256,%rsp */
		0x41, 0x5c,		      /* 25 pop %r12 */
		0x5b,			      /* 27 pop %rbx */
		0xc3,			      /* 28 ret */
		0x90,			      /* 29 never reached */
	};
	struct code_frame frame;

	(void)state;
	assert_int_equal(CFA_AT(CODE, 0), 8);
	assert_int_equal(CFA_AT(CODE, 1), 16);
	assert_int_equal(CFA_AT(CODE, 3), 24);
	assert_int_equal(CFA_AT(CODE, 10), 280);
	assert_int_equal(CFA_AT(CODE, 16), 280);
	assert_int_equal(CFA_AT(CODE, 25), 24);
	assert_int_equal(CFA_AT(CODE, 28), 8);
	assert_int_equal(CFA_AT(CODE, 29), -ENOENT);
	assert_int_equal(CFA_AT(CODE, 2), -ENOENT); /* inside an instruction */
	assert_int_equal(CFA_AT(CODE, 30), -ENOENT);
	assert_int_equal(frame_at(CODE, sizeof(CODE), 10, &frame), 0);
	assert_int_equal(frame.fp, FP_IN_PLACE);
}

static void the_frame_pointer_is_followed(void **state)
{
	static const uint8_t CODE[] = {
		0x55,			/* 0 push %rbp */
		0x48, 0x89, 0xe5,	/* 1 mov %rsp,%rbp */
		0x48, 0x83, 0xe4, 0xc0, /* 4 and $-64,%rsp */
		0x50,			/* 8 push %rax */
		0xc9,			/* 9 leave */
		0xc3,			/* 10 ret */
	};
	struct code_frame frame;

	(void)state;
	assert_int_equal(CFA_AT(CODE, 4), 16);
	assert_int_equal(frame_at(CODE, sizeof(CODE), 9, &frame), 0);
	assert_true(frame.by_frame_pointer);
	assert_int_equal(frame.cfa_offset, 16);
	assert_int_equal(frame.fp, FP_SAVED);
	assert_int_equal(frame.fp_offset, -16);
	assert_int_equal(frame_at(CODE, sizeof(CODE), 10, &frame), 0);
	assert_false(frame.by_frame_pointer);
	assert_int_equal(frame.cfa_offset, 8);
	assert_int_equal(frame.fp, FP_IN_PLACE);
}

static void paths_that_disagree_tell_nothing(void **state)
{
	static const uint8_t PROBES[] = {
		0x48, 0x81, 0xec, 0, 0x10, 0, 0, /* 0 sub $4096,%rsp */
		0x39, 0xc4,			 /* 7 cmp %eax,%esp */
		0x75, 0xf5,			 /* 9 jne 0 */
		0xc3,
	};
	static const uint8_t MEETS[] = {
		0x85, 0xff, /* 0 test %edi,%edi */
		0x74, 0x01, /* 2 je 5 */
		0x53,	    /* 4 push %rbx */
		0x90, 0xc3, /* 5 nop; ret */
	};
	static const uint8_t BELOW_ENTRY[] = {0x5b, 0x90, 0xc3}; /* pops its own return address */
	static const uint8_t UNKNOWN[] = {0x53, 0x06, 0x90, 0xc3};
	static const uint8_t CUT[] = {0x53, 0x48, 0x81, 0xec};
	static const uint8_t WHERE_AM_I[] = {0xe8, 0, 0, 0, 0, 0x58, 0xc3};
	static const uint8_t MOVED[] = {0x48, 0x8b, 0x67, 0x08, 0x90, 0xc3}; /* mov 8(%rdi),%rsp */

	(void)state;
	assert_int_equal(CFA_AT(PROBES, 7), -ENOENT);
	assert_int_equal(CFA_AT(MEETS, 5), -ENOENT);
	assert_int_equal(CFA_AT(BELOW_ENTRY, 1), -ENOENT);
	assert_int_equal(CFA_AT(UNKNOWN, 1), -ENOENT);
	assert_int_equal(CFA_AT(CUT, 1), -ENOENT);
	assert_int_equal(CFA_AT(WHERE_AM_I, 5), -ENOENT);
	assert_int_equal(CFA_AT(MOVED, 4), -ENODATA);
	assert_int_equal(cfa_at(MOVED, 0, 0), -ENOENT);
	struct code_frame frame;
	uint8_t *large = calloc(1, CODE_FRAME_BYTES_MAX + 1);
	assert_int_equal(code_frame_at(large, CODE_FRAME_BYTES_MAX + 1, 0, &frame), -E2BIG);
	free(large);
}

/* ---- against CFI ---- */

struct comparison {
	uint64_t asked, told, wrong;
};

static void compare_at(const struct unwind_image *image, const uint8_t *code, const struct cfi_fde *fde, size_t at,
		       struct comparison *c)
{
	struct unwind_rule found, *rule = &found;
	struct code_frame frame;

	if (unwind_image_find(image, fde->start + at, &found) < 0 || rule->cfa != CFA_REGISTER || rule->ra == AT_UNDEFINED)
		return;
	c->asked++;
	if (code_frame_at(code, fde->bytes, at, &frame) < 0 || !frame.has_cfa)
		return;
	c->told++;
	/* Where CFI counts from the other register, there is nothing to compare. */
	bool same = frame.by_frame_pointer != (rule->cfa_register == X86_64_FP) || frame.cfa_offset == rule->cfa_offset;
	if (rule->cfa_register != X86_64_FP && rule->cfa_register != X86_64_SP)
		same = true;
	if (same && rule->fp == AT_CFA)
		same = frame.fp != FP_SAVED || frame.fp_offset == rule->fp_offset;
	if (!same && c->wrong++ < 5)
		print_message("# %#llx+%zu: %s%d, not %s%d; fp %d at %d, not %d at %d\n", (unsigned long long)fde->start, at,
			      frame.by_frame_pointer ? "rbp+" : "rsp+", frame.cfa_offset,
			      rule->cfa_register == X86_64_FP ? "rbp+" : "rsp+", rule->cfa_offset, frame.fp, frame.fp_offset,
			      rule->fp, rule->fp_offset);
}

/* At some instructions of a function: the first ones, and every nth. */
static void compare_function(const struct elf_file *elf, const struct elf_segment *segments, size_t n_segments,
			     const struct unwind_image *image, const struct cfi_fde *fde, struct comparison *c)
{
	uint64_t offset, left;
	struct x86_instruction i;
	struct unwind_rule entry;

	if (!fde->bytes || fde->bytes > 4000 || unwind_image_find(image, fde->start, &entry) < 0 ||
	    entry.cfa != CFA_REGISTER || entry.cfa_register != X86_64_SP || entry.cfa_offset != 8 || elf_segments_offset(segments, n_segments, fde->start, &offset, &left) < 0 ||
	    left < fde->bytes)
		return;
	uint8_t *code = malloc(fde->bytes);
	assert_int_equal(elf_file_read(elf, offset, code, fde->bytes), 0);
	size_t number = 0;
	for (size_t at = 0; at < fde->bytes && x86_decode(code + at, fde->bytes - at, &i); at += i.bytes)
		if (number++ < 12 || number % 37 == 0)
			compare_at(image, code, fde, at, c);
	free(code);
}

static void compare_file(const char *path, struct comparison *c)
{
	struct elf_segment *segments;
	struct elf_section *sections;
	struct unwind_image *image;
	struct elf_file elf;
	size_t n_segments, n_sections, n, n_fdes;
	struct cfi *cfi = NULL;
	uint8_t *bytes = NULL;
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return;
	assert_int_equal(elf_file_open(fd, &elf), 0);
	assert_int_equal(elf_file_segments(&elf, &segments, &n_segments), 0);
	assert_int_equal(elf_file_sections(&elf, &sections, &n_sections), 0);
	assert_int_equal(unwind_image_compile(&elf, NULL, &image), 0);
	for (size_t i = 0; i < n_sections && !cfi; i++) {
		if (!elf_file_section_is(&elf, sections, n_sections, &sections[i], ".eh_frame"))
			continue;
		assert_int_equal(section_read(&elf, &sections[i], 64 << 20, &bytes, &n), 0);
		struct cfi_section section = {.bytes = bytes, .n = n, .vaddr = sections[i].vaddr, .is_eh = true,
					      .address_bytes = 8, .machine = EM_X86_64};
		assert_int_equal(cfi_open(&section, &cfi), 0);
	}
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n_fdes);
	size_t step = n_fdes / (RUNNING_ON_VALGRIND ? 100 : 3000) + 1;
	for (size_t i = 0; i < n_fdes; i += step)
		compare_function(&elf, segments, n_segments, image, &fdes[i], c);
	cfi_close(cfi);
	free(bytes);
	unwind_image_free(image);
	free(sections);
	free(segments);
	close(fd);
}

/* FDEs that begin with a CFA of rsp + 8: others are of parts of functions (.cold), not of a function's entry. */
static void agrees_with_cfi(void **state)
{
	static const char *const FILES[] = {"/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libcrypto.so.3",
					    "/lib/x86_64-linux-gnu/libstdc++.so.6", "/lib/x86_64-linux-gnu/libm.so.6"};

	(void)state;
	/* libc's own __mpn_*() push registers and have CFI that does not know of it: there the code is right. */
	for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
		struct comparison c = {0};
		compare_file(FILES[i], &c);
		print_message("# %s: %llu places, %llu told, %llu wrong\n", FILES[i], (unsigned long long)c.asked,
			      (unsigned long long)c.told, (unsigned long long)c.wrong);
		assert_true(c.wrong <= (i == 0 ? c.told / 100 : 0));
		assert_true(c.told >= c.asked / 2);
	}
}

static uint32_t seed = 99;

static void random_code(void **state)
{
	uint8_t code[64];
	struct code_frame frame;

	(void)state;
	for (int round = RUNNING_ON_VALGRIND ? 2000 : 200000; round; round--) {
		for (size_t i = 0; i < sizeof(code); i++) {
			seed = seed * 1664525 + 1013904223;
			code[i] = (uint8_t)(seed >> 24);
		}
		frame_at(code, 1 + (seed >> 8) % sizeof(code), (seed >> 16) % sizeof(code), &frame);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pushes_and_subtractions),
		cmocka_unit_test(the_frame_pointer_is_followed),
		cmocka_unit_test(paths_that_disagree_tell_nothing),
		cmocka_unit_test(agrees_with_cfi),
		cmocka_unit_test(random_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
