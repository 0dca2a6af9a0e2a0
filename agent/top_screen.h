/* The terminal as a canvas, by ncurses, which is loaded when a screen is opened: other commands do without it. One at a time: it holds the terminal.
 * What is read for it: the terminal's description, from the system's terminfo database (root: from there only; others also from $TERMINFO, $TERMINFO_DIRS and
 * ~/.terminfo). */
#ifndef HEARTH_AGENT_TOP_SCREEN_H
#define HEARTH_AGENT_TOP_SCREEN_H

#include "agent/top_view.h"
#include "base/why.h"

struct top_screen;

/* Take the terminal of standard input and output: the alternate screen, keys one by one, no echo. When the process dies of a fault the terminal is as before. Signals
 * are the caller's: block SIGWINCH, SIGTSTP, SIGINT and SIGTERM before.
 * Returns 0, or a negative errno with why: -ENOENT (there is no ncurses library), -ENOTTY (no terminal, or one that is not known), -ENOMEM. */
int top_screen_open(struct top_screen **screen_out, struct why *why);

/* Empty, to draw on. */
void top_screen_clear(struct top_screen *s, struct top_canvas *canvas_out);
/* What was drawn appears. anew: whatever the terminal shows now. */
void top_screen_show(struct top_screen *s, bool anew);

/* The next key (a character, or enum top_key_code); 0: none is there. Does not wait. */
uint32_t top_screen_key(struct top_screen *s);

/* The terminal has another size (SIGWINCH). */
void top_screen_resize(struct top_screen *s);

/* Give the terminal back for some time, and take it again. */
void top_screen_leave(struct top_screen *s);
void top_screen_return(struct top_screen *s);

/* The terminal is as before. NULL is legal. */
void top_screen_close(struct top_screen *s);

#endif
