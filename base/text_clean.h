/* Makes bytes from strangers fit for people and for files: valid UTF-8 without control characters. */
#ifndef HEARTH_BASE_TEXT_CLEAN_H
#define HEARTH_BASE_TEXT_CLEAN_H

#include <stdbool.h>
#include <stddef.h>

/* Copy text. Bytes that are not UTF-8 become U+FFFD, control characters (C0, DEL, C1, U+2028, U+2029, and the
 * bidirectional overrides U+202A..E and U+2066..9, which disguise text) become '?'. Cut between characters when
 * out is too small. out: ends in NUL. Returns the bytes written, without the NUL.
 * Source: Unicode 15, table 3-7, "Well-Formed UTF-8 Byte Sequences". */
size_t text_clean(const char *text, size_t bytes, char *out, size_t out_bytes);

/* Whether text_clean() would change nothing. */
bool text_is_clean(const char *text, size_t bytes);

/* Whether text is valid UTF-8; control characters are allowed. */
bool text_is_utf8(const char *text, size_t bytes);

#endif
