/* The pieces of TOML that hold no others: strings, numbers, booleans, keys. Used by toml_reader.c only. */
#ifndef HEARTH_AGENT_TOML_SCALAR_H
#define HEARTH_AGENT_TOML_SCALAR_H

#include "agent/toml_reader.h"

struct toml_cursor {
	const char *at, *end;
	unsigned line;
	unsigned error_line;
	char error[256];
};

/* Remember what is wrong, in this line. Returns -EBADMSG. */
__attribute__((format(printf, 3, 4))) int toml_fail(struct toml_cursor *c, unsigned line, const char *format, ...);

/* The character n further on; 0 at the end. */
char toml_peek(const struct toml_cursor *c, size_t n);

/* Spaces and tabs. */
void toml_skip_blanks(struct toml_cursor *c);

/* A line's end, if one is here; counts it. */
bool toml_take_newline(struct toml_cursor *c);

/* From a # to the end of the line. Returns 0 or -EBADMSG. */
int toml_skip_comment(struct toml_cursor *c);

/* At a quote: may_be_long for """ and '''. text_out: owned. Returns 0, -EBADMSG, -ENOMEM. */
int toml_take_string(struct toml_cursor *c, bool may_be_long, char **text_out);

/* One part of a key: bare or quoted. As above. */
int toml_take_key(struct toml_cursor *c, char **key_out);

/* A number or a boolean, into value's type and fields. As above. */
int toml_take_number(struct toml_cursor *c, struct toml_value *value);

#endif
