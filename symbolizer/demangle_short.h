/* Short signatures: what is left of a demangled name without parameters, template arguments, return types and qualifiers.
 *
 * "std::vector<int, std::allocator<int> >::push_back(int&&)" becomes "std::vector::push_back". Works on the text that a demangler wrote, in one
 * pass, and does not trust it: brackets that do not close end the name with "...". Safe from several threads. */
#ifndef HEARTH_SYMBOLIZER_DEMANGLE_SHORT_H
#define HEARTH_SYMBOLIZER_DEMANGLE_SHORT_H

#include <stddef.h>

enum demangle_language {
	DEMANGLE_CPP,
	DEMANGLE_RUST, /* "<T as Trait>::method" keeps its brackets, and what is inside them is made short */
	DEMANGLE_D,
};

/* text: bytes of it, without a NUL. out: out_bytes, ends in NUL; may not overlap text. Returns the length of out. */
size_t demangle_shorten(enum demangle_language language, const char *text, size_t bytes, char *out, size_t out_bytes);

#endif
