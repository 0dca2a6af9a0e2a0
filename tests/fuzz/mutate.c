#include "tests/fuzz/mutate.h"

#include <stdbool.h>
#include <string.h>

#define CHANGES_MAX 8
#define RUN_MAX	    64

/* Sizes and signs where arithmetic wraps, and what formats use as escapes. */
static uint64_t interesting(struct dice *dice)
{
	static const uint64_t numbers[] = {0, 1, 2, 3, 4, 7, 8, 12, 16, 24, 32, 63, 64, 100, 127, 128, 255, 256, 511, 512, 1000, 1023, 1024, 4095,
					   4096, 32767, 32768, 65535, 65536, 1000000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffe,
					   0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffffff0,
					   0xfffffffffffffffe, 0xffffffffffffffff};
	uint64_t number = numbers[dice_roll(dice, sizeof(numbers) / sizeof(numbers[0]))];

	return dice_roll(dice, 8) ? number : number + dice_roll(dice, 17) - 8;
}

static void change_number(struct dice *dice, uint8_t *bytes, size_t n)
{
	size_t width = (size_t)1 << dice_roll(dice, 4);
	uint64_t number = 0;

	if (n < width)
		return;
	size_t at = (size_t)dice_roll(dice, n - width + 1);
	if (dice_roll(dice, 4))
		at &= ~(width - 1);
	memcpy(&number, bytes + at, width);
	switch (dice_roll(dice, 4)) {
	case 0:
		number += dice_roll(dice, 65) - 32;
		break;
	case 1:
		number = (uint64_t)dice_roll(dice, 2 * n);
		break;
	default:
		number = interesting(dice);
		break;
	}
	memcpy(bytes + at, &number, width);
}

static void change_digit(struct dice *dice, uint8_t *bytes, size_t n)
{
	static const char characters[] = "0123456789abcdefFxX -:.\n\r\t\0/[]()\\%,;\xff\xc3";
	size_t at = (size_t)dice_roll(dice, n);

	bytes[at] = (uint8_t)characters[dice_roll(dice, sizeof(characters) - 1)];
}

static void copy_run(struct dice *dice, uint8_t *bytes, size_t n)
{
	size_t run = 1 + (size_t)dice_roll(dice, n < RUN_MAX ? n : RUN_MAX);

	if (run > n)
		return;
	memmove(bytes + dice_roll(dice, n - run + 1), bytes + dice_roll(dice, n - run + 1), run);
}

static size_t insert_run(struct dice *dice, uint8_t *bytes, size_t n, size_t capacity)
{
	size_t run = 1 + (size_t)dice_roll(dice, RUN_MAX), at = (size_t)dice_roll(dice, n);

	if (run > capacity - n || at + run > n)
		return n;
	memmove(bytes + at + run, bytes + at, n - at);
	return n + run;
}

static size_t remove_run(struct dice *dice, uint8_t *bytes, size_t n)
{
	size_t run = 1 + (size_t)dice_roll(dice, RUN_MAX), at = (size_t)dice_roll(dice, n);

	if (at + run >= n)
		return n;
	memmove(bytes + at, bytes + at + run, n - at - run);
	return n - run;
}

static size_t change(struct dice *dice, uint8_t *bytes, size_t n, size_t capacity)
{
	size_t at = (size_t)dice_roll(dice, n);

	switch (dice_roll(dice, 16)) {
	case 0:
	case 1:
	case 2:
		bytes[at] ^= (uint8_t)(1u << dice_roll(dice, 8));
		return n;
	case 3:
	case 4:
		bytes[at] = (uint8_t)dice_roll(dice, 256);
		return n;
	case 5:
		bytes[at] = (uint8_t)(bytes[at] + dice_roll(dice, 9) - 4);
		return n;
	case 6:
	case 7:
	case 8:
	case 9:
		change_number(dice, bytes, n);
		return n;
	case 10:
		change_digit(dice, bytes, n);
		return n;
	case 11:
	case 12:
		copy_run(dice, bytes, n);
		return n;
	case 13:
		return insert_run(dice, bytes, n, capacity);
	case 14:
		return remove_run(dice, bytes, n);
	default:
		return dice_roll(dice, 16) ? n : 1 + (size_t)dice_roll(dice, n);
	}
}

size_t mutate_input(struct dice *dice, uint8_t *bytes, size_t n, size_t capacity)
{
	if (!n && capacity)
		bytes[n++] = (uint8_t)dice_roll(dice, 256);
	for (uint64_t i = 1 + dice_roll(dice, CHANGES_MAX); n && i; i--)
		n = change(dice, bytes, n, capacity);
	return n;
}

size_t mutate_splice(struct dice *dice, uint8_t *bytes, size_t n, size_t capacity, const struct corpus_input *other)
{
	size_t room = capacity < other->n ? capacity : other->n;
	size_t run = 1 + (size_t)dice_roll(dice, room);
	size_t from = (size_t)dice_roll(dice, other->n - run + 1), to = (size_t)dice_roll(dice, n + 1);

	if (run > capacity - to)
		run = capacity - to;
	memcpy(bytes + to, other->bytes + from, run);
	return to + run > n ? to + run : n;
}
