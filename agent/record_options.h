/* The options of `hearth record`. */
#ifndef HEARTH_AGENT_RECORD_OPTIONS_H
#define HEARTH_AGENT_RECORD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/output.h"
#include "agent/sample_options.h"

#define RECORD_OUTPUTS_MAX 8
#define RECORD_TOP	   10

struct record_output {
	const char *path;
	enum output_format format;
};

struct record_options {
	struct sample_options sample;
	struct record_output outputs[RECORD_OUTPUTS_MAX];
	size_t n_outputs;
	uint64_t names_wait_ns; /* at the end, for names */
	uint64_t duration_ns; /* 0: until it is told to end */
	char **command;	      /* NULL: none */
	bool tid, json, quiet, kernel_addresses;
};

/* Returns 0: go on; else the exit status + 1 (help was printed, or an error). */
int record_options_parse(int argc, char **argv, struct record_options *options_out);

#endif
