/* The sum of many windows of many segments: within a segment values are added up by the numbers of its series; then they are taken over into one dictionary. */
#ifndef HEARTH_STORE_SUMMING_H
#define HEARTH_STORE_SUMMING_H

#include "store/window.h"

struct summing;

int summing_create(struct summing **summing_out);
/* The windows that follow are of this dictionary, which is borrowed until summing_end(). Returns 0 or -ENOMEM, as all of these. */
int summing_begin(struct summing *s, struct dictionary *d);
/* places: for each series, the one to which its values are added (of the same stack), or PROFILE_NONE: they do not count; NULL: to itself. account may be NULL. A window whose sample types are others than the first one's is left out, and counted. */
int summing_add(struct summing *s, const struct window *w, const uint32_t *places, const char *account);
/* d: the dictionary, NULL when it was kept: the first one's numbers are used on. */
int summing_end(struct summing *s, struct dictionary **d);
/* -ENOENT: there was no window. */
int summing_finish(struct summing *s, struct profile **profile_out);
/* NULL is legal. */
void summing_destroy(struct summing *s);

#endif
