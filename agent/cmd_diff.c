#include "agent/cmd_diff.h"

#include <stdio.h>
#include <string.h>

#include "agent/arguments.h"
#include "agent/view.h"

static const char HELP[] =
	"Usage: hearth diff [OPTION]... BEFORE NOW\n"
	"\n"
	"What changed from one profile to another: functions by the change of their share of the total, or a flame graph in red (more) and blue (less).\n"
	"Both are pprof files of any producer; - is standard input. Ranges of the store are compared by 'hearth query --diff-from'.\n"
	"\n"
	"  -o, --output FILE         .svg or .txt (text on standard output)\n"
	"      --format FORMAT       text, json or svg, whatever the extension\n"
	"  -n, --rows N              rows of the table (30 in text on standard output), 0: all\n"
	VIEW_HELP_BY
	VIEW_HELP_TEXT
	VIEW_HELP_PICTURE
	"\n"
	VIEW_HELP_SELECT
	"\n"
	"  -h, --help                this text\n"
	"\n"
	"Exit status: 0; 1 when something failed, also when no sample is left; 2 for wrong usage.\n";

static const struct option OPTIONS[] = {{"rows", required_argument, NULL, 'n'}, VIEW_OPTIONS_BY, VIEW_OPTIONS_TEXT, VIEW_OPTIONS_SELECT, VIEW_OPTIONS_PICTURE, VIEW_OPTIONS_OUTPUT, {0}};

int cmd_diff(int argc, char **argv, struct zygote *zygote)
{
	static const char SHORT[] = VIEW_SHORT_REPORT VIEW_SHORT_SELECT VIEW_SHORT_OUTPUT;
	struct view view = {.has_base = true};

	(void)zygote;
	view_options_init(&view.options, "diff");
	int status = view_options_parse(&view.options, argc, argv, SHORT, OPTIONS, HELP, NULL, NULL);
	if (status == 0)
		status = view_options_finish(&view.options, VIEW_TEXT, VIEW_ALLOW(VIEW_TEXT) | VIEW_ALLOW(VIEW_JSON) | VIEW_ALLOW(VIEW_SVG));
	if (status == 0 && argc - optind != 2)
		status = usage_error("diff", "two pprof files are needed, BEFORE and NOW") + 1;
	if (status == 0 && strcmp(argv[optind], "-") == 0 && strcmp(argv[optind + 1], "-") == 0)
		status = usage_error("diff", "- twice: there is one standard input") + 1;
	if (status)
		return status - 1;
	view.base = (struct view_input){.files = (const char *const *)argv + optind, .n_files = 1};
	view.input = (struct view_input){.files = (const char *const *)argv + optind + 1, .n_files = 1};
	return view_run(&view);
}
