/* The function symbols of a file, into a name table. */
#ifndef HEARTH_SYMBOLIZER_SYMBOL_NAMES_H
#define HEARTH_SYMBOLIZER_SYMBOL_NAMES_H

#include "symbolizer/elf_file.h"
#include "symbolizer/name_table.h"

/* Those of .symtab; which of them names a byte is explained in symbolizer/symbol_ranges.h. wanted: as in struct dwarf_input.
 * n_out: added. Returns 0, an error of the builder, -ENOMEM, or the errno of a failed read. */
int symbol_names_add(const struct elf_file *elf, const uint64_t *wanted, size_t n_wanted, struct name_table_builder *builder, uint64_t *n_out);

#endif
