#include "symbolizer/linker_names.h"
#include "symbolizer/symbol_name.h"
#include "symbolizer/symbol_reader.h"
#include "base/scope.h"

#include <errno.h>
#include <string.h>

#define ALIASES_MAX 64 /* symbols at one address that are looked at */

struct linker_name {
	uint64_t vaddr;
	uint32_t name; /* offset in the strings */
};

struct linker_names {
	const struct elf_file *elf;
	struct linker_name *sorted;
	size_t n;
	struct string_table strings;
};

static int compare_vaddrs(const void *left, const void *right)
{
	const struct linker_name *a = left, *b = right;
	return a->vaddr < b->vaddr ? -1 : a->vaddr > b->vaddr;
}

static int take_symbols(struct linker_names *names)
{
	AUTO_SYMBOL_SET struct symbol_set set = {0};

	int err = symbol_set_read(names->elf, &set);
	if (err < 0)
		return err;
	names->sorted = calloc(set.n + 1, sizeof(names->sorted[0]));
	if (!names->sorted)
		return -ENOMEM;
	for (size_t i = 0; i < set.n; i++)
		if (set.symbols[i].source == SYMBOL_FROM_SYMTAB)
			names->sorted[names->n++] = (struct linker_name){ set.symbols[i].vaddr, set.symbols[i].name };
	qsort(names->sorted, names->n, sizeof(names->sorted[0]), compare_vaddrs);
	names->strings = set.strings[SYMBOL_FROM_SYMTAB];
	return 0;
}

int linker_names_create(const struct elf_file *elf, struct linker_names **names_out)
{
	struct linker_names *names = calloc(1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	names->elf = elf;
	int err = take_symbols(names);
	if (err < 0) {
		linker_names_destroy(names);
		return err;
	}
	*names_out = names;
	return 0;
}

static size_t first_at(const struct linker_names *names, uint64_t vaddr)
{
	size_t low = 0, high = names->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (names->sorted[middle].vaddr < vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int read_name(const struct linker_names *names, uint32_t offset, char name[SYMTAB_NAME_MAX])
{
	size_t bytes = SYMTAB_NAME_MAX - 1;

	name[0] = 0;
	if (offset >= names->strings.bytes)
		return 0;
	if (bytes > names->strings.bytes - offset)
		bytes = (size_t)(names->strings.bytes - offset);
	int err = elf_file_read_some(names->elf, names->strings.file_offset + offset, name, &bytes);
	if (err < 0)
		return err;
	name[bytes] = 0;
	symbol_name_cut_version(name);
	return 0;
}

static bool is_mangled(const char *name)
{
	return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R' || name[1] == 'D') && name[2];
}

int linker_names_find(struct linker_names *names, uint64_t vaddr, const char *plain, char *name_out)
{
	char best[SYMTAB_NAME_MAX] = "", name[SYMTAB_NAME_MAX];
	size_t first = first_at(names, vaddr);

	for (size_t i = first; i < names->n && i - first < ALIASES_MAX && names->sorted[i].vaddr == vaddr; i++) {
		int err = read_name(names, names->sorted[i].name, name);
		if (err < 0)
			return err;
		if (strcmp(name, plain) == 0)
			return -ENOENT;
		if (is_mangled(name) && (!best[0] || symbol_name_is_better(name, best)))
			strcpy(best, name);
	}
	if (!best[0])
		return -ENOENT;
	strcpy(name_out, best);
	return 0;
}

void linker_names_destroy(struct linker_names *names)
{
	if (!names)
		return;
	free(names->sorted);
	free(names);
}
