#include "agent/cmd_query.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/arguments.h"
#include "agent/store_folder.h"
#include "agent/view.h"
#include "base/time_text.h"

#define DONE(status)  ((status) + 1)
#define HOUR_NS	      3600000000000ll
#define NS_PER_S      1000000000ll
#define NOT_SAID      INT64_MIN

static const char HELP[] =
	"Usage: hearth query [OPTION]...\n"
	"\n"
	"What ran at 03:14: what the store of 'hearth agent' has of some time, as text or in another form.\n"
	"\n"
	"      --from TIME           -1h by default\n"
	"      --to TIME             now by default\n"
	"      --diff-from TIME      compare with what was from there\n"
	"      --diff-to TIME        up to there (as long as from --from to --to)\n"
	"      --store DIR           the store (where 'hearth agent' of this user keeps it)\n"
	"\n"
	"TIME is now, -15m, -1h30m, -2d, 03:14 (the last time that it was), 'yesterday 03:14', 2026-11-20, '2026-11-20 03:14', 2026-11-20T03:14:05Z or\n"
	"@SECONDS. Windows count that overlap; the head of the text says from when to when they are.\n"
	"\n"
	VIEW_HELP_REPORT
	"\n"
	VIEW_HELP_SELECT
	"\n"
	"Where to:\n"
	"  -o, --output FILE         by its extension: .txt, .svg, .folded, .pb.gz, .speedscope.json, .firefox.json (text on standard output)\n"
	"      --format FORMAT       whatever the extension: text, json, svg, folded, pprof, speedscope, firefox\n"
	VIEW_HELP_PICTURE
	"  -h, --help                this text\n"
	"\n"
	"Exit status: 0; 1 when something failed, also when there is no store, or nothing in it of that time; 2 for wrong usage.\n";

enum { OPTION_FROM = VIEW_OPTION_OWN, OPTION_TO, OPTION_DIFF_FROM, OPTION_DIFF_TO, OPTION_STORE };

static const struct option OPTIONS[] = {
	{"from", required_argument, NULL, OPTION_FROM},
	{"to", required_argument, NULL, OPTION_TO},
	{"diff-from", required_argument, NULL, OPTION_DIFF_FROM},
	{"diff-to", required_argument, NULL, OPTION_DIFF_TO},
	{"store", required_argument, NULL, OPTION_STORE},
	VIEW_OPTIONS_REPORT,
	VIEW_OPTIONS_SELECT,
	VIEW_OPTIONS_PICTURE,
	VIEW_OPTIONS_OUTPUT,
	{0},
};

struct query {
	int64_t now_ns;
	int64_t from_ns, to_ns, diff_from_ns, diff_to_ns; /* NOT_SAID */
	const char *store;
};

static int take_time(const struct query *q, const char *option, const char *text, int64_t *ns_out)
{
	struct why why;

	return time_text_parse(text, q->now_ns, ns_out, &why) < 0 ? DONE(usage_error("query", "%s: %s", option, why.text)) : 0;
}

static int take_option(void *context, int option)
{
	struct query *q = context;

	switch (option) {
	case OPTION_FROM:
		return take_time(q, "--from", optarg, &q->from_ns);
	case OPTION_TO:
		return take_time(q, "--to", optarg, &q->to_ns);
	case OPTION_DIFF_FROM:
		return take_time(q, "--diff-from", optarg, &q->diff_from_ns);
	case OPTION_DIFF_TO:
		return take_time(q, "--diff-to", optarg, &q->diff_to_ns);
	default:
		q->store = optarg;
		return 0;
	}
}

static int check_range(const char *from_option, int64_t from_ns, const char *to_option, int64_t to_ns)
{
	char from[TIME_TEXT_MAX], to[TIME_TEXT_MAX];

	if (from_ns < to_ns)
		return 0;
	time_text_format(from_ns, from, sizeof(from));
	time_text_format(to_ns, to, sizeof(to));
	return DONE(usage_error("query", "%s (%s) is not before %s (%s)", from_option, from, to_option, to));
}

static int set_ranges(struct query *q, struct view *view)
{
	if (q->to_ns == NOT_SAID)
		q->to_ns = q->now_ns;
	if (q->from_ns == NOT_SAID)
		q->from_ns = q->to_ns - HOUR_NS;
	int status = check_range("--from", q->from_ns, "--to", q->to_ns);
	int64_t length = q->to_ns - q->from_ns;
	view->has_base = q->diff_from_ns != NOT_SAID || q->diff_to_ns != NOT_SAID;
	if (status || !view->has_base) {
		view->input = (struct view_input){.from_ns = q->from_ns, .to_ns = q->to_ns};
		return status;
	}
	if (q->diff_from_ns == NOT_SAID)
		q->diff_from_ns = q->diff_to_ns - length;
	if (q->diff_to_ns == NOT_SAID)
		q->diff_to_ns = q->diff_from_ns + length;
	view->input = (struct view_input){.from_ns = q->from_ns, .to_ns = q->to_ns};
	view->base = (struct view_input){.from_ns = q->diff_from_ns, .to_ns = q->diff_to_ns};
	return check_range("--diff-from", q->diff_from_ns, "--diff-to", q->diff_to_ns);
}

static int find_store(const char *said, char path[PATH_MAX])
{
	int err = said ? store_folder_absolute(said, path, PATH_MAX) : store_folder_default(path, PATH_MAX);

	if (err == 0)
		return 0;
	if (said)
		return DONE(usage_error("query", "--store: %s", strerror(-err)));
	return DONE(usage_error("query", "--store DIR is needed: there is no home folder"));
}

static int finish(struct query *q, struct view *view, char path[PATH_MAX])
{
	const unsigned compared = VIEW_ALLOW(VIEW_TEXT) | VIEW_ALLOW(VIEW_JSON) | VIEW_ALLOW(VIEW_SVG);

	int status = set_ranges(q, view);
	if (status == 0)
		status = view_options_finish(&view->options, VIEW_TEXT, view->has_base ? compared : VIEW_ALLOW_ALL);
	if (status == 0 && view->has_base && view->options.form != VIEW_TOP && view->options.form != VIEW_BY)
		status = DONE(usage_error("query", "a comparison is a table or a flame graph: without --tree, --callers, --callees and --lines"));
	view->store = path;
	return status ? status : find_store(q->store, path);
}

int cmd_query(int argc, char **argv, struct zygote *zygote)
{
	static const char SHORT[] = VIEW_SHORT_REPORT VIEW_SHORT_SELECT VIEW_SHORT_OUTPUT;
	struct query q = {.from_ns = NOT_SAID, .to_ns = NOT_SAID, .diff_from_ns = NOT_SAID, .diff_to_ns = NOT_SAID};
	struct view view = {0};
	char path[PATH_MAX];
	struct timespec now;

	(void)zygote;
	clock_gettime(CLOCK_REALTIME, &now);
	q.now_ns = now.tv_sec * NS_PER_S + now.tv_nsec;
	view_options_init(&view.options, "query");
	int status = view_options_parse(&view.options, argc, argv, SHORT, OPTIONS, HELP, take_option, &q);
	if (status == 0 && optind < argc)
		status = DONE(usage_error("query", "what is '%s'? 'hearth report' reads files", argv[optind]));
	if (status == 0)
		status = finish(&q, &view, path);
	return status ? status - 1 : view_run(&view);
}
