#include "agent/cmd_merge.h"

#include <stdio.h>

#include "agent/arguments.h"
#include "agent/view.h"

static const char HELP[] =
	"Usage: hearth merge [OPTION]... FILE...\n"
	"\n"
	"One pprof file of several, of any producers: equal samples are added up, durations too. - is standard input.\n"
	"\n"
	"  -o, --output FILE         the pprof file (standard output, when it is no terminal)\n"
	"      --format pprof        for an output with another extension\n"
	"\n"
	VIEW_HELP_SELECT
	"\n"
	"  -h, --help                this text\n"
	"\n"
	"Exit status: 0; 1 when something failed, such as profiles of different sample types; 2 for wrong usage.\n";

static const struct option OPTIONS[] = {VIEW_OPTIONS_SELECT, VIEW_OPTIONS_OUTPUT, {0}};

int cmd_merge(int argc, char **argv, struct zygote *zygote)
{
	static const char SHORT[] = VIEW_SHORT_SELECT VIEW_SHORT_OUTPUT;
	struct view view = {0};

	(void)zygote;
	view_options_init(&view.options, "merge");
	int status = view_options_parse(&view.options, argc, argv, SHORT, OPTIONS, HELP, NULL, NULL);
	if (status == 0)
		status = view_options_finish(&view.options, VIEW_PPROF, VIEW_ALLOW(VIEW_PPROF));
	if (status == 0)
		status = view_take_files(&view, argc - optind, argv + optind, false);
	return status ? status - 1 : view_run(&view);
}
