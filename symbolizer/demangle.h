/* Names as people wrote them: C++ (Itanium ABI), Rust (legacy and v0) and D.
 *
 * libiberty does the work. Its input is hostile, so what it may cost is bounded here (SAFETY 14, and see
 * demangle.c for how). Safe from several threads. */
#ifndef HEARTH_SYMBOLIZER_DEMANGLE_H
#define HEARTH_SYMBOLIZER_DEMANGLE_H

#include <stddef.h>

#define DEMANGLE_IN_MAX	 4096 /* bytes with the NUL */
#define DEMANGLE_OUT_MAX 8192 /* bytes with the NUL; longer names are cut and end in "..." */

enum demangle_style {
	DEMANGLE_FULL,	/* with parameters and template arguments */
	DEMANGLE_SHORT, /* without (symbolizer/demangle_short.h) */
	DEMANGLE_NONE,	/* always -ENOENT */
};

/* mangled: ends in NUL. out: DEMANGLE_OUT_MAX bytes, raw (see text_clean()).
 * Rust's hash ("::h0123456789abcdef") is removed.
 * Returns the length of out, -ENOENT (not a mangled name, or one that libiberty cannot read), or -E2BIG (it would cost too much). */
int demangle(const char *mangled, enum demangle_style style, char *out);

#endif
