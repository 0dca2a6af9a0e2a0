/* What `hearth agent` is told: by its options, by HEARTH_* variables, by its configuration file; in this order, each wins over the next.
 * All that can be said is in one table (agent_settings()); only the sinks and their rules are lists of their own. */
#ifndef HEARTH_AGENT_AGENT_OPTIONS_H
#define HEARTH_AGENT_AGENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config_problems.h"
#include "agent/event.h"
#include "agent/settings.h"
#include "agent/sink_list.h"
#include "server-upload/upload_config.h"

#define CONFIG_FILE "/etc/hearth/hearth.toml"

/* Texts are owned. */
struct agent_options {
	char *output; /* folder; NULL: none */
	uint64_t output_bytes;
	char *store; /* folder; NULL: where it is by default; "" or "none": none */
	uint64_t store_bytes, store_days, outbox_bytes, outbox_days;
	char *store_levels; /* as store_levels_parse() reads them */
	uint64_t rate_hz;
	uint64_t window_ns;
	bool window_jitter;
	double sample_fraction; /* of windows */
	char *event_name;
	bool idle, tid;
	char *host_root; /* NULL: none */
	double max_share;
	uint64_t unwind_budget_bytes;
	int demangle; /* enum demangle_style */
	char *name_cache; /* its folder; NULL: the usual one */
	uint64_t name_cache_bytes; /* 0: no cache */
	char *debuginfod_urls; /* NULL or "": none */
	bool kernel_addresses;
	char *listen; /* address of the page; "none": none */
	char *listen_token, *listen_cert, *listen_key; /* files; NULL or "": none */
	char *listen_host; /* names that the page may be called by; NULL: none */
	char *control; /* path of the control socket; NULL: the usual one, "": none */
	int symbolize; /* of sinks that do not say it: enum sink_symbolize less 1 */
	int log_format; /* 0: text, 1: JSON */
	bool quiet;

	struct sink_list sinks;
	struct event event; /* found by its name */
	char *config; /* the file that was read; NULL: none */
};

const struct setting *agent_settings(size_t *n_out);

/* Read everything: command line, environment, file. o_out: agent_options_deinit(), after success. What is wrong is printed, all of it. Returns 0, or the exit status plus
 * one after a message (or after --help). */
int agent_options_parse(int argc, char **argv, struct agent_options *o_out);

/* The same again, for a running agent, with what is wrong in problems, by line (of o_out->config; 0: not in the file). o_out: agent_options_deinit(), always.
 * Returns 0, -EINVAL when there are problems, -ENOMEM. */
int agent_options_load(int argc, char **argv, struct agent_options *o_out, struct config_problems *problems);

/* Whether there is to be a store. */
bool agent_options_has_store(const struct agent_options *o);

/* All sinks with their rules, and --output as one more. config_out: upload_config_free(). Returns 0, or a negative errno with why. */
int agent_options_sinks(const struct agent_options *o, struct upload_config **config_out, struct why *why);

/* What became of new settings; see agent_options_apply(). */
struct agent_change {
	bool sampling;	   /* rate, window, budget, jitter or fraction */
	bool sinks;	   /* they, their rules, or symbolize */
	bool log;	   /* its format */
	char live[512];	   /* what changed, for the log: "freq 19 -> 49, sinks"; "": nothing */
	char restart[512]; /* what needs a restart to change; "": nothing */
};

/* Take over from next what can change while the agent runs; the rest of o stays. next is left with what is not used. Returns 0 or -ENOMEM. */
int agent_options_apply(struct agent_options *o, struct agent_options *next, struct agent_change *change_out);

/* A file alone, for `hearth check --config`. Returns 0, -EBADMSG when problems were added, -ENOMEM. */
int agent_options_check_file(const char *path, struct config_problems *problems);

/* All zero is legal. */
void agent_options_deinit(struct agent_options *o);

#endif
