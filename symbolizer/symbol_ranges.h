/* From symbols that overlap to ranges that do not.
 *
 * Symbols of one file overlap: aliases, functions inside functions, assembly labels inside functions, entries
 * without a size. symbol_ranges_build() decides once who names each byte:
 *   - labels (NOTYPE) and PLT stubs that start inside a function with a size are dropped;
 *   - a symbol without a size ends at the next symbol, or where its section ends;
 *   - of several functions that cover a byte the one that starts last, the innermost, names it;
 *   - of several that start together, the best by rank, then the longest;
 *   - those that are still equal are aliases: at most SYMBOL_ALIASES_MAX are kept side by side, and the reader
 *     of the names chooses (symtab_name()).
 * Nothing names a byte behind the end of all symbols. */
#ifndef HEARTH_SYMBOLIZER_SYMBOL_RANGES_H
#define HEARTH_SYMBOLIZER_SYMBOL_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYMBOL_ALIASES_MAX 8
#define SYMBOL_BYTES_MAX   ((1U << 30) - 1) /* fits in 30 bits; longer symbols are cut */
#define SYMBOL_RANGES_MAX  (8U << 20)

enum symbol_source {
	SYMBOL_FROM_SYMTAB,
	SYMBOL_FROM_DYNSYM,
	SYMBOL_FROM_PLT, /* the name, from .dynsym's strings, gets "@plt" */
};

/* A symbol as the file has it. rank: higher is better. */
struct symbol {
	uint64_t vaddr;
	uint32_t bytes; /* 0: unknown */
	uint32_t name;	/* offset in the source's strings */
	uint8_t rank;
	bool label; /* may not name bytes of a function with a size */
	uint8_t source;
};

/* 16 bytes, sorted by vaddr; aliases share vaddr and bytes, all else is disjoint. */
struct symbol_range {
	uint64_t vaddr;
	uint32_t bytes : 30;
	uint32_t source : 2;
	uint32_t name;
};

/* Executable bytes of the file, sorted and disjoint. */
struct code_range {
	uint64_t start;
	uint64_t end;
};

/* symbols: n of them, sorted in place. ranges_out: the caller frees; NULL when there are none.
 * Returns 0 or -ENOMEM. */
int symbol_ranges_build(struct symbol *symbols, size_t n, const struct code_range *code, size_t n_code,
			struct symbol_range **ranges_out, size_t *n_out);

/* The code range that holds vaddr, or NULL. */
const struct code_range *code_ranges_find(const struct code_range *code, size_t n_code, uint64_t vaddr);

#endif
