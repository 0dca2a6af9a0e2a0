/* Texts, each once, numbered in the order in which they came. Not thread-safe. */
#ifndef HEARTH_WEB_TEXT_TABLE_H
#define HEARTH_WEB_TEXT_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct text_table {
	char **texts; /* copies */
	size_t n;
	uint32_t *slots; /* number + 1; 0: free */
	size_t n_slots;
	uint64_t seed; /* texts are strangers' (SAFETY 29) */
};

/* All 0 is an empty one. Returns the number, or -ENOMEM. */
int64_t text_table_add(struct text_table *t, const char *text);
void text_table_deinit(struct text_table *t);

#endif
