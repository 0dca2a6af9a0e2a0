/* Collects rows in the order of their addresses and lays them out as unwind tables. Rows of one FDE are a transaction: when the FDE
 * turns out to be bad they are taken back. */
#ifndef HEARTH_SYMBOLIZER_TABLE_BUILDER_H
#define HEARTH_SYMBOLIZER_TABLE_BUILDER_H

#include <stdbool.h>

#include "symbolizer/unwind_compiler.h"

struct table_builder;

int table_builder_create(struct table_builder **builder_out);

/* Begin a transaction: the rows of [start, end) follow. start: not below the end of the one before. */
void table_builder_begin(struct table_builder *b, uint64_t start);

/* From vaddr on this rule holds. Errors are kept until table_builder_commit(). */
void table_builder_row(struct table_builder *b, uint64_t vaddr, const struct unwind_rule *rule);

/* End the transaction. Returns 0, -ENOSPC (the table is full: everything was taken back; try again in a new table), -E2BIG (more than one
 * table can hold, or too many tables), -ENOMEM. */
int table_builder_commit(struct table_builder *b, uint64_t end);
void table_builder_rollback(struct table_builder *b);

/* The tables so far become image's. */
int table_builder_finish(struct table_builder *b, struct unwind_image *image);

/* NULL is legal. */
void table_builder_destroy(struct table_builder *b);

#endif
