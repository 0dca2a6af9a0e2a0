/* The kernel's functions, from the text of /proc/kallsyms.
 *
 * Lines are "address type name [module]"; functions have the types t, T, w, W. Kept: 16 bytes for each symbol and
 * its name once ("__pfx_name", the padding before a function, shares its bytes with "name").
 * Of symbols with the same address one is kept: global before weak before local, then fewest leading underscores,
 * then the shortest, then the first in the alphabet.
 *
 * kallsyms has no sizes. A symbol ends where the next of its own module starts, but
 *   - the kernel's text ends at _etext, its initialisation text at _einittext;
 *   - the last symbol before another module, or of all, ends two pages behind its own page's start at the latest
 *     (perf does the same, in symbols__fixup_end());
 *   - a symbol of a module has at most 64 KiB: behind its text comes a gap.
 * Not changed after kallsyms_read(), so safe from several threads. */
#ifndef HEARTH_SYMBOLIZER_KALLSYMS_H
#define HEARTH_SYMBOLIZER_KALLSYMS_H

#include <stddef.h>
#include <stdint.h>

#define KALLSYMS_SYMBOLS_MAX (4U << 20)
#define KALLSYMS_NAMES_MAX   (256U << 20) /* bytes */
#define KALLSYMS_MODULES_MAX 65535

struct kallsyms;

struct kernel_symbol {
	const char *name;   /* borrowed, until kallsyms_free() */
	const char *module; /* "" for the kernel itself */
	uint64_t start;	    /* kernel addresses */
	uint64_t end;
};

/* Read the text. fd: any readable file, borrowed; read from its beginning when it can seek.
 * Returns 0, -EPERM when every address is 0, -E2BIG (a limit above), -ENOMEM, or the errno of a failed read.
 * Lines that cannot be read are skipped and counted. */
int kallsyms_read(int fd, struct kallsyms **kallsyms_out);

/* Returns 0, or -ENOENT when no symbol covers the address. */
int kallsyms_find(const struct kallsyms *kallsyms, uint64_t address, struct kernel_symbol *symbol_out);

uint64_t kallsyms_base(const struct kallsyms *kallsyms); /* _stext, else _text, else 0 */
size_t kallsyms_count(const struct kallsyms *kallsyms);
size_t kallsyms_bytes(const struct kallsyms *kallsyms);		  /* memory held */
uint64_t kallsyms_lines_skipped(const struct kallsyms *kallsyms); /* neither a symbol nor an unwanted type */
void kallsyms_free(struct kallsyms *kallsyms);

#endif
