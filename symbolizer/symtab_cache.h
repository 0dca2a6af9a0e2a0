/* Symbol tables of the images asked for last, within a budget of bytes. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_SYMTAB_CACHE_H
#define HEARTH_SYMBOLIZER_SYMTAB_CACHE_H

#include "symbolizer/symtab.h"

#define SYMTAB_CACHE_TABLES_MAX 256 /* each holds a descriptor; services start with 1024 */

struct symtab_cache;

int symtab_cache_create(size_t budget_bytes, struct symtab_cache **cache_out);

/* The table of an image, now the most recently used, or NULL. Borrowed until the next call with this cache.
 * A table whose file has changed is dropped. */
struct symtab *symtab_cache_get(struct symtab_cache *cache, uint64_t image_id);

/* Keep a table, which the cache owns from here on. The least recently used go until the budget holds.
 * Returns 0, or -E2BIG (larger than the whole budget): the table still belongs to the caller. */
int symtab_cache_put(struct symtab_cache *cache, uint64_t image_id, struct symtab *tab);

size_t symtab_cache_bytes(const struct symtab_cache *cache);
uint64_t symtab_cache_evicted(const struct symtab_cache *cache); /* tables dropped, since the beginning */
void symtab_cache_destroy(struct symtab_cache *cache);

#endif
