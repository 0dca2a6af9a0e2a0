/* Writes DWARF for tests: units, abbreviations, values. */
#ifndef HEARTH_TESTS_DWARF_WRITER_H
#define HEARTH_TESTS_DWARF_WRITER_H

#include <stdbool.h>

#include "symbolizer/dwarf_compile.h"
#include "tests/unit/cfi_writer.h"

#define CODE_START 0x1000
#define CODE_END   0x2000000

/* The sections of a file. */
struct dwarf_writer {
	struct writer info, abbrev, str, str_offsets, addr, ranges, rnglists, altlink;
};
void dwarf_writer_free(struct dwarf_writer *w);
#define AUTO_DWARF __attribute__((cleanup(dwarf_writer_free)))

void put_u8(struct writer *w, uint8_t value);
void put_u16(struct writer *w, uint16_t value);
void put_u64(struct writer *w, uint64_t value);
void put_uleb(struct writer *w, uint64_t value);
void put_text(struct writer *w, const char *text); /* with its NUL */

/* Numbers, each as ULEB128: of an abbreviation after its flag of children, "attribute, form, ..., 0, 0" and a constant behind implicit_const. */
void put_ulebs(struct writer *w, const uint64_t *values, size_t n);
#define ABBREV(w, code, tag, children, ...)                                            \
	put_ulebs(&(w)->abbrev, (const uint64_t[]){ (code), (tag), (children), __VA_ARGS__ }, \
		  sizeof((const uint64_t[]){ (code), (tag), (children), __VA_ARGS__ }) / 8)

/* 8-byte addresses. Returns its offset. is_64: 64-bit DWARF. */
size_t begin_unit(struct dwarf_writer *w, uint16_t version, bool is_64, uint32_t abbrevs);
void end_unit(struct dwarf_writer *w, size_t at);

/* An ELF file with the sections and code at [CODE_START, CODE_END). */
int dwarf_writer_fd(const struct dwarf_writer *w);

/* A file's names. */
struct names {
	int err; /* of dwarf_compile() */
	struct dwarf_stats stats;
	struct name_table *table;
	struct name_table_match match;
};
/* input: its elf and budget are filled in; NULL: nothing else. */
struct names *names_of(const struct dwarf_writer *w, const struct dwarf_input *input, uint64_t builder_bytes);
/* Functions at a vaddr, innermost first, with a space between them; "" when there are none. Borrowed until the next call. */
const char *names_at(struct names *n, uint64_t vaddr);
void names_free(struct names **n);
#define AUTO_NAMES __attribute__((cleanup(names_free)))

#endif
