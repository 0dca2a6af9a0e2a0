#include "agent/caught_messages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int caught_messages_begin(struct caught_messages *c)
{
	int ends[2], err = 0;

	*c = (struct caught_messages){.stderr_fd = -1, .fd = -1};
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	fflush(stderr);
	int before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (before < 0 || dup2(ends[1], STDERR_FILENO) < 0)
		err = -errno;
	close(ends[1]);
	if (err < 0) {
		close(ends[0]);
		if (before >= 0)
			close(before);
		return err;
	}
	c->stderr_fd = before;
	c->fd = ends[0];
	return 0;
}

const char *caught_messages_read(struct caught_messages *c)
{
	bool is_new = false;

	if (c->stderr_fd < 0)
		return NULL;
	fflush(stderr);
	for (;;) {
		char more[1024];
		ssize_t got = read(c->fd, more, sizeof(more));
		if (got <= 0)
			break;
		size_t n = (size_t)got, room = CAUGHT_MESSAGES_BYTES - c->n;
		if (n > room) {
			memmove(c->text, c->text + (n - room), c->n - (n - room));
			c->n -= n - room;
		}
		memcpy(c->text + c->n, more, n);
		c->n += n;
		is_new = true;
	}
	if (!is_new)
		return NULL;
	size_t end = c->n, begin;
	while (end && c->text[end - 1] == '\n')
		end--;
	for (begin = end; begin && c->text[begin - 1] != '\n';)
		begin--;
	snprintf(c->last, sizeof(c->last), "%.*s", (int)(end - begin), c->text + begin);
	return c->last;
}

void caught_messages_end(struct caught_messages *c)
{
	if (c->stderr_fd < 0)
		return;
	caught_messages_read(c);
	dup2(c->stderr_fd, STDERR_FILENO);
	close(c->stderr_fd);
	close(c->fd);
	c->stderr_fd = c->fd = -1;
	for (size_t at = 0; at < c->n;) {
		ssize_t put = write(STDERR_FILENO, c->text + at, c->n - at);
		if (put <= 0)
			break;
		at += (size_t)put;
	}
	c->n = 0;
}
