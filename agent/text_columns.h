/* Text of strangers, cut to columns of a terminal. */
#ifndef HEARTH_AGENT_TEXT_COLUMNS_H
#define HEARTH_AGENT_TEXT_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

#define TEXT_COLUMNS_MAX 1024 /* no terminal line is longer here */
#define TEXT_COLUMNS_BYTES (TEXT_COLUMNS_MAX * 16) /* enough for as many columns */

/* Copy as much of text (UTF-8) as takes at most so many columns; what is cut ends in "~". Control characters and what has no width of its own but changes how others
 * look (joiners, marks of direction, variation selectors, more than two accents on one letter) is left out or becomes '?'.
 * is_utf8: what the terminal takes; else all but ASCII becomes '?'. Widths are those of the locale's wcwidth(), which must be UTF-8's then.
 * out: ends in NUL. Returns the columns. */
size_t text_columns(const char *text, size_t columns, bool is_utf8, char *out, size_t out_bytes);

#endif
