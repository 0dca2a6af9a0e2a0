#include "agent/cmd_flame.h"

#include <stdio.h>

#include "agent/arguments.h"
#include "agent/view.h"

static const char HELP[] =
	"Usage: hearth flame [OPTION]... [FILE]...\n"
	"\n"
	"Draw a flame graph: an SVG for any browser, with zoom and search, that needs no network. FILE is a pprof file of any producer; - is standard\n"
	"input; several are merged. Without one it is " VIEW_FILE_DEFAULT ", what 'hearth record' writes.\n"
	"\n"
	"  -o, --output FILE         the SVG (standard output, when it is no terminal)\n"
	"      --format svg          for an output with another extension\n"
	VIEW_HELP_PICTURE
	"\n"
	VIEW_HELP_SELECT
	"\n"
	"  -h, --help                this text\n"
	"\n"
	"Exit status: 0; 1 when something failed, also when no sample is left; 2 for wrong usage.\n";

static const struct option OPTIONS[] = {VIEW_OPTIONS_SELECT, VIEW_OPTIONS_PICTURE, VIEW_OPTIONS_OUTPUT, {0}};

int cmd_flame(int argc, char **argv, struct zygote *zygote)
{
	static const char SHORT[] = VIEW_SHORT_SELECT VIEW_SHORT_OUTPUT;
	struct view view = {0};

	(void)zygote;
	view_options_init(&view.options, "flame");
	int status = view_options_parse(&view.options, argc, argv, SHORT, OPTIONS, HELP, NULL, NULL);
	if (status == 0)
		status = view_options_finish(&view.options, VIEW_SVG, VIEW_ALLOW(VIEW_SVG));
	if (status == 0)
		status = view_take_files(&view, argc - optind, argv + optind, true);
	return status ? status - 1 : view_run(&view);
}
