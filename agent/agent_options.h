/* What `hearth agent` is told by its options, and their defaults. */
#ifndef HEARTH_AGENT_AGENT_OPTIONS_H
#define HEARTH_AGENT_AGENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/event.h"
#include "agent/name_options.h"

struct agent_options {
	const char *output;
	uint64_t output_bytes;
	uint64_t unwind_budget_bytes;
	struct name_options naming;
	uint64_t rate_hz;
	uint64_t window_ns;
	const char *event_name;
	struct event event;
	double max_share;
	const char *host_root; /* NULL: none */
	bool idle, tid, kernel_addresses, json, quiet;
};

/* Read the command line. Returns 0, or the exit status plus one after a message (or after --help). */
int agent_options_parse(int argc, char **argv, struct agent_options *o);

#endif
