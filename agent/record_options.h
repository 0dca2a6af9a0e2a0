/* The options of `hearth record`. */
#ifndef HEARTH_AGENT_RECORD_OPTIONS_H
#define HEARTH_AGENT_RECORD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/event.h"
#include "agent/output.h"
#include "agent/name_options.h"

#define RECORD_PIDS_MAX	   1024
#define RECORD_OUTPUTS_MAX 8
#define RECORD_TOP	   10

struct record_output {
	const char *path;
	enum output_format format;
};

struct record_options {
	pid_t pids[RECORD_PIDS_MAX];
	size_t n_pids;
	struct record_output outputs[RECORD_OUTPUTS_MAX];
	size_t n_outputs;
	struct event event;
	uint64_t rate_hz, period;
	uint64_t unwind_budget_bytes;
	struct name_options naming;
	uint64_t names_wait_ns;	   /* at the end, for names */
	uint64_t duration_ns; /* 0: until it is told to end */
	const char *cgroup;   /* NULL: any */
	char **command;	      /* NULL: none */
	const char *host_root; /* NULL: none */
	bool inherit, idle, tid, json, quiet, kernel_addresses;
};

/* Returns 0: go on; else the exit status + 1 (help was printed, or an error). */
int record_options_parse(int argc, char **argv, struct record_options *options_out);

#endif
