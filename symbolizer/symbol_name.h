/* Names of a symbol table: which of several at one address people want to read. */
#ifndef HEARTH_SYMBOLIZER_SYMBOL_NAME_H
#define HEARTH_SYMBOLIZER_SYMBOL_NAME_H

#include <stdbool.h>

/* "memcpy@@GLIBC_2.14" in .symtab: the version is not part of the name, and no mangling uses '@'. */
void symbol_name_cut_version(char *name);

/* Of two aliases: fewest leading underscores, then the shortest, then the first in the alphabet. */
bool symbol_name_is_better(const char *name, const char *than);

#endif
