#include "symbolizer/symtab.h"
#include "symbolizer/symbol_name.h"
#include "symbolizer/symbol_reader.h"
#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

/* Most names are short: one small read gets them. */
#define NAME_READ_BYTES 256

struct symtab {
	struct elf_file elf; /* with a descriptor of our own */
	struct stat st;	     /* when it was read */
	struct symbol_range *ranges;
	size_t n_ranges;
	struct string_table strings[2];
	uint64_t damaged;
};

static void scope_symtab(struct symtab **tab)
{
	symtab_free(*tab);
}

int symtab_open(int fd, struct symtab **tab_out)
{
	__attribute__((cleanup(scope_symtab))) struct symtab *tab = calloc(1, sizeof(*tab));
	AUTO_SYMBOL_SET struct symbol_set set = { 0 };

	if (!tab)
		return -ENOMEM;
	tab->elf.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (tab->elf.fd < 0)
		return -errno;
	int own_fd = tab->elf.fd;
	if (fstat(own_fd, &tab->st) < 0)
		return -errno;
	int err = elf_file_open(own_fd, &tab->elf);
	if (err < 0)
		return err;
	err = symbol_set_read(&tab->elf, &set);
	if (err < 0)
		return err;
	err = symbol_ranges_build(set.symbols, set.n, set.code, set.n_code, &tab->ranges, &tab->n_ranges);
	if (err < 0)
		return err;
	memcpy(tab->strings, set.strings, sizeof(tab->strings));
	tab->damaged = set.damaged;
	*tab_out = take_ptr(tab);
	return 0;
}

int symtab_find(const struct symtab *tab, uint64_t vaddr, struct symtab_match *match_out)
{
	size_t low = 0, high = tab->n_ranges; /* the first range that starts behind vaddr */

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (tab->ranges[middle].vaddr <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || vaddr - tab->ranges[low - 1].vaddr >= tab->ranges[low - 1].bytes)
		return -ENOENT;
	const struct symbol_range *range = &tab->ranges[low - 1];
	size_t first = low - 1;
	while (first && tab->ranges[first - 1].vaddr == range->vaddr)
		first--;
	*match_out = (struct symtab_match){ first, range->vaddr, range->vaddr + range->bytes };
	return 0;
}

static int read_name(const struct symtab *tab, const struct symbol_range *range, char *name)
{
	const struct string_table *strings = &tab->strings[range->source == SYMBOL_FROM_SYMTAB ? 0 : 1];
	size_t room = SYMTAB_NAME_MAX - sizeof("@plt");
	size_t wanted = NAME_READ_BYTES;

	if (range->name >= strings->bytes)
		return -ENOENT;
	if (room > strings->bytes - range->name)
		room = (size_t)(strings->bytes - range->name);
	for (;; wanted = room) {
		size_t got = wanted < room ? wanted : room;
		int err = elf_file_read_some(&tab->elf, strings->file_offset + range->name, name, &got);
		if (err < 0)
			return err;
		name[got] = 0;
		if (strlen(name) < got || wanted >= room)
			break;
	}
	if (!name[0])
		return -ENOENT;
	symbol_name_cut_version(name);
	if (range->source == SYMBOL_FROM_PLT)
		strcat(name, "@plt");
	return 0;
}

int symtab_name(const struct symtab *tab, const struct symtab_match *match, char *name, size_t *bytes_out)
{
	char best[SYMTAB_NAME_MAX] = "", other[SYMTAB_NAME_MAX];
	int result = -ENOENT;

	for (size_t i = match->index; i < tab->n_ranges && tab->ranges[i].vaddr == match->start; i++) {
		int err = read_name(tab, &tab->ranges[i], other);
		if (err < 0 && err != -ENOENT)
			return err;
		if (err < 0 || (result == 0 && !symbol_name_is_better(other, best)))
			continue;
		strcpy(best, other);
		result = 0;
	}
	if (result == 0) {
		strcpy(name, best);
		*bytes_out = strlen(best);
	}
	return result;
}

int symtab_is_stale(const struct symtab *tab)
{
	struct stat now;

	return fstat(tab->elf.fd, &now) < 0 || now.st_size != tab->st.st_size ||
	       now.st_mtim.tv_sec != tab->st.st_mtim.tv_sec || now.st_mtim.tv_nsec != tab->st.st_mtim.tv_nsec;
}

size_t symtab_count(const struct symtab *tab)
{
	return tab->n_ranges;
}

size_t symtab_bytes(const struct symtab *tab)
{
	return sizeof(*tab) + tab->n_ranges * sizeof(*tab->ranges);
}

uint64_t symtab_damaged(const struct symtab *tab)
{
	return tab->damaged;
}

void symtab_free(struct symtab *tab)
{
	if (!tab)
		return;
	if (tab->elf.fd >= 0)
		close(tab->elf.fd);
	free(tab->ranges);
	free(tab);
}
