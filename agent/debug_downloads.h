/* Debug files from debuginfod servers (debuginfod/fetcher.h): what is wanted, when it is asked for again, and the folder that keeps
 * it.
 *
 * One download at a time, in the background. A server that cannot be reached, is too slow or says "not now" is left alone for a
 * while: full jitter from 1 s to 5 min, at least what its Retry-After asks for (SAFETY 22). What no server has is remembered for a
 * day, on disk too (HEX.none). Files are HEX.debug, within a budget, the oldest first: once a name table was made of one it is not
 * needed any more. Not thread-safe. */
#ifndef HEARTH_AGENT_DEBUG_DOWNLOADS_H
#define HEARTH_AGENT_DEBUG_DOWNLOADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "debuginfod/fetcher.h"

#define DEBUG_DOWNLOADS_BYTES  (1ull << 30)
#define DEBUG_DOWNLOADS_NONE_S 86400
#define DEBUG_DOWNLOADS_QUEUE  64
#define DEBUG_DOWNLOADS_TRIES  8

struct debug_downloads;

struct debug_downloads_stats {
	uint64_t files, bytes, budget_bytes; /* in the folder */
	uint64_t queued;
	uint64_t fetched, fetched_bytes;
	uint64_t missing;     /* no server has it */
	uint64_t failed;      /* tries that may go well another time */
	uint64_t refused;     /* ... of those: certificates and redirects */
	uint64_t too_large;
	uint64_t given_up;    /* after DEBUG_DOWNLOADS_TRIES */
	uint64_t useless;     /* downloads that were not what was asked for */
	uint64_t displaced;   /* not taken into a full queue */
	uint64_t evicted;
};

/* fetcher: owned from here on, whatever is returned. folder: created when it is missing, in one that exists. now_ns: NULL:
 * CLOCK_BOOTTIME. */
int debug_downloads_create(struct debuginfod_fetcher *fetcher, const char *folder, uint64_t budget_bytes, uint64_t (*now_ns)(void),
			   struct debug_downloads **downloads_out, struct why *why);

/* The file HEX.debug lies in this folder. Borrowed. */
const char *debug_downloads_folder(const struct debug_downloads *d);

/* Whether it has been downloaded. */
bool debug_downloads_has(struct debug_downloads *d, const uint8_t *build_id, uint8_t build_id_bytes);

/* The debug information of an image is nowhere. build_id: 4 to 64 bytes, else it is ignored. */
void debug_downloads_want(struct debug_downloads *d, const uint8_t *build_id, uint8_t build_id_bytes);

/* It was downloaded, and is not what its name says: another build id, or no DWARF in it. It goes, and is not asked for again for a
 * day. */
void debug_downloads_useless(struct debug_downloads *d, const uint8_t *build_id, uint8_t build_id_bytes);

/* A file is there now. */
typedef void debug_download_fn(void *context, const uint8_t *build_id, uint8_t build_id_bytes);

/* Readable (epoll) when there is work. */
int debug_downloads_fd(const struct debug_downloads *d);
void debug_downloads_work(struct debug_downloads *d, debug_download_fn *arrived, void *context);

/* How many are being downloaded, or will be without a pause first. */
size_t debug_downloads_outstanding(const struct debug_downloads *d);

void debug_downloads_stats(const struct debug_downloads *d, struct debug_downloads_stats *stats_out);

/* NULL is legal. */
void debug_downloads_destroy(struct debug_downloads *d);

#endif
