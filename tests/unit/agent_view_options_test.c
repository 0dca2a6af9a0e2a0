/* agent/view_options.c: every option, what goes together, and what is written. */
#include "agent/view_options.h"

#include <string.h>

#include "agent/arguments.h"
#include "tests/unit/cmocka_prelude.h"

#define USAGE (STATUS_USAGE + 1)

static const struct option OPTIONS[] = {
	{"own", required_argument, NULL, VIEW_OPTION_OWN}, VIEW_OPTIONS_REPORT, VIEW_OPTIONS_SELECT, VIEW_OPTIONS_PICTURE, VIEW_OPTIONS_OUTPUT, {0}};

static int own(void *context, int option)
{
	assert_int_equal(option, VIEW_OPTION_OWN);
	*(const char **)context = optarg;
	return strcmp(optarg, "bad") == 0 ? USAGE : 0;
}

/* Words, each with a space behind. */
static int parse(struct view_options *o, const char *line, const char **own_out)
{
	static char text[4096];
	char *argv[64], *rest = text;
	int argc = 0;

	snprintf(text, sizeof(text), "report %s", line);
	for (char *word; (word = strsep(&rest, " "));)
		if (*word)
			argv[argc++] = word;
	argv[argc] = NULL;
	view_options_init(o, "report");
	return view_options_parse(o, argc, argv, VIEW_SHORT_REPORT VIEW_SHORT_SELECT VIEW_SHORT_OUTPUT, OPTIONS, "help\n", own_out ? own : NULL, own_out);
}

static int finished(struct view_options *o, const char *line, enum view_kind otherwise, unsigned allowed)
{
	int status = parse(o, line, NULL);

	return status ? status : view_options_finish(o, otherwise, allowed);
}

static void selections(void **state)
{
	static const char *const KEYS[] = {"process", "thread", "pid", "container", "unit", "service", "namespace", "pid"};
	static const char *const VALUES[] = {"a", "b", "12", "c", "d.service", "e", "f=g", "0"};
	struct view_options o;
	const char *mine = NULL;
	char text[256];

	(void)state;
	assert_int_equal(parse(&o,
			       "--process a --thread b -p 12 --container c --unit d.service --service e --label namespace=f=g --pid 0 --user-only --user-only "
			       "--focus x|y --ignore ^z$ --hide h --show s --type cpu --own mine file",
			       &mine),
			 0);
	assert_int_equal(o.selection.n_labels, 8);
	for (size_t i = 0; i < 8; i++) {
		assert_string_equal(o.selection.labels[i].key, KEYS[i]);
		assert_string_equal(o.selection.labels[i].value, VALUES[i]);
	}
	assert_int_equal(o.selection.side, PROFILE_USER_SIDE);
	assert_string_equal(o.selection.focus, "x|y");
	assert_string_equal(o.selection.ignore, "^z$");
	assert_string_equal(o.selection.hide, "h");
	assert_string_equal(o.selection.show, "s");
	assert_string_equal(o.type, "cpu");
	assert_string_equal(mine, "mine");
	view_options_describe(&o, text, sizeof(text));
	assert_string_equal(text, "process=a, thread=b, pid=12, container=c, unit=d.service, service=e, namespace=f=g, pid=0, focus /x|y/, ignore /^z$/, hide /h/, "
				  "show /s/, user only");
	view_options_describe(&o, text, 12);
	assert_string_equal(text, "process=a, ");
	assert_int_equal(parse(&o, "", NULL), 0);
	view_options_describe(&o, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(parse(&o, "--own bad", &mine), USAGE);
}

static void refused(void **state)
{
	static const char *const BAD[] = {
		"-p x",		      "--pid -1",	    "--pid 99999999999", "--label x",	  "--label =x",		"--focus (",	      "--ignore a++",
		"--hide (?=x)",	      "--show \\1",	    "--focus a --focus b", "--user-only --kernel-only", "--tree --lines x", "--callers a --callees b", "-n x",
		"-n -1",	      "--min-share x",	    "--min-share 101",	 "--color blue",  "-o a -o b",		"--nonsense",	      "--focus",
		"--label a=1 --label b=2 --label c=3 --label d=4 --label e=5 --label f=6 --label g=7 --label h=8 --label i=9"};
	struct view_options o;

	(void)state;
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_int_equal(parse(&o, BAD[i], NULL), USAGE);
	assert_int_equal(parse(&o, "-h", NULL), STATUS_OK + 1);
}

static void forms(void **state)
{
	static const struct {
		const char *line, *function;
		enum view_form form;
	} CASES[] = {{"", NULL, VIEW_TOP}, {"--tree", NULL, VIEW_TREE}, {"--callers f", "f", VIEW_CALLERS}, {"--callees f", "f", VIEW_CALLEES}, {"--lines f", "f", VIEW_LINES}, {"--by pid", NULL, VIEW_BY}};
	struct view_options o;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(parse(&o, CASES[i].line, NULL), 0);
		assert_int_equal(o.form, CASES[i].form);
		if (CASES[i].function)
			assert_string_equal(o.function, CASES[i].function);
	}
	assert_int_equal(parse(&o, "--min-share 0", NULL), 0);
	assert_true(o.min_share == 0);
	assert_int_equal(parse(&o, "--min-share 2.5%", NULL), 0);
	assert_true(o.min_share == 0.025);
}

static void kinds(void **state)
{
	static const struct {
		const char *line;
		enum view_kind kind;
	} CASES[] = {
		{"", VIEW_TEXT},
		{"-o -", VIEW_TEXT},
		{"--json", VIEW_JSON},
		{"--json --format json", VIEW_JSON},
		{"--json -o x", VIEW_JSON},
		{"-o x.txt", VIEW_TEXT},
		{"-o x.svg", VIEW_SVG},
		{"-o x.pb.gz", VIEW_PPROF},
		{"-o x.pprof", VIEW_PPROF},
		{"-o x.folded", VIEW_FOLDED},
		{"-o x.speedscope.json", VIEW_SPEEDSCOPE},
		{"-o x.firefox.json", VIEW_FIREFOX},
		{"-o x.svg --format folded", VIEW_FOLDED},
		{"-o x --format pprof", VIEW_PPROF},
		{"--format firefox", VIEW_FIREFOX},
		{"--callers f -o x.svg", VIEW_SVG},
		{"--tree -o x.pb.gz", VIEW_PPROF},
	};
	static const char *const BAD[] = {"-o x", "-o .svg", "-o x.json", "--format xml", "--format svg --json", "-o x.svg/", "--lines f -o x.svg", "--callers f -o x.folded", "--by pid -o x.svg", "--by pid --tree"};
	struct view_options o;

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		assert_int_equal(finished(&o, CASES[i].line, VIEW_TEXT, VIEW_ALLOW_ALL), 0);
		assert_int_equal(o.kind, CASES[i].kind);
	}
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_int_equal(finished(&o, BAD[i], VIEW_TEXT, VIEW_ALLOW_ALL), USAGE);
	assert_int_equal(finished(&o, "", VIEW_SVG, VIEW_ALLOW(VIEW_SVG)), 0);
	assert_int_equal(finished(&o, "-o x.txt", VIEW_SVG, VIEW_ALLOW(VIEW_SVG)), USAGE);
	assert_int_equal(finished(&o, "--json", VIEW_SVG, VIEW_ALLOW(VIEW_SVG)), USAGE);
	assert_int_equal(finished(&o, "-o -", VIEW_PPROF, VIEW_ALLOW(VIEW_PPROF)), 0);
	assert_null(o.output);
}

/* People get 30 rows, files and machines all. */
static void rows(void **state)
{
	static const struct {
		const char *line;
		uint64_t rows;
	} CASES[] = {{"", 30}, {"--json", 0}, {"-o x.txt", 0}, {"-n 5", 5}, {"-n 0", 0}, {"-n 5 --json", 5}, {"-o x.txt --rows 7", 7}};
	struct view_options o;

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		assert_int_equal(finished(&o, CASES[i].line, VIEW_TEXT, VIEW_ALLOW_ALL), 0);
		assert_int_equal(o.rows, CASES[i].rows);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selections), cmocka_unit_test(refused), cmocka_unit_test(forms), cmocka_unit_test(kinds), cmocka_unit_test(rows),
	};

	return cmocka_run_group_tests_name("agent/view_options", tests, NULL, NULL);
}
