/* Changes to an input as a seed has them, where libFuzzer is missing and where runs must repeat. */
#ifndef HEARTH_TESTS_FUZZ_MUTATE_H
#define HEARTH_TESTS_FUZZ_MUTATE_H

#include "tests/fuzz/corpus.h"

/* Change bytes, numbers of all sizes, runs of bytes, decimal and hexadecimal digits, and lengths; most changes leave the length as it is.
 * capacity: of bytes. Returns the new length. */
size_t mutate_input(struct dice *dice, uint8_t *bytes, size_t n, size_t capacity);

/* Replace a run of one input by a run of another. */
size_t mutate_splice(struct dice *dice, uint8_t *bytes, size_t n, size_t capacity, const struct corpus_input *other);

#endif
