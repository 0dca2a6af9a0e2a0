#include "tests/unit/cfi_writer.h"

#include <assert.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/elf_writer.h"

void put(struct writer *w, const void *bytes, size_t n)
{
	if (w->n + n > w->capacity) {
		w->capacity = 2 * (w->n + n) + 1024;
		w->bytes = realloc(w->bytes, w->capacity);
		assert(w->bytes);
	}
	if (n)
		memcpy(w->bytes + w->n, bytes, n);
	w->n += n;
}

void put_u32(struct writer *w, uint32_t value)
{
	put(w, &value, sizeof(value));
}

size_t begin_cie(struct writer *w, const char *augmentation)
{
	size_t at = w->n, data = augmentation[0] ? strlen(augmentation) - 1 : 0;

	put_u32(w, 0);
	put_u32(w, 0);
	PUT(w, 1);
	put(w, augmentation, strlen(augmentation) + 1);
	PUT(w, 1, 0x78, 16);
	if (augmentation[0])
		PUT(w, (uint8_t)data);
	for (size_t i = 1; i <= data; i++)
		PUT(w, augmentation[i] == 'R' ? DW_EH_PE_pcrel | DW_EH_PE_sdata4 : 0);
	return at;
}

size_t begin_fde(struct writer *w, size_t cie, uint64_t start, uint32_t length)
{
	size_t at = w->n;

	put_u32(w, 0);
	put_u32(w, (uint32_t)(w->n - cie));
	put_u32(w, (uint32_t)(start - (SECTION_VADDR + w->n)));
	put_u32(w, length);
	PUT(w, 0); /* augmentation data */
	return at;
}

void end_entry(struct writer *w, size_t at)
{
	uint32_t bytes = (uint32_t)(w->n - at - 4);

	memcpy(w->bytes + at, &bytes, sizeof(bytes));
}

size_t put_cie(struct writer *w, const char *augmentation)
{
	size_t at = begin_cie(w, augmentation);

	PUT(w, DW_CFA_def_cfa, 7, 8, DW_CFA_offset | 16, 1);
	end_entry(w, at);
	return at;
}

void put_fde(struct writer *w, size_t cie, uint64_t start, uint32_t length, const uint8_t *code, size_t n)
{
	size_t at = begin_fde(w, cie, start, length);

	put(w, code, n);
	end_entry(w, at);
}

size_t put_debug_cie(struct writer *w)
{
	size_t at = w->n;

	put_u32(w, 0);
	put_u32(w, UINT32_MAX);
	PUT(w, 4, 0, 8, 0, 1, 0x78, 16, DW_CFA_def_cfa, 7, 8, DW_CFA_offset | 16, 1);
	end_entry(w, at);
	return at;
}

void put_debug_fde(struct writer *w, size_t cie, uint64_t start, uint64_t length, const uint8_t *code, size_t n)
{
	size_t at = w->n;

	put_u32(w, 0);
	put_u32(w, (uint32_t)cie);
	put(w, &start, sizeof(start));
	put(w, &length, sizeof(length));
	put(w, code, n);
	end_entry(w, at);
}

void writer_free(struct writer *w)
{
	free(w->bytes);
	*w = (struct writer){.n = 0};
}

static void take(void *context, uint64_t start, uint64_t end, const struct unwind_rule *rule)
{
	struct rows *rows = context;

	assert(rows->n < 256);
	rows->rows[rows->n++] = (struct row){start, end, *rule};
}

struct cfi *open_cfi(const struct writer *w, uint16_t machine)
{
	struct cfi_section section = {.bytes = w->bytes, .n = w->n, .vaddr = SECTION_VADDR, .is_eh = true,
				      .address_bytes = 8, .machine = machine};
	struct cfi *cfi = NULL;

	int err = cfi_open(&section, &cfi);
	assert(err == 0);
	(void)err;
	return cfi;
}

int rows_of_fde(struct cfi *cfi, const struct cfi_fde *fde, struct rows *rows)
{
	rows->n = 0;
	return cfi_rows(cfi, fde, take, rows);
}

int rows_of(const struct writer *w, struct rows *rows)
{
	struct cfi *cfi = open_cfi(w, EM_X86_64);
	size_t n;
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n);

	assert(n == 1);
	int err = rows_of_fde(cfi, fdes, rows);
	cfi_close(cfi);
	return err;
}

struct unwind_image *compile(const struct writer *eh, const struct writer *debug)
{
	struct unwind_image *image = NULL;
	struct elf_writer elf;
	struct elf_file file;

	elf_writer_init(&elf, true);
	if (eh)
		elf_writer_section(&elf, ".eh_frame", SHT_PROGBITS, SHF_ALLOC, SECTION_VADDR, eh->bytes, eh->n);
	if (debug)
		elf_writer_section(&elf, ".debug_frame", SHT_PROGBITS, 0, 0, debug->bytes, debug->n);
	int fd = elf_writer_fd(&elf);
	int err = elf_file_open(fd, &file);
	if (err == 0)
		err = unwind_image_compile(&file, NULL, &image);
	assert(err == 0);
	close(fd);
	return image;
}

const struct unwind_rule *rule_at(const struct unwind_image *image, uint64_t vaddr)
{
	static struct unwind_rule rule;

	return unwind_image_find(image, vaddr, &rule) == 0 ? &rule : NULL;
}
