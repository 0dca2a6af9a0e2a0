/* view_write_text(): tables and trees for people. */
#include "agent/view_labels.h"
#include "agent/view_page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/scope.h"
#include "pprof/flame_tree.h"
#include "pprof/format_value.h"
#include "pprof/function_table.h"

#define LEVELS_MAX    40 /* of a tree's branches that are drawn; deeper ones stand side by side */
#define NARROW	      78 /* columns: below, shares without values */
#define NAME_LEAST    8  /* columns that a name gets always */
#define SHARE_HOT     0.05
#define SHARE_WARM    0.005

enum ink { INK_NONE, INK_HOT, INK_WARM, INK_COOL, INK_DIM };
static const char *const CODES[] = {"", "\033[31m", "\033[32m", "\033[36m", "\033[2m"};

/* --- cells ---------------------------------------------------------------------------------------------------------------------- */

/* Bytes of text that fit in some columns; columns_out: those that they take. */
static size_t fit(const char *text, size_t columns, size_t *columns_out)
{
	mbstate_t state = {0};
	size_t at = 0, used = 0, n = strlen(text);

	while (at < n) {
		wchar_t c;
		size_t bytes = mbrtowc(&c, text + at, n - at, &state);
		int width = bytes == (size_t)-1 || bytes == (size_t)-2 ? -1 : wcwidth(c);
		if (width < 0) { /* it cannot be: text of a profile is clean */
			memset(&state, 0, sizeof(state));
			bytes = 1;
			width = 1;
		}
		if (used + (size_t)width > columns)
			break;
		used += (size_t)width;
		at += bytes;
	}
	*columns_out = used;
	return at;
}

static void ink(const struct view_page *page, enum ink which, FILE *stream)
{
	if (page->color && which != INK_NONE)
		fputs(CODES[which], stream);
}

static void no_ink(const struct view_page *page, enum ink which, FILE *stream)
{
	if (page->color && which != INK_NONE)
		fputs("\033[m", stream);
}

/* To the right of some columns. */
static void put_right(const struct view_page *page, const char *text, size_t columns, enum ink which, FILE *stream)
{
	size_t used;

	fit(text, SIZE_MAX, &used);
	for (; used < columns; used++)
		fputc(' ', stream);
	ink(page, which, stream);
	fputs(text, stream);
	no_ink(page, which, stream);
}

static void put_value(const struct view_page *page, int64_t value, FILE *stream)
{
	const struct profile_value_type *type = &page->profile->sample_types[page->value];
	char text[64];

	/* The unit of counts is in the head: "1,234". */
	if (strcmp(profile_string(page->profile, type->unit), "nanoseconds") == 0 || strcmp(profile_string(page->profile, type->unit), "bytes") == 0)
		format_value(value, "", profile_string(page->profile, type->unit), text, sizeof(text));
	else
		format_count(value, text, sizeof(text));
	put_right(page, text, 10, INK_NONE, stream);
}

static double share_of(int64_t value, int64_t total)
{
	return total ? (double)value / (double)total : 0;
}

static enum ink ink_of(double share)
{
	return share >= SHARE_HOT ? INK_HOT : share >= SHARE_WARM ? INK_WARM : INK_NONE;
}

static void put_share(const struct view_page *page, double share, enum ink which, FILE *stream)
{
	char text[32];

	snprintf(text, sizeof(text), "%.2f %%", 100 * share);
	put_right(page, text, 10, which, stream);
}

/* "+1.23 %": points of a hundred. */
static void put_change(const struct view_page *page, double change, FILE *stream)
{
	char text[32];

	snprintf(text, sizeof(text), "%+.2f %%", 100 * change);
	enum ink which = change >= SHARE_WARM ? INK_HOT : change <= -SHARE_WARM ? INK_COOL : INK_NONE;
	put_right(page, text, 10, which, stream);
}

/* The last part of a path; "[libc.so.6+0x1234]" names its module itself. */
static const char *module_name(const char *name, const char *module, bool is_kernel)
{
	const char *slash = strrchr(module, '/');

	if (name[0] == '[' || !*module)
		return is_kernel ? "kernel" : "";
	return is_kernel ? "kernel" : slash && slash[1] ? slash + 1 : module;
}

/* A name, and its module where there is room, behind used columns; ends the line. */
static void put_name(const struct view_page *page, const char *name, const char *module, size_t used, FILE *stream)
{
	size_t room = page->width > used + NAME_LEAST ? page->width - used : NAME_LEAST, columns, module_columns;

	if (!page->width)
		room = SIZE_MAX;
	fit(name, SIZE_MAX, &columns);
	if (columns > room) {
		size_t n = fit(name, room - 1, &columns);
		fprintf(stream, "%.*s…\n", (int)n, name);
		return;
	}
	fputs(name, stream);
	fit(module, SIZE_MAX, &module_columns);
	if (*module && (room == SIZE_MAX || columns + module_columns + 4 <= room)) {
		ink(page, INK_DIM, stream);
		fprintf(stream, "  (%s)", module);
		no_ink(page, INK_DIM, stream);
	}
	fputc('\n', stream);
}

/* --- the head ------------------------------------------------------------------------------------------------------------------- */

/* The rest of a line, behind used columns, cut where the terminal ends. */
static void put_rest_of_line(const struct view_page *page, const char *text, size_t used, FILE *stream)
{
	size_t room = page->width > used + NAME_LEAST ? page->width - used : NAME_LEAST, columns;
	size_t n = page->width ? fit(text, room, &columns) : strlen(text);

	if (text[n])
		n = fit(text, room - 1, &columns);
	fprintf(stream, "%.*s%s\n", (int)n, text, text[n] ? "…" : "");
}

static void put_line(const struct view_page *page, const char *key, const char *text, FILE *stream)
{
	ink(page, INK_DIM, stream);
	fprintf(stream, "%-9s ", key);
	no_ink(page, INK_DIM, stream);
	put_rest_of_line(page, text, 10, stream);
}

/* "3.45 s in 10.0 s, 1,234 samples" */
static void describe_total(const struct profile *p, uint32_t value, char *text, size_t bytes)
{
	const struct profile_value_type *type = &p->sample_types[value];
	char whole[64], duration[64] = "";

	format_value(profile_total(p, value), profile_string(p, type->type), profile_string(p, type->unit), whole, sizeof(whole));
	if (p->duration_ns > 0)
		format_value(p->duration_ns, "", "nanoseconds", duration, sizeof(duration));
	size_t n = (size_t)snprintf(text, bytes, "%s%s%s", whole, *duration ? " in " : "", duration);
	for (uint32_t i = 0; i < p->n_sample_types && n < bytes; i++) {
		char count[48];
		if (i == value || strcmp(profile_string(p, p->sample_types[i].type), "samples") != 0)
			continue;
		format_count(profile_total(p, i), count, sizeof(count));
		snprintf(text + n, bytes - n, ", %s samples", count);
		return;
	}
}

static void put_head(const struct view_page *page, FILE *stream)
{
	const struct profile *p = page->profile;
	const char *type = profile_string(p, p->sample_types[page->value].type);
	char text[256];

	put_line(page, page->base ? "now" : "of", page->subject, stream);
	describe_total(p, page->value, text, sizeof(text));
	put_line(page, type, text, stream);
	if (page->base) {
		put_line(page, "before", page->base_subject, stream);
		describe_total(page->base, page->base_value, text, sizeof(text));
		put_line(page, type, text, stream);
	}
	view_options_describe(page->options, text, sizeof(text));
	if (*text)
		put_line(page, "only", text, stream);
	for (size_t i = 0; i < p->n_comments && !page->base; i++)
		put_line(page, "comment", profile_string(p, p->comments[i]), stream);
	fputc('\n', stream);
}

static void put_titles(const struct view_page *page, const char *const *titles, size_t n, FILE *stream)
{
	ink(page, INK_DIM, stream);
	for (size_t i = 0; i + 1 < n; i++)
		put_right(page, titles[i], 10, INK_NONE, stream);
	fprintf(stream, "  %s", titles[n - 1]);
	no_ink(page, INK_DIM, stream);
	fputc('\n', stream);
}

static void put_rest(const struct view_page *page, size_t n, size_t shown, const char *what, FILE *stream)
{
	char count[48], text[128];

	if (shown >= n)
		return;
	format_count((int64_t)(n - shown), count, sizeof(count));
	snprintf(text, sizeof(text), "and %s %s more: -n 0 shows all", count, what);
	put_rest_of_line(page, text, 0, stream);
}

static size_t rows_shown(const struct view_page *page, size_t n)
{
	return page->options->rows && page->options->rows < n ? (size_t)page->options->rows : n;
}

static bool is_narrow(const struct view_page *page)
{
	return page->width && page->width < NARROW;
}

/* --- tables --------------------------------------------------------------------------------------------------------------------- */

static int put_top(const struct view_page *page, FILE *stream)
{
	static const char *const WIDE[] = {"self", "", "total", "", "function (module)"}, *const SHORT[] = {"self", "total", "function (module)"};
	int64_t total = profile_total(page->profile, page->value);
	AUTO_FREE struct function_row *rows = NULL;
	bool narrow = is_narrow(page);
	size_t n = 0;

	int err = function_table_create(page->profile, NULL, page->value, &rows, &n);
	if (err < 0)
		return err;
	size_t shown = rows_shown(page, n);
	put_titles(page, narrow ? SHORT : WIDE, narrow ? 3 : 5, stream);
	for (size_t i = 0; i < shown; i++) {
		const struct function_row *row = &rows[i];
		double self = share_of(row->self, total), all = share_of(row->total, total);
		if (!narrow)
			put_value(page, row->self, stream);
		put_share(page, self, ink_of(self), stream);
		if (!narrow)
			put_value(page, row->total, stream);
		put_share(page, all, ink_of(all), stream);
		fputs("  ", stream);
		put_name(page, row->name, module_name(row->name, row->module, row->is_kernel), narrow ? 22 : 42, stream);
	}
	put_rest(page, n, shown, "functions", stream);
	return 0;
}

static int put_comparison(const struct view_page *page, FILE *stream)
{
	static const char *const WIDE[] = {"before", "now", "change", "of total", "function (module)"}, *const SHORT[] = {"now", "change", "function (module)"};
	int64_t total = profile_total(page->profile, page->value), base_total = profile_total(page->base, page->base_value);
	AUTO_FREE struct function_row *rows = NULL;
	bool narrow = is_narrow(page);
	size_t n = 0;

	int err = function_table_create(page->profile, page->base, page->value, &rows, &n);
	if (err < 0)
		return err;
	size_t shown = rows_shown(page, n);
	put_titles(page, narrow ? SHORT : WIDE, narrow ? 3 : 5, stream);
	for (size_t i = 0; i < shown; i++) {
		const struct function_row *row = &rows[i];
		double before = share_of(row->base_self, base_total), now = share_of(row->self, total);
		if (!narrow)
			put_share(page, before, INK_NONE, stream);
		put_share(page, now, INK_NONE, stream);
		put_change(page, now - before, stream);
		if (!narrow)
			put_change(page, share_of(row->total, total) - share_of(row->base_total, base_total), stream);
		fputs("  ", stream);
		put_name(page, row->name, module_name(row->name, row->module, row->is_kernel), narrow ? 22 : 42, stream);
	}
	put_rest(page, n, shown, "functions", stream);
	return 0;
}

static void put_label(const struct view_page *page, const struct label_row *row, bool narrow, FILE *stream)
{
	double now = share_of(row->value, profile_total(page->profile, page->value));

	if (page->base) {
		double before = share_of(row->base_value, profile_total(page->base, page->base_value));
		if (!narrow)
			put_share(page, before, INK_NONE, stream);
		put_share(page, now, INK_NONE, stream);
		put_change(page, now - before, stream);
	} else {
		put_value(page, row->value, stream);
		put_share(page, now, ink_of(now), stream);
	}
	fputs("  ", stream);
	put_name(page, *row->text ? row->text : "(none)", row->process, page->base && !narrow ? 32 : 22, stream);
}

static int put_by_label(const struct view_page *page, FILE *stream)
{
	AUTO_FREE struct label_row *rows = NULL;
	const char *titles[4];
	bool narrow = is_narrow(page);
	size_t n = 0, n_titles = 0;

	int err = label_table_create(page->profile, page->value, page->base, page->base_value, page->options->by, &rows, &n);
	if (err < 0)
		return err;
	if (page->base && !narrow)
		titles[n_titles++] = "before";
	titles[n_titles++] = page->base ? "now" : "total";
	titles[n_titles++] = page->base ? "change" : "";
	titles[n_titles++] = page->options->by;
	put_titles(page, titles, n_titles, stream);
	size_t shown = rows_shown(page, n);
	for (size_t i = 0; i < shown; i++)
		put_label(page, &rows[i], narrow, stream);
	put_rest(page, n, shown, "rows", stream);
	return 0;
}

static int put_lines(const struct view_page *page, FILE *stream)
{
	static const char *const WIDE[] = {"self", "", "total", "", "line"}, *const SHORT[] = {"self", "total", "line"};
	int64_t total = profile_total(page->profile, page->value);
	AUTO_FREE struct line_row *rows = NULL;
	bool narrow = is_narrow(page);
	size_t n = 0;

	int err = line_table_create(page->profile, page->value, page->function, &rows, &n);
	if (err < 0)
		return err;
	put_line(page, "function", page->function, stream);
	fputc('\n', stream);
	size_t shown = rows_shown(page, n);
	put_titles(page, narrow ? SHORT : WIDE, narrow ? 3 : 5, stream);
	for (size_t i = 0; i < shown; i++) {
		double self = share_of(rows[i].self, total), all = share_of(rows[i].total, total);
		AUTO_FREE char *place = NULL;
		if (!narrow)
			put_value(page, rows[i].self, stream);
		put_share(page, self, ink_of(self), stream);
		if (!narrow)
			put_value(page, rows[i].total, stream);
		put_share(page, all, ink_of(all), stream);
		fputs("  ", stream);
		int length = rows[i].line ? asprintf(&place, "%s:%" PRId64, *rows[i].file ? rows[i].file : "?", rows[i].line)
					  : asprintf(&place, "%s", *rows[i].file ? rows[i].file : "(line unknown)");
		if (length < 0) {
			place = NULL;
			return -ENOMEM;
		}
		put_name(page, place, "", narrow ? 22 : 42, stream);
	}
	put_rest(page, n, shown, "lines", stream);
	return 0;
}

/* --- trees ---------------------------------------------------------------------------------------------------------------------- */

/* Children of each node, the largest first; those of node i are children[first[i]] .. children[first[i + 1]]. */
struct branches {
	const struct flame_tree *tree;
	uint32_t *children, *first;
	int64_t least; /* smaller nodes are not shown */
	bool left_out; /* there were some */
};

/* One node whose children are on the way. */
struct open_node {
	uint32_t node, at, end; /* children that are still to come */
	uint16_t level;
};

struct tree_text {
	const struct view_page *page;
	struct branches branches;
	int64_t total;
	bool has_self; /* of callers it is where stacks begin, which tells nothing */
	size_t levels_max;
	bool more[LEVELS_MAX]; /* of a level: siblings follow, so that its line goes on */
	FILE *stream;
};

static int by_value(const void *a, const void *b, void *context)
{
	const struct flame_tree *t = context;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;

	if (t->nodes[i].value != t->nodes[j].value)
		return t->nodes[i].value < t->nodes[j].value ? 1 : -1;
	return i < j ? -1 : i > j;
}

static int branches_init(struct branches *b, const struct flame_tree *tree, int64_t least)
{
	size_t n = tree->n_nodes;

	*b = (struct branches){.tree = tree, .least = least};
	b->children = malloc((n + 1) * sizeof(b->children[0]));
	b->first = calloc(n + 2, sizeof(b->first[0]));
	if (!b->children || !b->first)
		return -ENOMEM;
	for (size_t i = 1; i < n; i++)
		b->first[tree->nodes[i].parent + 2]++;
	for (size_t i = 2; i < n + 2; i++)
		b->first[i] += b->first[i - 1];
	for (uint32_t i = 1; i < n; i++)
		b->children[b->first[tree->nodes[i].parent + 1]++] = i;
	for (size_t i = 0; i < n; i++)
		qsort_r(b->children + b->first[i], b->first[i + 1] - b->first[i], sizeof(b->children[0]), by_value, (void *)(uintptr_t)tree);
	return 0;
}

static void branches_deinit(struct branches *b)
{
	free(b->children);
	free(b->first);
}

/* The end of the children that are large enough. */
static uint32_t shown_end(struct branches *b, uint32_t node)
{
	uint32_t end = b->first[node];

	while (end < b->first[node + 1] && b->tree->nodes[b->children[end]].value >= b->least)
		end++;
	b->left_out = b->left_out || end < b->first[node + 1];
	return end;
}

static void put_node(const struct tree_text *x, uint32_t node, size_t level, bool begins_branch)
{
	const struct flame_node *n = &x->branches.tree->nodes[node];
	const struct flame_tree *t = x->branches.tree;
	bool narrow = is_narrow(x->page);
	double all = share_of(n->value, x->total), self = share_of(n->self, x->total);
	size_t used = (narrow ? 12u : 22u) + (x->has_self ? 10u : 0u) + 2 * level;

	if (!narrow)
		put_value(x->page, n->value, x->stream);
	put_share(x->page, all, ink_of(all), x->stream);
	if (x->has_self)
		put_share(x->page, self, ink_of(self), x->stream);
	fputs("  ", x->stream);
	ink(x->page, INK_DIM, x->stream);
	for (size_t i = 0; i < level; i++) {
		bool is_own = begins_branch && i + 1 == level;
		fputs(is_own ? (x->more[i] ? "├ " : "└ ") : x->more[i] ? "│ " : "  ", x->stream);
	}
	no_ink(x->page, INK_DIM, x->stream);
	put_name(x->page, t->names[n->name], module_name(t->names[n->name], t->modules[n->module], n->is_kernel), used, x->stream);
}

/* In pre-order, without recursion: a stranger's stacks may be deep. A frame that alone goes on from another stands below it; where several do, each begins a branch. */
static int put_nodes(struct tree_text *x, uint32_t root)
{
	AUTO_FREE struct open_node *open = malloc((x->branches.tree->depth + 2) * sizeof(*open));
	size_t n = 0;

	if (!open)
		return -ENOMEM;
	put_node(x, root, 0, false);
	open[n++] = (struct open_node){root, x->branches.first[root], shown_end(&x->branches, root), 0};
	while (n) {
		struct open_node *top = &open[n - 1];
		uint32_t begin = x->branches.first[top->node];
		if (top->at == top->end) {
			n--;
			continue;
		}
		bool branches = top->end - begin > 1 && top->level < x->levels_max;
		uint16_t level = (uint16_t)(top->level + branches);
		uint32_t child = x->branches.children[top->at++];
		if (branches)
			x->more[level - 1] = top->at < top->end;
		put_node(x, child, level, branches);
		open[n++] = (struct open_node){child, x->branches.first[child], shown_end(&x->branches, child), level};
	}
	return 0;
}

static void put_tree_titles(const struct tree_text *x)
{
	const char *titles[4];
	size_t n = 0;

	titles[n++] = "total";
	if (!is_narrow(x->page))
		titles[n++] = "";
	if (x->has_self)
		titles[n++] = "self";
	titles[n++] = "function (module)";
	put_titles(x->page, titles, n, x->stream);
}

static int put_whole_tree(const struct view_page *page, const struct flame_tree *tree, FILE *stream)
{
	struct tree_text x = {
		.page = page,
		.total = profile_total(page->profile, page->value),
		.has_self = page->options->form != VIEW_CALLERS,
		.levels_max = LEVELS_MAX,
		.stream = stream,
	};
	bool is_part = page->options->form != VIEW_TREE;
	char note[128];

	/* Half of what the numbers leave is for names. */
	if (page->width && x.levels_max > (page->width - (is_narrow(page) ? 22 : 32)) / 4)
		x.levels_max = (page->width - (is_narrow(page) ? 22 : 32)) / 4;
	if (x.levels_max > LEVELS_MAX)
		x.levels_max = LEVELS_MAX;
	if (is_part) {
		put_line(page, page->options->form == VIEW_CALLERS ? "callers" : "callees", page->function, stream);
		fputc('\n', stream);
	}
	put_tree_titles(&x);
	double least = page->options->min_share * (double)x.total;
	int err = branches_init(&x.branches, tree, least > 1 ? (int64_t)least : 1);
	/* The function itself is the only child of the root. */
	if (err == 0)
		err = put_nodes(&x, is_part && tree->n_nodes > 1 ? 1 : 0);
	branches_deinit(&x.branches);
	if (err == 0 && x.branches.left_out) {
		snprintf(note, sizeof(note), "frames below %.2g %% of the total are left out: --min-share 0 shows all", 100 * page->options->min_share);
		put_rest_of_line(page, note, 0, stream);
	}
	return err;
}

static int put_tree(const struct view_page *page, FILE *stream)
{
	const struct flame_options options = {
		.function = page->options->form == VIEW_TREE ? NULL : page->function,
		.from_leaf = page->options->form == VIEW_CALLERS,
	};
	struct flame_tree *tree = NULL;

	int err = flame_tree_create(page->profile, page->value, &options, &tree);
	if (err == 0)
		err = put_whole_tree(page, tree, stream);
	flame_tree_destroy(tree);
	return err;
}

int view_write_text(const struct view_page *page, FILE *stream)
{
	int err = 0;

	put_head(page, stream);
	if (page->options->form == VIEW_BY)
		err = put_by_label(page, stream);
	else if (page->base)
		err = put_comparison(page, stream);
	else if (page->options->form == VIEW_TOP)
		err = put_top(page, stream);
	else if (page->options->form == VIEW_LINES)
		err = put_lines(page, stream);
	else
		err = put_tree(page, stream);
	if (err < 0)
		return err;
	errno = 0;
	return fflush(stream) != 0 || ferror(stream) ? (errno ? -errno : -EIO) : 0;
}
