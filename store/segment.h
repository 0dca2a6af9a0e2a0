/* One file of the store: an SQLite database, in WAL mode while it is the newest (docs/storing.md has its tables). What it holds is a stranger's as far as this code goes: a damaged
 * file gives errors.
 *
 * Errors of all functions: -EBADMSG (damaged), -ENOSPC, -EIO, -EROFS, -EBUSY (locked for longer than a second), -ENOMEM, and others of the system. Not thread-safe. */
#ifndef HEARTH_STORE_SEGMENT_H
#define HEARTH_STORE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "store/dictionary.h"
#include "store/packing.h"
#include "store/window.h"

#define SEGMENT_VERSION	      1
#define SEGMENT_ACCOUNT_MAX   (1u << 20)
#define SEGMENT_SINK_NAME_MAX 64 /* with the NUL */

struct segment;

/* A new one, its folder's entry on disk. -EEXIST. */
int segment_create(const char *path, struct segment **segment_out, struct why *why);
/* -ENOENT; -EBADMSG; -ENOTSUP (a newer hearth's; why says so); -ENODATA (its creation was not finished: it holds nothing). write: also -EROFS. */
int segment_open(const char *path, bool write, struct segment **segment_out, struct why *why);
/* Every page and row is looked at; of the writer's newest one, at the opening. */
int segment_check(struct segment *s);

/* durable: what was committed survives the loss of power, too (one fsync). After any failure between them: segment_rollback(). */
int segment_begin(struct segment *s, bool durable);
/* Readers see one state of the segment until segment_commit(). */
int segment_begin_read(struct segment *s);
int segment_commit(struct segment *s);
void segment_rollback(struct segment *s);

/* Chunks of the dictionary, in the order of their numbers (1, 2, ...). */
int segment_put_dictionary(struct segment *s, uint64_t chunk, const struct packing *packed);
/* One chunk in the place of first .. last, under the number first. */
int segment_replace_dictionary(struct segment *s, uint64_t first, uint64_t last, const struct packing *packed);
typedef int (*segment_chunk_fn)(void *context, uint64_t chunk, const uint8_t *bytes, size_t n); /* non-zero ends it, and is returned */
int segment_dictionary(struct segment *s, uint64_t after, segment_chunk_fn fn, void *context);

int segment_put_window(struct segment *s, const struct window_head *head, const char *account, const struct packing *packed);
int segment_delete_windows(struct segment *s, uint64_t first, uint64_t last);
/* Heads from a number on, in order. account: borrowed for the call; NULL: none. */
typedef int (*segment_window_fn)(void *context, const struct window_head *head, const char *account);
int segment_windows(struct segment *s, uint64_t from, segment_window_fn fn, void *context);
/* The packed samples of a window, copied. -ENOENT. */
int segment_samples(struct segment *s, uint64_t number, struct packing *out);

/* The number up to which a sink has got all windows. */
int segment_put_mark(struct segment *s, const char *sink, uint64_t number);
typedef int (*segment_mark_fn)(void *context, const char *sink, uint64_t number);
int segment_marks(struct segment *s, segment_mark_fn fn, void *context);

/* Copy the journal into the file, as far as readers let it; truncate: and empty it, if there is no reader. */
int segment_checkpoint(struct segment *s, bool truncate);
/* The end of writing windows: from now on it has a rollback journal, which is there only while something is changed; so those who read it need not write beside it.
 * -EBUSY: somebody reads. */
int segment_seal(struct segment *s);
/* What is in the journal and not yet in the file. */
uint64_t segment_wal_bytes(const struct segment *s);
/* Give up to n pages back to the file system. Returns 1 (there are more), 0, or an error. */
int segment_vacuum(struct segment *s, unsigned pages);

/* NULL is legal. */
void segment_close(struct segment *s);

#endif
