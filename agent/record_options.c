#include "agent/record_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/arguments.h"
#include "base/clock.h"

#define NAMES_WAIT_NS  (10 * NS_PER_S)
#define OUTPUT_DEFAULT "profile.pb.gz"
#define DONE(status)   ((status) + 1)

static const char HELP[] =
	"Usage: hearth record [OPTION]... [-- COMMAND [ARG]...]\n"
	"\n"
	"Sample the whole machine, some processes, or a command, and write a profile.\n"
	"\n"
	"What to sample:\n"
	SAMPLE_HELP_WHAT
	"  -- COMMAND [ARG]...       run a command: sample it and its children, pass on its exit status\n"
	SAMPLE_HELP_IDLE
	"      --tid                 tell threads apart by their ids: a label tid on each sample, and a row for each thread\n"
	"\n"
	"How:\n"
	SAMPLE_HELP_FREQ
	"  -d, --duration SECONDS    for how long, such as 10, 2.5 or 5m (until Ctrl-C, or until what is sampled ends)\n"
	SAMPLE_HELP_HOW
	"      --names-wait SECONDS  at the end, for debug information that is being read: such as 0, 10 or 1m (10)\n"
	"\n"
	"What to write:\n"
	"  -o, --output FILE         profile.pb.gz by default; .pb.gz, .folded, .svg or .txt; may be given several times;\n"
	"                            - is standard output, and needs --format\n"
	"      --format FORMAT       of outputs without a known extension: pprof, folded, svg or text\n"
	"      --kernel-addresses    write the kernel's addresses into the profile, not only its function names\n"
	"      --json                the summary as one JSON object on standard output\n"
	"  -q, --quiet               no progress, no summary\n"
	"  -h, --help                this text\n"
	"\n"
	"Exit status: 0; 1 when something failed; 2 for wrong usage; the command's own when one was run.\n";

enum {
	OPTION_TID = 256,
	OPTION_NAMES_WAIT,
	OPTION_FORMAT,
	OPTION_KERNEL_ADDRESSES,
	OPTION_JSON,
};

static const struct option OPTIONS[] = {
	SAMPLE_OPTIONS,
	{"tid", no_argument, NULL, OPTION_TID},
	{"duration", required_argument, NULL, 'd'},
	{"names-wait", required_argument, NULL, OPTION_NAMES_WAIT},
	{"output", required_argument, NULL, 'o'},
	{"format", required_argument, NULL, OPTION_FORMAT},
	{"kernel-addresses", no_argument, NULL, OPTION_KERNEL_ADDRESSES},
	{"json", no_argument, NULL, OPTION_JSON},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static int set_output(struct record_options *o, const char *path)
{
	if (o->n_outputs == RECORD_OUTPUTS_MAX)
		return DONE(usage_error("record", "more than %d outputs", RECORD_OUTPUTS_MAX));
	o->outputs[o->n_outputs++].path = path;
	return 0;
}

static int take_option(int option, struct record_options *o, const char **format_out)
{
	switch (option) {
	case 'd':
		return argument_duration("-d", optarg, &o->duration_ns) ? 0 : DONE(STATUS_USAGE);
	case 'o':
		return set_output(o, optarg);
	case 'q':
		o->quiet = true;
		return 0;
	case OPTION_TID:
		o->tid = true;
		return 0;
	case OPTION_NAMES_WAIT:
		o->names_wait_ns = 0;
		if (strcmp(optarg, "0") == 0)
			return 0;
		return argument_duration("--names-wait", optarg, &o->names_wait_ns) ? 0 : DONE(STATUS_USAGE);
	case OPTION_FORMAT:
		*format_out = optarg;
		return 0;
	case OPTION_KERNEL_ADDRESSES:
		o->kernel_addresses = true;
		return 0;
	case OPTION_JSON:
		o->json = true;
		return 0;
	case 'h':
		fputs(HELP, stdout);
		return DONE(STATUS_OK);
	default:
		return sample_options_take(&o->sample, "record", option) ? 0 : DONE(STATUS_USAGE);
	}
}

/* The format of one output: by its extension, else by --format. */
static int choose_format(struct record_options *o, struct record_output *output, const char *format)
{
	bool is_stdout = strcmp(output->path, "-") == 0;
	enum output_format by_name = OUTPUT_PPROF;

	if (format && output_format_of_name(format, &by_name) < 0)
		return DONE(usage_error("record", "--format: '%s' is none of pprof, folded, svg, text", format));
	if (!is_stdout && output_format_of_path(output->path, &output->format) == 0) {
		if (format && by_name != output->format && o->n_outputs == 1)
			return DONE(usage_error("record", "--format %s contradicts the extension of '%s'", format,
						output->path));
		return 0;
	}
	if (!format && is_stdout)
		return DONE(usage_error("record", "-o - needs --format pprof, folded, svg or text"));
	if (!format)
		return DONE(usage_error("record",
					"'%s' has none of the extensions .pb.gz, .folded, .svg, .txt; rename it or give --format",
					output->path));
	if (is_stdout && o->json)
		return DONE(usage_error("record", "-o - and --json both want standard output"));
	output->format = by_name;
	return 0;
}

static int check(struct record_options *o, const char *format)
{
	if (o->command && o->sample.n_pids)
		return DONE(usage_error("record", "-p and a command contradict each other"));
	if (!o->n_outputs)
		o->outputs[o->n_outputs++] = (struct record_output){OUTPUT_DEFAULT, OUTPUT_PPROF};
	for (size_t i = 0; i < o->n_outputs; i++) {
		int status = choose_format(o, &o->outputs[i], format);
		if (status)
			return status;
		for (size_t j = 0; j < i; j++)
			if (strcmp(o->outputs[i].path, o->outputs[j].path) == 0)
				return DONE(usage_error("record", "'%s' is given twice", o->outputs[i].path));
	}
	int status = sample_options_check(&o->sample, "record", o->command != NULL);
	return status ? DONE(status) : 0;
}

int record_options_parse(int argc, char **argv, struct record_options *options_out)
{
	struct record_options *o = options_out;
	const char *format = NULL;

	*o = (struct record_options){.names_wait_ns = NAMES_WAIT_NS};
	sample_options_init(&o->sample);
	optind = 1;
	for (int option; (option = getopt_long(argc, argv, "+" SAMPLE_LETTERS "d:o:qh", OPTIONS, NULL)) >= 0;) {
		int status = take_option(option, o, &format);
		if (status)
			return status;
	}
	if (optind < argc) {
		if (strcmp(argv[optind - 1], "--") != 0)
			return DONE(usage_error("record", "what is '%s'? A command to run comes behind --", argv[optind]));
		o->command = argv + optind;
	}
	return check(o, format);
}
