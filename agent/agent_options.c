#include "agent/agent_options.h"

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

#define RATE_DEFAULT  19
#define WINDOW_NS     (10 * NS_PER_S)
#define BUDGET_BYTES  (1ull << 30)
#define CPU_SHARE     0.01
#define DONE(status)  ((status) + 1)


static const char HELP[] =
	"Usage: hearth agent --output DIR [OPTION]...\n"
	"\n"
	"Profile the whole machine all the time: one pprof file for each window, until SIGTERM.\n"
	"\n"
	"      --output DIR          where the windows go: hearth-<UTC time>.pb.gz; created if it is missing\n"
	"      --output-bytes BYTES  the folder's budget, such as 500M: the oldest windows go first (1G)\n"
	"  -F, --freq HZ             samples a second on each CPU (19)\n"
	"      --window SECONDS      length of a window, such as 10 or 1m (10)\n"
	"  -e, --event EVENT         cycles, cpu-clock or task-clock (cycles where there is a PMU, else cpu-clock)\n"
	"      --idle                sample also the idle task\n"
	"      --tid                 tell threads apart by their ids: a label tid on each sample, and a row for each thread\n"
	"      --host-root DIR       where the host's files are, for hearth in a container: /sys/fs/cgroup, /var/log and /etc/hostname below it\n"
	"      --max-cpu PERCENT     hearth's own budget, of the whole machine: above it, it lowers its rate (1)\n"
	"      --unwind-budget BYTES memory in the kernel for the unwind tables of code without frame pointers (64M)\n"
	"      --demangle STYLE      names in full, short (without parameters and template arguments), or none: as the linker saw them (full)\n"
	"      --name-cache DIR      where what debug information says is kept (/var/cache/hearth for root, else ~/.cache/hearth)\n"
	"      --name-cache-budget BYTES\n"
	"                            of that folder, such as 1G: the least recently used goes first (256M; 0: none is kept)\n"
	"      --debuginfod URLS     servers of debug files that are not here (DEBUGINFOD_URLS); '' asks none\n"
	"      --kernel-addresses    write the kernel's addresses into profiles, not only its function names\n"
	"      --log-format FORMAT   text or json (text)\n"
	"  -q, --quiet               log warnings and errors only\n"
	"  -h, --help                this text\n";

enum {
	OPTION_OUTPUT = 256,
	OPTION_OUTPUT_BYTES,
	OPTION_WINDOW,
	OPTION_IDLE,
	OPTION_TID,
	OPTION_HOST_ROOT,
	OPTION_MAX_CPU,
	OPTION_KERNEL_ADDRESSES,
	OPTION_LOG_FORMAT,
	OPTION_UNWIND_BUDGET,
};

static const struct option OPTIONS[] = {
	{"output", required_argument, NULL, OPTION_OUTPUT},
	{"output-bytes", required_argument, NULL, OPTION_OUTPUT_BYTES},
	{"freq", required_argument, NULL, 'F'},
	{"window", required_argument, NULL, OPTION_WINDOW},
	{"event", required_argument, NULL, 'e'},
	{"idle", no_argument, NULL, OPTION_IDLE},
	{"tid", no_argument, NULL, OPTION_TID},
	{"host-root", required_argument, NULL, OPTION_HOST_ROOT},
	{"max-cpu", required_argument, NULL, OPTION_MAX_CPU},
	{"unwind-budget", required_argument, NULL, OPTION_UNWIND_BUDGET},
	NAME_OPTIONS_DEMANGLE,
	NAME_OPTIONS_CACHE,
	NAME_OPTIONS_DEBUGINFOD,
	{"kernel-addresses", no_argument, NULL, OPTION_KERNEL_ADDRESSES},
	{"log-format", required_argument, NULL, OPTION_LOG_FORMAT},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static bool parse_share(const char *text, double *share_out)
{
	char *end;
	double percent = strtod(text, &end);

	if (end == text || (*end && strcmp(end, "%") != 0) || !(percent > 0 && percent <= 100)) {
		fprintf(stderr, "hearth: --max-cpu: '%s' is not a percentage above 0 and up to 100\n", text);
		return false;
	}
	*share_out = percent / 100;
	return true;
}

static int take_option(int option, struct agent_options *o)
{
	switch (option) {
	case OPTION_OUTPUT:
		o->output = optarg;
		return 0;
	case OPTION_OUTPUT_BYTES:
		return argument_bytes("--output-bytes", optarg, 1 << 16, 1ull << 60, &o->output_bytes) ? 0 : DONE(STATUS_USAGE);
	case 'F':
		return argument_uint("-F", optarg, 1, 1000000, &o->rate_hz) ? 0 : DONE(STATUS_USAGE);
	case OPTION_WINDOW:
		return argument_duration("--window", optarg, &o->window_ns) ? 0 : DONE(STATUS_USAGE);
	case 'e':
		o->event_name = optarg;
		return 0;
	case OPTION_IDLE:
		o->idle = true;
		return 0;
	case OPTION_TID:
		o->tid = true;
		return 0;
	case OPTION_HOST_ROOT:
		o->host_root = optarg;
		return 0;
	case OPTION_MAX_CPU:
		return parse_share(optarg, &o->max_share) ? 0 : DONE(STATUS_USAGE);
	case OPTION_KERNEL_ADDRESSES:
		o->kernel_addresses = true;
		return 0;
	case OPTION_LOG_FORMAT:
		o->json = strcmp(optarg, "json") == 0;
		if (!o->json && strcmp(optarg, "text") != 0)
			return DONE(usage_error("agent", "--log-format: '%s' is neither text nor json", optarg));
		return 0;
	case OPTION_UNWIND_BUDGET:
		return argument_bytes("--unwind-budget", optarg, UNWIND_BUDGET_MIN, UNWIND_BUDGET_MAX, &o->unwind_budget_bytes)
			       ? 0
			       : DONE(STATUS_USAGE);
	case 'q':
		o->quiet = true;
		return 0;
	case 'h':
		fputs(HELP, stdout);
		return DONE(STATUS_OK);
	default:
		if (option >= NAME_OPTION_DEMANGLE)
			return name_options_take(&o->naming, "agent", option) ? 0 : DONE(STATUS_USAGE);
		fprintf(stderr, "hearth: see 'hearth agent --help'\n");
		return DONE(STATUS_USAGE);
	}
}

static int check(struct agent_options *o)
{
	if (!o->output)
		return DONE(usage_error("agent", "--output DIR is needed: where the windows go"));
	if (o->window_ns < NS_PER_S / 10 || o->window_ns > 3600 * NS_PER_S)
		return DONE(usage_error("agent", "--window: from 0.1 s to 1 h"));
	int err = event_find(o->event_name, &o->event);
	if (err == 0 && !o->event.is_time)
		return DONE(usage_error("agent", "'%s' is not a clock; 'hearth record -e %s' counts it", o->event_name,
					o->event_name));
	if (err == -ENOENT)
		return DONE(usage_error("agent", "there is no event '%s' here", o->event_name));
	if (err < 0) {
		fprintf(stderr, "hearth: this machine has no '%s' counter; use -e cpu-clock\n",
			o->event_name ? o->event_name : "cycles");
		return DONE(STATUS_FAILED);
	}
	if (o->rate_hz > rate_limit_hz()) {
		fprintf(stderr,
			"hearth: -F %" PRIu64 " is above this machine's limit; raise it: sysctl "
			"kernel.perf_event_max_sample_rate=%" PRIu64 "\n",
			o->rate_hz, o->rate_hz);
		return DONE(STATUS_FAILED);
	}
	return 0;
}

int agent_options_parse(int argc, char **argv, struct agent_options *o)
{
	*o = (struct agent_options){
		.output_bytes = BUDGET_BYTES,
		.unwind_budget_bytes = UNWIND_BUDGET_DEFAULT,
		.rate_hz = RATE_DEFAULT,
		.window_ns = WINDOW_NS,
		.max_share = CPU_SHARE,
	};
	name_options_init(&o->naming);
	optind = 1;
	for (int option; (option = getopt_long(argc, argv, "F:e:qh", OPTIONS, NULL)) >= 0;) {
		int status = take_option(option, o);
		if (status)
			return status;
	}
	if (optind < argc)
		return DONE(usage_error("agent", "what is '%s'? 'hearth record' runs commands", argv[optind]));
	return check(o);
}
