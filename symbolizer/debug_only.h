/* Only what names addresses of an ELF file: DWARF, symbol tables, Go's function table, build id. The other sections keep their headers, addresses and sizes
 * but have no bytes (SHT_NOBITS), as objcopy --only-keep-debug leaves them: so that numbers of sections stay what symbols say, and no code and no data of
 * a stranger's program leave the machine. Runs in the confined process. Source: ELF gABI 4.1; binutils' documentation of objcopy. */
#ifndef HEARTH_SYMBOLIZER_DEBUG_ONLY_H
#define HEARTH_SYMBOLIZER_DEBUG_ONLY_H

#include <stdbool.h>
#include <stdint.h>

#include "symbolizer/debug_ask.h"

#define DEBUG_ONLY_HASH_MAX 33

struct debug_only {
	uint64_t bytes;			/* of the file that was written */
	char hash[DEBUG_ONLY_HASH_MAX]; /* XXH3 of it, 128 bits in hex */
	bool has_dwarf, has_symbols;	/* .symtab or .gopclntab */
};

/* fd: an executable, a shared object, or a separate debug file; borrowed. out_fd: an empty file or memfd; borrowed, written from its beginning.
 * bytes_max: -EFBIG beyond it.
 * Returns 0; -ENODATA: nothing in it is worth an upload; errors of elf_file_open_debug(), -EBADMSG also when sections lie over each other; -ENOMEM; write's errno.
 * After an error out_fd has anything in it. */
int debug_only_write(int fd, int out_fd, uint64_t bytes_max, struct debug_only *result_out);

/* The same of an image, or of its separate debug file when the image has no DWARF and the other one has. asker: borrowed. Returns also debug_file_find()'s errors but
 * -ENOENT. */
int debug_only_write_best(int fd, const struct debug_asker *asker, int out_fd, uint64_t bytes_max, struct debug_only *result_out);

#endif
