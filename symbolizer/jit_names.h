/* Names for the JIT code of processes: their tables (symbolizer/jit_table.h), within a budget, and the files that they come from. */
#ifndef HEARTH_SYMBOLIZER_JIT_NAMES_H
#define HEARTH_SYMBOLIZER_JIT_NAMES_H

#include "symbolizer/reply_builder.h"
#include "symbolizer/symbolizer.h"

struct jit_names;

/* budget_bytes: of all tables; the least recently used go first, the one in use stays. */
int jit_names_create(size_t budget_bytes, struct jit_names **names_out);

/* See symbolizer_jit_names(). */
int jit_names_find(struct jit_names *j, uint64_t process, const struct jit_source *source, const struct jit_query *queries,
		   size_t n, struct symbolizer_reply **reply_out, bool *more_out);

void jit_names_stats(const struct jit_names *j, struct jit_stats *stats_out);
/* NULL is legal. */
void jit_names_destroy(struct jit_names *j);

#endif
