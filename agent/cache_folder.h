/* A folder of ours with files that may go: within a byte budget, the least recently used first.
 *
 * Access times, which are set here whatever the file system does by itself, tell the least recently used. Files are written under a
 * temporary name and renamed; nothing is synced. A temporary file whose writer is gone (a living one holds its lock) is removed at
 * the next opening. Files are 0600 and the folder 0700 (SAFETY 28). Several processes may share a folder. Not thread-safe. */
#ifndef HEARTH_AGENT_CACHE_FOLDER_H
#define HEARTH_AGENT_CACHE_FOLDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/why.h"

#define CACHE_FOLDER_FILES_MAX 8192

struct cache_folder;

struct cache_folder_stats {
	uint64_t files, bytes; /* now there, as far as this process knows; whole blocks */
	uint64_t budget_bytes;
	uint64_t evicted;      /* for the budget */
	uint64_t leftovers;    /* temporary files of processes that are gone */
};

/* A file that is being written. */
struct cache_file {
	int fd; /* for writing; -1: none */
	char temporary[64];
};

/* path: created when it is missing; above: and the folder above it. Refused (-EPERM) when it is not ours, or when others may write
 * to it. */
int cache_folder_open(const char *path, bool above, uint64_t budget_bytes, struct cache_folder **folder_out, struct why *why);

/* A file that is there, which counts as its use. Returns 0, -ENOENT, -EPERM (not a regular file that only we may write), or the
 * errno of the opening. */
int cache_folder_get(struct cache_folder *f, const char *name, int *fd_out, struct stat *status_out);

/* Begin to write a file; end with keep or abandon, which close it. */
int cache_folder_create(struct cache_folder *f, struct cache_file *file_out);
/* Give it its name, and let others go for the budget. On failure nothing is left of it. */
int cache_folder_keep(struct cache_folder *f, struct cache_file *file, const char *name);
void cache_folder_abandon(struct cache_folder *f, struct cache_file *file);

/* 0 or -ENOENT, ... */
int cache_folder_remove(struct cache_folder *f, const char *name);

/* A file that stays open is in use. */
void cache_folder_touch(int fd);

void cache_folder_stats(const struct cache_folder *f, struct cache_folder_stats *stats_out);

/* NULL is legal. */
void cache_folder_close(struct cache_folder *f);

#endif
