#include "web/request_target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "base/text_clean.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place: what is decoded is never longer. Ends it in NUL, which has room: where the separator stood. */
static int decode(char *text, size_t n, bool is_query)
{
	size_t to = 0;

	for (size_t at = 0; at < n; at++) {
		char c = text[at];
		if (c == '%') {
			bool is_whole = n - at > 2;
			int high = is_whole ? hex_digit(text[at + 1]) : -1, low = is_whole ? hex_digit(text[at + 2]) : -1;
			if (high < 0 || low < 0)
				return -EBADMSG;
			c = (char)(high << 4 | low);
			at += 2;
		} else if (c == '+' && is_query) {
			c = ' ';
		}
		text[to++] = c;
	}
	/* The length is the decoded one's, so that a NUL in it counts as a control character. */
	if (!text_is_clean(text, to))
		return -EBADMSG;
	text[to] = '\0';
	return 0;
}

static int take_parameter(char *text, size_t n, struct request_target *t)
{
	char *equals = memchr(text, '=', n);
	size_t key_bytes = equals ? (size_t)(equals - text) : n;

	if (!n)
		return 0;
	if (t->n_parameters == TARGET_PARAMETERS_MAX)
		return -E2BIG;
	struct web_parameter *p = &t->parameters[t->n_parameters++];
	/* The value first: the end of the key is written where '=' stands, or where the value would. */
	int err = equals ? decode(equals + 1, n - key_bytes - 1, true) : 0;
	p->value = equals ? equals + 1 : "";
	p->key = text;
	return err < 0 ? err : decode(text, key_bytes, true);
}

static int take_parameters(char *text, size_t n, struct request_target *t)
{
	int err = 0;

	for (size_t at = 0; err == 0 && at < n;) {
		char *end = memchr(text + at, '&', n - at);
		size_t length = end ? (size_t)(end - text) - at : n - at;
		err = take_parameter(text + at, length, t);
		at += length + 1;
	}
	return err;
}

int request_target_parse(const char *raw, struct request_target *target_out)
{
	struct request_target t = {.n_parameters = 0};
	size_t n = strnlen(raw, TARGET_BYTES_MAX + 1);

	if (n > TARGET_BYTES_MAX)
		return -E2BIG;
	if (raw[0] != '/' || memchr(raw, '#', n))
		return -EBADMSG;
	AUTO_FREE char *text = strdup(raw);
	if (!text)
		return -ENOMEM;
	char *query = memchr(text, '?', n);
	size_t path_bytes = query ? (size_t)(query - text) : n;
	int err = query ? take_parameters(query + 1, n - path_bytes - 1, &t) : 0;
	if (err == 0)
		err = decode(text, path_bytes, false);
	if (err < 0)
		return err;
	t.path = text;
	t.text = take_ptr(text);
	*target_out = t;
	return 0;
}

int request_form_parse(const void *bytes, size_t n, struct request_target *form_out)
{
	struct request_target t = {.path = ""};

	if (n > TARGET_BYTES_MAX)
		return -E2BIG;
	AUTO_FREE char *text = calloc(1, n + 1);
	if (!text)
		return -ENOMEM;
	if (n)
		memcpy(text, bytes, n);
	int err = take_parameters(text, n, &t);
	if (err < 0)
		return err;
	t.text = take_ptr(text);
	*form_out = t;
	return 0;
}

void request_target_deinit(struct request_target *target)
{
	free(target->text);
	*target = (struct request_target){.n_parameters = 0};
}

const char *request_parameter(const struct request_target *target, const char *key)
{
	for (size_t i = 0; i < target->n_parameters; i++)
		if (strcmp(target->parameters[i].key, key) == 0)
			return target->parameters[i].value;
	return NULL;
}
