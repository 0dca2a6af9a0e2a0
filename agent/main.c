/* hearth: an always-on, whole-system CPU profiler. */
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/arguments.h"
#include "agent/check.h"
#include "agent/cmd_addr2line.h"
#include "agent/cmd_agent.h"
#include "agent/cmd_control.h"
#include "agent/cmd_diff.h"
#include "agent/cmd_export.h"
#include "agent/cmd_flame.h"
#include "agent/cmd_merge.h"
#include "agent/cmd_query.h"
#include "agent/cmd_record.h"
#include "agent/cmd_report.h"
#include "agent/cmd_symbolize.h"
#include "agent/cmd_top.h"
#include "symbolizer/zygote.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv, struct zygote *zygote);
	bool reads_binaries;
	const char *does;
} COMMANDS[] = {
	{"record", cmd_record, true, "sample now: the whole machine, some processes, or a command"},
	{"top", cmd_top, true, "the hottest functions and processes of the last seconds, live"},
	{"agent", cmd_agent, true, "profile the whole machine all the time"},
	{"query", cmd_query, false, "what ran at some time: from the store of the agent, as text, flame graph or file"},
	{"report", cmd_report, false, "what a pprof file says, as text: functions, trees, callers, lines"},
	{"flame", cmd_flame, false, "a flame graph of a pprof file"},
	{"diff", cmd_diff, false, "two pprof files compared: a table, or a flame graph in red and blue"},
	{"merge", cmd_merge, false, "one pprof file of several"},
	{"export", cmd_export, false, "a pprof file in the format of another tool"},
	{"symbolize", cmd_symbolize, true, "names for the addresses of a pprof file, from the binaries of this machine"},
	{"addr2line", cmd_addr2line, true, "functions, files and lines of addresses in a file"},
	{"control", cmd_control, false, "ask a running agent: its state, another rate for some time, pause, resume"},
	{"check", cmd_check, true, "what this machine allows, and the remedy for each lack"},
};
#define N_COMMANDS (sizeof(COMMANDS) / sizeof(COMMANDS[0]))

static int help(FILE *stream)
{
	fprintf(stream, "Usage: hearth COMMAND [OPTION]...\n\n"
			"An always-on, whole-system CPU profiler for Linux.\n\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(stream, "  %-10s %s\n", COMMANDS[i].name, COMMANDS[i].does);
	fprintf(stream, "\n'hearth COMMAND --help' tells more. 'hearth --version' prints the version.\n"
			"Try: sudo hearth record -d 10 -o profile.svg\n");
	return STATUS_OK;
}

/* libbpf's messages are for developers of BPF programs: HEARTH_DEBUG=1 shows them. */
__attribute__((format(printf, 2, 0))) static int print_libbpf(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (!getenv("HEARTH_DEBUG") || level == LIBBPF_DEBUG)
		return 0;
	return vfprintf(stderr, format, arguments);
}

/* What reads binaries is forked from a process that is forked now: nothing is loaded yet. */
static int run(size_t command, int argc, char **argv)
{
	struct zygote *zygote = NULL;

	int err = COMMANDS[command].reads_binaries ? zygote_start(&zygote) : 0;
	if (err < 0) {
		fprintf(stderr, "hearth: starting the process that reads binaries: %s\n", strerror(-err));
		return STATUS_FAILED;
	}
	int status = COMMANDS[command].run(argc, argv, zygote);
	zygote_stop(zygote);
	return status;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	libbpf_set_print(print_libbpf);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
		return help(stdout);
	if (strcmp(name, "--version") == 0) {
		printf("hearth %s\n", HEARTH_VERSION);
		return STATUS_OK;
	}
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(name, COMMANDS[i].name) == 0)
			return run(i, argc - 1, argv + 1);
	if (!*name) {
		help(stderr);
		return STATUS_USAGE;
	}
	return usage_error("", "there is no command '%s'", name);
}
