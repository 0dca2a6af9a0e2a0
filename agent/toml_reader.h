/* TOML 1.0, read strictly, without dates and times (hearth has no setting that is one) and without NUL in strings. Debian 12 has no C library for it.
 * All that is wrong is told, not only the first: reading goes on with the next line. Source: https://toml.io/en/v1.0.0 */
#ifndef HEARTH_AGENT_TOML_READER_H
#define HEARTH_AGENT_TOML_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config_problems.h"

#define TOML_BYTES_MAX	(1u << 20)
#define TOML_VALUES_MAX 5000
#define TOML_DEPTH_MAX	32
#define TOML_KEY_MAX	255

enum toml_type { TOML_STRING, TOML_INTEGER, TOML_FLOAT, TOML_BOOL, TOML_ARRAY, TOML_TABLE };

struct toml_value {
	enum toml_type type;
	unsigned line;
	char *key;  /* "" for elements of arrays, and for the root; owned, as all */
	char *text; /* string: what it says. Numbers and booleans: in decimal, as C writes them. Tables and arrays: NULL */
	int64_t integer;
	double real;
	bool flag;
	bool is_broken; /* there was a problem in it: not to be looked at */
	struct toml_value *first, *next; /* of tables and arrays: what is in it, in the file's order */
	/* For the rules about what may be defined twice; see toml_reader.c. */
	struct toml_value *last;
	unsigned dotted_in;
	bool is_defined, is_frozen;
};

/* Read a file's bytes. root_out: a table, also when there were problems: what could be read is in it. Returns 0 when nothing was wrong, -EBADMSG when
 * problems were added, -ENOMEM. */
int toml_read(const char *text, size_t bytes, struct config_problems *problems, struct toml_value **root_out);

/* NULL when it is not there. */
const struct toml_value *toml_find(const struct toml_value *table, const char *key);

/* "a string", "a table", ... */
const char *toml_type_name(enum toml_type type);

/* NULL is legal. */
void toml_free(struct toml_value *root);

#endif
