/* A library that is loaded by the one process that needs it: the others do not map it, nor run its beginnings. */
#ifndef HEARTH_BASE_LIBRARY_H
#define HEARTH_BASE_LIBRARY_H

#include <stddef.h>

struct library_function {
	const char *name;
	size_t at; /* offsetof() its pointer in the table */
};

/* Load it for good and fill the table's pointers. handle_out: for more of it, by dlsym(). Returns 0, or -ENOENT: it, or one of its functions, is not there. */
int library_load(const char *name, const struct library_function *functions, size_t n, void *table, void **handle_out);

#endif
