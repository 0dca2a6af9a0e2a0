/* Line number programs: every table of .debug_line, one behind the other, its files and its rows, into a name table. */
#include <errno.h>
#include <string.h>

#include "symbolizer/dwarf_line.h"
#include "tests/fuzz/dwarf_kinds.h"

#define TABLES_MAX   32
#define MEMORY_BYTES (16u << 20)

static const struct part_kind KINDS[] = DWARF_PARTS("");

static void read_unit(struct dwarf_line_reader *r, struct name_table_builder *builder, const struct dwarf_line_unit *unit)
{
	const uint32_t *files;
	size_t n;

	int err = dwarf_line_files(r, unit, builder, &files, &n);
	PROMISE(err == 0 || err == -ENOENT || err == -EBADMSG || err == -E2BIG);
	if (err < 0)
		return;
	for (size_t i = 0; i < n; i++)
		PROMISE(files[i] != NAME_TABLE_NONE);
	err = dwarf_line_rows(r, builder);
	PROMISE(err == 0 || err == -E2BIG);
}

/* Where the table behind this one begins. */
static uint64_t next_table(struct dwarf_sections *sections, uint64_t offset)
{
	struct dwarf_view view;
	const uint8_t *bytes;
	uint32_t length = UINT32_MAX;

	dwarf_view_init(&view, sections, DWARF_LINE);
	if (dwarf_view_get(&view, offset, sizeof(length), &bytes) == 0)
		memcpy(&length, bytes, sizeof(length));
	dwarf_view_deinit(&view);
	return offset + sizeof(length) + length;
}

static void read_all(struct dwarf_sections *sections, struct name_table_builder *builder)
{
	static const uint64_t wanted[] = {0x1000, 0x1010, 0x1100, 0x2000};
	struct dwarf_line_unit unit = {.address_bytes = 8, .directory = "/build", .name = "a.c", .string_offsets = 8};
	struct dwarf_line_reader *r;
	struct dwarf_line_stats stats;

	PROMISE(dwarf_line_reader_create(sections, &r) == 0);
	for (int i = 0; i < TABLES_MAX && unit.offset < dwarf_section_bytes(sections, DWARF_LINE); i++) {
		unit.wanted = i % 2 ? wanted : NULL;
		unit.n_wanted = i % 2 ? sizeof(wanted) / sizeof(wanted[0]) : 0;
		read_unit(r, builder, &unit);
		read_unit(r, builder, &unit);
		unit.offset = i % 8 == 7 ? unit.offset + 1 : next_table(sections, unit.offset);
	}
	dwarf_line_stats(r, &stats);
	dwarf_line_reader_destroy(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct dwarf_budget budget = {.left = MEMORY_BYTES};
	struct name_table_limits limits = {.bytes = MEMORY_BYTES};
	struct name_table_builder *builder;
	struct dwarf_sections *sections;
	struct name_table_stats stats;
	struct elf_file elf;
	uint64_t bytes;

	PROMISE(elf_file_open(parts_file(data, n, 0, KINDS, sizeof(KINDS) / sizeof(KINDS[0])), &elf) == 0);
	PROMISE(dwarf_sections_open(&elf, false, &budget, &sections) == 0);
	PROMISE(name_table_builder_create(&limits, &builder) == 0);
	read_all(sections, builder);
	dwarf_sections_close(sections);
	PROMISE(budget.left == MEMORY_BYTES);
	int err = name_table_write(builder, fuzz_file(1, NULL, 0), &bytes, &stats);
	PROMISE(err == 0 || err == -E2BIG);
	name_table_builder_destroy(builder);
	return 0;
}
