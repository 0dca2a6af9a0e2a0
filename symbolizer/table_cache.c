#include "symbolizer/table_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

struct entry {
	struct name_table *table; /* NULL: free */
	uint64_t image_id;
	dev_t device;
	ino_t inode;
	uint64_t used;
};

struct table_cache {
	struct entry entries[TABLE_CACHE_TABLES];
	uint64_t clock;
	size_t n;
	uint64_t bytes;
};

int table_cache_create(struct table_cache **cache_out)
{
	struct table_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	*cache_out = cache;
	return 0;
}

static struct entry *find(struct table_cache *cache, uint64_t image_id)
{
	for (size_t i = 0; i < TABLE_CACHE_TABLES; i++)
		if (cache->entries[i].table && cache->entries[i].image_id == image_id)
			return &cache->entries[i];
	return NULL;
}

static void close_entry(struct table_cache *cache, struct entry *entry)
{
	cache->bytes -= name_table_bytes(entry->table);
	cache->n--;
	name_table_close(entry->table);
	entry->table = NULL;
}

static void close_oldest(struct table_cache *cache)
{
	struct entry *oldest = NULL;

	for (size_t i = 0; i < TABLE_CACHE_TABLES; i++) {
		struct entry *entry = &cache->entries[i];
		if (entry->table && (!oldest || entry->used < oldest->used))
			oldest = entry;
	}
	if (oldest)
		close_entry(cache, oldest);
}

/* table: taken over. */
static void keep(struct table_cache *cache, uint64_t image_id, const struct stat *st, struct name_table *table)
{
	size_t bytes = name_table_bytes(table), i = 0;

	while (cache->n && (cache->n == TABLE_CACHE_TABLES || cache->bytes + bytes > TABLE_CACHE_BYTES))
		close_oldest(cache);
	while (cache->entries[i].table)
		i++;
	cache->entries[i] = (struct entry){table, image_id, st->st_dev, st->st_ino, cache->clock};
	cache->bytes += bytes;
	cache->n++;
}

int table_cache_get(struct table_cache *cache, uint64_t image_id, int fd, struct name_table **table_out)
{
	struct entry *entry = find(cache, image_id);
	struct name_table *table;
	struct stat st;

	if (fd < 0 && !entry)
		return -ENOENT;
	if (fd >= 0 && fstat(fd, &st) < 0)
		return -errno;
	cache->clock++;
	if (entry && (fd < 0 || (entry->device == st.st_dev && entry->inode == st.st_ino))) {
		entry->used = cache->clock;
		*table_out = entry->table;
		return 0;
	}
	if (entry)
		close_entry(cache, entry);
	int err = name_table_open(fd, &table);
	if (err < 0)
		return err;
	keep(cache, image_id, &st, table);
	*table_out = table;
	return 0;
}

void table_cache_drop(struct table_cache *cache, uint64_t image_id)
{
	struct entry *entry = find(cache, image_id);

	if (entry)
		close_entry(cache, entry);
}

size_t table_cache_count(const struct table_cache *cache)
{
	return cache->n;
}

void table_cache_destroy(struct table_cache *cache)
{
	if (!cache)
		return;
	while (cache->n)
		close_oldest(cache);
	free(cache);
}
