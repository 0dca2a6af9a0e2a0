#include "agent/record_options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/arguments.h"
#include "agent/rate_limit.h"
#include "agent/unwinder.h"
#include "base/clock.h"

#define RATE_DEFAULT   99
#define NAMES_WAIT_NS  (10 * NS_PER_S)
#define OUTPUT_DEFAULT "profile.pb.gz"
#define DONE(status)   ((status) + 1)

static const char HELP[] =
	"Usage: hearth record [OPTION]... [-- COMMAND [ARG]...]\n"
	"\n"
	"Sample the whole machine, some processes, or a command, and write a profile.\n"
	"\n"
	"What to sample:\n"
	"  -a, --all                 the whole machine (the default)\n"
	"  -p, --pid PID[,PID...]    these processes, with all their threads\n"
	"      --inherit             ... and the children that they start\n"
	"      --cgroup PATH         what runs below this cgroup (v2), for example system.slice/ssh.service\n"
	"  -- COMMAND [ARG]...       run a command: sample it and its children, pass on its exit status\n"
	"      --idle                also the idle task\n"
	"      --tid                 tell threads apart by their ids: a label tid on each sample, and a row for each thread\n"
	"\n"
	"How:\n"
	"  -F, --freq HZ             samples a second on each CPU (99)\n"
	"  -d, --duration SECONDS    for how long, such as 10, 2.5 or 5m (until Ctrl-C, or until what is sampled ends)\n"
	"  -e, --event EVENT         cycles, cpu-clock, task-clock, page-faults, context-switches, ... or a tracepoint such as\n"
	"                            sched:sched_switch (cycles where there is a PMU, else cpu-clock)\n"
	"  -c, --count N             with an event that is not a clock: a sample every N occurrences (1)\n"
	"      --unwind-budget BYTES memory in the kernel for the unwind tables of code without frame pointers (64M)\n"
	"      --demangle STYLE      names in full, short (without parameters and template arguments), or none: as the linker saw them (full)\n"
	"      --name-cache DIR      where what debug information says is kept (/var/cache/hearth for root, else ~/.cache/hearth)\n"
	"      --name-cache-budget BYTES\n"
	"                            of that folder, such as 1G: the least recently used goes first (256M; 0: none is kept)\n"
	"      --debuginfod URLS     servers of debug files that are not here (DEBUGINFOD_URLS); '' asks none\n"
	"      --host-root DIR       where the host's files are, for hearth in a container: /sys/fs/cgroup and /var/log below it\n"
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
	OPTION_INHERIT = 256,
	OPTION_CGROUP,
	OPTION_IDLE,
	OPTION_TID,
	OPTION_HOST_ROOT,
	OPTION_UNWIND_BUDGET,
	OPTION_NAMES_WAIT,
	OPTION_FORMAT,
	OPTION_KERNEL_ADDRESSES,
	OPTION_JSON,
};

static const struct option OPTIONS[] = {
	{"all", no_argument, NULL, 'a'},
	{"pid", required_argument, NULL, 'p'},
	{"inherit", no_argument, NULL, OPTION_INHERIT},
	{"cgroup", required_argument, NULL, OPTION_CGROUP},
	{"idle", no_argument, NULL, OPTION_IDLE},
	{"tid", no_argument, NULL, OPTION_TID},
	{"host-root", required_argument, NULL, OPTION_HOST_ROOT},
	{"freq", required_argument, NULL, 'F'},
	{"duration", required_argument, NULL, 'd'},
	{"event", required_argument, NULL, 'e'},
	{"count", required_argument, NULL, 'c'},
	{"unwind-budget", required_argument, NULL, OPTION_UNWIND_BUDGET},
	NAME_OPTIONS_DEMANGLE,
	NAME_OPTIONS_CACHE,
	NAME_OPTIONS_DEBUGINFOD,
	{"names-wait", required_argument, NULL, OPTION_NAMES_WAIT},
	{"output", required_argument, NULL, 'o'},
	{"format", required_argument, NULL, OPTION_FORMAT},
	{"kernel-addresses", no_argument, NULL, OPTION_KERNEL_ADDRESSES},
	{"json", no_argument, NULL, OPTION_JSON},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* What was written, before it is checked as a whole. */
struct given {
	const char *event, *format;
	bool all, freq, count;
};

static int set_output(struct record_options *o, const char *path)
{
	if (o->n_outputs == RECORD_OUTPUTS_MAX)
		return DONE(usage_error("record", "more than %d outputs", RECORD_OUTPUTS_MAX));
	o->outputs[o->n_outputs++].path = path;
	return 0;
}

static int take_option(int option, struct record_options *o, struct given *given)
{
	switch (option) {
	case 'a':
		given->all = true;
		return 0;
	case 'p':
		return argument_pids("-p", optarg, o->pids, RECORD_PIDS_MAX, &o->n_pids) ? 0 : DONE(STATUS_USAGE);
	case 'F':
		given->freq = true;
		return argument_uint("-F", optarg, 1, 1000000, &o->rate_hz) ? 0 : DONE(STATUS_USAGE);
	case 'c':
		given->count = true;
		return argument_uint("-c", optarg, 1, INT64_MAX, &o->period) ? 0 : DONE(STATUS_USAGE);
	case 'd':
		return argument_duration("-d", optarg, &o->duration_ns) ? 0 : DONE(STATUS_USAGE);
	case 'e':
		given->event = optarg;
		return 0;
	case 'o':
		return set_output(o, optarg);
	case 'q':
		o->quiet = true;
		return 0;
	case OPTION_INHERIT:
		o->inherit = true;
		return 0;
	case OPTION_CGROUP:
		o->cgroup = optarg;
		return 0;
	case OPTION_IDLE:
		o->idle = true;
		return 0;
	case OPTION_TID:
		o->tid = true;
		return 0;
	case OPTION_HOST_ROOT:
		return argument_folder("--host-root", optarg, &o->host_root) ? 0 : DONE(STATUS_USAGE);
	case OPTION_UNWIND_BUDGET:
		return argument_bytes("--unwind-budget", optarg, UNWIND_BUDGET_MIN, UNWIND_BUDGET_MAX, &o->unwind_budget_bytes)
			       ? 0
			       : DONE(STATUS_USAGE);
	case OPTION_NAMES_WAIT:
		o->names_wait_ns = 0;
		if (strcmp(optarg, "0") == 0)
			return 0;
		return argument_duration("--names-wait", optarg, &o->names_wait_ns) ? 0 : DONE(STATUS_USAGE);
	case OPTION_FORMAT:
		given->format = optarg;
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
		if (option >= NAME_OPTION_DEMANGLE)
			return name_options_take(&o->naming, "record", option) ? 0 : DONE(STATUS_USAGE);
		fprintf(stderr, "hearth: see 'hearth record --help'\n");
		return DONE(STATUS_USAGE);
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

static int choose_event(struct record_options *o, const struct given *given)
{
	const char *name = given->event ? given->event : "cycles or cpu-clock";

	int err = event_find(given->event, &o->event);
	if (err == -ENOENT)
		return DONE(usage_error("record", "there is no event '%s' here; perf's software events, cycles and tracepoints "
						  "(subsystem:name) are known", name));
	if (err == -EOPNOTSUPP) {
		fprintf(stderr, "hearth: this machine has no '%s' counter; use -e cpu-clock\n", name);
		return DONE(STATUS_FAILED);
	}
	if (err < 0) {
		fprintf(stderr, "hearth: looking up the event '%s': %s; run as root\n", name, strerror(-err));
		return DONE(STATUS_FAILED);
	}
	if (o->event.is_time && given->count)
		return DONE(usage_error("record", "-c is for events that are not clocks; use -F with '%s'", o->event.name));
	if (!o->event.is_time && given->freq)
		return DONE(usage_error("record", "-F is for clocks; use -c with '%s'", o->event.name));
	return 0;
}

static int check_rate(const struct record_options *o)
{
	uint64_t limit = rate_limit_hz();

	if (!o->event.is_time || o->rate_hz <= limit)
		return 0;
	fprintf(stderr,
		"hearth: -F %" PRIu64 " is above this machine's limit of %" PRIu64
		" Hz; use -F %" PRIu64 ", or raise it: sysctl kernel.perf_event_max_sample_rate=%" PRIu64 "\n",
		o->rate_hz, limit, limit, o->rate_hz);
	return DONE(STATUS_FAILED);
}

static int check(struct record_options *o, const struct given *given)
{
	if (o->command && o->n_pids)
		return DONE(usage_error("record", "-p and a command contradict each other"));
	if (given->all && (o->n_pids || o->command || o->cgroup))
		return DONE(usage_error("record", "-a contradicts -p, --cgroup and a command"));
	if (o->inherit && !o->n_pids && !o->command)
		return DONE(usage_error("record", "--inherit goes with -p"));
	if (o->idle && (o->n_pids || o->command || o->cgroup))
		return DONE(usage_error("record", "--idle is for the whole machine"));
	if (!o->n_outputs)
		o->outputs[o->n_outputs++] = (struct record_output){OUTPUT_DEFAULT, OUTPUT_PPROF};
	for (size_t i = 0; i < o->n_outputs; i++) {
		int status = choose_format(o, &o->outputs[i], given->format);
		if (status)
			return status;
		for (size_t j = 0; j < i; j++)
			if (strcmp(o->outputs[i].path, o->outputs[j].path) == 0)
				return DONE(usage_error("record", "'%s' is given twice", o->outputs[i].path));
	}
	int status = choose_event(o, given);
	return status ? status : check_rate(o);
}

int record_options_parse(int argc, char **argv, struct record_options *options_out)
{
	struct record_options *o = options_out;
	struct given given = {0};

	*o = (struct record_options){
		.rate_hz = RATE_DEFAULT,
		.period = 1,
		.unwind_budget_bytes = UNWIND_BUDGET_DEFAULT,
		.names_wait_ns = NAMES_WAIT_NS,
	};
	name_options_init(&o->naming);
	optind = 1;
	for (int option; (option = getopt_long(argc, argv, "+ap:F:d:e:c:o:qh", OPTIONS, NULL)) >= 0;) {
		int status = take_option(option, o, &given);
		if (status)
			return status;
	}
	if (optind < argc) {
		if (strcmp(argv[optind - 1], "--") != 0)
			return DONE(usage_error("record", "what is '%s'? A command to run comes behind --", argv[optind]));
		o->command = argv + optind;
	}
	return check(o, &given);
}
