/* The folder of windows: one pprof file each, within a byte budget; the oldest goes first, and is counted. */
#ifndef HEARTH_AGENT_OUTPUT_DIR_H
#define HEARTH_AGENT_OUTPUT_DIR_H

#include <stdint.h>

#include "base/why.h"
#include "pprof/profile.h"

struct output_dir;

struct output_dir_stats {
	uint64_t files, bytes;	 /* now in the folder */
	uint64_t written;
	uint64_t failed;	 /* windows that could not be written */
	uint64_t evicted;	 /* files removed for the budget */
};

/* Creates the folder (0700) if it is missing; removes what a crash left half-written. */
int output_dir_open(const char *path, uint64_t budget_bytes, struct output_dir **dir_out, struct why *why);

/* Write a window, encoded (pprof/encode.h), as hearth-<UTC time of its start>.pb.gz: the same window again is the same file. path_out: borrowed until
 * the next call. */
int output_dir_write(struct output_dir *d, int64_t time_ns, const uint8_t *bytes, size_t n, const char **path_out, struct why *why);

void output_dir_stats(const struct output_dir *d, struct output_dir_stats *stats_out);

/* NULL is legal. */
void output_dir_close(struct output_dir *d);

#endif
