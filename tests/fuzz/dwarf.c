/* DWARF into a name table, and the table read. Of an input's four files the first has the DWARF; the second is what it gets for a dwz alternate
 * file, the third for a .dwo, the fourth for a .dwp. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbolizer/dwarf_compile.h"
#include "tests/fuzz/dwarf_kinds.h"

#define MEMORY_BYTES (16u << 20)
#define CANDIDATES   2

static const struct part_kind KINDS[] = DWARF_PARTS(""), DWO_KINDS[] = DWARF_PARTS(".dwo");
#define N_KINDS (sizeof(KINDS) / sizeof(KINDS[0]))

struct input {
	const uint8_t *data;
	size_t n;
	unsigned asked;
};

static int open_other(void *context, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	struct input *input = context;
	unsigned file = ask->kind == DEBUG_ASK_ALT ? 1 : ask->kind == DEBUG_ASK_DWO ? 2 : 3;

	PROMISE(ask->kind < DEBUG_ASK_KINDS && ask->name && ask->directory);
	PROMISE(strlen(ask->name) < DEBUG_ASK_TEXT_MAX && strlen(ask->directory) < DEBUG_ASK_TEXT_MAX);
	PROMISE(ask->build_id_bytes <= sizeof(ask->build_id));
	PROMISE(++input->asked <= (CANDIDATES + 1) * DEBUG_ASKS_MAX);
	if (nth >= CANDIDATES)
		return -ENOENT;
	int fd = dup(parts_file(input->data, input->n, file, ask->kind == DEBUG_ASK_ALT ? KINDS : DWO_KINDS, N_KINDS));
	PROMISE(fd >= 0);
	*fd_out = fd;
	return 0;
}

static void look(int fd)
{
	struct name_table_match match;
	struct name_table *table;

	PROMISE(name_table_open(fd, &table) == 0);
	for (uint64_t vaddr = 0xff8; vaddr < 0x1200; vaddr += 5) {
		int err = name_table_find(table, vaddr, &match);
		PROMISE(err == 0 || err == -ENOENT);
	}
	name_table_close(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint64_t wanted[] = {0x1000, 0x1010, 0x1031, 0x1052, 0x1100};
	struct dwarf_budget budget = {.left = MEMORY_BYTES};
	struct name_table_limits limits = {.bytes = MEMORY_BYTES};
	struct input files = {data, n, 0};
	struct debug_asker asker = {open_other, &files};
	struct name_table_builder *builder;
	struct name_table_stats table_stats;
	struct dwarf_stats stats;
	struct elf_file elf;
	uint64_t bytes;

	PROMISE(elf_file_open(parts_file(data, n, 0, KINDS, N_KINDS), &elf) == 0);
	PROMISE(name_table_builder_create(&limits, &builder) == 0);
	struct dwarf_input input = {.elf = &elf, .asker = &asker, .budget = &budget};
	if (n && data[n - 1] % 4 == 1) {
		input.wanted = wanted;
		input.n_wanted = sizeof(wanted) / sizeof(wanted[0]);
	}
	int err = dwarf_compile(&input, builder, &stats);
	PROMISE(err == 0 || err == -ENOENT || err == -E2BIG);
	PROMISE(budget.left == MEMORY_BYTES);
	int fd = fuzz_file(0, NULL, 0);
	err = name_table_write(builder, fd, &bytes, &table_stats);
	PROMISE(err == 0 || err == -E2BIG);
	name_table_builder_destroy(builder);
	if (err == 0)
		look(fd);
	return 0;
}
