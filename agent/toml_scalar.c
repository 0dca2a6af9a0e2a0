#include "agent/toml_scalar.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define NUMBER_MAX 64

int toml_fail(struct toml_cursor *c, unsigned line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(c->error, sizeof(c->error), format, arguments);
	va_end(arguments);
	c->error_line = line;
	return -EBADMSG;
}

char toml_peek(const struct toml_cursor *c, size_t n)
{
	return n < (size_t)(c->end - c->at) ? c->at[n] : '\0';
}

void toml_skip_blanks(struct toml_cursor *c)
{
	while (toml_peek(c, 0) == ' ' || toml_peek(c, 0) == '\t')
		c->at++;
}

bool toml_take_newline(struct toml_cursor *c)
{
	size_t n = toml_peek(c, 0) == '\n' ? 1 : toml_peek(c, 0) == '\r' && toml_peek(c, 1) == '\n' ? 2 : 0;

	c->at += n;
	c->line += n > 0;
	return n > 0;
}

/* What neither strings nor comments may have: control characters other than the tab. */
static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

int toml_skip_comment(struct toml_cursor *c)
{
	for (; c->at < c->end && *c->at != '\n'; c->at++) {
		if (*c->at == '\r' && toml_peek(c, 1) == '\n')
			return 0;
		if (is_control(*c->at))
			return toml_fail(c, c->line, "a control character in a comment");
	}
	return 0;
}

/* --- strings ------------------------------------------------------------------------------------------------- */

struct text {
	char *bytes;
	size_t n;
};

static void put(struct text *text, char c)
{
	text->bytes[text->n++] = c; /* what is written is never longer than what is read */
}

static void put_utf8(struct text *text, uint32_t code)
{
	if (code < 0x80) {
		put(text, (char)code);
	} else if (code < 0x800) {
		put(text, (char)(0xc0 | code >> 6));
		put(text, (char)(0x80 | (code & 0x3f)));
	} else if (code < 0x10000) {
		put(text, (char)(0xe0 | code >> 12));
		put(text, (char)(0x80 | (code >> 6 & 0x3f)));
		put(text, (char)(0x80 | (code & 0x3f)));
	} else {
		put(text, (char)(0xf0 | code >> 18));
		put(text, (char)(0x80 | (code >> 12 & 0x3f)));
		put(text, (char)(0x80 | (code >> 6 & 0x3f)));
		put(text, (char)(0x80 | (code & 0x3f)));
	}
}

static int take_code(struct toml_cursor *c, size_t digits, struct text *text)
{
	uint32_t code = 0;

	for (size_t i = 0; i < digits; i++, c->at++) {
		char digit = (char)tolower((unsigned char)toml_peek(c, 0));
		if (!isxdigit((unsigned char)digit))
			return toml_fail(c, c->line, "\\%c needs %zu hex digits", digits == 4 ? 'u' : 'U', digits);
		code = code << 4 | (uint32_t)(isdigit((unsigned char)digit) ? digit - '0' : digit - 'a' + 10);
	}
	if (code == 0)
		return toml_fail(c, c->line, "hearth takes no NUL in a string");
	if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return toml_fail(c, c->line, "there is no character U+%04" PRIX32, code);
	put_utf8(text, code);
	return 0;
}

/* A backslash at the end of a line: the text goes on with the next character that is not blank. Returns whether it was one. */
static bool skip_line_end(struct toml_cursor *c)
{
	struct toml_cursor ahead = *c;

	toml_skip_blanks(&ahead);
	if (!toml_take_newline(&ahead))
		return false;
	do
		toml_skip_blanks(&ahead);
	while (toml_take_newline(&ahead));
	c->at = ahead.at;
	c->line = ahead.line;
	return true;
}

/* Behind a backslash. */
static int take_escape(struct toml_cursor *c, bool is_long, struct text *text)
{
	static const char FROM[] = "btnfr\"\\", TO[] = "\b\t\n\f\r\"\\";

	if (is_long && skip_line_end(c))
		return 0;
	char kind = toml_peek(c, 0);
	const char *simple = kind ? strchr(FROM, kind) : NULL;
	if (!simple && kind != 'u' && kind != 'U')
		return toml_fail(c, c->line, "'\\%c' is no escape; a backslash is written \\\\, or between '...'", isgraph((unsigned char)kind) ? kind : '?');
	c->at++;
	if (simple) {
		put(text, TO[simple - FROM]);
		return 0;
	}
	return take_code(c, kind == 'u' ? 4 : 8, text);
}

/* At quotes in a long string. Returns whether they end it: three, of up to five of which the first ones belong to the text. */
static bool take_long_end(struct toml_cursor *c, char quote, struct text *text)
{
	size_t n = 0;

	while (n < 5 && toml_peek(c, n) == quote)
		n++;
	for (size_t i = 0; i < (n < 3 ? n : n - 3); i++)
		put(text, quote);
	c->at += n;
	return n >= 3;
}

static int take_text(struct toml_cursor *c, char quote, bool is_long, struct text *text)
{
	unsigned begin = c->line;

	while (c->at < c->end) {
		char byte = *c->at;
		if (byte == quote && !is_long) {
			c->at++;
			return 0;
		}
		if (byte == quote) {
			if (take_long_end(c, quote, text))
				return 0;
		} else if (byte == '\\' && quote == '"') {
			c->at++;
			int err = take_escape(c, is_long, text);
			if (err < 0)
				return err;
		} else if (is_long && toml_take_newline(c)) {
			put(text, '\n');
		} else if (is_control(byte)) {
			if (byte == '\n' || byte == '\r')
				break;
			return toml_fail(c, c->line, "a control character in a string; write it as \\u%04X", (unsigned char)byte);
		} else {
			put(text, byte);
			c->at++;
		}
	}
	return toml_fail(c, begin, "a string that does not end: a %s is missing", is_long ? quote == '"' ? "\"\"\"" : "'''" : quote == '"' ? "\"" : "'");
}

int toml_take_string(struct toml_cursor *c, bool may_be_long, char **text_out)
{
	char quote = *c->at;
	bool is_long = toml_peek(c, 1) == quote && toml_peek(c, 2) == quote;

	if (is_long && !may_be_long)
		return toml_fail(c, c->line, "a key cannot have three quotes");
	/* No longer than what is left of the file; given back below. */
	AUTO_FREE char *bytes = malloc((size_t)(c->end - c->at) + 1);
	if (!bytes)
		return -ENOMEM;
	struct text text = {.bytes = bytes};
	c->at += is_long ? 3 : 1;
	if (is_long)
		toml_take_newline(c);
	int err = take_text(c, quote, is_long, &text);
	if (err < 0)
		return err;
	bytes[text.n] = '\0';
	char *fitting = strndup(bytes, text.n);
	if (!fitting)
		return -ENOMEM;
	*text_out = fitting;
	return 0;
}

static bool is_bare(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

int toml_take_key(struct toml_cursor *c, char **key_out)
{
	char first = toml_peek(c, 0);
	size_t n = 0;

	if (first == '"' || first == '\'') {
		AUTO_FREE char *key = NULL;
		int err = toml_take_string(c, false, &key);
		if (err == 0 && strlen(key) > TOML_KEY_MAX)
			err = toml_fail(c, c->line, "a key of more than %d bytes", TOML_KEY_MAX);
		if (err == 0)
			*key_out = take_ptr(key);
		return err;
	}
	while (is_bare(toml_peek(c, n)))
		n++;
	if (n == 0)
		return toml_fail(c, c->line, "a key is missing: letters, digits, _ and -, or a name in quotes");
	if (n > TOML_KEY_MAX)
		return toml_fail(c, c->line, "a key of more than %d bytes", TOML_KEY_MAX);
	*key_out = strndup(c->at, n);
	c->at += n;
	return *key_out ? 0 : -ENOMEM;
}

/* --- numbers ------------------------------------------------------------------------------------------------- */

/* Digits of a base with single _ between them, copied without these. Returns the digits, 0: none, or an _ in the wrong place. */
static size_t copy_digits(const char **at, const char *digits, char *out, size_t *n)
{
	size_t copied = 0;
	const char *from = *at;

	for (;; from++) {
		if (*from && strchr(digits, *from)) {
			out[(*n)++] = *from;
			copied++;
		} else if (*from != '_' || !copied || from[-1] == '_') {
			break;
		}
	}
	if (copied && from[-1] == '_')
		return 0;
	*at = from;
	return copied;
}

static int set_integer(struct toml_cursor *c, struct toml_value *value, const char *digits, int base, const char *token)
{
	char text[32];

	errno = 0;
	value->integer = strtoll(digits, NULL, base);
	if (errno)
		return toml_fail(c, c->line, "%s does not fit 64 bits", token);
	value->type = TOML_INTEGER;
	value->real = (double)value->integer;
	snprintf(text, sizeof(text), "%" PRId64, value->integer);
	value->text = strdup(text);
	return value->text ? 0 : -ENOMEM;
}

static int set_float(struct toml_value *value, double real)
{
	char text[40];

	value->type = TOML_FLOAT;
	value->real = real;
	snprintf(text, sizeof(text), "%.15g", real);
	value->text = strdup(text);
	return value->text ? 0 : -ENOMEM;
}

static int take_based(struct toml_cursor *c, struct toml_value *value, const char *token)
{
	const char *digits = token[1] == 'x' ? "0123456789abcdefABCDEF" : token[1] == 'o' ? "01234567" : "01";
	const char *at = token + 2;
	char plain[NUMBER_MAX];
	size_t n = 0;

	if (!copy_digits(&at, digits, plain, &n) || *at)
		return toml_fail(c, c->line, "'%s' is no number", token);
	plain[n] = '\0';
	return set_integer(c, value, plain, token[1] == 'x' ? 16 : token[1] == 'o' ? 8 : 2, token);
}

static int take_decimal(struct toml_cursor *c, struct toml_value *value, const char *token)
{
	static const char DIGITS[] = "0123456789";
	bool is_float = false, good;
	char plain[NUMBER_MAX + 1];
	const char *at = token;
	size_t n = 0;

	if (*at == '+' || *at == '-')
		plain[n++] = *at++;
	const char *whole = at;
	good = copy_digits(&at, DIGITS, plain, &n) && !(whole[0] == '0' && at - whole > 1);
	if (good && *at == '.') {
		is_float = true;
		plain[n++] = *at++;
		good = copy_digits(&at, DIGITS, plain, &n);
	}
	if (good && (*at == 'e' || *at == 'E')) {
		is_float = true;
		plain[n++] = *at++;
		if (*at == '+' || *at == '-')
			plain[n++] = *at++;
		good = copy_digits(&at, DIGITS, plain, &n);
	}
	plain[n] = '\0';
	if (!good || *at)
		return toml_fail(c, c->line, "'%s' is no number; text is written \"%s\"", token, token);
	return is_float ? set_float(value, strtod(plain, NULL)) : set_integer(c, value, plain, 10, token);
}

int toml_take_number(struct toml_cursor *c, struct toml_value *value)
{
	char token[NUMBER_MAX];
	size_t n = 0;

	while (is_bare(toml_peek(c, n)) || (toml_peek(c, n) && strchr("+.:", toml_peek(c, n))))
		n++;
	if (n == 0)
		return toml_fail(c, c->line, "a value is missing; text is written between \"...\"");
	if (n >= sizeof(token))
		return toml_fail(c, c->line, "'%.20s...' is no number; text is written between \"...\"", c->at);
	memcpy(token, c->at, n);
	token[n] = '\0';
	c->at += n;
	if (strcmp(token, "true") == 0 || strcmp(token, "false") == 0) {
		value->type = TOML_BOOL;
		value->flag = token[0] == 't';
		value->text = strdup(token);
		return value->text ? 0 : -ENOMEM;
	}
	const char *unsign = token + (*token == '+' || *token == '-');
	if (strcmp(unsign, "inf") == 0 || strcmp(unsign, "nan") == 0)
		return set_float(value, (*token == '-' ? -1 : 1) * (*unsign == 'i' ? (double)INFINITY : (double)NAN));
	if (strchr(token, ':') || (n >= 8 && strspn(token, "0123456789") == 4 && token[4] == '-'))
		return toml_fail(c, c->line, "hearth has no setting that is a date or a time");
	if (token[0] == '0' && token[1] && strchr("xob", token[1]))
		return take_based(c, value, token);
	return take_decimal(c, value, token);
}
