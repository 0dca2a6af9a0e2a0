/* What a Go program's own tables say, which stripping leaves: functions, inlined calls, files and lines, into a name table. */
#ifndef HEARTH_SYMBOLIZER_GO_TABLE_H
#define HEARTH_SYMBOLIZER_GO_TABLE_H

#include "symbolizer/elf_file.h"
#include "symbolizer/name_table.h"

/* functions_out: added. Returns 0, -ENOENT (no .gopclntab, or an unknown version of it), -EBADMSG (damaged: nothing usable), -E2BIG or -ENOMEM (what was
 * added until then stays), or the errno of a failed read. */
int go_table_add(const struct elf_file *elf, struct name_table_builder *builder, uint64_t *functions_out);

#endif
