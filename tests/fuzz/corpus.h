/* Inputs of fuzzers: the files of a folder, and mutants of them. */
#ifndef HEARTH_TESTS_FUZZ_CORPUS_H
#define HEARTH_TESTS_FUZZ_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#include "tests/cfi/exercise.h"

#define CORPUS_INPUT_MAX 16384

struct corpus_input {
	uint8_t *bytes;
	size_t n;
};

struct corpus {
	struct corpus_input *inputs; /* in the order of their names */
	size_t n;
};

/* The files of a folder that have 1 to max bytes. Returns 0 or a negative errno. */
int corpus_read(const char *folder, size_t max, struct corpus *corpus_out);

/* One file. The caller frees its bytes. Returns 0, -E2BIG (also for an empty one), or a negative errno. */
int corpus_read_file(const char *path, size_t max, struct corpus_input *input_out);

/* One input, mutated, of a corpus whose files have at most CORPUS_INPUT_MAX bytes. bytes: CORPUS_INPUT_MAX. The first byte is left as it is. */
size_t corpus_mutant(const struct corpus *corpus, struct dice *dice, uint8_t *bytes);

void corpus_free(struct corpus *corpus);

#endif
