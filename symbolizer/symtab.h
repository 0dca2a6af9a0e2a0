/* The function symbols of one ELF file: .symtab, .dynsym, and the stubs of the PLT.
 *
 * Kept in memory: 16 bytes for each range of addresses. Names stay in the file and are read when asked for; the
 * table holds its own descriptor of the file for that.
 *
 * Which symbol names an address is explained in symbol_ranges.h; the rank is, best first:
 *   1. functions (STT_FUNC, STT_GNU_IFUNC) with a size, functions without, labels (STT_NOTYPE in executable
 *      sections: assembly) with a size, labels without, PLT stubs;
 *   2. global, weak, local;
 *   3. .symtab, .dynsym.
 * Aliases that are still equal: fewest leading underscores, then the shortest, then the first in the alphabet.
 * (perf's choose_best_symbol() has the same steps up to the length, where it takes the longest.)
 *
 * Not safe from several threads. Source: ELF gABI, "Symbol Table". */
#ifndef HEARTH_SYMBOLIZER_SYMTAB_H
#define HEARTH_SYMBOLIZER_SYMTAB_H

#include <stddef.h>
#include <stdint.h>

#define SYMTAB_SYMBOLS_MAX (4U << 20) /* of one table; an unstripped chromium has about 1 million */
#define SYMTAB_NAME_MAX	   4096	      /* bytes with the NUL; longer names are cut (SAFETY 14) */

struct symtab;

/* Index of a range of addresses in the table, and the range. */
struct symtab_match {
	size_t index;
	uint64_t start; /* vaddr */
	uint64_t end;	/* first vaddr behind it */
};

/* Read the symbols of an ELF file. A damaged table costs its damaged part.
 * fd: borrowed for the call (duplicated).
 * Returns 0, -ENOEXEC, -EBADMSG or -E2BIG (bad file header, see elf_file_open()), -ENOMEM, or the errno of a
 * failed read. A file without symbols gives an empty table. */
int symtab_open(int fd, struct symtab **tab_out);

/* Find the range that covers an address. Returns 0, or -ENOENT if no symbol covers vaddr. */
int symtab_find(const struct symtab *tab, uint64_t vaddr, struct symtab_match *match_out);

/* Copy the name of a match, raw bytes of the file. Versions ("@@GLIBC_2.2") are cut off; stubs end in "@plt".
 * name: SYMTAB_NAME_MAX bytes. bytes_out: without the NUL.
 * Returns 0, -ENOENT when the name is empty or not in the file any more, or the errno of a failed read. */
int symtab_name(const struct symtab *tab, const struct symtab_match *match, char *name, size_t *bytes_out);

/* Has the file changed since symtab_open()? Then its names are not to be trusted. */
int symtab_is_stale(const struct symtab *tab);

size_t symtab_count(const struct symtab *tab);
size_t symtab_bytes(const struct symtab *tab);	   /* memory held */
uint64_t symtab_damaged(const struct symtab *tab); /* symbols and tables that were left out */
void symtab_free(struct symtab *tab);

#endif
