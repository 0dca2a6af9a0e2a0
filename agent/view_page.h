/* A profile, or two that are compared, as text for people and as JSON for machines. Runs in the process without rights. */
#ifndef HEARTH_AGENT_VIEW_PAGE_H
#define HEARTH_AGENT_VIEW_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/view_options.h"
#include "base/why.h"
#include "pprof/profile.h"

/* All borrowed. */
struct view_page {
	const struct view_options *options; /* form, function, rows, min_share */
	const struct profile *profile, *base; /* base: NULL, or what it is compared with */
	uint32_t value;			      /* sample type, of the profile */
	uint32_t base_value;		      /* the same one, of the base */
	const char *subject, *base_subject;   /* "cpu.pb.gz" */
	const char *function;		      /* of callers, callees and lines: its whole name */
	unsigned width;			      /* columns of the terminal; 0: lines are not cut */
	bool color;
};

/* The one function that text means: its name, or an expression that matches one name only. name_out: owned by the caller, free(). Returns 0, -ENOENT (there is none),
 * -EINVAL (there are several, and why lists some; or the expression is wrong), -ENOMEM. */
int view_find_function(const struct view_page *page, const char *text, char **name_out, struct why *why);

/* Returns 0, -ENOMEM, or the stream's error. Locale C.UTF-8 is assumed where columns are counted. */
int view_write_text(const struct view_page *page, FILE *stream);
int view_write_json(const struct view_page *page, FILE *stream);

#endif
