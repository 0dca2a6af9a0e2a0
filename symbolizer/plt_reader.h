/* Names for the stubs of the procedure linkage table: "memcpy@plt". */
#ifndef HEARTH_SYMBOLIZER_PLT_READER_H
#define HEARTH_SYMBOLIZER_PLT_READER_H

#include "symbolizer/symbol_reader.h"

/* Add the stubs of an x86-64 file. Stub i belongs to relocation i of .rela.plt: in .plt.sec when there is one
 * (IBT), else in .plt behind its first entry. Stubs in .plt.got are not named.
 * Source: x86-64 psABI 1.0, "Procedure Linkage Table".
 * Returns 0, -ENOMEM or the errno of a failed read. Damaged tables are counted in set->damaged. */
int plt_read(const struct elf_file *elf, const struct elf_section *sections, size_t n_sections,
	     struct symbol_set *set);

#endif
