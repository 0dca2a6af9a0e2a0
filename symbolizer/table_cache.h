/* Name tables (symbolizer/name_table.h) that are kept open, within a number and an amount of mapped bytes. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_TABLE_CACHE_H
#define HEARTH_SYMBOLIZER_TABLE_CACHE_H

#include "symbolizer/name_table.h"

#define TABLE_CACHE_TABLES 64
#define TABLE_CACHE_BYTES  (192u << 20) /* of address space; one that is larger is kept alone */

struct table_cache;

int table_cache_create(struct table_cache **cache_out);

/* The table of an image. fd: its file, borrowed; -1: the one that is kept. Another file than the one that is kept takes its place.
 * table_out: borrowed until the next call with this cache. Returns 0, -ENOENT (fd is -1 and none is kept), or as name_table_open(). */
int table_cache_get(struct table_cache *cache, uint64_t image_id, int fd, struct name_table **table_out);

/* It turned out to be damaged. */
void table_cache_drop(struct table_cache *cache, uint64_t image_id);

size_t table_cache_count(const struct table_cache *cache);

/* NULL is legal. */
void table_cache_destroy(struct table_cache *cache);

#endif
