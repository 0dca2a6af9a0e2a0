/* Collects the function symbols of an ELF file, for symbol_ranges_build(). */
#ifndef HEARTH_SYMBOLIZER_SYMBOL_READER_H
#define HEARTH_SYMBOLIZER_SYMBOL_READER_H

#include "symbolizer/elf_file.h"
#include "symbolizer/symbol_ranges.h"

/* A string table in the file. */
struct string_table {
	uint64_t file_offset;
	uint64_t bytes;
};

struct symbol_set {
	struct symbol *symbols;
	size_t n;
	size_t capacity;
	struct code_range *code; /* executable sections, else executable segments */
	size_t n_code;
	struct string_table strings[2]; /* by enum symbol_source: .symtab's, .dynsym's */
	uint64_t damaged;		/* entries and tables that were left out */
};

/* Read all tables of a file. set_out: symbol_set_deinit() frees its arrays.
 * Returns 0, -ENOMEM or the errno of a failed read. */
int symbol_set_read(const struct elf_file *elf, struct symbol_set *set_out);

/* Only the executable ranges. code_out: the caller frees. Returns 0, -ENOMEM or the errno of a failed read. */
int symbol_reader_code(const struct elf_file *elf, struct code_range **code_out, size_t *n_out);

/* Append one. Returns 0, -E2BIG at the limit, or -ENOMEM. */
int symbol_set_add(struct symbol_set *set, const struct symbol *symbol);

void symbol_set_deinit(struct symbol_set *set);

#define AUTO_SYMBOL_SET __attribute__((cleanup(symbol_set_deinit)))

#endif
