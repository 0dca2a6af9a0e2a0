/* The options of all commands that show profiles: which samples, in which form, where to. */
#ifndef HEARTH_AGENT_VIEW_OPTIONS_H
#define HEARTH_AGENT_VIEW_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "pprof/profile_select.h"

enum view_form { VIEW_TOP, VIEW_TREE, VIEW_CALLERS, VIEW_CALLEES, VIEW_LINES, VIEW_BY };

/* What is written. The formats but text and JSON are those of agent/output.h. */
enum view_kind { VIEW_TEXT, VIEW_JSON, VIEW_PPROF, VIEW_FOLDED, VIEW_SVG, VIEW_SPEEDSCOPE, VIEW_FIREFOX };

enum view_color { VIEW_COLOR_AUTO, VIEW_COLOR_ALWAYS, VIEW_COLOR_NEVER };

/* Strings are argv's. */
struct view_options {
	const char *command; /* "report": for messages */
	struct profile_selection selection;
	const char *type; /* sample type; NULL: the profile's own */
	enum view_form form;
	const char *function; /* of callers, callees, lines */
	const char *by;	      /* label of VIEW_BY */
	uint64_t rows;	      /* of a table; 0: all; 30, when nobody says, of text on standard output, else all */
	double min_share;     /* of a tree's frames, of the total */
	const char *output;   /* NULL: standard output */
	const char *format;   /* NULL: by the output's extension */
	enum view_kind kind;  /* of view_options_finish() */
	const char *title;    /* of a picture; NULL: by the profile */
	bool icicle, json;
	enum view_color color;
};

enum view_option {
	VIEW_OPTION_OWN = 256, /* a command's own begin here */
	VIEW_OPTION_PROCESS = 2048,
	VIEW_OPTION_THREAD,
	VIEW_OPTION_PID,
	VIEW_OPTION_CONTAINER,
	VIEW_OPTION_UNIT,
	VIEW_OPTION_SERVICE,
	VIEW_OPTION_LABEL,
	VIEW_OPTION_USER_ONLY,
	VIEW_OPTION_KERNEL_ONLY,
	VIEW_OPTION_FOCUS,
	VIEW_OPTION_IGNORE,
	VIEW_OPTION_HIDE,
	VIEW_OPTION_SHOW,
	VIEW_OPTION_TYPE,
	VIEW_OPTION_BY,
	VIEW_OPTION_TREE,
	VIEW_OPTION_CALLERS,
	VIEW_OPTION_CALLEES,
	VIEW_OPTION_LINES,
	VIEW_OPTION_MIN_SHARE,
	VIEW_OPTION_JSON,
	VIEW_OPTION_COLOR,
	VIEW_OPTION_FORMAT,
	VIEW_OPTION_TITLE,
	VIEW_OPTION_ICICLE,
};

/* Entries for getopt_long(), and what --help says of them: a command takes those that it has. Short ones: VIEW_SHORT. */
#define VIEW_SHORT_SELECT "p:"
#define VIEW_OPTIONS_SELECT                                                                                                        \
	{"process", required_argument, NULL, VIEW_OPTION_PROCESS}, {"thread", required_argument, NULL, VIEW_OPTION_THREAD},        \
	{"pid", required_argument, NULL, VIEW_OPTION_PID}, {"container", required_argument, NULL, VIEW_OPTION_CONTAINER},          \
	{"unit", required_argument, NULL, VIEW_OPTION_UNIT}, {"service", required_argument, NULL, VIEW_OPTION_SERVICE},            \
	{"label", required_argument, NULL, VIEW_OPTION_LABEL}, {"user-only", no_argument, NULL, VIEW_OPTION_USER_ONLY},            \
	{"kernel-only", no_argument, NULL, VIEW_OPTION_KERNEL_ONLY}, {"focus", required_argument, NULL, VIEW_OPTION_FOCUS},        \
	{"ignore", required_argument, NULL, VIEW_OPTION_IGNORE}, {"hide", required_argument, NULL, VIEW_OPTION_HIDE},              \
	{"show", required_argument, NULL, VIEW_OPTION_SHOW}, {"type", required_argument, NULL, VIEW_OPTION_TYPE}
#define VIEW_HELP_SELECT                                                                                                            \
	"Which samples (all of these must hold):\n"                                                                                \
	"      --process NAME        of a process with that name\n"                                                                \
	"      --thread NAME         of a thread\n"                                                                                \
	"  -p, --pid PID             of one process\n"                                                                             \
	"      --container NAME      of a container\n"                                                                             \
	"      --unit NAME           of a systemd unit\n"                                                                          \
	"      --service NAME        of a service (docs/profiles.md)\n"                                                            \
	"      --label KEY=VALUE     any label of the profile\n"                                                                   \
	"      --user-only           user frames only\n"                                                                           \
	"      --kernel-only         kernel frames only\n"                                                                         \
	"      --focus REGEX         samples with a frame that REGEX matches\n"                                                    \
	"      --ignore REGEX        samples without\n"                                                                            \
	"      --hide REGEX          without the frames that REGEX matches\n"                                                      \
	"      --show REGEX          only the frames that REGEX matches\n"                                                         \
	"      --type NAME           sample type, such as cpu or samples (the profile's own)\n"

#define VIEW_SHORT_REPORT "n:"
#define VIEW_OPTIONS_REPORT                                                                                                        \
	VIEW_OPTIONS_BY, {"tree", no_argument, NULL, VIEW_OPTION_TREE}, {"callers", required_argument, NULL, VIEW_OPTION_CALLERS},                  \
	{"callees", required_argument, NULL, VIEW_OPTION_CALLEES}, {"lines", required_argument, NULL, VIEW_OPTION_LINES},          \
	{"min-share", required_argument, NULL, VIEW_OPTION_MIN_SHARE}, {"rows", required_argument, NULL, 'n'}, VIEW_OPTIONS_TEXT
#define VIEW_OPTIONS_BY	  {"by", required_argument, NULL, VIEW_OPTION_BY}
#define VIEW_OPTIONS_TEXT {"json", no_argument, NULL, VIEW_OPTION_JSON}, {"color", required_argument, NULL, VIEW_OPTION_COLOR}
#define VIEW_HELP_REPORT                                                                                                            \
	"Which text (a table of functions by self):\n"                                                                             \
	VIEW_HELP_BY                                                                                                               \
	"      --tree                what calls what, with shares of the total\n"                                                  \
	"      --callers FUNCTION    what calls it, up to the outermost\n"                                                         \
	"      --callees FUNCTION    what it calls\n"                                                                              \
	"      --lines FUNCTION      its source lines\n"                                                                           \
	"      --min-share PERCENT   frames of a tree below this share of the total are left out (1)\n"                            \
	"  -n, --rows N              rows of a table (30 in text on standard output), 0: all\n" VIEW_HELP_TEXT
#define VIEW_HELP_BY "      --by LABEL            not functions, but what each process (thread, pid, container, unit, ...) took\n"
#define VIEW_HELP_TEXT                                                                                                              \
	"      --json                one JSON object\n"                                                                            \
	"      --color WHEN          auto (on a terminal, without NO_COLOR), always or never\n"

#define VIEW_SHORT_OUTPUT "o:h"
#define VIEW_OPTIONS_OUTPUT                                                                                                        \
	{"output", required_argument, NULL, 'o'}, {"format", required_argument, NULL, VIEW_OPTION_FORMAT}, {"help", no_argument, NULL, 'h'}
#define VIEW_OPTIONS_PICTURE {"title", required_argument, NULL, VIEW_OPTION_TITLE}, {"icicle", no_argument, NULL, VIEW_OPTION_ICICLE}
#define VIEW_HELP_PICTURE                                                                                                           \
	"      --title TEXT          of a flame graph\n"                                                                           \
	"      --icicle              a flame graph with its root at the top\n"

void view_options_init(struct view_options *o, const char *command);

/* A command's own options: returns as view_options_parse(). */
typedef int (*view_option_fn)(void *context, int option);

/* All of argv; from VIEW_OPTION_OWN on they are the command's own (own NULL: it has none). optind is behind them then. Returns 0, or an
 * exit status + 1: after a message, or the text of --help. */
int view_options_parse(struct view_options *o, int argc, char **argv, const char *short_options, const struct option *options, const char *help, view_option_fn own,
		       void *context);

/* When all are taken: what is written. otherwise: what standard output gets, and a file without a known extension, when --format does not say. allowed: bits, 1 << kind.
 * Returns as view_options_parse(). */
int view_options_finish(struct view_options *o, enum view_kind otherwise, unsigned allowed);

#define VIEW_ALLOW(kind) (1u << (kind))
#define VIEW_ALLOW_ALL	 0xffu

/* "--process nginx --focus read", for people; "": none. Cut to bytes. */
void view_options_describe(const struct view_options *o, char *text, size_t bytes);

#endif
