/* Standard error, while a screen stands where it would go: kept in a pipe, shown line by line, and given back at the end. */
#ifndef HEARTH_AGENT_CAUGHT_MESSAGES_H
#define HEARTH_AGENT_CAUGHT_MESSAGES_H

#include <stddef.h>

#define CAUGHT_MESSAGES_BYTES 8192 /* the last ones, that are given back */

struct caught_messages {
	int stderr_fd; /* where it went; -1: nothing is caught */
	int fd;	       /* readable when there is something new */
	char text[CAUGHT_MESSAGES_BYTES];
	size_t n;
	char last[512]; /* line */
};

/* From now on what is written to standard error goes into a pipe, and what finds no room there is lost. Returns 0 or a negative errno: nothing has changed. */
int caught_messages_begin(struct caught_messages *c);

/* Take what came. Returns the last whole line of it, valid until the next call; NULL: nothing new. */
const char *caught_messages_read(struct caught_messages *c);

/* Standard error is as before, and gets what was caught. One that has not begun is legal when stderr_fd is -1. */
void caught_messages_end(struct caught_messages *c);

#endif
