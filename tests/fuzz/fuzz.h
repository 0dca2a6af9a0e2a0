/* What fuzz targets share. A target is a file tests/fuzz/NAME.c with one LLVMFuzzerTestOneInput(), which aborts when the code under test
 * breaks a promise of its header. libFuzzer runs it where clang has it, tests/fuzz/driver.c elsewhere. */
#ifndef HEARTH_TESTS_FUZZ_H
#define HEARTH_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FUZZ_FILES 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A file with these bytes. Each of the FUZZ_FILES is one memfd that is used again and again: borrowed until the next call with its number. */
int fuzz_file(unsigned number, const uint8_t *data, size_t n);

/* A copy of exactly n bytes, so that sanitizers see one byte too many. The caller frees. */
uint8_t *fuzz_copy(const uint8_t *data, size_t n);

#define PROMISE(condition)                                                                              \
	do {                                                                                            \
		if (!(condition)) {                                                                     \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);         \
			abort();                                                                        \
		}                                                                                       \
	} while (0)

#endif
