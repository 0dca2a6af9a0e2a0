/* Names that the linker knows of functions for which DWARF has none of its own.
 *
 * gcc writes no DW_AT_linkage_name for functions that only one unit sees (static ones, those of unnamed namespaces, members of local classes), so that
 * DWARF calls unit9::words() just "words". The symbol at a function's first byte has the whole name. addr2line and llvm-symbolizer look
 * there too. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_LINKER_NAMES_H
#define HEARTH_SYMBOLIZER_LINKER_NAMES_H

#include "symbolizer/elf_file.h"
#include "symbolizer/symtab.h"

struct linker_names;

/* From .symtab. elf: borrowed until linker_names_destroy(). A file without one has no names. Returns 0, -ENOMEM, or the errno of a failed read. */
int linker_names_create(const struct elf_file *elf, struct linker_names **names_out);

/* The mangled name of the function symbol that begins at vaddr. plain: what DWARF calls the function: when a symbol there is called just so, that is its
 * name. name_out: SYMTAB_NAME_MAX bytes. Returns 0, -ENOENT, or the errno of a failed read. */
int linker_names_find(struct linker_names *names, uint64_t vaddr, const char *plain, char *name_out);

/* NULL is legal. */
void linker_names_destroy(struct linker_names *names);

#endif
