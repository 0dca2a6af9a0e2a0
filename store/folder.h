/* The folder of a store: which segments are there, what they take, setting aside and removing. Segment N is the file windows-N.db (six digits or more) with SQLite's
 * -wal, -shm or -journal beside it; one that was set aside ends in .damaged. */
#ifndef HEARTH_STORE_FOLDER_H
#define HEARTH_STORE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

#define FOLDER_SEQUENCE_MAX ((UINT64_C(1) << 42) - 1)
#define FOLDER_FILES_MAX    100000

struct folder {
	int fd; /* also the writer's lock */
	char *path;
};

/* Sequences of what is there, ascending. */
struct folder_list {
	uint64_t *segments, *damaged;
	size_t n_segments, n_damaged;
};

/* write: creates the folder (0700) when it is missing, checks its owner and mode (-EPERM), locks it (-EBUSY). */
int folder_open(struct folder *f, const char *path, bool write, struct why *why);
void folder_close(struct folder *f);

/* list_out: folder_list_deinit(). Returns 0, -ENOMEM, -E2BIG, -EIO. */
int folder_list(const struct folder *f, struct folder_list *list_out);
void folder_list_deinit(struct folder_list *list);

#define FOLDER_NAME_MAX 48
void folder_name(uint64_t sequence, const char *suffix, char name[FOLDER_NAME_MAX]);
/* The path of a segment; owned by the caller, NULL: no memory. */
char *folder_path(const struct folder *f, uint64_t sequence);

/* Bytes that the files of the store take, in blocks of 4 KiB. */
uint64_t folder_bytes(const struct folder *f);
/* A segment's: the file and its journal. */
uint64_t folder_file_bytes(const struct folder *f, uint64_t sequence, const char *suffix);
/* What the file system has left for us. UINT64_MAX: it does not say. */
uint64_t folder_free_bytes(const struct folder *f);

/* Remove what belongs to no segment: a journal whose segment is gone. */
void folder_clean(const struct folder *f, const struct folder_list *list);
/* The file goes first: without it the rest is nothing. Returns 0 or a negative errno. */
int folder_remove(const struct folder *f, uint64_t sequence);
int folder_remove_damaged(const struct folder *f, uint64_t sequence);
/* Rename to NAME.damaged, with its journal. */
int folder_set_aside(const struct folder *f, uint64_t sequence);

#endif
