#include "symbolizer/symbol_names.h"
#include "symbolizer/symbol_name.h"
#include "symbolizer/symbol_reader.h"
#include "symbolizer/symtab.h"
#include "base/scope.h"

#include <errno.h>
#include <string.h>

#define STRINGS_WHOLE_MAX (64U << 20) /* larger string tables are read name by name */

struct names {
	const struct elf_file *elf;
	struct string_table place;
	char *whole; /* NULL: too large */
	size_t whole_bytes;
};

static int read_strings(struct names *names)
{
	size_t bytes = names->place.bytes < STRINGS_WHOLE_MAX ? (size_t)names->place.bytes : 0;

	if (!bytes)
		return 0;
	if (!elf_file_holds(names->elf, names->place.file_offset, bytes))
		return 0; /* a part may be there */
	names->whole = malloc(bytes);
	if (!names->whole)
		return -ENOMEM;
	names->whole_bytes = bytes;
	return elf_file_read_some(names->elf, names->place.file_offset, names->whole, &names->whole_bytes);
}

static int get_name(const struct names *names, uint32_t offset, char name[SYMTAB_NAME_MAX])
{
	size_t bytes = SYMTAB_NAME_MAX - 1;

	name[0] = 0;
	if (offset >= names->place.bytes)
		return 0;
	if (bytes > names->place.bytes - offset)
		bytes = (size_t)(names->place.bytes - offset);
	if (!names->whole) {
		int err = elf_file_read_some(names->elf, names->place.file_offset + offset, name, &bytes);
		if (err < 0)
			return err;
		name[bytes] = 0;
	} else if (offset < names->whole_bytes) {
		bytes = strnlen(names->whole + offset, bytes < names->whole_bytes - offset ? bytes : names->whole_bytes - offset);
		memcpy(name, names->whole + offset, bytes);
		name[bytes] = 0;
	}
	symbol_name_cut_version(name);
	return 0;
}

static bool is_wanted(const struct symbol_range *range, const uint64_t *wanted, size_t n)
{
	size_t low = 0, high = n; /* the first that is not before the range */

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (wanted[middle] < range->vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && wanted[low] - range->vaddr < range->bytes;
}

/* Aliases, ranges[0 .. n): all of one vaddr. */
static int add_range(const struct names *names, const struct symbol_range *ranges, size_t n, struct name_table_builder *builder,
		     uint64_t *n_added)
{
	char best[SYMTAB_NAME_MAX] = "", other[SYMTAB_NAME_MAX];

	for (size_t i = 0; i < n; i++) {
		if (ranges[i].source != SYMBOL_FROM_SYMTAB)
			continue;
		int err = get_name(names, ranges[i].name, other);
		if (err < 0)
			return err;
		if (other[0] && (!best[0] || symbol_name_is_better(other, best)))
			strcpy(best, other);
	}
	if (!best[0])
		return 0;
	int64_t name = name_table_add_string(builder, best, strlen(best));
	if (name < 0)
		return (int)name;
	++*n_added;
	return name_table_add_symbol(builder, ranges[0].vaddr, ranges[0].vaddr + ranges[0].bytes, (uint32_t)name);
}

int symbol_names_add(const struct elf_file *elf, const uint64_t *wanted, size_t n_wanted, struct name_table_builder *builder, uint64_t *n_out)
{
	AUTO_SYMBOL_SET struct symbol_set set = {0};
	AUTO_FREE struct symbol_range *ranges = NULL;
	size_t n_ranges = 0, n_aliases;
	struct names names = {.elf = elf};
	uint64_t n_added = 0;

	int err = symbol_set_read(elf, &set);
	if (err == 0)
		err = symbol_ranges_build(set.symbols, set.n, set.code, set.n_code, &ranges, &n_ranges);
	if (err < 0)
		return err;
	names.place = set.strings[SYMBOL_FROM_SYMTAB];
	err = read_strings(&names);
	for (size_t i = 0; i < n_ranges && err == 0; i += n_aliases) {
		for (n_aliases = 1; i + n_aliases < n_ranges && ranges[i + n_aliases].vaddr == ranges[i].vaddr;)
			n_aliases++;
		if (!wanted || is_wanted(&ranges[i], wanted, n_wanted))
			err = add_range(&names, &ranges[i], n_aliases, builder, &n_added);
	}
	free(names.whole);
	if (err == 0)
		*n_out = n_added;
	return err;
}
