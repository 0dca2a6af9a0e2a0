#include "agent/cmd_report.h"

#include <stdio.h>

#include "agent/arguments.h"
#include "agent/view.h"

static const char HELP[] =
	"Usage: hearth report [OPTION]... [FILE]...\n"
	"\n"
	"What a profile says, as text or in another form. FILE is a pprof file of any producer, compressed or not; - is standard input;\n"
	"several are merged. Without one it is " VIEW_FILE_DEFAULT ", what 'hearth record' writes.\n"
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
	"Exit status: 0; 1 when something failed, also when no sample is left; 2 for wrong usage.\n";

static const struct option OPTIONS[] = {VIEW_OPTIONS_REPORT, VIEW_OPTIONS_SELECT, VIEW_OPTIONS_PICTURE, VIEW_OPTIONS_OUTPUT, {0}};

int cmd_report(int argc, char **argv, struct zygote *zygote)
{
	static const char SHORT[] = VIEW_SHORT_REPORT VIEW_SHORT_SELECT VIEW_SHORT_OUTPUT;
	struct view view = {0};

	(void)zygote;
	view_options_init(&view.options, "report");
	int status = view_options_parse(&view.options, argc, argv, SHORT, OPTIONS, HELP, NULL, NULL);
	if (status == 0)
		status = view_options_finish(&view.options, VIEW_TEXT, VIEW_ALLOW_ALL);
	if (status == 0)
		status = view_take_files(&view, argc - optind, argv + optind, true);
	return status ? status - 1 : view_run(&view);
}
