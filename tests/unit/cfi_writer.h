/* Writes CFI sections for tests: CIEs and FDEs one behind the other. */
#ifndef HEARTH_TESTS_CFI_WRITER_H
#define HEARTH_TESTS_CFI_WRITER_H

#include <dwarf.h>
#include <stddef.h>
#include <stdint.h>

#include "symbolizer/cfi.h"
#include "symbolizer/unwind_compiler.h"

#define SECTION_VADDR 0x5000

struct writer {
	uint8_t *bytes;
	size_t n, capacity;
};
void writer_free(struct writer *w);
#define AUTO_WRITER __attribute__((cleanup(writer_free)))

void put(struct writer *w, const void *bytes, size_t n);
void put_u32(struct writer *w, uint32_t value);
#define PUT(w, ...) put((w), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* x86-64: code alignment 1, data alignment -8, def_cfa rsp+8, rip at cfa-8. augmentation: "" or letters with 'R' (pcrel sdata4) and at
 * most one more byte of data, 0. Returns its offset. */
size_t put_cie(struct writer *w, const char *augmentation);
/* Begins an entry whose length is not known yet; end_entry() fills it in. Returns its offset. */
size_t begin_cie(struct writer *w, const char *augmentation);
size_t begin_fde(struct writer *w, size_t cie, uint64_t start, uint32_t length);
void end_entry(struct writer *w, size_t at);
void put_fde(struct writer *w, size_t cie, uint64_t start, uint32_t length, const uint8_t *code, size_t n);
#define FDE(w, cie, start, length, ...) \
	put_fde((w), (cie), (start), (length), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* .debug_frame's: version 4, 8-byte addresses. */
size_t put_debug_cie(struct writer *w);
void put_debug_fde(struct writer *w, size_t cie, uint64_t start, uint64_t length, const uint8_t *code, size_t n);

/* Rows of an FDE. */
struct row {
	uint64_t start, end;
	struct unwind_rule rule;
};

struct rows {
	struct row rows[256];
	size_t n;
};

struct cfi *open_cfi(const struct writer *w, uint16_t machine);
int rows_of_fde(struct cfi *cfi, const struct cfi_fde *fde, struct rows *rows);
/* Of the only FDE, x86-64. */
int rows_of(const struct writer *w, struct rows *rows);

/* An image with one .eh_frame, and .debug_frame when debug is not NULL, compiled. */
struct unwind_image *compile(const struct writer *eh, const struct writer *debug);

/* unwind_image_find(), in a form to look at. Valid until the next call; NULL: no table there. */
const struct unwind_rule *rule_at(const struct unwind_image *image, uint64_t vaddr);

#endif
