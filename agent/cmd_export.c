#include "agent/cmd_export.h"

#include <stdio.h>

#include "agent/arguments.h"
#include "agent/view.h"

static const char HELP[] =
	"Usage: hearth export [OPTION]... [FILE]...\n"
	"\n"
	"A profile in the format of another tool. FILE is a pprof file of any producer; - is standard input; several are merged. Without one it is\n"
	VIEW_FILE_DEFAULT ", what 'hearth record' writes.\n"
	"\n"
	"      --format FORMAT       pprof; folded (flamegraph.pl, inferno); speedscope (speedscope.app); firefox (profiler.firefox.com); svg; text; json\n"
	"  -o, --output FILE         by its extension, without --format: .pb.gz, .folded, .speedscope.json, .firefox.json, .svg, .txt (standard output)\n"
	VIEW_HELP_PICTURE
	"\n"
	VIEW_HELP_SELECT
	"\n"
	"  -h, --help                this text\n"
	"\n"
	"Exit status: 0; 1 when something failed, also when no sample is left; 2 for wrong usage.\n";

static const struct option OPTIONS[] = {VIEW_OPTIONS_SELECT, VIEW_OPTIONS_PICTURE, VIEW_OPTIONS_OUTPUT, {0}};

int cmd_export(int argc, char **argv, struct zygote *zygote)
{
	static const char SHORT[] = VIEW_SHORT_SELECT VIEW_SHORT_OUTPUT;
	struct view view = {0};

	(void)zygote;
	view_options_init(&view.options, "export");
	view.options.rows = 0;
	int status = view_options_parse(&view.options, argc, argv, SHORT, OPTIONS, HELP, NULL, NULL);
	if (status == 0 && !view.options.format && !view.options.output)
		status = usage_error("export", "--format, or -o with an extension, is needed") + 1;
	if (status == 0)
		status = view_options_finish(&view.options, VIEW_TEXT, VIEW_ALLOW_ALL);
	if (status == 0)
		status = view_take_files(&view, argc - optind, argv + optind, true);
	return status ? status - 1 : view_run(&view);
}
