/* Renderings of a profile for people: folded stacks, a table, a flame graph.
 * Each writes to a stdio stream and returns 0 or a negative errno (-EIO and friends from the stream; it is
 * flushed before returning, so that a full disk is seen here).
 * value: index of the sample type to draw; PROFILE_NONE for profile_default_value(). */
#ifndef HEARTH_PPROF_RENDER_H
#define HEARTH_PPROF_RENDER_H

#include <stdio.h>

#include "pprof/flame_tree.h"
#include "pprof/profile.h"

/* One line per stack, root first: process;outermost;...;leaf count. Kernel frames end in _[k]. The first element is
 * the label "process" of the sample, when it has one. Equal lines are added up; sorted by text, so that
 * two runs can be compared with diff. value here is usually the sample count: PROFILE_NONE means the
 * type "samples/count" when there is one. */
int profile_write_folded(const struct profile *profile, uint32_t value, FILE *stream);

/* One row of a table of functions. Shares are of the profile's total. */
struct profile_top_row {
	const char *name;     /* borrowed from the profile */
	const char *filename; /* of the mapping: the module; "" when unknown */
	int64_t self;
	int64_t total; /* each sample counted once, also under recursion */
};

/* The functions by self value, largest first. rows_out: owned by the caller, free(). */
int profile_top(const struct profile *profile, uint32_t value, struct profile_top_row **rows_out, size_t *n_rows_out);

/* A report in plain text: what was recorded, the comments (accounting), and a table of functions.
 * n_rows: 0 for all. */
int profile_write_text(const struct profile *profile, uint32_t value, size_t n_rows, FILE *stream);

struct profile_svg_options {
	const char *title; /* NULL: "Flame graph" */
	uint32_t width_px; /* 0: 1200 */
	bool icicle;	   /* the root at the top */
	const struct flame_options *tree; /* which part of it, and how; its base is not looked at. NULL: whole stacks */
	double min_share;  /* frames below this share of the total are left out; 0: 0.0005. What is left out is said in the picture */
};

/* A self-contained SVG flame graph (root at the bottom) with zoom, search with matched share, and reset, that works from a file:
 * opened in a browser, without network. options may be NULL. */
int profile_write_svg(const struct profile *profile, uint32_t value, const struct profile_svg_options *options,
		      FILE *stream);

/* The same of two profiles, of a sample type of the same name: red is more than in base, blue is less, in shares of their totals; as wide as the mean of both shares. -EINVAL: base has
 * no such sample type. */
int profile_write_diff_svg(const struct profile *profile, const struct profile *base, uint32_t value, const struct profile_svg_options *options, FILE *stream);

/* For https://www.speedscope.app: a sampled profile of the default sample type, with weights; the outermost frames are the processes. name: what is shown as its title.
 * Source: speedscope's file-format-spec.ts. */
int profile_write_speedscope(const struct profile *profile, const char *name, FILE *stream);

/* For https://profiler.firefox.com: a thread for each process name, of the default sample type. Source: the Firefox Profiler's docs-developer/CHANGELOG-formats.md and src/types. */
int profile_write_firefox(const struct profile *profile, const char *name, FILE *stream);

#endif
