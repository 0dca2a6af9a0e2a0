#include "web/label_selector.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/regex.h"
#include "base/scope.h"
#include "base/text_clean.h"

struct parser {
	const char *begin, *at;
	struct why *why;
};

static int wrong(struct parser *p, const char *what)
{
	return why_set(p->why, -EINVAL, "the selector is wrong at byte %zu: %s", (size_t)(p->at - p->begin) + 1, what);
}

static void skip_spaces(struct parser *p)
{
	while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')
		p->at++;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Colons: only of a metric's name. Returns NULL without memory, or "". */
static char *take_name(struct parser *p, bool with_colons)
{
	const char *begin = p->at;

	if (is_letter(*p->at) || (with_colons && *p->at == ':'))
		while (is_letter(*p->at) || is_digit(*p->at) || (with_colons && *p->at == ':'))
			p->at++;
	return strndup(begin, (size_t)(p->at - begin));
}

/* ---- string literals ---- */

static int digits_of(struct parser *p, unsigned base, int n, uint32_t *number_out)
{
	uint32_t number = 0;

	for (int i = 0; i < n; i++, p->at++) {
		char c = *p->at;
		unsigned digit = is_digit(c) ? (unsigned)(c - '0') : (c | 32) >= 'a' && (c | 32) <= 'f' ? (unsigned)((c | 32) - 'a') + 10 : 99;
		if (digit >= base)
			return wrong(p, "digits are missing after a backslash");
		number = number * base + digit;
	}
	*number_out = number;
	return 0;
}

static size_t put_utf8(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n; i-- > 1; c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
	return n;
}

/* Behind a backslash, as in Go. Writes at most as many bytes as there were. */
static int take_escape(struct parser *p, char **out)
{
	static const char names[] = "abfnrtv\\'\"", meanings[] = "\a\b\f\n\r\t\v\\'\"";
	const char *name = *p->at ? strchr(names, *p->at) : NULL;
	uint32_t number = 0;
	int err;

	if (name) {
		p->at++;
		*(*out)++ = meanings[name - names];
		return 0;
	}
	char kind = *p->at;
	if (kind == 'x' || kind == 'u' || kind == 'U') {
		p->at++;
		err = digits_of(p, 16, kind == 'x' ? 2 : kind == 'u' ? 4 : 8, &number);
	} else if (kind >= '0' && kind <= '7') {
		err = digits_of(p, 8, 3, &number);
	} else {
		return wrong(p, "this backslash escapes nothing");
	}
	bool is_byte = kind != 'u' && kind != 'U';
	if (err == 0 && (number == 0 || number > (is_byte ? 0xffu : 0x10ffffu)))
		return wrong(p, "the escape before this is no character");
	if (err == 0 && is_byte)
		*(*out)++ = (char)number;
	else if (err == 0)
		*out += put_utf8(number, *out);
	return err;
}

static int take_string(struct parser *p, char **text_out)
{
	char quote = *p->at;

	if (quote != '"' && quote != '\'' && quote != '`')
		return wrong(p, "a value in quotes is missing");
	p->at++;
	AUTO_FREE char *text = malloc(strlen(p->at) + 1);
	char *out = text;
	if (!text)
		return -ENOMEM;
	while (*p->at && *p->at != quote) {
		if (*p->at == '\\' && quote != '`') {
			p->at++;
			int err = take_escape(p, &out);
			if (err < 0)
				return err;
		} else {
			*out++ = *p->at++;
		}
	}
	if (!*p->at)
		return wrong(p, "a value's closing quote is missing");
	p->at++;
	*out = '\0';
	if (!text_is_utf8(text, (size_t)(out - text)))
		return wrong(p, "the value before this is not UTF-8");
	*text_out = take_ptr(text);
	return 0;
}

/* ---- matchers ---- */

static int take_operator(struct parser *p, enum label_operator *op_out)
{
	if (p->at[0] == '=' && p->at[1] == '~')
		*op_out = LABEL_MATCHES;
	else if (p->at[0] == '!' && p->at[1] == '~')
		*op_out = LABEL_MATCHES_NOT;
	else if (p->at[0] == '!' && p->at[1] == '=')
		*op_out = LABEL_NOT_EQUAL;
	else if (p->at[0] == '=')
		*op_out = LABEL_EQUAL;
	else
		return wrong(p, "=, !=, =~ or !~ is missing");
	p->at += *op_out == LABEL_EQUAL ? 1 : 2;
	return 0;
}

static struct label_matcher *next_matcher(struct parser *p, struct label_selector *s)
{
	if (s->n == LABEL_MATCHERS_MAX) {
		why_set(p->why, -E2BIG, "the selector has more than %d matchers", LABEL_MATCHERS_MAX);
		return NULL;
	}
	s->matchers[s->n] = (struct label_matcher){0};
	return &s->matchers[s->n++];
}

static int take_matcher(struct parser *p, struct label_selector *s)
{
	struct label_matcher *m = next_matcher(p, s);
	struct why why;

	if (!m)
		return -E2BIG;
	m->name = take_name(p, false);
	if (!m->name)
		return -ENOMEM;
	if (!*m->name)
		return wrong(p, "a label's name is missing");
	skip_spaces(p);
	int err = take_operator(p, &m->op);
	skip_spaces(p);
	if (err == 0)
		err = take_string(p, &m->value);
	if (err == 0 && (m->op == LABEL_MATCHES || m->op == LABEL_MATCHES_NOT)) {
		err = regex_create(m->value, REGEX_WHOLE, &m->regex, &why);
		if (err == -EINVAL)
			why_set(p->why, err, "the selector's expression for '%.64s' is wrong: %s", m->name, why.text);
	}
	return err;
}

static int take_metric(struct parser *p, struct label_selector *s)
{
	AUTO_FREE char *name = take_name(p, true);

	if (!name)
		return -ENOMEM;
	if (!*name)
		return 0;
	struct label_matcher *m = next_matcher(p, s);
	m->name = strdup("__name__");
	m->value = take_ptr(name);
	return m->name ? 0 : -ENOMEM;
}

static int take_all(struct parser *p, struct label_selector *s)
{
	skip_spaces(p);
	int err = take_metric(p, s);
	skip_spaces(p);
	if (err == 0 && *p->at == '{') {
		p->at++;
		for (skip_spaces(p); err == 0 && *p->at != '}'; skip_spaces(p)) {
			err = take_matcher(p, s);
			skip_spaces(p);
			if (err == 0 && *p->at == ',')
				p->at++;
			else if (err == 0 && *p->at != '}')
				err = wrong(p, "a comma or } is missing");
		}
		if (err == 0) {
			p->at++;
			skip_spaces(p);
		}
	}
	return err == 0 && *p->at ? wrong(p, "nothing is expected here") : err;
}

int label_selector_parse(const char *text, struct label_selector *selector, struct why *why)
{
	struct parser p = {text, text, why};

	*selector = (struct label_selector){0};
	why->text[0] = '\0';
	if (strlen(text) > LABEL_SELECTOR_MAX)
		return why_set(why, -E2BIG, "the selector is longer than %d bytes", LABEL_SELECTOR_MAX);
	int err = take_all(&p, selector);
	if (err < 0)
		label_selector_deinit(selector);
	return err;
}

int label_matcher_holds(const struct label_matcher *matcher, const char *value)
{
	bool is_negative = matcher->op == LABEL_NOT_EQUAL || matcher->op == LABEL_MATCHES_NOT;
	int holds = matcher->regex ? regex_match(matcher->regex, value) : strcmp(matcher->value, value) == 0;

	return holds < 0 ? holds : (holds != 0) != is_negative;
}

void label_selector_deinit(struct label_selector *selector)
{
	while (selector->n) {
		struct label_matcher *m = &selector->matchers[--selector->n];
		free(m->name);
		free(m->value);
		regex_destroy(m->regex);
	}
}
