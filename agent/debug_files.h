/* The files that a binary refers to, opened by rule (symbolizer/debug_ask.h; SAFETY 5, 6, 8, 10, 11).
 *
 * Candidates, in this order, where DIR is the image's folder and DEBUG the debug file that was handed over last:
 *   BUILD_ID  /usr/lib/debug/.build-id/xx/yyyy.debug, .../lib/debug/... of our own root, what debuginfod servers gave
 *   LINK      DIR/name, DIR/.debug/name, /usr/lib/debug/DIR/name (with /usr and without); name must be a base name
 *   ALT       name, or beside DEBUG, beside the image, /usr/lib/debug/.dwz/..., by its build id as above
 *   DWP       IMAGE.dwp, DEBUG.dwp
 *   DWO       directory/name (an absolute name as it is), then its base name beside the image and beside DEBUG
 *
 * They are looked up in the root of the process that maps the image: no link and no ".." leads out of it. When the process is gone,
 * in its parent's, then in ours. What goes by build id is looked up in ours too: its content names it, and the parser checks it.
 * Regular files that the image's owner may read; never those of proc, sysfs and the like. Works without a process, for a file that
 * the user names. Not thread-safe. */
#ifndef HEARTH_AGENT_DEBUG_FILES_H
#define HEARTH_AGENT_DEBUG_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "symbolizer/debug_ask.h"

struct debug_files;

/* Where an image was seen. */
struct debug_where {
	pid_t tgid;	      /* 0: no process; our own root */
	pid_t parent;	      /* 0: not known */
	uint64_t start_ticks; /* of tgid, by image_process_start(); 0: not known */
	const char *path;     /* of the image in that root; without a process it may be relative */
	bool by_owner;	      /* only files that all may read, or that belong to owner: for who has more rights than that one */
	uid_t owner;	      /* of the image's file */
	const char *downloads; /* folder of what debuginfod servers gave, in our own root: BUILDID.debug; NULL: none */
};

struct debug_files_stats {
	uint64_t asked;	  /* questions */
	uint64_t opened;  /* files handed over */
	uint64_t refused; /* names that are none, files against the rules, questions beyond DEBUG_ASKS_MAX */
};

/* For one image, while it is compiled: holds its root open. where: copied. Returns 0, -ENOMEM, -ENAMETOOLONG, or -EACCES. */
int debug_files_create(const struct debug_where *where, struct debug_files **files_out);

/* The open() of a struct debug_asker; files is its context. Candidates that are not there are passed over: nth counts those that are. */
int debug_files_open(void *files, const struct debug_ask *ask, unsigned nth, int *fd_out);

void debug_files_stats(const struct debug_files *f, struct debug_files_stats *stats_out);

/* NULL is legal. */
void debug_files_destroy(struct debug_files *f);

#endif
