#include "agent/view_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/arguments.h"
#include "agent/output.h"
#include "agent/values.h"
#include "base/regex.h"

#define DONE(status)  ((status) + 1)
#define ROWS_DEFAULT  30
#define ROWS_MAX      1000000
#define NOT_SAID      UINT64_MAX
#define SHARE_DEFAULT 0.01

static const struct {
	enum view_kind kind;
	const char *name, *extensions[2];
} KINDS[] = {
	{VIEW_TEXT, "text", {".txt"}},
	{VIEW_JSON, "json", {NULL}},
	{VIEW_PPROF, "pprof", {".pb.gz", ".pprof"}},
	{VIEW_FOLDED, "folded", {".folded"}},
	{VIEW_SVG, "svg", {".svg"}},
	{VIEW_SPEEDSCOPE, "speedscope", {".speedscope.json", ".speedscope"}},
	{VIEW_FIREFOX, "firefox", {".firefox.json", ".firefox"}},
};
#define N_KINDS (sizeof(KINDS) / sizeof(KINDS[0]))

void view_options_init(struct view_options *o, const char *command)
{
	*o = (struct view_options){.command = command, .rows = NOT_SAID, .min_share = SHARE_DEFAULT};
}

/* --- taking ----------------------------------------------------------------------------------------------------------- */

static int add_label(struct view_options *o, const char *key, const char *value)
{
	struct profile_selection *s = &o->selection;

	if (s->n_labels == PROFILE_SELECT_LABELS)
		return DONE(usage_error(o->command, "more than %d labels", PROFILE_SELECT_LABELS));
	s->labels[s->n_labels].key = key;
	s->labels[s->n_labels++].value = value;
	return 0;
}

static int take_pid(struct view_options *o, const char *text)
{
	uint64_t pid;

	return argument_uint("--pid", text, 0, INT32_MAX, &pid) ? add_label(o, "pid", text) : DONE(STATUS_USAGE);
}

/* KEY=VALUE: the key is cut off in place, as getopt's permutation writes to argv too. */
static int take_label(struct view_options *o, char *text)
{
	char *equal = strchr(text, '=');

	if (!equal || equal == text)
		return DONE(usage_error(o->command, "--label '%s' is not KEY=VALUE, such as namespace=shop", text));
	*equal = '\0';
	return add_label(o, text, equal + 1);
}

/* An expression is compiled here, so that a wrong one is wrong usage, before anything is read. */
static int take_regex(struct view_options *o, const char *option, const char *pattern, const char **pattern_out)
{
	struct regex *regex = NULL;
	struct why why = {"no memory"};

	if (*pattern_out)
		return DONE(usage_error(o->command, "%s twice: write one expression, A|B", option));
	if (regex_create(pattern, REGEX_SOMEWHERE, &regex, &why) < 0)
		return DONE(usage_error(o->command, "%s '%s' is no regular expression: %s", option, pattern, why.text));
	regex_destroy(regex);
	*pattern_out = pattern;
	return 0;
}

static int take_side(struct view_options *o, enum profile_side side)
{
	if (o->selection.side != PROFILE_BOTH_SIDES && o->selection.side != side)
		return DONE(usage_error(o->command, "--user-only and --kernel-only leave nothing"));
	o->selection.side = side;
	return 0;
}

static int take_form(struct view_options *o, enum view_form form, const char *function)
{
	if (o->form != VIEW_TOP)
		return DONE(usage_error(o->command, "one of --by, --tree, --callers, --callees and --lines"));
	o->form = form;
	o->function = function;
	return 0;
}

static int take_select(struct view_options *o, int option)
{
	switch (option) {
	case VIEW_OPTION_PROCESS:
		return add_label(o, "process", optarg);
	case VIEW_OPTION_THREAD:
		return add_label(o, "thread", optarg);
	case VIEW_OPTION_PID:
	case 'p':
		return take_pid(o, optarg);
	case VIEW_OPTION_CONTAINER:
		return add_label(o, "container", optarg);
	case VIEW_OPTION_UNIT:
		return add_label(o, "unit", optarg);
	case VIEW_OPTION_SERVICE:
		return add_label(o, "service", optarg);
	case VIEW_OPTION_LABEL:
		return take_label(o, optarg);
	case VIEW_OPTION_USER_ONLY:
		return take_side(o, PROFILE_USER_SIDE);
	case VIEW_OPTION_KERNEL_ONLY:
		return take_side(o, PROFILE_KERNEL_SIDE);
	case VIEW_OPTION_FOCUS:
		return take_regex(o, "--focus", optarg, &o->selection.focus);
	case VIEW_OPTION_IGNORE:
		return take_regex(o, "--ignore", optarg, &o->selection.ignore);
	case VIEW_OPTION_HIDE:
		return take_regex(o, "--hide", optarg, &o->selection.hide);
	default:
		return take_regex(o, "--show", optarg, &o->selection.show);
	}
}

static int take_color(struct view_options *o, const char *text)
{
	static const char *const NAMES[] = {[VIEW_COLOR_AUTO] = "auto", [VIEW_COLOR_ALWAYS] = "always", [VIEW_COLOR_NEVER] = "never", NULL};
	struct why why;
	int index;

	if (value_choice(text, NAMES, &index, &why) < 0)
		return DONE(usage_error(o->command, "--color: %s", why.text));
	o->color = (enum view_color)index;
	return 0;
}

static int take_share(struct view_options *o, const char *text)
{
	struct why why;

	if (strcmp(text, "0") == 0) {
		o->min_share = 0;
		return 0;
	}
	return value_percent(text, &o->min_share, &why) < 0 ? DONE(usage_error(o->command, "--min-share: %s", why.text)) : 0;
}

static int take(struct view_options *o, int option, const char *help)
{
	switch (option) {
	case VIEW_OPTION_TYPE:
		o->type = optarg;
		return 0;
	case VIEW_OPTION_BY:
		o->by = optarg;
		return take_form(o, VIEW_BY, NULL);
	case VIEW_OPTION_TREE:
		return take_form(o, VIEW_TREE, NULL);
	case VIEW_OPTION_CALLERS:
		return take_form(o, VIEW_CALLERS, optarg);
	case VIEW_OPTION_CALLEES:
		return take_form(o, VIEW_CALLEES, optarg);
	case VIEW_OPTION_LINES:
		return take_form(o, VIEW_LINES, optarg);
	case VIEW_OPTION_MIN_SHARE:
		return take_share(o, optarg);
	case 'n':
		return argument_uint("--rows", optarg, 0, ROWS_MAX, &o->rows) ? 0 : DONE(STATUS_USAGE);
	case VIEW_OPTION_JSON:
		o->json = true;
		return 0;
	case VIEW_OPTION_COLOR:
		return take_color(o, optarg);
	case 'o':
		if (o->output)
			return DONE(usage_error(o->command, "one output at a time"));
		o->output = optarg;
		return 0;
	case VIEW_OPTION_FORMAT:
		o->format = optarg;
		return 0;
	case VIEW_OPTION_TITLE:
		o->title = optarg;
		return 0;
	case VIEW_OPTION_ICICLE:
		o->icicle = true;
		return 0;
	case 'h':
		fputs(help, stdout);
		return DONE(STATUS_OK);
	default:
		if (option == 'p' || (option >= VIEW_OPTION_PROCESS && option <= VIEW_OPTION_SHOW))
			return take_select(o, option);
		fprintf(stderr, "hearth: see 'hearth %s --help'\n", o->command); /* getopt said what is wrong */
		return DONE(STATUS_USAGE);
	}
}

int view_options_parse(struct view_options *o, int argc, char **argv, const char *short_options, const struct option *options, const char *help, view_option_fn own,
		       void *context)
{
	int status = 0;

	optind = 0; /* from the beginning, whatever was parsed before */
	for (int option; status == 0 && (option = getopt_long(argc, argv, short_options, options, NULL)) >= 0;)
		status = own && option >= VIEW_OPTION_OWN && option < VIEW_OPTION_PROCESS ? own(context, option) : take(o, option, help);
	return status;
}

/* --- when all are taken ------------------------------------------------------------------------------------------------- */

static bool ends_in(const char *path, const char *end)
{
	size_t n = strlen(path), length = end ? strlen(end) : 0;

	return length && n > length && strcmp(path + n - length, end) == 0;
}

static bool kind_of_path(const char *path, enum view_kind *kind_out)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		for (size_t j = 0; j < 2; j++) {
			if (!ends_in(path, KINDS[i].extensions[j]))
				continue;
			*kind_out = KINDS[i].kind;
			return true;
		}
	}
	return false;
}

static bool kind_of_name(const char *name, enum view_kind *kind_out)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		if (strcmp(name, KINDS[i].name) != 0)
			continue;
		*kind_out = KINDS[i].kind;
		return true;
	}
	return false;
}

/* ".txt, .svg": of the kinds that are allowed. extensions: else names. */
static void list_kinds(unsigned allowed, bool extensions, char *text, size_t bytes)
{
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < N_KINDS && n < bytes; i++) {
		const char *word = extensions ? KINDS[i].extensions[0] : KINDS[i].name;
		if (word && (allowed & VIEW_ALLOW(KINDS[i].kind)))
			n += (size_t)snprintf(text + n, bytes - n, "%s%s", n ? ", " : "", word);
	}
}

static int refuse_kind(const struct view_options *o, unsigned allowed)
{
	const char *name = KINDS[o->kind].name;
	char names[160];

	list_kinds(allowed, false, names, sizeof(names));
	return DONE(usage_error(o->command, "this writes no %s, but %s", name, names));
}

int view_options_finish(struct view_options *o, enum view_kind otherwise, unsigned allowed)
{
	char names[160];

	if (o->output && strcmp(o->output, "-") == 0)
		o->output = NULL;
	if (o->json && o->format && strcmp(o->format, "json") != 0)
		return DONE(usage_error(o->command, "--json and --format %s: one of them", o->format));
	o->kind = otherwise;
	if (o->json) {
		o->kind = VIEW_JSON;
	} else if (o->format) {
		list_kinds(allowed, false, names, sizeof(names));
		if (!kind_of_name(o->format, &o->kind))
			return DONE(usage_error(o->command, "--format: '%s' is none of %s", o->format, names));
	} else if (o->output && !kind_of_path(o->output, &o->kind)) {
		list_kinds(allowed, true, names, sizeof(names));
		return DONE(usage_error(o->command, "'%s' has none of the extensions %s; give --format", o->output, names));
	}
	if (o->by && o->kind != VIEW_TEXT && o->kind != VIEW_JSON)
		return DONE(usage_error(o->command, "--by is text or JSON"));
	if (o->function && o->kind != VIEW_TEXT && o->kind != VIEW_JSON && (o->form == VIEW_LINES || o->kind != VIEW_SVG))
		return DONE(usage_error(o->command, "%s", o->form == VIEW_LINES ? "--lines is text or JSON" : "--callers and --callees are text, JSON or SVG"));
	if (o->rows == NOT_SAID)
		o->rows = o->kind == VIEW_TEXT && !o->output ? ROWS_DEFAULT : 0;
	return allowed & VIEW_ALLOW(o->kind) ? 0 : refuse_kind(o, allowed);
}

void view_options_describe(const struct view_options *o, char *text, size_t bytes)
{
	const struct profile_selection *s = &o->selection;
	const char *const expressions[][2] = {{"focus", s->focus}, {"ignore", s->ignore}, {"hide", s->hide}, {"show", s->show}};
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < s->n_labels && n < bytes; i++)
		n += (size_t)snprintf(text + n, bytes - n, "%s%s=%s", n ? ", " : "", s->labels[i].key, s->labels[i].value);
	for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]) && n < bytes; i++)
		if (expressions[i][1])
			n += (size_t)snprintf(text + n, bytes - n, "%s%s /%s/", n ? ", " : "", expressions[i][0], expressions[i][1]);
	if (s->side != PROFILE_BOTH_SIDES && n < bytes)
		snprintf(text + n, bytes - n, "%s%s only", n ? ", " : "", s->side == PROFILE_USER_SIDE ? "user" : "kernel");
}
