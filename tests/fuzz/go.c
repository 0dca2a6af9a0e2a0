/* Go's tables: .gopclntab, moduledata, and the code of the functions that switch stacks. */
#include <elf.h>
#include <errno.h>

#include "symbolizer/go_functions.h"
#include "symbolizer/go_table.h"
#include "symbolizer/unwind_compiler.h"
#include "tests/fuzz/parts.h"

#define GO_PARTS_MAX 64
#define MEMORY_BYTES (32u << 20)

static const struct part_kind KINDS[] = {
	{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x401000},
	{".gopclntab", SHT_PROGBITS, SHF_ALLOC, 0x800000},
	{".go.module", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0xa00000},
	{".noptrdata", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0xb00000},
	{".rodata", SHT_PROGBITS, SHF_ALLOC, 0x700000},
	{".debug_frame", SHT_PROGBITS, 0, 0},
	{".go.buildinfo", SHT_PROGBITS, SHF_ALLOC, 0xc00000},
	{".data.rel.ro", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0xd00000},
	{".rela.dyn", SHT_RELA, SHF_ALLOC, 0xe00000},
};

static void find_switches(const struct elf_file *elf)
{
	struct go_part parts[GO_PARTS_MAX];
	struct go_switches *switches;
	size_t n = 0;

	if (go_switches_open(elf, &switches) < 0)
		return;
	if (switches && go_functions_switching(elf, switches, parts, GO_PARTS_MAX, &n) == 0)
		for (size_t i = 0; i < n; i++)
			PROMISE(parts[i].start < parts[i].end);
	PROMISE(n <= GO_PARTS_MAX);
	go_switches_close(switches);
}

static void add_table(const struct elf_file *elf)
{
	struct name_table_limits limits = {.bytes = MEMORY_BYTES};
	struct name_table_builder *builder;
	struct name_table_stats stats;
	uint64_t n = 0, bytes;

	PROMISE(name_table_builder_create(&limits, &builder) == 0);
	int err = go_table_add(elf, builder, &n);
	PROMISE(err == 0 || err == -ENOENT || err == -EBADMSG || err == -E2BIG);
	err = name_table_write(builder, fuzz_file(1, NULL, 0), &bytes, &stats);
	PROMISE(err == 0 || err == -E2BIG);
	name_table_builder_destroy(builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct unwind_image *unwind = NULL;
	struct elf_file elf;

	PROMISE(elf_file_open(parts_file(data, n, 0, KINDS, sizeof(KINDS) / sizeof(KINDS[0])), &elf) == 0);
	find_switches(&elf);
	add_table(&elf);
	unwind_image_compile(&elf, NULL, &unwind);
	unwind_image_free(unwind);
	return 0;
}
