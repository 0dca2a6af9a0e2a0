/* Settings of a command, in one table: each can be said by an option (--max-cpu), a variable (HEARTH_MAX_CPU) and a key of the configuration file (max_cpu), which say
 * the same things. Functions on one setting, of an object that the table describes. Not thread-safe. */
#ifndef HEARTH_AGENT_SETTINGS_H
#define HEARTH_AGENT_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/toml_reader.h"
#include "base/why.h"

#define SETTING_NAME_MAX 64

enum setting_kind {
	SETTING_FLAG,	  /* bool */
	SETTING_NUMBER,	  /* uint64_t, low to high */
	SETTING_BYTES,	  /* uint64_t, low to high */
	SETTING_DURATION, /* uint64_t: ns, low to high */
	SETTING_PERCENT,  /* double: a share, 0 to 1 */
	SETTING_FRACTION, /* double: 0 to 1 */
	SETTING_CHOICE,	  /* int: index into choices */
	SETTING_TEXT,	  /* char *, owned; NULL: not set */
};

struct setting {
	const char *name; /* as the option's, without "--" */
	char letter;	  /* as in -F; 0: none */
	bool is_live;	  /* can change without a restart */
	enum setting_kind kind;
	size_t offset; /* in the object */
	uint64_t low, high;
	const char *const *choices; /* end in NULL */
	const char *usual;	    /* its default; NULL: 0, false, not set */
	const char *argument;	    /* of the option, for --help: "HZ" */
	const char *help;	    /* may have line ends */
};

/* name with _ for -, as in the file; or HEARTH_NAME. */
void setting_key(const struct setting *s, char out[SETTING_NAME_MAX]);
void setting_variable(const struct setting *s, char out[SETTING_NAME_MAX]);

/* By its key or name; NULL: there is none. */
const struct setting *settings_find(const struct setting *table, size_t n, const char *name);

/* Set all to their defaults. Returns 0 or -ENOMEM. */
int settings_init(const struct setting *table, size_t n, void *object);

/* Read text. Returns 0, -EINVAL with why (what is wrong with the text; not which setting it is), -ENOMEM. Untouched on failure. */
int setting_take(const struct setting *s, void *object, const char *text, struct why *why);

/* The same from a file: the type must fit. */
int setting_take_toml(const struct setting *s, void *object, const struct toml_value *value, struct why *why);

/* As one would write it. */
void setting_show(const struct setting *s, const void *object, char *out, size_t out_bytes);

bool setting_is_equal(const struct setting *s, const void *a, const void *b);

/* Those that differ, in the table's order. changed_out: room for n. Returns how many. */
size_t settings_diff(const struct setting *table, size_t n, const void *a, const void *b, const struct setting **changed_out);

/* Returns 0 or -ENOMEM (to is untouched then). */
int setting_copy(const struct setting *s, void *to, const void *from);

/* The options, as --help shows them. */
void settings_help(const struct setting *table, size_t n, FILE *stream);

/* Free what texts own. */
void settings_deinit(const struct setting *table, size_t n, void *object);

#endif
