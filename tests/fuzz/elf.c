/* Everything that is read of an ELF file when it is first seen: headers, build id, symbol tables, stubs, CFI. */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/scope.h"
#include "symbolizer/image_info.h"
#include "symbolizer/section_reader.h"
#include "symbolizer/symtab.h"
#include "symbolizer/unwind_compiler.h"
#include "tests/fuzz/fuzz.h"

#define PROBES		  64
#define SECTION_BYTES_MAX (8u << 20)

static void name_one(struct symtab *tab, uint64_t vaddr)
{
	char name[SYMTAB_NAME_MAX];
	struct symtab_match match;
	size_t bytes;

	if (symtab_find(tab, vaddr, &match) < 0)
		return;
	PROMISE(match.start <= vaddr && vaddr < match.end && match.index < symtab_count(tab));
	if (symtab_name(tab, &match, name, &bytes) == 0)
		PROMISE(bytes && bytes < sizeof(name) && strlen(name) == bytes);
}

static void name_all(const struct elf_file *elf, const struct image_info *info)
{
	struct symtab *tab;

	int err = symtab_open(elf->fd, &tab);
	if (err < 0)
		return;
	name_one(tab, elf->entry);
	for (uint8_t i = 0; i < info->n_segments; i++)
		for (uint64_t at = 0; at < PROBES; at++)
			name_one(tab, info->segments[i].vaddr + at * (info->segments[i].file_bytes / PROBES + 1));
	symtab_free(tab);
}

static void read_sections(const struct elf_file *elf)
{
	AUTO_FREE struct elf_section *sections = NULL;
	size_t n = 0;

	if (elf_file_sections(elf, &sections, &n) < 0)
		return;
	for (size_t i = 0; i < n && i < PROBES; i++) {
		AUTO_FREE uint8_t *bytes = NULL;
		size_t n_bytes = 0;
		if (section_read(elf, &sections[i], SECTION_BYTES_MAX, &bytes, &n_bytes) == 0)
			PROMISE(bytes && n_bytes <= SECTION_BYTES_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct unwind_image *unwind = NULL;
	struct image_info info;
	struct elf_file elf;

	int err = elf_file_open(fuzz_file(0, data, n), &elf);
	PROMISE(err == 0 || err == -ENOEXEC || err == -EBADMSG || err == -E2BIG);
	if (err < 0)
		return 0;
	if (image_info_read_build_id(&elf, &info) == 0)
		PROMISE(info.build_id_bytes == 0 || (info.build_id_bytes >= 4 && info.build_id_bytes <= BUILD_ID_MAX));
	err = image_info_read(&elf, &info);
	PROMISE(err == 0 || err == -EBADMSG);
	if (err < 0)
		info.n_segments = 0;
	PROMISE(info.n_segments <= IMAGE_SEGMENTS_MAX);
	name_all(&elf, &info);
	read_sections(&elf);
	if (unwind_image_compile(&elf, n && data[n - 1] & 1 ? &elf : NULL, &unwind) == 0)
		PROMISE(unwind->n_tables <= UNWIND_TABLES_MAX);
	unwind_image_free(unwind);
	return 0;
}
