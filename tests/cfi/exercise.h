/* Runs the CFI compiler over bytes of any kind and aborts when it breaks a promise: for fuzzing, and for the loops in unit tests. */
#ifndef HEARTH_TESTS_CFI_EXERCISE_H
#define HEARTH_TESTS_CFI_EXERCISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXERCISE_VADDR 0x400000 /* of the section */

/* A file whose only section of interest these bytes are. Returns a descriptor. */
int exercise_file(const uint8_t *bytes, size_t n, bool is_eh, uint16_t machine, uint64_t vaddr);

/* All rows of all FDEs, then the whole table, and look-ups in it. */
void exercise_section(const uint8_t *bytes, size_t n, bool is_eh, uint16_t machine);

/* Random numbers that a seed repeats. */
struct dice {
	uint64_t state;
};
uint64_t dice_roll(struct dice *dice, uint64_t below);

/* Change up to some bytes, runs of bytes and lengths. Returns the new size, at most capacity. */
size_t mutate(struct dice *dice, uint8_t *bytes, size_t n, size_t capacity);

#endif
