#include "agent/top_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "agent/arguments.h"
#include "agent/top_view.h"
#include "agent/values.h"
#include "base/clock.h"

#define DONE(status) ((status) + 1)
#define ROWS_DEFAULT 20

static const char HELP[] =
	"Usage: hearth top [OPTION]...\n"
	"\n"
	"Show the hottest functions and processes of the last seconds, live: h lists the keys.\n"
	"\n"
	"What to sample:\n"
	SAMPLE_HELP_WHAT
	SAMPLE_HELP_IDLE
	"\n"
	"How:\n"
	SAMPLE_HELP_FREQ
	SAMPLE_HELP_HOW
	"\n"
	"What to show:\n"
	"  -d, --delay SECONDS       a refresh every so often, such as 0.5, 1 or 5 (1)\n"
	"  -s, --span SECONDS        what was sampled in the last so many seconds (10)\n"
	"      --sort KEY            self, total or name (self)\n"
	"      --filter REGEX        rows that match: functions by name and module, processes by name, container and pid;\n"
	"                            without capitals it matches any case\n"
	"      --user-only           functions of programs and libraries only\n"
	"      --kernel-only         functions of the kernel only\n"
	"\n"
	"Without a terminal:\n"
	"  -b, --batch               write each refresh as text to standard output; so it is when that is no terminal\n"
	"      --json                ... as one JSON object a line\n"
	"  -n, --iterations N        end after so many refreshes\n"
	"      --rows N              of each table (20; 0: all)\n"
	"  -h, --help                this text\n"
	"\n"
	"Exit status: 0; 1 when something failed; 2 for wrong usage.\n";

enum {
	OPTION_SORT = 256,
	OPTION_FILTER,
	OPTION_USER_ONLY,
	OPTION_KERNEL_ONLY,
	OPTION_JSON,
	OPTION_ROWS,
};

static const struct option OPTIONS[] = {
	SAMPLE_OPTIONS,
	{"delay", required_argument, NULL, 'd'},
	{"span", required_argument, NULL, 's'},
	{"sort", required_argument, NULL, OPTION_SORT},
	{"filter", required_argument, NULL, OPTION_FILTER},
	{"user-only", no_argument, NULL, OPTION_USER_ONLY},
	{"kernel-only", no_argument, NULL, OPTION_KERNEL_ONLY},
	{"batch", no_argument, NULL, 'b'},
	{"json", no_argument, NULL, OPTION_JSON},
	{"iterations", required_argument, NULL, 'n'},
	{"rows", required_argument, NULL, OPTION_ROWS},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static bool take_sort(struct top_options *o)
{
	static const char *const NAMES[] = {[TOP_BY_SELF] = "self", [TOP_BY_TOTAL] = "total", [TOP_BY_NAME] = "name", NULL};
	struct why why;
	int sort;

	if (value_choice(optarg, NAMES, &sort, &why) < 0) {
		fprintf(stderr, "hearth: --sort: %s\n", why.text);
		return false;
	}
	o->sort = (enum top_sort)sort;
	return true;
}

static bool take_filter(struct top_options *o)
{
	struct regex *regex = NULL;
	struct why why;

	o->filter = optarg;
	int err = *optarg ? top_filter_compile(optarg, &regex, &why) : 0;
	regex_destroy(regex);
	if (err < 0)
		fprintf(stderr, "hearth: --filter: '%.200s' is no regular expression: %s\n", optarg, why.text);
	return err == 0;
}

static bool take_side(struct top_options *o, enum top_side side)
{
	if (o->side != TOP_BOTH && o->side != side) {
		usage_error("top", "--user-only and --kernel-only contradict each other");
		return false;
	}
	o->side = side;
	return true;
}

static bool take_option(int option, struct top_options *o)
{
	switch (option) {
	case 'd':
		return argument_duration("-d", optarg, &o->refresh_ns);
	case 's':
		return argument_duration("-s", optarg, &o->span_ns);
	case OPTION_SORT:
		return take_sort(o);
	case OPTION_FILTER:
		return take_filter(o);
	case OPTION_USER_ONLY:
		return take_side(o, TOP_USER);
	case OPTION_KERNEL_ONLY:
		return take_side(o, TOP_KERNEL);
	case 'b':
		o->is_batch = true;
		return true;
	case OPTION_JSON:
		o->is_batch = o->json = true;
		return true;
	case 'n':
		return argument_uint("-n", optarg, 1, 1000000000, &o->iterations);
	case OPTION_ROWS:
		return argument_uint("--rows", optarg, 0, 1000000000, &o->rows);
	default:
		return sample_options_take(&o->sample, "top", option);
	}
}

int top_options_parse(int argc, char **argv, struct top_options *options_out)
{
	struct top_options *o = options_out;

	*o = (struct top_options){.refresh_ns = NS_PER_S, .span_ns = 10 * NS_PER_S, .filter = "", .rows = ROWS_DEFAULT};
	sample_options_init(&o->sample);
	optind = 1;
	for (int option; (option = getopt_long(argc, argv, SAMPLE_LETTERS "d:s:bn:h", OPTIONS, NULL)) >= 0;) {
		if (option == 'h') {
			fputs(HELP, stdout);
			return DONE(STATUS_OK);
		}
		if (!take_option(option, o))
			return DONE(STATUS_USAGE);
	}
	if (optind < argc)
		return DONE(usage_error("top", "what is '%s'? -p takes processes", argv[optind]));
	if (o->refresh_ns < TOP_REFRESH_LEAST_NS || o->refresh_ns > TOP_REFRESH_MOST_NS)
		return DONE(usage_error("top", "-d is from 100ms to 1h"));
	if (o->span_ns / o->refresh_ns > TOP_WINDOWS_MAX)
		return DONE(usage_error("top", "-s is at most %d times -d", TOP_WINDOWS_MAX));
	int status = sample_options_check(&o->sample, "top", false);
	return status ? DONE(status) : 0;
}
