#include "agent/cmd_control.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/arguments.h"
#include "agent/control.h"
#include "base/json_writer.h"

#define DONE(status) ((status) + 1)
#define PATH_BYTES   256

static const char HELP[] = "Usage: hearth control status | rate HZ --for SECONDS | pause [--for SECONDS] | resume\n"
			   "\n"
			   "Ask the agent that runs on this machine, or tell it something, without a restart.\n"
			   "\n"
			   "  status                    what it does now\n"
			   "  rate HZ --for SECONDS     another rate for some time, up to 1h; then its own again\n"
			   "  pause [--for SECONDS]     sample nothing: for some time, or until resume\n"
			   "  resume                    sample again, at its own rate\n"
			   "\n"
			   "      --for SECONDS         such as 30 or 5m\n"
			   "      --socket PATH         control socket of the agent (HEARTH_CONTROL, or /run/hearth/control.sock for root)\n"
			   "      --json                one JSON object on standard output\n"
			   "  -h, --help                this text\n"
			   "\n"
			   "Exit status: 0, 1 when there is no agent or it refuses, 2 for wrong usage.\n";

enum { OPTION_FOR = 256, OPTION_SOCKET, OPTION_JSON };

struct asked {
	char line[CONTROL_LINE_MAX + 1];
	char path[PATH_BYTES];
	const char *duration;
	bool json;
};

static int take_option(int option, struct asked *asked)
{
	switch (option) {
	case OPTION_FOR:
		asked->duration = optarg;
		return 0;
	case OPTION_SOCKET:
		if (strlen(optarg) >= sizeof(asked->path))
			return DONE(usage_error("control", "--socket: the path is too long"));
		strcpy(asked->path, optarg);
		return 0;
	case OPTION_JSON:
		asked->json = true;
		return 0;
	case 'h':
		fputs(HELP, stdout);
		return DONE(STATUS_OK);
	default:
		fprintf(stderr, "hearth: see 'hearth control --help'\n");
		return DONE(STATUS_USAGE);
	}
}

/* The line, checked here too: a wrong one needs no agent to be told. */
static int make_line(int argc, char **argv, struct asked *asked)
{
	struct control_request request;
	struct why why;
	size_t n = 0;

	if (optind == argc)
		return DONE(usage_error("control", "status, rate, pause or resume?"));
	for (int i = optind; i < argc && n < sizeof(asked->line); i++)
		n += (size_t)snprintf(asked->line + n, sizeof(asked->line) - n, "%s%s", n ? " " : "", argv[i]);
	if (strcmp(argv[optind], "rate") == 0 && argc - optind == 2 && !asked->duration)
		return DONE(usage_error("control", "--for SECONDS is needed: for how long?"));
	if (asked->duration && n < sizeof(asked->line))
		n += (size_t)snprintf(asked->line + n, sizeof(asked->line) - n, " %s", asked->duration);
	if (n >= sizeof(asked->line))
		return DONE(usage_error("control", "that is too long"));
	if (control_parse(asked->line, &request, &why) < 0)
		return DONE(usage_error("control", "%s", why.text));
	return 0;
}

static int parse(int argc, char **argv, struct asked *asked)
{
	static const struct option OPTIONS[] = {{"for", required_argument, NULL, OPTION_FOR},
						{"socket", required_argument, NULL, OPTION_SOCKET},
						{"json", no_argument, NULL, OPTION_JSON},
						{"help", no_argument, NULL, 'h'},
						{0}};

	optind = 1;
	for (int option; (option = getopt_long(argc, argv, "h", OPTIONS, NULL)) >= 0;) {
		int status = take_option(option, asked);
		if (status)
			return status;
	}
	int status = make_line(argc, argv, asked);
	if (status)
		return status;
	const char *variable = getenv("HEARTH_CONTROL");
	if (!*asked->path && variable && *variable && strlen(variable) < sizeof(asked->path))
		strcpy(asked->path, variable);
	if (!*asked->path && control_path(asked->path, sizeof(asked->path)) < 0)
		return DONE(usage_error("control", "--socket PATH is needed: neither $RUNTIME_DIRECTORY nor $XDG_RUNTIME_DIR is set"));
	return 0;
}

static void print(char *reply, bool json)
{
	struct json_writer writer;
	char *rest = reply;

	if (json) {
		json_writer_init(&writer, stdout);
		json_object_begin(&writer, NULL);
		control_reply_json(reply, &writer);
		json_object_end(&writer);
		putchar('\n');
		return;
	}
	for (char *line; (line = strsep(&rest, "\n")) && *line;) {
		char *value = strchr(line, ' ');
		if (!value)
			continue;
		*value++ = '\0';
		printf("%-20s %s\n", line, value);
	}
}

int cmd_control(int argc, char **argv, struct zygote *zygote)
{
	struct asked asked = {.duration = NULL};
	char reply[CONTROL_REPLY_MAX];
	struct why why;

	(void)zygote;
	int status = parse(argc, argv, &asked);
	if (status)
		return status - 1;
	if (control_ask(asked.path, asked.line, reply, &why) < 0) {
		fprintf(stderr, "hearth: %s\n", why.text);
		return STATUS_FAILED;
	}
	print(reply, asked.json);
	return STATUS_OK;
}
