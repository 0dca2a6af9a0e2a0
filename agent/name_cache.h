/* Name tables on disk (symbolizer/name_table.h): a folder of ours within a byte budget, so that a restart, and the second process
 * of the same file, cost nothing. The agent never looks into a table: whoever reads it says that it is damaged, and it goes.
 *
 * One file for each image: KEY.names, or KEY.lacking for an image whose debug information was nowhere: that is looked for again
 * after an hour. Access times, which are set here whatever the file system does by itself, tell the least recently used;
 * modification times, when it was compiled. Files are written under a temporary name and renamed; nothing is synced: what a power
 * loss leaves of a table is damaged, and is compiled again. Several processes may share a folder. Not thread-safe. */
#ifndef HEARTH_AGENT_NAME_CACHE_H
#define HEARTH_AGENT_NAME_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"

#define NAME_CACHE_BUDGET_DEFAULT (256ull << 20)
#define NAME_CACHE_BUDGET_MAX	  (1ull << 40)
#define NAME_CACHE_LOOK_AGAIN_S	  3600 /* when debug information was nowhere */

struct name_cache;

/* What a table is of: the build id, else device, inode, size and mtime; and the version of the format. */
struct name_key {
	char text[160];
};

/* fd: of the image, asked only when there is no build id (0 bytes). Returns 0, -EINVAL (a build id over 64 bytes), or the errno of
 * fstat. */
int name_key_make(const uint8_t *build_id, uint8_t build_id_bytes, int fd, struct name_key *key_out);

struct name_cache_stats {
	uint64_t files, bytes;	/* now in the folder, as far as this process knows; whole blocks */
	uint64_t budget_bytes;
	uint64_t hits, misses;
	uint64_t stored;
	uint64_t store_failed;	/* ENOSPC, EROFS, ... */
	uint64_t too_large;	/* tables above a quarter of the budget: not stored */
	uint64_t evicted;	/* for the budget */
	uint64_t damaged;	/* dropped because their reader could not use them */
	uint64_t leftovers;	/* temporary files of processes that are gone */
};

/* Where tables are kept unless someone says otherwise: $CACHE_DIRECTORY (systemd), /var/cache/hearth for root, else
 * $XDG_CACHE_HOME/hearth or ~/.cache/hearth. Returns 0, -ENOENT (no home), or -ENAMETOOLONG. */
int name_cache_folder(char *path_out, size_t bytes);

/* folder: created when it is missing (0700); NULL: name_cache_folder(), and the folders above it too. Refused (-EPERM) when it is
 * not ours, or when others may write to it. */
int name_cache_open(const char *folder, uint64_t budget_bytes, struct name_cache **cache_out, struct why *why);

struct name_cache_found {
	int fd;	      /* owned by the caller; read-only */
	bool lacking; /* no debug information was found */
	bool stale;   /* ... and it is time to look again */
};

/* Returns 0, -ENOENT, -EPERM (the file is not ours), or the errno of the opening. */
int name_cache_get(struct name_cache *c, const struct name_key *key, struct name_cache_found *found_out);

/* Begin to store a table, of which bytes are copied by name_cache_step(), a MiB at a time, so that nobody waits for the disk. One
 * at a time (-EBUSY). table_fd: borrowed until it is done. Returns 0, -E2BIG (too large), or the errno of the creation. */
int name_cache_put(struct name_cache *c, const struct name_key *key, int table_fd, bool lacking);
/* Returns 1: go on; 0: stored, or nothing to do; or the errno of what failed: then nothing is left of it. */
int name_cache_step(struct name_cache *c);
bool name_cache_is_storing(const struct name_cache *c);

/* Its reader says that it is damaged. */
void name_cache_drop(struct name_cache *c, const struct name_key *key);

/* A table that stays open is in use. */
void name_cache_touch(int fd);

void name_cache_stats(const struct name_cache *c, struct name_cache_stats *stats_out);

/* NULL is legal. */
void name_cache_close(struct name_cache *c);

#endif
