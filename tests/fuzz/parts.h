/* Inputs that are sections of ELF files: mutants of a whole file break mostly its headers, these break what is in the sections.
 *
 * An input is a row of parts: a byte that says which section (the two upper bits: of which file), three bytes of length, the bytes. What
 * LLVMFuzzerCustomMutator() of parts.c makes of it stays a row of parts. */
#ifndef HEARTH_TESTS_FUZZ_PARTS_H
#define HEARTH_TESTS_FUZZ_PARTS_H

#include "tests/fuzz/fuzz.h"

#define PARTS_MAX 24

struct part_kind {
	const char *name;
	uint32_t type;
	uint64_t flags;
	uint64_t vaddr;
};

/* Write the parts of one file of an input. kinds: by number; parts of other numbers are left out.
 * file: 0 to 3. Executable sections get a PT_LOAD. Returns fuzz_file(file). */
int parts_file(const uint8_t *data, size_t n, unsigned file, const struct part_kind *kinds, size_t n_kinds);

#endif
