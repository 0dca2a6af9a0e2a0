#include "agent/view.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/arguments.h"
#include "agent/output.h"
#include "agent/profile_file.h"
#include "agent/reading_process.h"
#include "agent/view_labels.h"
#include "agent/view_load.h"
#include "agent/view_page.h"
#include "base/scope.h"
#include "pprof/encode.h"
#include "pprof/flame_tree.h"
#include "pprof/render.h"

#define WIDTH_LEAST 40
#define WIDTH_MAX   2000

/* A view on its way. What the second process makes of it stays there. */
struct running {
	const struct view *view;
	int fds[2 * VIEW_FILES_MAX]; /* of input.files, then of base.files */
	size_t n_fds;
	struct output_file output;
	sigset_t signals_before;
	unsigned width;
	bool color;
};

int view_take_files(struct view *view, int n, char **files, bool may_default)
{
	static const char *const DEFAULT[] = {VIEW_FILE_DEFAULT};
	const char *command = view->options.command;
	int from_stdin = 0;

	if (n > VIEW_FILES_MAX)
		return 1 + usage_error(command, "more than %d files: merge some first", VIEW_FILES_MAX);
	if (!n && (!may_default || access(VIEW_FILE_DEFAULT, F_OK) < 0))
		return 1 + usage_error(command, may_default ? "name a pprof file: there is no " VIEW_FILE_DEFAULT " here" : "name pprof files");
	for (int i = 0; i < n; i++)
		from_stdin += strcmp(files[i], "-") == 0;
	if (from_stdin > 1)
		return 1 + usage_error(command, "- twice: there is one standard input");
	view->input.files = n ? (const char *const *)files : DEFAULT;
	view->input.n_files = n ? (size_t)n : 1;
	return 0;
}

/* --- before: with rights, without a foreign byte ------------------------------------------------------------------------------------ */

static int open_files(struct running *r, const struct view_input *input)
{
	struct why why;

	for (size_t i = 0; i < input->n_files; i++) {
		if (profile_file_open(input->files[i], &r->fds[r->n_fds], &why) < 0) {
			fprintf(stderr, "hearth: %s\n", why.text);
			return -EINVAL;
		}
		r->n_fds++;
	}
	return 0;
}

static int check_store(const char *folder)
{
	struct stat status;

	bool is_there = stat(folder, &status) == 0;
	if (is_there && !S_ISDIR(status.st_mode))
		fprintf(stderr, "hearth: '%s' is no folder with a store\n", folder);
	else if (is_there && access(folder, R_OK | X_OK) == 0)
		return 0;
	else if (errno == EACCES)
		fprintf(stderr, "hearth: the store in '%s' may not be read by you; run this as root (sudo), or as the user whose it is\n", folder);
	else if (errno == ENOENT)
		fprintf(stderr, "hearth: there is no store in '%s'; 'hearth agent' makes one (root's is in /var/lib/hearth), --store names another\n", folder);
	else
		fprintf(stderr, "hearth: the store in '%s': %s\n", folder, strerror(errno));
	return -ENOENT;
}

/* A picture on a terminal helps nobody. */
static int check_terminal(const struct view *view)
{
	enum view_kind kind = view->options.kind;

	if (view->options.output || kind == VIEW_TEXT || kind == VIEW_JSON || kind == VIEW_FOLDED || !isatty(STDOUT_FILENO))
		return 0;
	usage_error(view->options.command, "standard output is a terminal: name a file with -o, such as -o %s, or use > or |",
		    kind == VIEW_SVG	      ? "profile.svg"
		    : kind == VIEW_PPROF      ? "profile.pb.gz"
		    : kind == VIEW_SPEEDSCOPE ? "profile.speedscope.json"
					      : "profile.firefox.json");
	return -EINVAL;
}

static unsigned terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	unsigned width = 0;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		width = size.ws_col;
	else if (columns)
		width = (unsigned)strtoul(columns, NULL, 10);
	return width > WIDTH_MAX ? WIDTH_MAX : width && width < WIDTH_LEAST ? WIDTH_LEAST : width;
}

static void look_at_terminal(struct running *r)
{
	const struct view_options *o = &r->view->options;
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool is_terminal = !o->output && isatty(STDOUT_FILENO);

	r->width = is_terminal ? terminal_width() : 0;
	r->color = o->color == VIEW_COLOR_ALWAYS ||
		   (o->color == VIEW_COLOR_AUTO && is_terminal && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0);
}

/* --- in the process without rights --------------------------------------------------------------------------------------------------- */

static int say(int err, const struct why *why)
{
	fprintf(stderr, "hearth: %s\n", why->text[0] ? why->text : strerror(-err));
	return STATUS_FAILED;
}

static int load(const struct running *r, bool base, struct view_part *part)
{
	const struct view *v = r->view;
	const struct view_input *input = base ? &v->base : &v->input;
	struct view_source source = {
		.store = v->store,
		.from_ns = input->from_ns,
		.to_ns = input->to_ns,
		.names = input->files,
		.fds = r->fds + (base ? v->input.n_files : 0),
		.n_files = input->n_files,
	};
	struct why why;

	int err = view_load(&source, &v->options, part, &why);
	if (err < 0)
		return say(err, &why);
	if (part->missing.text[0])
		fprintf(stderr, "hearth: warning: %s\n", part->missing.text);
	return 0;
}

static int write_picture(const struct running *r, const struct view_page *page, FILE *stream)
{
	const struct view_options *o = &r->view->options;
	char title[3 * VIEW_SUBJECT_MAX], only[200];

	view_options_describe(o, only, sizeof(only));
	snprintf(title, sizeof(title), "%s%s%s%s%s%s%.100s", page->subject, page->base ? " compared with " : "", page->base ? page->base_subject : "", *only ? ", " : "", only,
		 !page->function ? "" : o->form == VIEW_CALLERS ? ", callers of " : ", callees of ", page->function ? page->function : "");
	const struct flame_options part = {.function = page->function, .from_leaf = o->form == VIEW_CALLERS};
	struct profile_svg_options svg = {.title = o->title ? o->title : title, .icicle = o->icicle, .tree = page->function ? &part : NULL};
	return page->base ? profile_write_diff_svg(page->profile, page->base, page->value, &svg, stream) : profile_write_svg(page->profile, page->value, &svg, stream);
}

static int write_stream(const struct running *r, const struct view_page *page, FILE *stream)
{
	const struct view_options *o = &r->view->options;

	switch (o->kind) {
	case VIEW_TEXT:
		return view_write_text(page, stream);
	case VIEW_JSON:
		return view_write_json(page, stream);
	case VIEW_FOLDED: /* counts of samples, unless another type was asked for */
		return profile_write_folded(page->profile, o->type ? page->value : PROFILE_NONE, stream);
	case VIEW_SPEEDSCOPE:
		return profile_write_speedscope(page->profile, page->subject, stream);
	case VIEW_FIREFOX:
		return profile_write_firefox(page->profile, page->subject, stream);
	default:
		return write_picture(r, page, stream);
	}
}

/* The whole content first: an error of writing keeps its errno, which stdio loses, and a failure leaves nothing half written. */
static int make(const struct running *r, const struct view_page *page, uint8_t **bytes_out, size_t *n_out)
{
	char *text = NULL;
	size_t n = 0;

	if (r->view->options.kind == VIEW_PPROF)
		return profile_encode(page->profile, bytes_out, n_out);
	FILE *stream = open_memstream(&text, &n);
	if (!stream)
		return -errno;
	int err = write_stream(r, page, stream);
	if (fclose(stream) != 0 && err == 0)
		err = -ENOMEM;
	if (err < 0) {
		free(text);
		return err;
	}
	*bytes_out = (uint8_t *)text;
	*n_out = n;
	return 0;
}

/* The type that was asked for is the profile's own from here on: some formats have one only. */
static void prefer_type(struct profile *profile, const char *type)
{
	struct why why;
	uint32_t value;

	if (type && view_find_type(profile, type, &value, &why) == 0)
		profile->default_sample_type = profile->sample_types[value].type;
}

static bool has_label(const struct profile *p, const char *key)
{
	for (size_t i = 0; i < p->n_labels; i++)
		if (strcmp(profile_string(p, p->labels[i].key), key) == 0)
			return true;
	return false;
}

static int check_label(const struct view_page *page, struct why *why)
{
	const char *key = page->options->by;
	char keys[300];

	if (has_label(page->profile, key) || (page->base && has_label(page->base, key)))
		return 0;
	label_keys_list(page->profile, keys, sizeof(keys));
	return why_set(why, -ENOENT, "--by: no sample has a label '%.80s'%s%s", key, *keys ? "; there are " : "", keys);
}

static int show(const struct running *r, struct view_page *page)
{
	AUTO_FREE uint8_t *bytes = NULL;
	AUTO_FREE char *function = NULL;
	struct why why = {""};
	size_t n = 0;

	int err = view_find_type(page->profile, page->options->type, &page->value, &why);
	if (err == 0 && page->base)
		err = view_find_type(page->base, profile_string(page->profile, page->profile->sample_types[page->value].type), &page->base_value, &why);
	if (err == 0 && page->options->function)
		err = view_find_function(page, page->options->function, &function, &why);
	page->function = function;
	if (err == 0 && page->options->by)
		err = check_label(page, &why);
	if (err == 0)
		err = make(r, page, &bytes, &n);
	if (err == 0)
		err = output_file_write(&r->output, bytes, n, &why);
	return err < 0 ? say(err, &why) : STATUS_OK;
}

/* A comparison may have one side without samples: what is new was not there before. */
static const struct why *why_empty(const struct view_part *now, const struct view_part *base)
{
	if (base && base->profile && base->empty.text[0] == '\0')
		return NULL;
	return now->empty.text[0] ? &now->empty : NULL;
}

static int read_and_write(void *context)
{
	const struct running *r = context;
	const struct view *v = r->view;
	struct view_part now = {0}, base = {0};

	int status = load(r, false, &now);
	if (status == 0 && v->has_base)
		status = load(r, true, &base);
	const struct why *empty = status == 0 ? why_empty(&now, v->has_base ? &base : NULL) : NULL;
	if (empty && v->options.kind != VIEW_PPROF)
		status = say(0, empty);
	if (status == 0) {
		prefer_type(now.profile, v->options.type);
		struct view_page page = {
			.options = &v->options,
			.profile = now.profile,
			.base = v->has_base ? base.profile : NULL,
			.subject = now.subject,
			.base_subject = base.subject,
			.width = r->width,
			.color = r->color,
		};
		status = show(r, &page);
	}
	view_part_deinit(&now);
	view_part_deinit(&base);
	return status;
}

/* --- both ------------------------------------------------------------------------------------------------------------------------------ */

/* From the first moment that a file is there which must not stay: reading_process_run() takes signals that come. Opening a FIFO may last, and makes none. */
static void hold_signals(struct running *r)
{
	const char *path = r->view->options.output;
	struct stat status;
	sigset_t ending;

	sigemptyset(&ending);
	if (!path || stat(path, &status) < 0 || !S_ISFIFO(status.st_mode)) {
		sigaddset(&ending, SIGINT);
		sigaddset(&ending, SIGTERM);
		sigaddset(&ending, SIGHUP);
	}
	sigprocmask(SIG_BLOCK, &ending, &r->signals_before);
}

static int prepare(struct running *r)
{
	const struct view *v = r->view;
	struct why why;

	int err = check_terminal(v);
	if (err < 0)
		return STATUS_USAGE;
	if (v->store ? check_store(v->store) < 0 : open_files(r, &v->input) < 0 || open_files(r, &v->base) < 0)
		return STATUS_FAILED;
	hold_signals(r);
	err = output_begin(v->options.output ? v->options.output : "-", &r->output, &why);
	if (err < 0)
		return say(err, &why);
	look_at_terminal(r);
	/* What the other process could not open: the zone, the widths of characters. */
	tzset();
	setlocale(LC_CTYPE, "C.UTF-8");
	return 0;
}

int view_run(struct view *view)
{
	struct running r = {.view = view, .output = {.fd = -1}};
	int number = 0;
	const struct reading_options options = {.folder = view->store, .bare = view->bare};
	struct why why;

	sigprocmask(SIG_BLOCK, NULL, &r.signals_before);
	int status = prepare(&r);
	if (status == 0) {
		status = reading_process_run(&options, read_and_write, &r, &number, &why);
		if (status < 0)
			status = say(status, &why);
	}
	if (output_end(&r.output, status == 0 && !number, &why) < 0)
		status = say(0, &why);
	for (size_t i = 0; i < r.n_fds; i++)
		close(r.fds[i]);
	sigprocmask(SIG_SETMASK, &r.signals_before, NULL);
	if (number) {
		signal(number, SIG_DFL);
		raise(number);
	}
	return status;
}
