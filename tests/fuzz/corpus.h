/* Inputs of fuzzers: the files of a folder, and mutants of them. */
#ifndef HEARTH_TESTS_FUZZ_CORPUS_H
#define HEARTH_TESTS_FUZZ_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#include "tests/cfi/exercise.h"

#define CORPUS_INPUT_MAX 16384 /* longer files are passed over */

struct corpus_input {
	uint8_t *bytes;
	size_t n;
};

struct corpus {
	struct corpus_input *inputs; /* in the order of their names */
	size_t n;
};

/* Returns 0 or a negative errno. */
int corpus_read(const char *folder, struct corpus *corpus_out);

/* One input, mutated. bytes: CORPUS_INPUT_MAX. The first byte is left as it is. */
size_t corpus_mutant(const struct corpus *corpus, struct dice *dice, uint8_t *bytes);

void corpus_free(struct corpus *corpus);

#endif
