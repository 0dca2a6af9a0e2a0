#include "tests/cfi/exercise.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbolizer/cfi.h"
#include "symbolizer/unwind_compiler.h"
#include "tests/unit/elf_writer.h"

#define MUTATIONS_MAX 6

#define PROMISE(condition)                                                             \
	do {                                                                           \
		if (!(condition)) {                                                    \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                       \
		}                                                                      \
	} while (0)

int exercise_file(const uint8_t *bytes, size_t n, bool is_eh, uint16_t machine, uint64_t vaddr)
{
	struct elf_writer elf;

	elf_writer_init(&elf, true);
	elf.machine = machine;
	elf_writer_section(&elf, is_eh ? ".eh_frame" : ".debug_frame", SHT_PROGBITS, is_eh ? SHF_ALLOC : 0, is_eh ? vaddr : 0, bytes, n);
	return elf_writer_fd(&elf);
}

struct progress {
	uint64_t next, end, rows;
};

static void check_row(void *context, uint64_t start, uint64_t end, const struct unwind_rule *rule)
{
	struct progress *p = context;
	unsigned kind = rule->cfa & CFA_KIND_MASK;

	PROMISE(start == p->next && end > start && end <= p->end);
	PROMISE(kind > CFA_NONE && kind <= CFA_UNSUPPORTED && kind != CFA_RUN);
	PROMISE(rule->cfa_register < 32);
	PROMISE(rule->fp_offset == 0 || rule->fp == AT_CFA || (rule->fp & AT_MASK) == AT_REGISTER_PLUS);
	PROMISE(rule->ra_offset == 0 || rule->ra == AT_CFA || (rule->ra & AT_MASK) == AT_REGISTER_PLUS);
	p->next = end;
	p->rows++;
}

static void check_rows(const struct cfi_section *section)
{
	struct cfi *cfi;
	size_t n;

	PROMISE(cfi_open(section, &cfi) == 0);
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
	PROMISE(n <= section->n / 8);
	for (size_t i = 0; i < n; i++) {
		struct progress p = {.next = fdes[i].start, .end = fdes[i].start + fdes[i].bytes};
		int err = cfi_rows(cfi, &fdes[i], check_row, &p);
		PROMISE(err == -EBADMSG || (err == 0 && p.next == p.end));
		/* Each row takes an instruction, but for the last one. */
		PROMISE(p.rows <= 1 + (uint64_t)fdes[i].instructions_end - fdes[i].instructions);
	}
	cfi_close(cfi);
}

static bool is_expanded(const struct unwind_image *image, uint64_t vaddr)
{
	struct unwind_rule rule;

	return unwind_image_find(image, vaddr, &rule) == 0 && (rule.cfa & CFA_KIND_MASK) != CFA_RUN;
}

static void check_table(const struct unwind_image *image, const struct unwind_table *table, uint64_t not_before)
{
	PROMISE(table->start >= not_before && table->start < table->end && table->vaddr <= table->start);
	PROMISE(table->n_bytes <= UNWIND_TABLE_MAX_BYTES && table->n_rules <= UNWIND_RULES_MAX);
	const uint32_t *pages = (const void *)table->bytes;
	PROMISE(pages[table->n_pages] == table->n_rows);
	for (uint32_t i = 0; i < table->n_pages; i++)
		PROMISE(pages[i] <= pages[i + 1]);
	PROMISE(is_expanded(image, table->start));
	PROMISE(is_expanded(image, table->end - 1));
	for (uint32_t i = 0; i < table->n_pages; i += 1 + table->n_pages / 64) {
		uint64_t vaddr = table->vaddr + i * (uint64_t)UNWIND_PAGE_BYTES;
		PROMISE(vaddr < table->start || vaddr >= table->end || is_expanded(image, vaddr));
	}
}

static void check_image(const uint8_t *bytes, size_t n, bool is_eh, uint16_t machine)
{
	struct unwind_image *image = NULL;
	uint64_t not_before = 0;
	struct elf_file file;

	int fd = exercise_file(bytes, n, is_eh, machine, EXERCISE_VADDR);
	PROMISE(elf_file_open(fd, &file) == 0);
	PROMISE(unwind_image_compile(&file, NULL, &image) == 0);
	for (size_t i = 0; i < image->n_tables; i++) {
		check_table(image, &image->tables[i], not_before);
		not_before = image->tables[i].end;
	}
	unwind_image_free(image);
	close(fd);
}

void exercise_section(const uint8_t *bytes, size_t n, bool is_eh, uint16_t machine)
{
	uint8_t *copy = malloc(n + !n); /* of its exact size: sanitizers see a byte too many */
	struct cfi_section section = {.bytes = copy, .n = n, .vaddr = EXERCISE_VADDR, .is_eh = is_eh, .address_bytes = 8,
				      .machine = machine};

	PROMISE(copy);
	if (n)
		memcpy(copy, bytes, n);
	check_rows(&section);
	free(copy);
	check_image(bytes, n, is_eh, machine);
}

/* Source: splitmix64, Vigna. */
uint64_t dice_roll(struct dice *dice, uint64_t below)
{
	uint64_t x = dice->state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return (x ^ x >> 31) % below;
}

static size_t mutate_once(struct dice *dice, uint8_t *bytes, size_t n, size_t capacity)
{
	static const uint8_t INTERESTING[] = {0, 1, 2, 4, 7, 8, 0x0a, 0x0b, 0x0c, 0x0e, 0x0f, 0x10, 0x16, 0x2e, 0x40, 0x7f, 0x80, 0x86, 0xc6, 0xff};
	size_t at = (size_t)dice_roll(dice, n), to = (size_t)dice_roll(dice, n), run = 1 + (size_t)dice_roll(dice, 16);

	switch (dice_roll(dice, 7)) {
	case 0:
		bytes[at] ^= (uint8_t)(1u << dice_roll(dice, 8));
		return n;
	case 1:
		bytes[at] = INTERESTING[dice_roll(dice, sizeof(INTERESTING))];
		return n;
	case 2:
		bytes[at] = (uint8_t)dice_roll(dice, 256);
		return n;
	case 3:
		bytes[at] += (uint8_t)(dice_roll(dice, 9) - 4);
		return n;
	case 4: /* copy a run */
		if (at + run <= n && to + run <= n)
			memmove(bytes + to, bytes + at, run);
		return n;
	case 5: /* insert a run; lengths behind are what they were */
		if (n + run <= capacity && at + run <= n) {
			memmove(bytes + at + run, bytes + at, n - at);
			return n + run;
		}
		return n;
	default: /* remove a run */
		if (dice_roll(dice, 4) || at + run > n || n - run < 16)
			return n;
		memmove(bytes + at, bytes + at + run, n - at - run);
		return n - run;
	}
}

size_t mutate(struct dice *dice, uint8_t *bytes, size_t n, size_t capacity)
{
	for (uint64_t i = 1 + dice_roll(dice, MUTATIONS_MAX); n && i; i--)
		n = mutate_once(dice, bytes, n, capacity);
	return n;
}
