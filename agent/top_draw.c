#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/text_columns.h"
#include "agent/top_view_state.h"
#include "pprof/format_value.h"

#define HEAD_ROWS 4 /* header, account, tabs, titles */
#define HOT	  0.05
#define WARM	  0.005
#define GAP	  1 /* columns between two cells */

static const char *const HELP[] = {
	"Up Down PgUp PgDn Home End  select",
	"Enter      into a process; callers and",
	"           callees of a function",
	"Backspace  back (also Left, Escape)",
	"Tab 1 2    functions, processes",
	"s t n      sort: self, total, name",
	"k u a      kernel only, user only, all",
	"/          filter: regular expression;",
	"           without capitals: any case",
	"p          pause, and go on",
	"+ -        refresh less, more often",
	"[ ]        lower, higher rate",
	"h          this list",
	"q          quit",
	"",
	"SHARE: of all samples of the last seconds,",
	"  in the function itself. TOTAL: also in",
	"  what it called.",
};

/* A line while it is filled, from the left. */
struct line {
	const struct top_canvas *canvas;
	size_t row, column;
	enum top_style style;
};

/* Text in so many columns at most; what is left of the line when it is 0. */
static void put(struct line *l, size_t columns, const char *text)
{
	char clean[TEXT_COLUMNS_BYTES];
	size_t room = l->column < l->canvas->columns ? l->canvas->columns - l->column : 0;

	size_t used = text_columns(text, columns && columns < room ? columns : room, l->canvas->is_utf8, clean, sizeof(clean));
	if (used)
		l->canvas->put(l->canvas->context, l->row, l->column, l->style, clean);
	l->column += used;
}

/* As put(), with spaces behind: SELECTED shows as a bar. text_columns() marks what it cuts, and spaces are no loss. */
static void put_left(struct line *l, size_t columns, const char *text)
{
	size_t end = l->column + columns;

	put(l, columns, text);
	while (l->column < end && l->column < l->canvas->columns) {
		l->canvas->put(l->canvas->context, l->row, l->column, l->style, " ");
		l->column++;
	}
}

/* Numbers: short, each letter one column. */
static void put_right(struct line *l, size_t columns, const char *text)
{
	size_t n = 0;
	char cell[64];

	for (const char *at = text; *at; at++)
		n += ((unsigned char)*at & 0xc0) != 0x80; /* "µs" */

	snprintf(cell, sizeof(cell), "%*s%s", n < columns ? (int)(columns - n) : 0, "", text);
	put_left(l, columns, cell);
}

static void gap(struct line *l)
{
	put_left(l, GAP, "");
}

/* --- header -------------------------------------------------------------------------------------------------- */

/* Piece by piece, as long as whole ones fit. */
static void put_piece(struct line *l, const char *text)
{
	char clean[TEXT_COLUMNS_BYTES];
	size_t columns = text_columns(text, TEXT_COLUMNS_MAX, l->canvas->is_utf8, clean, sizeof(clean)), before = l->column ? 2 : 0;

	if (!*text || l->column + before + columns > l->canvas->columns)
		return;
	l->column += before;
	put(l, 0, text);
}

static void seconds(uint64_t ns, char *text, size_t bytes)
{
	snprintf(text, bytes, "%.3g s", (double)ns / 1e9);
}

static void draw_header(const struct top_view *v, const struct top_canvas *canvas, const struct top_status *status)
{
	struct line l = {canvas, 0, 0, TOP_STRONG};
	const struct top_figures *f = &v->figures;
	char text[160], span[32], refresh[32], clock[16] = "";
	time_t now = (time_t)(f->end_ns / 1000000000);
	struct tm local;

	put_piece(&l, "hearth top");
	if (status->is_paused)
		put_piece(&l, "PAUSED");
	if (status->has_ended)
		put_piece(&l, "ENDED");
	if (f->is_time)
		snprintf(text, sizeof(text), "%.2f of %d CPUs busy", f->duration_ns ? (double)f->value / (double)f->duration_ns : 0, status->cpus);
	else
		snprintf(text, sizeof(text), "%.4g %s/s", f->duration_ns ? (double)f->value / ((double)f->duration_ns / 1e9) : 0, status->event);
	put_piece(&l, text);
	if (f->windows && localtime_r(&now, &local))
		strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	l.style = TOP_PLAIN;
	put_piece(&l, clock);
	snprintf(text, sizeof(text), "%" PRIu64 " Hz", status->rate_hz);
	put_piece(&l, status->rate_hz ? text : "");
	put_piece(&l, status->event);
	seconds(status->span_ns, span, sizeof(span));
	seconds(status->refresh_ns, refresh, sizeof(refresh));
	snprintf(text, sizeof(text), "last %s, every %s", span, refresh);
	put_piece(&l, text);
	put_piece(&l, status->what);
}

static void draw_account(const struct top_view *v, const struct top_canvas *canvas, const struct top_status *status)
{
	struct line l = {canvas, 1, 0, TOP_PLAIN};
	const struct top_figures *f = &v->figures;
	uint64_t dropped = accounting_dropped(&f->account), cut = accounting_truncated(&f->account);
	char text[160], samples[48], ticks[48];

	if (!f->windows) {
		put_piece(&l, "sampling ...");
		return;
	}
	format_count((int64_t)f->account.samples, samples, sizeof(samples));
	format_count((int64_t)accounting_ticks(&f->account), ticks, sizeof(ticks));
	snprintf(text, sizeof(text), "%s samples of %s ticks", samples, ticks);
	put_piece(&l, text);
	/* Loss is never left out: the others give way. */
	l.style = dropped ? TOP_ALARM : TOP_PLAIN;
	snprintf(text, sizeof(text), "dropped %" PRIu64, dropped);
	put_piece(&l, text);
	l.style = TOP_PLAIN;
	snprintf(text, sizeof(text), "truncated %.2f %%", f->account.samples ? 100 * (double)cut / (double)f->account.samples : 0);
	put_piece(&l, text);
	if (status->cpus > 0 && f->duration_ns) {
		snprintf(text, sizeof(text), "hearth %.2f %% of a CPU", 100 * (double)f->own_ns / (double)f->duration_ns);
		put_piece(&l, text);
	}
}

static void draw_tabs(const struct top_view *v, const struct top_canvas *canvas)
{
	struct line l = {canvas, 2, 0, TOP_PLAIN};
	const struct top_place *p = top_view_place(v);
	char text[TOP_FILTER_MAX + 64];

	l.style = v->places[0].list == TOP_FUNCTIONS ? TOP_SELECTED : TOP_PLAIN;
	put(&l, 0, " Functions ");
	l.style = v->places[0].list == TOP_PROCESSES ? TOP_SELECTED : TOP_PLAIN;
	put(&l, 0, " Processes ");
	l.style = TOP_FAINT;
	put_piece(&l, v->side == TOP_KERNEL ? "kernel only" : v->side == TOP_USER ? "user only" : "");
	if (p->filter[0]) {
		snprintf(text, sizeof(text), "/%s/ leaves out %zu", p->filter, v->table.n_filtered);
		l.column += 2;
		put(&l, 0, text);
		l.column += 2;
	}
	if (p->process.name) {
		snprintf(text, sizeof(text), "process %" PRId64 " %.200s", p->process.pid, p->process.name);
		l.column += l.column + 2 < canvas->columns ? 2 : 0;
		put(&l, 0, text);
	}
	put_piece(&l, v->sort == TOP_BY_SELF ? "by self" : v->sort == TOP_BY_TOTAL ? "by total" : "by name");
}

/* --- the table ------------------------------------------------------------------------------------------------- */

enum cell { CELL_PART, CELL_OF_IT, CELL_SHARE, CELL_SELF, CELL_TOTAL_SHARE, CELL_TOTAL, CELL_SAMPLES, CELL_PID, CELL_MODULE, CELL_CONTAINER, CELL_NAME };

static const struct cell_shape {
	const char *title;
	size_t columns; /* 0: what is left */
	bool is_text;
} CELLS[] = {
	[CELL_PART] = {"", 7, true},	     [CELL_OF_IT] = {"OF IT", 7, false},      [CELL_SHARE] = {"SHARE", 7, false},
	[CELL_SELF] = {"SELF", 9, false},    [CELL_TOTAL_SHARE] = {"TOTAL", 7, false}, [CELL_TOTAL] = {"TOTAL", 9, false},
	[CELL_SAMPLES] = {"SAMPLES", 9, false}, [CELL_PID] = {"PID", 8, false},	      [CELL_MODULE] = {"MODULE", 20, true},
	[CELL_CONTAINER] = {"CONTAINER", 0, true}, [CELL_NAME] = {"NAME", 0, true},
};

/* What fits: the name gets what is left. Ends in CELL_NAME or CELL_CONTAINER. */
static size_t choose_cells(enum top_list list, size_t columns, enum cell cells[8])
{
	static const enum cell FUNCTIONS[] = {CELL_SHARE, CELL_TOTAL_SHARE, CELL_SELF, CELL_TOTAL, CELL_MODULE, CELL_NAME};
	static const enum cell FUNCTIONS_MID[] = {CELL_SHARE, CELL_TOTAL_SHARE, CELL_MODULE, CELL_NAME};
	static const enum cell FUNCTIONS_LEAST[] = {CELL_SHARE, CELL_TOTAL_SHARE, CELL_NAME};
	static const enum cell PROCESSES[] = {CELL_SHARE, CELL_SELF, CELL_SAMPLES, CELL_PID, CELL_NAME, CELL_CONTAINER};
	static const enum cell PROCESSES_MID[] = {CELL_SHARE, CELL_SAMPLES, CELL_PID, CELL_NAME};
	static const enum cell PROCESSES_LEAST[] = {CELL_SHARE, CELL_PID, CELL_NAME};
	static const enum cell AROUND[] = {CELL_PART, CELL_OF_IT, CELL_SHARE, CELL_TOTAL, CELL_MODULE, CELL_NAME};
	static const enum cell AROUND_MID[] = {CELL_PART, CELL_OF_IT, CELL_SHARE, CELL_NAME};
	static const enum cell AROUND_LEAST[] = {CELL_PART, CELL_OF_IT, CELL_NAME};
#define LIST(name) {name, sizeof(name) / sizeof(name[0])}
	static const struct { const enum cell *cells; size_t n; } LISTS[3][3] = {
		[TOP_FUNCTIONS] = {LIST(FUNCTIONS), LIST(FUNCTIONS_MID), LIST(FUNCTIONS_LEAST)},
		[TOP_PROCESSES] = {LIST(PROCESSES), LIST(PROCESSES_MID), LIST(PROCESSES_LEAST)},
		[TOP_AROUND] = {LIST(AROUND), LIST(AROUND_MID), LIST(AROUND_LEAST)},
	};
#undef LIST
	size_t fit = columns >= 90 ? 0 : columns >= 60 ? 1 : 2;

	memcpy(cells, LISTS[list][fit].cells, LISTS[list][fit].n * sizeof(cells[0]));
	return LISTS[list][fit].n;
}

static double share(int64_t value, int64_t whole)
{
	return whole > 0 ? (double)value / (double)whole : 0;
}

/* The cell's text. around: what the function at the centre has. */
static void cell_text(const struct top_view *v, const struct top_row *row, enum cell cell, int64_t around, char *text, size_t bytes)
{
	static const char *const PARTS[] = {[TOP_ROW] = "", [TOP_CALLER] = "caller", [TOP_CENTRE] = "itself", [TOP_CALLEE] = "callee"};
	const char *unit = v->figures.is_time ? "nanoseconds" : "count";
	int64_t whole = v->figures.value;

	switch (cell) {
	case CELL_PART:
		snprintf(text, bytes, "%s", PARTS[row->part]);
		return;
	case CELL_OF_IT:
		snprintf(text, bytes, "%.2f%%", 100 * share(row->part == TOP_CENTRE ? row->self : row->total, around));
		return;
	case CELL_SHARE:
		snprintf(text, bytes, "%.2f%%", 100 * share(row->part == TOP_ROW ? row->self : row->total, whole));
		return;
	case CELL_TOTAL_SHARE:
		snprintf(text, bytes, "%.2f%%", 100 * share(row->total, whole));
		return;
	case CELL_SELF:
	case CELL_TOTAL:
		format_value(cell == CELL_SELF ? row->self : row->total, "", unit, text, bytes);
		return;
	case CELL_SAMPLES:
		format_count((int64_t)row->samples, text, bytes);
		return;
	case CELL_PID:
		snprintf(text, bytes, "%" PRId64, row->who.pid);
		return;
	case CELL_MODULE:
	case CELL_CONTAINER:
	case CELL_NAME:
		return;
	}
}

static void draw_cell(struct line *l, const struct top_view *v, const struct top_row *row, enum cell cell, int64_t around, bool has_more)
{
	size_t columns = CELLS[cell].columns, left = l->canvas->columns > l->column ? l->canvas->columns - l->column : 0;
	char text[64] = "", name[1024];

	/* A name before another text takes two thirds. */
	if (!columns)
		columns = has_more ? left * 2 / 3 : left;
	if (cell == CELL_NAME) {
		bool mark = row->who.is_kernel && l->canvas->columns < 60;
		snprintf(name, sizeof(name), "%s%.1000s", mark ? "[k] " : "", row->who.name);
		put_left(l, columns, name);
		return;
	}
	if (cell == CELL_MODULE || cell == CELL_CONTAINER) {
		put_left(l, columns, cell == CELL_MODULE ? row->who.module : row->container);
		return;
	}
	cell_text(v, row, cell, around, text, sizeof(text));
	if (CELLS[cell].is_text)
		put_left(l, columns, text);
	else
		put_right(l, columns, text);
}

static void draw_titles(const struct top_canvas *canvas, const enum cell *cells, size_t n)
{
	struct line l = {canvas, HEAD_ROWS - 1, 0, TOP_TITLE};

	for (size_t i = 0; i < n; i++) {
		const struct cell_shape *shape = &CELLS[cells[i]];
		size_t left = canvas->columns > l.column ? canvas->columns - l.column : 0;
		if (i)
			gap(&l);
		if (shape->is_text)
			put_left(&l, shape->columns ? shape->columns : i + 1 < n ? left * 2 / 3 : left, shape->title);
		else
			put_right(&l, shape->columns, shape->title);
	}
	put_left(&l, canvas->columns - (l.column < canvas->columns ? l.column : canvas->columns), "");
}

static enum top_style style_of(const struct top_view *v, const struct top_row *row, bool is_selected)
{
	double part = share(row->part == TOP_ROW ? row->self : row->total, v->figures.value);

	if (is_selected)
		return TOP_SELECTED;
	if (row->part == TOP_CENTRE)
		return TOP_STRONG;
	return part >= HOT ? TOP_HOT : part >= WARM ? TOP_WARM : TOP_PLAIN;
}

static void draw_table(struct top_view *v, const struct top_canvas *canvas)
{
	struct top_place *p = top_view_place(v);
	enum cell cells[8];
	size_t n = choose_cells(p->list, canvas->columns, cells);
	int64_t around = 0;

	v->page = canvas->rows - HEAD_ROWS - 1;
	if (p->selected < p->first)
		p->first = p->selected;
	if (p->selected >= p->first + v->page)
		p->first = p->selected - v->page + 1;
	if (p->first + v->page > v->table.n)
		p->first = v->table.n > v->page ? v->table.n - v->page : 0;
	for (size_t i = 0; i < v->table.n; i++)
		if (v->table.rows[i].part == TOP_CENTRE)
			around = v->table.rows[i].total;
	draw_titles(canvas, cells, n);
	for (size_t i = 0; i < v->page && p->first + i < v->table.n; i++) {
		const struct top_row *row = &v->table.rows[p->first + i];
		struct line l = {canvas, HEAD_ROWS + i, 0, style_of(v, row, p->first + i == p->selected)};
		for (size_t c = 0; c < n; c++) {
			if (c)
				gap(&l);
			draw_cell(&l, v, row, cells[c], around, c + 1 < n);
		}
	}
	if (!v->table.n && v->figures.windows) {
		struct line l = {canvas, HEAD_ROWS, 0, TOP_FAINT};
		put(&l, 0, v->table.n_filtered ? "nothing matches; Escape takes the filter away" : "no samples: nothing ran");
	}
}

/* --- the rest -------------------------------------------------------------------------------------------------- */

static void draw_help(struct top_view *v, const struct top_canvas *canvas)
{
	size_t n = sizeof(HELP) / sizeof(HELP[0]), room = canvas->rows - 2;

	if (v->help_first + room > n)
		v->help_first = n > room ? n - room : 0;
	struct line title = {canvas, 0, 0, TOP_STRONG};
	put(&title, 0, "hearth top: keys");
	for (size_t i = 0; i < room && v->help_first + i < n; i++) {
		struct line l = {canvas, 1 + i, 0, TOP_PLAIN};
		put(&l, 0, HELP[v->help_first + i]);
	}
	struct line foot = {canvas, canvas->rows - 1, 0, TOP_TITLE};
	put_left(&foot, canvas->columns, n > room ? "Up, Down: more; another key: back" : "any key: back");
}

static void draw_foot(const struct top_view *v, const struct top_canvas *canvas, const struct top_status *status)
{
	struct line l = {canvas, canvas->rows - 1, 0, TOP_PLAIN};
	const char *trouble = v->trouble.text[0]       ? v->trouble.text
			      : v->table.filter_failed ? "the filter takes too long on some names; Escape takes it away"
						       : status->message;

	if (v->is_editing) {
		put(&l, 0, "filter: ");
		put(&l, canvas->columns - l.column > 1 ? canvas->columns - l.column - 1 : 1, v->edited);
		size_t end = l.column;
		l.column += 2;
		l.style = TOP_ALARM;
		put(&l, 0, v->trouble.text);
		if (canvas->cursor)
			canvas->cursor(canvas->context, l.row, end < canvas->columns ? end : canvas->columns - 1);
	} else if (*trouble) {
		l.style = TOP_ALARM;
		put(&l, 0, trouble);
	} else {
		static const char *const KEYS[] = {"q quit", "h help", "/ filter", "Enter into", "Tab tabs", "s t n sort", "k u side", "p pause", "+ - refresh", "[ ] rate"};
		l.style = TOP_FAINT;
		put_piece(&l, v->n_places > 1 ? "Backspace back" : "");
		for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++)
			put_piece(&l, KEYS[i]);
	}
}

void top_view_draw(struct top_view *v, const struct top_canvas *canvas, const struct top_status *status)
{
	if (canvas->rows < TOP_ROWS_LEAST || canvas->columns < TOP_COLUMNS_LEAST) {
		struct line l = {canvas, 0, 0, TOP_PLAIN};
		if (canvas->rows && canvas->columns)
			put(&l, 0, "too small");
		return;
	}
	if (v->is_helping) {
		draw_help(v, canvas);
		return;
	}
	draw_header(v, canvas, status);
	draw_account(v, canvas, status);
	draw_tabs(v, canvas);
	draw_table(v, canvas);
	draw_foot(v, canvas, status);
}
