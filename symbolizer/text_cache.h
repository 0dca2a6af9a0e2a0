/* Texts by number, which stay where they are until all go. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_TEXT_CACHE_H
#define HEARTH_SYMBOLIZER_TEXT_CACHE_H

#include <stddef.h>
#include <stdint.h>

struct text_cache;

/* budget_bytes: of texts; at the budget nothing is added any more. Returns 0 or -ENOMEM. */
int text_cache_create(size_t budget_bytes, struct text_cache **cache_out);
/* NULL: not there. */
const char *text_cache_find(const struct text_cache *cache, uint32_t key);
/* Room for a text that the caller writes at once, with its NUL. key: not there yet. NULL: over the budget, or no memory. */
char *text_cache_add(struct text_cache *cache, uint32_t key, size_t bytes);
/* NULL is legal. */
void text_cache_destroy(struct text_cache *cache);

#endif
