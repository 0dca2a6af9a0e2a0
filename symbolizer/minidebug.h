/* .gnu_debugdata: a small ELF file with a symbol table, packed with xz, inside of a stripped one. Fedora's binaries have it.
 * Source: gdb's manual, "MiniDebugInfo". */
#ifndef HEARTH_SYMBOLIZER_MINIDEBUG_H
#define HEARTH_SYMBOLIZER_MINIDEBUG_H

#include "symbolizer/elf_file.h"

#define MINIDEBUG_BYTES_MAX  (64ULL << 20) /* unpacked; libLLVM's symbols would be 8 MiB */
#define MINIDEBUG_MEMORY_MAX (32ULL << 20) /* of the decoder: xz -6 takes 9 MiB, -8 takes 33 */

/* fd_out: a memfd with the unpacked file, owned by the caller.
 * Returns 0, -ENOENT (no such section), -EBADMSG (damaged), -E2BIG (over a limit above), -ENOMEM, or the errno of a failed read or write. */
int minidebug_unpack(const struct elf_file *elf, int *fd_out);

#endif
