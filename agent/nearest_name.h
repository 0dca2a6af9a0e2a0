/* What somebody meant who wrote a name that is not there. */
#ifndef HEARTH_AGENT_NEAREST_NAME_H
#define HEARTH_AGENT_NEAREST_NAME_H

#include <stddef.h>

/* Letters to be changed, put in, left out, or swapped with their neighbour; case, and _ for -, cost nothing. Names are compared up to 63 characters. */
unsigned name_distance(const char *a, const char *b);

/* Keep candidate in *best when it is nearer to name than what is there; far ones (more than a third of the letters differ) are not taken. *best: NULL at first. */
void nearest_name(const char *name, const char *candidate, const char **best);

#endif
