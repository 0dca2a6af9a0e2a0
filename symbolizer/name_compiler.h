/* One image's names, from everything that its files say: DWARF (its own, or of its separate debug file), the debug file's symbols,
 * .gnu_debugdata, Go's .gopclntab. The image's own .symtab and .dynsym are read when a name is asked for (symbolizer/symtab.h) and are
 * not in the table. Runs in a confined process; nothing here opens a file. */
#ifndef HEARTH_SYMBOLIZER_NAME_COMPILER_H
#define HEARTH_SYMBOLIZER_NAME_COMPILER_H

#include "symbolizer/debug_ask.h"
#include "symbolizer/dwarf_compile.h"
#include "symbolizer/name_table.h"

struct name_compile_input {
	int fd;				 /* the image; borrowed */
	const struct debug_asker *asker; /* NULL: nobody opens anything */
	const uint64_t *wanted;		 /* as in struct dwarf_input */
	size_t n_wanted;
	uint64_t memory_bytes; /* for sections and the builder together; 0: 320 MiB */
};

struct name_compile_stats {
	struct name_table_stats table;
	struct dwarf_stats dwarf;
	bool has_debug_file, has_dwarf, has_go, has_minidebug; /* where names came from */
	bool lacks_debug_file; /* no DWARF anywhere, and a debug file may be elsewhere (debuginfod) */
	uint64_t go_functions, minidebug_symbols, debug_symbols;
	uint64_t refused; /* parts of the files that were over a limit or damaged */
};

/* table_fd: an empty memfd, open for writing; borrowed. A table may be empty: then nothing is known beyond the symbol tables.
 * Returns 0, -ENOEXEC, -EBADMSG, -E2BIG, -ENOMEM, or the errno of a failed read. */
int name_compile(const struct name_compile_input *input, int table_fd, uint64_t *bytes_out, struct name_compile_stats *stats_out);

#endif
