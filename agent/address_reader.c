#include "agent/address_reader.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES   65536
#define LINE_MAX_BYTES 256 /* longer ones are bad, whatever they begin with */
#define MORE_MS	       10  /* to wait for more of a writer who has written several lines */

struct address_reader {
	int fd;
	bool ended;
	char line[LINE_MAX_BYTES + 1];
	size_t line_bytes; /* one more than LINE_MAX_BYTES: too long */
	struct asked_address *asked;
	size_t n, capacity;
	size_t at, bytes; /* in buffer */
	char buffer[BUFFER_BYTES];
};

bool address_parse(const char *text, uint64_t *address_out)
{
	uint64_t address = 0;
	size_t digits;

	text += strspn(text, " \t\r\n");
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	for (digits = 0; isxdigit((unsigned char)*text); digits++, text++) {
		if (address >> 60)
			return false;
		int c = tolower((unsigned char)*text);
		address = address << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (!digits || text[strspn(text, " \t\r\n")])
		return false;
	*address_out = address;
	return true;
}

int address_reader_create(int fd, struct address_reader **reader_out)
{
	struct address_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->fd = fd;
	*reader_out = r;
	return 0;
}

static int add_line(struct address_reader *r)
{
	struct asked_address asked = {0};

	if (r->n == r->capacity) {
		size_t capacity = r->capacity ? 2 * r->capacity : 1024;
		void *grown = reallocarray(r->asked, capacity, sizeof(r->asked[0]));
		if (!grown)
			return -ENOMEM;
		r->asked = grown;
		r->capacity = capacity;
	}
	bool fits = r->line_bytes <= LINE_MAX_BYTES;
	r->line[fits ? r->line_bytes : 0] = '\0';
	/* A NUL ends the text early: what is behind it must not pass as nothing. */
	asked.is_bad = !fits || strlen(r->line) != r->line_bytes || !address_parse(r->line, &asked.address);
	r->line_bytes = 0;
	r->asked[r->n++] = asked;
	return 0;
}

/* Lines of the buffer, until it is used up or the batch is full. */
static int take_lines(struct address_reader *r)
{
	int err = 0;

	while (err == 0 && r->at < r->bytes && r->n < ADDRESS_BATCH_MAX) {
		char c = r->buffer[r->at++];
		if (c == '\n')
			err = add_line(r);
		else if (r->line_bytes < LINE_MAX_BYTES)
			r->line[r->line_bytes++] = c;
		else
			r->line_bytes = LINE_MAX_BYTES + 1;
	}
	return err;
}

static int fill(struct address_reader *r)
{
	for (;;) {
		ssize_t n = read(r->fd, r->buffer, sizeof(r->buffer));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd readable = {.fd = r->fd, .events = POLLIN};
			if (poll(&readable, 1, -1) < 0 && errno != EINTR)
				return -errno;
			continue;
		}
		if (n < 0)
			return -errno;
		r->at = 0;
		r->bytes = (size_t)n;
		r->ended = n == 0;
		return 0;
	}
}

static bool has_more(const struct address_reader *r)
{
	struct pollfd readable = {.fd = r->fd, .events = POLLIN};

	return poll(&readable, 1, r->n > 1 ? MORE_MS : 0) > 0;
}

int address_reader_next(struct address_reader *r, const struct asked_address **asked_out)
{
	r->n = 0;
	while (r->n < ADDRESS_BATCH_MAX) {
		int err = take_lines(r);
		if (err < 0)
			return err;
		if (r->at < r->bytes)
			break; /* the batch is full */
		if (r->ended || (r->n && !has_more(r)))
			break;
		err = fill(r);
		if (err == 0 && r->ended && r->line_bytes)
			err = add_line(r);
		if (err < 0)
			return err;
	}
	*asked_out = r->asked;
	return (int)r->n;
}

bool address_reader_is_done(const struct address_reader *r)
{
	return r->ended && r->at == r->bytes;
}

void address_reader_destroy(struct address_reader *r)
{
	if (!r)
		return;
	free(r->asked);
	free(r);
}
