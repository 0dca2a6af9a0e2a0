/* The screen of `hearth top`: what is selected, sorted, filtered and drilled into, and what stands in which line. It draws on a canvas, which is a terminal
 * (top_screen.h) or a test. Not thread-safe. */
#ifndef HEARTH_AGENT_TOP_VIEW_H
#define HEARTH_AGENT_TOP_VIEW_H

#include "agent/top_model.h"

#define TOP_FILTER_MAX 256 /* bytes */
#define TOP_ROWS_LEAST 6   /* of a terminal, and */
#define TOP_COLUMNS_LEAST 24

enum top_style {
	TOP_PLAIN,
	TOP_STRONG,   /* the header's first line, the function that others are around of */
	TOP_TITLE,    /* of columns; the tab at hand */
	TOP_SELECTED, /* row */
	TOP_HOT,      /* 5 % and more */
	TOP_WARM,     /* 0.5 % and more */
	TOP_FAINT,
	TOP_ALARM,    /* something was lost, or went wrong */
	TOP_STYLES,
};

struct top_canvas {
	void *context;
	size_t rows, columns;
	bool is_utf8;
	/* text: of printable characters, and never over the right edge. */
	void (*put)(void *context, size_t row, size_t column, enum top_style style, const char *text);
	/* Where the cursor stands, while something is typed. */
	void (*cursor)(void *context, size_t row, size_t column);
};

/* A key: a character, or one of these. */
enum top_key_code {
	TOP_KEY_UP = 0x110000,
	TOP_KEY_DOWN,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_ENTER,
	TOP_KEY_BACK, /* Backspace, Left */
	TOP_KEY_TAB,
	TOP_KEY_ESCAPE,
	TOP_KEY_HELP,
	TOP_KEY_RUBOUT, /* Ctrl-U */
	TOP_KEY_REDRAW, /* Ctrl-L: the caller's */
	TOP_KEY_OTHER,	/* means nothing */
};

/* What a key asks of the one who owns the session. */
enum top_wish { TOP_NOTHING, TOP_QUIT, TOP_PAUSE, TOP_FASTER, TOP_SLOWER, TOP_RATE_UP, TOP_RATE_DOWN };

/* What the view is told for its header. */
struct top_status {
	const char *what;  /* is sampled: "the whole machine" */
	const char *event; /* "cpu-clock" */
	uint64_t rate_hz;  /* 0: not by time */
	uint64_t refresh_ns, span_ns;
	int cpus;
	bool is_paused, has_ended; /* ended: all that was to be sampled */
	const char *message;	   /* "": none */
};

struct top_view;

/* model: borrowed. sort, side: at the beginning. filter: checked by the caller with top_view_filter(). */
int top_view_create(struct top_model *model, enum top_sort sort, enum top_side side, struct top_view **view_out);

/* Set the filter of the list at hand: a regular expression, without capitals in any case of letters; "": none. Returns 0, -EINVAL with why, -ENOMEM. */
int top_view_filter(struct top_view *v, const char *pattern, struct why *why);

/* The model has changed: after each top_model_add() and top_model_clear(), before anything else. Returns 0 or -ENOMEM. */
int top_view_refresh(struct top_view *v);

enum top_wish top_view_key(struct top_view *v, uint32_t key);

void top_view_draw(struct top_view *v, const struct top_canvas *canvas, const struct top_status *status);

/* NULL is legal. */
void top_view_destroy(struct top_view *v);

/* As top_view_filter(), for who has no view. */
int top_filter_compile(const char *pattern, struct regex **filter_out, struct why *why);

#endif
