/* The options of `hearth top`. */
#ifndef HEARTH_AGENT_TOP_OPTIONS_H
#define HEARTH_AGENT_TOP_OPTIONS_H

#include "agent/sample_options.h"
#include "agent/top_model.h"

#define TOP_REFRESH_LEAST_NS (100 * 1000000ull)
#define TOP_REFRESH_MOST_NS  (3600 * 1000000000ull)

struct top_options {
	struct sample_options sample;
	uint64_t refresh_ns, span_ns;
	enum top_sort sort;
	enum top_side side;
	const char *filter; /* "": none; a regular expression */
	bool is_batch, json;
	uint64_t iterations; /* of batches; 0: until it is told to end */
	uint64_t rows;	     /* of each table in batches; 0: all */
};

/* Returns 0: go on; else the exit status + 1 (help was printed, or an error). */
int top_options_parse(int argc, char **argv, struct top_options *options_out);

#endif
