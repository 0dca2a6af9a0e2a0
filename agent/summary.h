/* What a recording was: for people on standard error, as JSON on standard output. */
#ifndef HEARTH_AGENT_SUMMARY_H
#define HEARTH_AGENT_SUMMARY_H

#include <stdio.h>

#include "agent/accounting.h"
#include "agent/event.h"
#include "agent/jit_report.h"
#include "agent/session.h"
#include "pprof/profile.h"

struct summary {
	const struct accounting *account;
	const struct session_stats *stats;
	const struct profile *profile;
	struct jit_report *jit;
	const struct event *event;
	uint64_t rate_hz;
	uint64_t period;
	int64_t time_ns; /* wall clock of the begin of sampling */
	uint64_t duration_ns;
	uint64_t own_cpu_ns; /* of this process and of the one that names */
	const char *const *files;
	size_t n_files;
	const char *command; /* NULL: no command was run */
	int exit_status;
};

/* A few lines: ticks, samples, drops, stacks, files. */
void summary_write_text(const struct summary *summary, FILE *stream);

/* One JSON object on one line. */
void summary_write_json(const struct summary *summary, FILE *stream);

/* The n hottest functions with their shares. Returns 0 or a negative errno. */
int summary_write_top(const struct profile *profile, size_t n, FILE *stream);

#endif
