/* The comments of windows that become one. */
#ifndef HEARTH_STORE_ACCOUNT_H
#define HEARTH_STORE_ACCOUNT_H

#include <stddef.h>

#define ACCOUNT_BYTES_MAX 4096 /* more comments than that are left out, and the last line says so */

/* Comments, newline between them, NULL: none. The line that begins with "ticks=" (docs/profiles.md, "The account") of both becomes one: its numbers are summed, other
 * values stay when they are equal; identity holds when both do. Other lines stay, each once.
 * merged_out: owned by the caller, NULL when there are none. Returns 0 or -ENOMEM. */
int account_merge(const char *a, const char *b, char **merged_out);

#endif
