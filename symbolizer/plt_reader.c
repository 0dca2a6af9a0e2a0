#include "symbolizer/plt_reader.h"
#include "base/scope.h"

#include <elf.h>
#include <errno.h>

#define STUB_BYTES 16
#define STUBS_MAX  65536

static const struct elf_section *find_section(const struct elf_file *elf, const struct elf_section *sections,
					      size_t n_sections, uint32_t type, const char *name)
{
	for (size_t i = 0; i < n_sections; i++)
		if (sections[i].type == type && elf_file_section_is(elf, sections, n_sections, &sections[i], name))
			return &sections[i];
	return NULL;
}

static int add_stub(const struct elf_file *elf, const struct elf_section *dynsym, const Elf64_Rela *relocation,
		    uint64_t vaddr, struct symbol_set *set)
{
	uint64_t index = ELF64_R_SYM(relocation->r_info);
	Elf64_Sym raw;

	if (index == 0 || !code_ranges_find(set->code, set->n_code, vaddr))
		return 0; /* IRELATIVE has no name */
	if (index >= dynsym->bytes / sizeof(raw) || dynsym->file_offset > elf->file_bytes)
		return -EBADMSG;
	int err = elf_file_read(elf, dynsym->file_offset + index * sizeof(raw), &raw, sizeof(raw));
	if (err < 0)
		return err;
	if (!raw.st_name || raw.st_name >= set->strings[SYMBOL_FROM_DYNSYM].bytes)
		return -EBADMSG;
	struct symbol stub = { vaddr, STUB_BYTES, raw.st_name, 0, true, SYMBOL_FROM_PLT };
	return symbol_set_add(set, &stub);
}

int plt_read(const struct elf_file *elf, const struct elf_section *sections, size_t n_sections,
	     struct symbol_set *set)
{
	uint64_t first = 0;

	if (elf->machine != EM_X86_64 || !elf->is_64)
		return 0;
	const struct elf_section *relocations = find_section(elf, sections, n_sections, SHT_RELA, ".rela.plt");
	const struct elf_section *stubs = find_section(elf, sections, n_sections, SHT_PROGBITS, ".plt.sec");
	if (!stubs) {
		stubs = find_section(elf, sections, n_sections, SHT_PROGBITS, ".plt");
		first = 1;
	}
	if (!relocations || !stubs || relocations->entry_bytes != sizeof(Elf64_Rela) ||
	    relocations->link >= n_sections || sections[relocations->link].type != SHT_DYNSYM)
		return 0;
	uint64_t n = relocations->bytes / sizeof(Elf64_Rela);
	if (n > STUBS_MAX)
		n = STUBS_MAX;
	size_t bytes = (size_t)n * sizeof(Elf64_Rela);
	AUTO_FREE Elf64_Rela *table = malloc(bytes ? bytes : 1);
	if (!table)
		return -ENOMEM;
	int err = elf_file_read_some(elf, relocations->file_offset, table, &bytes);
	if (err < 0)
		return err;
	for (uint64_t i = 0; i < bytes / sizeof(*table) && (i + first + 1) * STUB_BYTES <= stubs->bytes; i++) {
		err = add_stub(elf, &sections[relocations->link], &table[i], stubs->vaddr + (i + first) * STUB_BYTES,
			       set);
		if (err == -EBADMSG)
			set->damaged++;
		else if (err < 0)
			return err;
	}
	return 0;
}
