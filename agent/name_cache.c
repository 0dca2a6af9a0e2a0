#include "agent/name_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/cache_folder.h"
#include "agent/usual_folder.h"
#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/name_table.h"

#define NAMES	   ".names"
#define LACKING	   ".lacking"
#define STEP_BYTES (1u << 20)
#define NAME_BYTES    (sizeof(((struct name_key *)0)->text) + 16)

/* A table on its way into the folder. */
struct store {
	bool active;
	int from_fd;
	struct cache_file file;
	off_t at;
	uint64_t bytes;
	bool lacking;
	struct name_key key;
};

struct name_cache {
	struct cache_folder *folder;
	uint64_t budget_bytes;
	struct store store;
	struct name_cache_stats stats;
};

int name_key_make(const uint8_t *build_id, uint8_t build_id_bytes, int fd, struct name_key *key_out)
{
	struct name_key key;
	struct stat status;
	size_t n = 0;

	if (build_id_bytes > 64)
		return -EINVAL;
	for (uint8_t i = 0; i < build_id_bytes; i++)
		n += (size_t)snprintf(key.text + n, sizeof(key.text) - n, "%02x", build_id[i]);
	if (!build_id_bytes) {
		if (fstat(fd, &status) < 0)
			return -errno;
		n = (size_t)snprintf(key.text, sizeof(key.text), "file-%x-%x-%" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%lx",
				     major(status.st_dev), minor(status.st_dev), (uint64_t)status.st_ino, (uint64_t)status.st_size,
				     (uint64_t)status.st_mtim.tv_sec, (unsigned long)status.st_mtim.tv_nsec);
	}
	snprintf(key.text + n, sizeof(key.text) - n, ".v%d", NAME_TABLE_VERSION);
	*key_out = key;
	return 0;
}

static void name_of(const struct name_key *key, bool lacking, char name[NAME_BYTES])
{
	snprintf(name, NAME_BYTES, "%s%s", key->text, lacking ? LACKING : NAMES);
}

/* --- the folder ----------------------------------------------------------------------------------------------------------- */

int name_cache_folder(char *path_out, size_t bytes)
{
	static const struct usual_folder CACHE = {"CACHE_DIRECTORY", "/var/cache/hearth", "XDG_CACHE_HOME", ".cache"};

	return usual_folder_find(&CACHE, path_out, bytes);
}

int name_cache_open(const char *folder, uint64_t budget_bytes, struct name_cache **cache_out, struct why *why)
{
	char path[PATH_MAX];

	int err = folder ? 0 : name_cache_folder(path, sizeof(path));
	if (err < 0)
		return why_set(why, err, "there is no home for name tables; give --name-cache DIR");
	struct name_cache *c = calloc(1, sizeof(*c));
	if (!c)
		return why_set(why, -ENOMEM, "out of memory");
	c->budget_bytes = budget_bytes;
	err = cache_folder_open(folder ? folder : path, !folder, budget_bytes, &c->folder, why);
	if (err < 0) {
		free(c);
		return err;
	}
	*cache_out = c;
	return 0;
}

/* --- tables --------------------------------------------------------------------------------------------------------------- */

void name_cache_touch(int fd)
{
	cache_folder_touch(fd);
}

static int open_table(const struct name_cache *c, const struct name_key *key, bool lacking, struct name_cache_found *found)
{
	char name[NAME_BYTES];
	struct stat status;

	name_of(key, lacking, name);
	int err = cache_folder_get(c->folder, name, &found->fd, &status);
	if (err < 0)
		return err;
	int64_t age_s = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S) - status.st_mtim.tv_sec;
	found->lacking = lacking;
	found->stale = lacking && (age_s < 0 || age_s >= NAME_CACHE_LOOK_AGAIN_S);
	return 0;
}

int name_cache_get(struct name_cache *c, const struct name_key *key, struct name_cache_found *found_out)
{
	struct name_cache_found found;

	int err = open_table(c, key, false, &found);
	if (err == -ENOENT)
		err = open_table(c, key, true, &found);
	if (err < 0) {
		c->stats.misses++;
		return err;
	}
	c->stats.hits++;
	*found_out = found;
	return 0;
}

int name_cache_put(struct name_cache *c, const struct name_key *key, int table_fd, bool lacking)
{
	struct store store = {.active = true, .from_fd = table_fd, .lacking = lacking, .key = *key};
	struct stat status;

	if (c->store.active)
		return -EBUSY;
	if (fstat(table_fd, &status) < 0)
		return -errno;
	store.bytes = (uint64_t)status.st_size;
	if (store.bytes > c->budget_bytes / 4) {
		c->stats.too_large++;
		return -E2BIG;
	}
	int err = cache_folder_create(c->folder, &store.file);
	if (err < 0) {
		c->stats.store_failed++;
		return err;
	}
	c->store = store;
	return 0;
}

static int finish_store(struct name_cache *c)
{
	struct store *s = &c->store;
	char name[NAME_BYTES], other[NAME_BYTES];

	name_of(&s->key, s->lacking, name);
	name_of(&s->key, !s->lacking, other);
	int err = cache_folder_keep(c->folder, &s->file, name);
	if (err < 0)
		return err;
	cache_folder_remove(c->folder, other);
	c->stats.stored++;
	return 0;
}

static int end_store(struct name_cache *c, int err)
{
	if (err < 0) {
		cache_folder_abandon(c->folder, &c->store.file);
		c->stats.store_failed++;
	}
	c->store = (struct store){.from_fd = -1};
	return err;
}

int name_cache_step(struct name_cache *c)
{
	struct store *s = &c->store;

	if (!s->active)
		return 0;
	uint64_t left = s->bytes - (uint64_t)s->at;
	ssize_t n = left ? sendfile(s->file.fd, s->from_fd, &s->at, left < STEP_BYTES ? left : STEP_BYTES) : 0;
	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0)
		return end_store(c, -errno);
	if (left && !n)
		return end_store(c, -EIO);
	return (uint64_t)s->at < s->bytes ? 1 : end_store(c, finish_store(c));
}

bool name_cache_is_storing(const struct name_cache *c)
{
	return c->store.active;
}

void name_cache_drop(struct name_cache *c, const struct name_key *key)
{
	char name[NAME_BYTES];

	for (int lacking = 0; lacking < 2; lacking++) {
		name_of(key, lacking, name);
		if (cache_folder_remove(c->folder, name) == 0)
			c->stats.damaged++;
	}
}

void name_cache_stats(const struct name_cache *c, struct name_cache_stats *stats_out)
{
	struct cache_folder_stats folder;

	cache_folder_stats(c->folder, &folder);
	*stats_out = c->stats;
	stats_out->files = folder.files;
	stats_out->bytes = folder.bytes;
	stats_out->budget_bytes = folder.budget_bytes;
	stats_out->evicted = folder.evicted;
	stats_out->leftovers = folder.leftovers;
}

void name_cache_close(struct name_cache *c)
{
	if (!c)
		return;
	if (c->store.active)
		end_store(c, -ECANCELED);
	cache_folder_close(c->folder);
	free(c);
}
