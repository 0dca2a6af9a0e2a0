/* Between the parts of the store: store.c (opening, writing), store_room.c (budget, what goes), store_outbox.c, store_maintain.c. */
#ifndef HEARTH_STORE_STORE_STATE_H
#define HEARTH_STORE_STORE_STATE_H

#include "store/dictionary.h"
#include "store/folder.h"
#include "store/packing.h"
#include "store/segment.h"
#include "store/store.h"
#include "store/store_clock.h"
#include "store/window.h"

#define STORE_NUMBER_BITS   20		      /* a window's number is its segment's sequence and, in these bits, its place in it */
#define STORE_MARKS_MAX	    64		      /* sinks that are remembered */
#define STORE_SEGMENTS_IN   8		      /* a budget */
#define STORE_SEGMENT_MIN   (512u << 10)      /* bytes; a smaller one is not ended for its size */
#define STORE_DICTIONARY_MAX (48u << 20)      /* bytes in memory; with more the segment ends */
#define STORE_CHUNK_FULL    (256u << 10)      /* bytes of a dictionary's chunk, not compressed */
#define STORE_CHUNKS_SMALL  64		      /* are put together */
#define STORE_GROUP_MAX	    128		      /* windows that are merged at once */

/* How far compaction to a level has come in a segment. */
struct store_progress {
	uint64_t done;	 /* the last window that was looked at */
	bool waiting;	 /* for the one below to be old enough, and no more in an outbox */
	int64_t clock_ns;
	uint64_t number;
};

/* A segment. The last one is written to while s->active is open. */
struct store_entry {
	uint64_t sequence;
	uint64_t first, last; /* numbers of windows; 0: none */
	uint64_t windows, samples;
	int64_t first_clock_ns, last_clock_ns;
	struct store_progress progress[STORE_LEVELS_MAX];
	bool untidy; /* may have free pages, or still a WAL */
};

/* A sink that was there once. */
struct store_mark {
	char name[STORE_SINK_NAME_MAX];
	uint64_t number;
	bool dirty; /* not in the active segment yet */
};

struct store_sink {
	size_t mark; /* into marks */
	uint64_t windows, bytes, dropped;
};

struct store {
	struct folder folder;
	struct store_options options;
	struct store_entry *entries;
	size_t n_entries, entries_capacity;

	struct segment *active; /* NULL: none, or it has to be opened again */
	struct dictionary *dictionary;
	bool over_budget;		     /* the last -ENOSPC was the budget's, not the disk's */
	bool reopen;			     /* the last entry is the active one, but it failed */
	uint64_t chunk;			     /* the last one of the active segment's dictionary */
	uint64_t small_from;		     /* the first of the small ones at its end */
	struct dictionary_counts small_counts; /* the dictionary before it */

	struct segment *other; /* an older one, for reading or compaction */
	uint64_t other_sequence;
	struct dictionary *other_dictionary; /* NULL until it is asked for */

	struct store_mark marks[STORE_MARKS_MAX];
	size_t n_marks;
	struct store_sink sinks[STORE_SINKS_MAX];
	size_t n_sinks;
	uint64_t outbox_checked; /* the last number when its budget was looked at */

	struct store_clock clock;
	struct compressor *compressor;
	struct packing raw, packed, packed_dictionary;
	uint64_t sequence_last; /* also of what was set aside */
	struct store_stats stats;
	struct why notice; /* what is to be told though nothing failed */
};

static inline struct store_entry *store_active_entry(struct store *s)
{
	return s->n_entries ? &s->entries[s->n_entries - 1] : NULL;
}

/* ---- store.c ---- */

/* The last number given; 0: none. */
uint64_t store_last_number(const struct store *s);
/* The last entry's segment, opened again when it failed, or a new one. */
int store_need_active(struct store *s, struct why *why);
/* What is written from now on is in another segment. The old one may stay without an end (when its disk is full). */
void store_end_active(struct store *s);
/* The segment of an entry, open: the active one, or s->other. dictionary_out: NULL, or what its numbers mean. Valid until the next call. */
int store_segment(struct store *s, const struct store_entry *entry, struct segment **segment_out, struct dictionary **dictionary_out);
void store_close_other(struct store *s);
/* Samples of a window into w, whose head is set. -EILSEQ: the window is damaged, the segment is not: store_drop_window(). */
int store_load(struct store *s, struct segment *segment, struct window *w);
__attribute__((format(printf, 2, 3))) void store_say(struct store *s, const char *format, ...);
/* Small chunks of the active segment's dictionary become one. Returns 1 (done), 0 (nothing to do) or a negative errno. */
int store_join_chunks(struct store *s, unsigned at_least);

/* ---- store_room.c ---- */

/* What all files may take now: the budget, and not more than the disk has. */
uint64_t store_limit(const struct store *s);
uint64_t store_segment_limit(const struct store *s);
uint64_t store_wal_limit(const struct store *s);
/* Is there room for a transaction of so many bytes? -ENOSPC; s->over_budget says for what. */
int store_check_room(struct store *s, uint64_t bytes);
/* Something goes: what was set aside, the oldest segment. The newest that has windows stays, whatever the disk has; only the budget may take it. -ENOSPC: there is nothing that could go.
 * reason: in words, for whom it is told. */
int store_free_something(struct store *s, bool budget, const char *reason);
/* An entry's file and entry go; its windows that a sink has not got are counted as dropped. */
int store_remove(struct store *s, size_t entry);
/* A window that is damaged goes alone. */
int store_drop_window(struct store *s, struct store_entry *entry, struct segment *segment, const struct window_head *head);
/* As store_remove(), but the file stays under another name. */
int store_set_aside(struct store *s, size_t entry);

/* ---- store_outbox.c ---- */

/* Remember a mark that a segment has. */
int store_learn_mark(void *store, const char *sink, uint64_t number);
/* Windows and bytes above each sink's mark, counted anew. */
int store_count_outbox(struct store *s);
/* All windows up to number are gone: what a sink has not got of them is dropped. */
void store_outbox_pass(struct store *s, uint64_t number);
/* The number up to which every sink has got the windows. */
uint64_t store_outbox_floor(const struct store *s);
/* Beyond the outbox's budget and age the oldest are passed over. */
int store_outbox_limit(struct store *s);
/* Marks that changed since they were last written; inside of a transaction. */
int store_write_marks(struct store *s);
/* The same in one of its own. */
int store_flush_marks(struct store *s);

#endif
