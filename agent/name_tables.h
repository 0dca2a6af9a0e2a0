/* Which images get a name table, when, and for how long it stays open.
 *
 * An image that was sampled and has no table: from the cache on disk (agent/name_cache.h), else it is queued and compiled in the
 * background (symbolizer/name_service.h), one at a time, the most sampled first. Nobody waits: until the table is there, frames get
 * the names of symbol tables. A compiled table is copied to the cache in steps; without a cache it stays in memory, within a
 * budget.
 *
 * What fails is remembered (SAFETY 12): three strikes (a crash, a time-out, a table that its reader refuses) set an image aside for
 * an hour, and so does one refusal (no ELF file, over a limit). An image whose debug information is nowhere is looked at again
 * after an hour, or when it has been downloaded. Identity is that of the cache's key: it outlives the processes and the image
 * table's entry. Not thread-safe. */
#ifndef HEARTH_AGENT_NAME_TABLES_H
#define HEARTH_AGENT_NAME_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/image_table.h"
#include "agent/name_cache.h"

#define NAME_TABLES_STRIKES_MAX 3

struct name_tables;
struct debug_downloads;
struct zygote;

struct name_tables_options {
	struct name_cache *cache; /* borrowed; NULL: none */
	size_t max_known;	  /* images that are remembered; 0: 4096 */
	size_t max_queued;	  /* 0: 256 */
	size_t max_open;	  /* descriptors of tables; 0: 256 */
	uint64_t memory_bytes;	  /* of tables that are not on disk; 0: 64 MiB */
	struct debug_downloads *downloads; /* borrowed: debug files that are nowhere here; NULL: none */
	uint64_t (*now_ns)(void); /* for tests; NULL: CLOCK_BOOTTIME */
};

struct name_tables_stats {
	uint64_t known;		/* images remembered */
	uint64_t open;		/* tables with a descriptor */
	uint64_t memory_bytes;	/* of tables that are not on disk */
	uint64_t queued;	/* waiting now, the one that is being compiled included */
	uint64_t from_cache;	/* tables found on disk */
	uint64_t compiled;
	uint64_t compile_ns;	/* wall time of all compilations */
	uint64_t compile_cpu_ns; /* CPU time of them */
	uint64_t compiled_bytes;
	uint64_t lacking;	/* of the compiled: images without debug information */
	uint64_t parts_damaged;	/* units, line programs, references and sections that were left out of the compiled */
	uint64_t over_limits;	/* what was left out of them because there was too much of it */
	uint64_t files_missing;	/* alternate and split files that nobody had, or that were others */
	uint64_t failed;	/* compilations that gave no table, for whatever reason */
	uint64_t timed_out;	/* ... of those */
	uint64_t crashed;	/* ... of those */
	uint64_t damaged;	/* tables that their reader refused */
	uint64_t set_aside;	/* images, now */
	uint64_t gone;		/* images whose file was closed before their turn came */
	uint64_t displaced;	/* thrown out of a full queue, or not taken into it */
	uint64_t closed;	/* descriptors given up for the budget */
	uint64_t forgotten;	/* tables in memory that were given up for the budget */
	uint64_t files_opened;	/* that images refer to: debug files, dwz, split DWARF */
	uint64_t files_refused; /* names of such files against the rules */
	int cache_errno;	/* why the last table was not stored; 0: it was */
};

/* zygote: borrowed, NULL: nothing is compiled, tables come from the cache only. images: borrowed. options: NULL for defaults. */
int name_tables_create(struct zygote *zygote, struct image_table *images, const struct name_tables_options *options,
		       struct name_tables **tables_out);

/* Look at the images that were used in this window (struct image: last_used, samples): after each drain. */
void name_tables_look(struct name_tables *t, uint64_t window);

/* The table of an image, -1: none. Borrowed until the next call that works (look, work, damaged). serial_out: another one for each
 * table that an image gets, 0 when there is none: answers that were cached under another serial are of another table. */
int name_tables_get(struct name_tables *t, uint32_t slot, uint64_t *serial_out);

/* The reader says that the image's table is damaged: it is thrown away, and compiled again. */
void name_tables_damaged(struct name_tables *t, uint32_t slot);

/* Readable (epoll) when there is work. */
int name_tables_fd(const struct name_tables *t);
void name_tables_work(struct name_tables *t);

/* Images that wait for their table or its debug file, and the path of the one that is being compiled ("" when none). For whoever
 * wants to wait. */
size_t name_tables_outstanding(const struct name_tables *t, const char **path_out);

/* Somebody waits now: see name_service_hurry(). */
void name_tables_hurry(struct name_tables *t);

void name_tables_stats(const struct name_tables *t, struct name_tables_stats *stats_out);

/* NULL is legal. */
void name_tables_destroy(struct name_tables *t);

#endif
