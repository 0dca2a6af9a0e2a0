#include "symbolizer/symtab_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct cached {
	uint64_t image_id;
	struct symtab *tab;
};

struct symtab_cache {
	size_t budget_bytes;
	size_t bytes;
	uint64_t evicted;
	/* Most recently used first. At 256 tables moving the array costs less than a batch of names. */
	struct cached tables[SYMTAB_CACHE_TABLES_MAX];
	size_t n;
};

int symtab_cache_create(size_t budget_bytes, struct symtab_cache **cache_out)
{
	struct symtab_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->budget_bytes = budget_bytes;
	*cache_out = cache;
	return 0;
}

static void drop(struct symtab_cache *cache, size_t index)
{
	cache->bytes -= symtab_bytes(cache->tables[index].tab);
	symtab_free(cache->tables[index].tab);
	memmove(&cache->tables[index], &cache->tables[index + 1], (cache->n - index - 1) * sizeof(cache->tables[0]));
	cache->n--;
	cache->evicted++;
}

struct symtab *symtab_cache_get(struct symtab_cache *cache, uint64_t image_id)
{
	for (size_t i = 0; i < cache->n; i++) {
		struct cached found = cache->tables[i];
		if (found.image_id != image_id)
			continue;
		if (symtab_is_stale(found.tab)) {
			drop(cache, i);
			return NULL;
		}
		memmove(&cache->tables[1], &cache->tables[0], i * sizeof(found));
		cache->tables[0] = found;
		return found.tab;
	}
	return NULL;
}

int symtab_cache_put(struct symtab_cache *cache, uint64_t image_id, struct symtab *tab)
{
	size_t bytes = symtab_bytes(tab);

	if (bytes > cache->budget_bytes) {
		cache->evicted++;
		return -E2BIG;
	}
	while (cache->n && (cache->n == SYMTAB_CACHE_TABLES_MAX || bytes > cache->budget_bytes - cache->bytes))
		drop(cache, cache->n - 1);
	memmove(&cache->tables[1], &cache->tables[0], cache->n * sizeof(cache->tables[0]));
	cache->tables[0] = (struct cached){ image_id, tab };
	cache->n++;
	cache->bytes += bytes;
	return 0;
}

size_t symtab_cache_bytes(const struct symtab_cache *cache)
{
	return cache->bytes;
}

uint64_t symtab_cache_evicted(const struct symtab_cache *cache)
{
	return cache->evicted;
}

void symtab_cache_destroy(struct symtab_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < cache->n; i++)
		symtab_free(cache->tables[i].tab);
	free(cache);
}
