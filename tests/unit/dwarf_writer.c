#include "tests/unit/dwarf_writer.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/elf_writer.h"

void dwarf_writer_free(struct dwarf_writer *w)
{
	struct writer *parts = (struct writer *)w;

	for (size_t i = 0; i < sizeof(*w) / sizeof(*parts); i++)
		writer_free(&parts[i]);
}

void put_u8(struct writer *w, uint8_t value)
{
	put(w, &value, sizeof(value));
}

void put_u16(struct writer *w, uint16_t value)
{
	put(w, &value, sizeof(value));
}

void put_u64(struct writer *w, uint64_t value)
{
	put(w, &value, sizeof(value));
}

void put_uleb(struct writer *w, uint64_t value)
{
	do {
		put_u8(w, (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0)));
		value >>= 7;
	} while (value);
}

void put_text(struct writer *w, const char *text)
{
	put(w, text, strlen(text) + 1);
}

void put_ulebs(struct writer *w, const uint64_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_uleb(w, values[i]);
}

size_t begin_unit(struct dwarf_writer *w, uint16_t version, bool is_64, uint32_t abbrevs)
{
	size_t at = w->info.n;

	put_u32(&w->info, is_64 ? UINT32_MAX : 0);
	if (is_64)
		put_u64(&w->info, 0);
	put_u16(&w->info, version);
	if (version >= 5)
		PUT(&w->info, 1, 8); /* DW_UT_compile */
	put_u32(&w->info, abbrevs);
	if (is_64)
		put_u32(&w->info, 0);
	if (version < 5)
		put_u8(&w->info, 8);
	return at;
}

void end_unit(struct dwarf_writer *w, size_t at)
{
	uint8_t *head = w->info.bytes + at;
	uint32_t narrow = (uint32_t)(w->info.n - at - 4);
	uint64_t wide = w->info.n - at - 12;

	if (memcmp(head, "\xff\xff\xff\xff", 4) == 0)
		memcpy(head + 4, &wide, 8);
	else
		memcpy(head, &narrow, 4);
}

int dwarf_writer_fd(const struct dwarf_writer *w)
{
	static const char *const NAMES[] = { ".debug_info", ".debug_abbrev", ".debug_str", ".debug_str_offsets", ".debug_addr",
					     ".debug_ranges", ".debug_rnglists", ".gnu_debugaltlink" };
	const struct writer *parts = (const struct writer *)w;
	struct elf_writer elf;

	elf_writer_init(&elf, true);
	elf_writer_section(&elf, ".text", SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, CODE_START, NULL, 0);
	elf.sections[elf.n_sections - 1].claimed_bytes = CODE_END - CODE_START;
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
		if (parts[i].n)
			elf_writer_section(&elf, NAMES[i], SHT_PROGBITS, 0, 0, parts[i].bytes, parts[i].n);
	int fd = elf_writer_fd(&elf);
	elf_writer_deinit(&elf);
	return fd;
}

struct names *names_of(const struct dwarf_writer *w, const struct dwarf_input *input, uint64_t builder_bytes)
{
	const struct name_table_limits limits = { .bytes = builder_bytes };
	struct dwarf_budget budget = { .left = 256u << 20 };
	struct names *n = calloc(1, sizeof(*n));
	struct name_table_builder *builder;
	struct elf_file elf;
	uint64_t bytes;
	int fd = dwarf_writer_fd(w), memory = memfd_create("names", MFD_CLOEXEC);

	assert_non_null(n);
	assert_int_equal(elf_file_open(fd, &elf), 0);
	assert_int_equal(name_table_builder_create(&limits, &builder), 0);
	struct dwarf_input filled = input ? *input : (struct dwarf_input){ 0 };
	filled.elf = &elf;
	filled.budget = &budget;
	n->err = dwarf_compile(&filled, builder, &n->stats);
	assert_int_equal(budget.left, 256u << 20); /* all of it came back */
	if (n->err == 0) {
		assert_int_equal(name_table_write(builder, memory, &bytes, &(struct name_table_stats){ 0 }), 0);
		assert_int_equal(name_table_open(memory, &n->table), 0);
	}
	name_table_builder_destroy(builder);
	close(memory);
	close(fd);
	return n;
}

const char *names_at(struct names *n, uint64_t vaddr)
{
	static char text[65536];

	text[0] = 0;
	assert_int_equal(n->err, 0);
	if (name_table_find(n->table, vaddr, &n->match) < 0)
		return text;
	for (size_t i = 0; i < n->match.n; i++) {
		strncat(text, i ? " " : "", sizeof(text) - strlen(text) - 1);
		strncat(text, n->match.frames[i].name, sizeof(text) - strlen(text) - 1);
	}
	return text;
}

void names_free(struct names **n)
{
	if (*n)
		name_table_close((*n)->table);
	free(*n);
}
