#include "agent/settings.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/values.h"
#include "base/text_clean.h"

#define HELP_COLUMN 28
#define TEXT_MAX    4095

void setting_key(const struct setting *s, char out[SETTING_NAME_MAX])
{
	size_t n = 0;

	for (; s->name[n] && n < SETTING_NAME_MAX - 1; n++)
		out[n] = s->name[n] == '-' ? '_' : s->name[n];
	out[n] = '\0';
}

void setting_variable(const struct setting *s, char out[SETTING_NAME_MAX])
{
	size_t n = (size_t)snprintf(out, SETTING_NAME_MAX, "HEARTH_%s", s->name);

	for (size_t i = 0; i < n && i < SETTING_NAME_MAX - 1; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

const struct setting *settings_find(const struct setting *table, size_t n, const char *name)
{
	char key[SETTING_NAME_MAX];

	for (size_t i = 0; i < n; i++) {
		setting_key(&table[i], key);
		if (strcmp(name, key) == 0 || strcmp(name, table[i].name) == 0)
			return &table[i];
	}
	return NULL;
}

static void *field(const struct setting *s, void *object)
{
	return (char *)object + s->offset;
}

static const void *read_field(const struct setting *s, const void *object)
{
	return (const char *)object + s->offset;
}

static int take_text(char **text, const char *value, struct why *why)
{
	size_t n = strlen(value);

	if (n > TEXT_MAX || !text_is_clean(value, n))
		return why_set(why, -EINVAL, "it must be text of at most %d bytes, without control characters", TEXT_MAX);
	char *copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

static int take_duration(const struct setting *s, const char *text, uint64_t *ns_out, struct why *why)
{
	char low[32], high[32];
	uint64_t ns;

	int err = value_duration(text, &ns, why);
	if (err < 0)
		return err;
	if (ns < s->low || ns > s->high) {
		value_show_duration(s->low, low, sizeof(low));
		value_show_duration(s->high, high, sizeof(high));
		return why_set(why, -EINVAL, "'%.100s' is not from %s to %s", text, low, high);
	}
	*ns_out = ns;
	return 0;
}

int setting_take(const struct setting *s, void *object, const char *text, struct why *why)
{
	switch (s->kind) {
	case SETTING_FLAG:
		return value_flag(text, field(s, object), why);
	case SETTING_NUMBER:
		return value_uint(text, s->low, s->high, field(s, object), why);
	case SETTING_BYTES:
		return value_bytes(text, s->low, s->high, field(s, object), why);
	case SETTING_DURATION:
		return take_duration(s, text, field(s, object), why);
	case SETTING_PERCENT:
		return value_percent(text, field(s, object), why);
	case SETTING_FRACTION:
		return value_fraction(text, field(s, object), why);
	case SETTING_CHOICE:
		return value_choice(text, s->choices, field(s, object), why);
	case SETTING_TEXT:
		return take_text(field(s, object), text, why);
	}
	return -EINVAL;
}

/* Which types a kind may have in a file: numbers with a unit are strings there. */
static bool type_fits(enum setting_kind kind, enum toml_type type)
{
	switch (kind) {
	case SETTING_FLAG:
		return type == TOML_BOOL;
	case SETTING_NUMBER:
		return type == TOML_INTEGER;
	case SETTING_BYTES:
		return type == TOML_INTEGER || type == TOML_STRING;
	case SETTING_DURATION:
	case SETTING_PERCENT:
		return type == TOML_INTEGER || type == TOML_FLOAT || type == TOML_STRING;
	case SETTING_FRACTION:
		return type == TOML_INTEGER || type == TOML_FLOAT;
	case SETTING_CHOICE:
	case SETTING_TEXT:
		return type == TOML_STRING;
	}
	return false;
}

static const char *expected_type(enum setting_kind kind)
{
	static const char *const NAMES[] = {
		[SETTING_FLAG] = "true or false",
		[SETTING_NUMBER] = "a number",
		[SETTING_BYTES] = "a number of bytes, or a string such as \"64M\"",
		[SETTING_DURATION] = "a number of seconds, or a string such as \"5m\"",
		[SETTING_PERCENT] = "a number of percent",
		[SETTING_FRACTION] = "a number such as 0.1",
		[SETTING_CHOICE] = "a string",
		[SETTING_TEXT] = "a string",
	};

	return NAMES[kind];
}

int setting_take_toml(const struct setting *s, void *object, const struct toml_value *value, struct why *why)
{
	if (!type_fits(s->kind, value->type))
		return why_set(why, -EINVAL, "it is %s, but should be %s", toml_type_name(value->type), expected_type(s->kind));
	return setting_take(s, object, value->text, why);
}

void setting_show(const struct setting *s, const void *object, char *out, size_t out_bytes)
{
	const void *at = read_field(s, object);

	switch (s->kind) {
	case SETTING_FLAG:
		snprintf(out, out_bytes, "%s", *(const bool *)at ? "true" : "false");
		break;
	case SETTING_NUMBER:
		snprintf(out, out_bytes, "%" PRIu64, *(const uint64_t *)at);
		break;
	case SETTING_BYTES:
		value_show_bytes(*(const uint64_t *)at, out, out_bytes);
		break;
	case SETTING_DURATION:
		value_show_duration(*(const uint64_t *)at, out, out_bytes);
		break;
	case SETTING_PERCENT:
		snprintf(out, out_bytes, "%.9g", 100 * *(const double *)at);
		break;
	case SETTING_FRACTION:
		snprintf(out, out_bytes, "%.9g", *(const double *)at);
		break;
	case SETTING_CHOICE:
		snprintf(out, out_bytes, "%s", s->choices[*(const int *)at]);
		break;
	case SETTING_TEXT:
		snprintf(out, out_bytes, "%s", *(char *const *)at ? *(char *const *)at : "");
		break;
	}
}

static size_t kind_bytes(enum setting_kind kind)
{
	switch (kind) {
	case SETTING_FLAG:
		return sizeof(bool);
	case SETTING_CHOICE:
		return sizeof(int);
	case SETTING_TEXT:
		return sizeof(char *);
	default:
		return sizeof(uint64_t);
	}
}

_Static_assert(sizeof(double) == sizeof(uint64_t), "copied as one");

bool setting_is_equal(const struct setting *s, const void *a, const void *b)
{
	if (s->kind != SETTING_TEXT)
		return memcmp(read_field(s, a), read_field(s, b), kind_bytes(s->kind)) == 0;
	const char *text_a = *(char *const *)read_field(s, a), *text_b = *(char *const *)read_field(s, b);
	return text_a && text_b ? strcmp(text_a, text_b) == 0 : text_a == text_b;
}

size_t settings_diff(const struct setting *table, size_t n, const void *a, const void *b, const struct setting **changed_out)
{
	size_t changed = 0;

	for (size_t i = 0; i < n; i++)
		if (!setting_is_equal(&table[i], a, b))
			changed_out[changed++] = &table[i];
	return changed;
}

int setting_copy(const struct setting *s, void *to, const void *from)
{
	if (s->kind != SETTING_TEXT) {
		memcpy(field(s, to), read_field(s, from), kind_bytes(s->kind));
		return 0;
	}
	const char *text = *(char *const *)read_field(s, from);
	char **target = field(s, to), *copy = text ? strdup(text) : NULL;
	if (text && !copy)
		return -ENOMEM;
	free(*target);
	*target = copy;
	return 0;
}

int settings_init(const struct setting *table, size_t n, void *object)
{
	struct why why;

	for (size_t i = 0; i < n; i++) {
		memset(field(&table[i], object), 0, kind_bytes(table[i].kind));
		int err = table[i].usual ? setting_take(&table[i], object, table[i].usual, &why) : 0;
		if (err < 0)
			return err;
	}
	return 0;
}

void settings_help(const struct setting *table, size_t n, FILE *stream)
{
	for (size_t i = 0; i < n; i++) {
		const struct setting *s = &table[i];
		char letter[8] = "";
		if (s->letter)
			snprintf(letter, sizeof(letter), "-%c, ", s->letter);
		int column = fprintf(stream, "  %4s--%s%s%s", letter, s->name, s->argument ? " " : "", s->argument ? s->argument : "");
		if (column >= HELP_COLUMN) {
			fputc('\n', stream);
			column = 0;
		}
		const char *at = s->help;
		for (;;) {
			size_t line = strcspn(at, "\n");
			fprintf(stream, "%*s%.*s\n", HELP_COLUMN - column, "", (int)line, at);
			if (!at[line])
				break;
			at += line + 1;
			column = 0;
		}
	}
}

void settings_deinit(const struct setting *table, size_t n, void *object)
{
	for (size_t i = 0; i < n; i++) {
		if (table[i].kind != SETTING_TEXT)
			continue;
		char **text = field(&table[i], object);
		free(*text);
		*text = NULL;
	}
}
