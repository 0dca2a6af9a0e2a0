#include "base/regex.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/scope.h"

#define STEPS_MAX     50000 /* one or two milliseconds; a sound expression needs a few for each character */
#define HEAP_KIB_MAX  4096
#define REPEATS_MAX   1000 /* RE2's */
#define GROUP_NAME_MAX 64

struct regex {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *limits;
};

/* --- the syntax ---------------------------------------------------------------------------------------------- */

/* The end of a class, behind its ']'; where it does not end the library will say so. */
static const char *skip_class(const char *at)
{
	at++;
	if (*at == '^')
		at++;
	if (*at == ']')
		at++;
	for (; *at && *at != ']'; at++) {
		if (at[0] == '\\' && at[1])
			at++;
		else if (at[0] == '[' && at[1] == ':') {
			const char *end = strstr(at, ":]");
			if (end)
				at = end + 1;
		}
	}
	return *at ? at + 1 : at;
}

/* "{2}", "{2,}", "{2,5}": behind it; NULL: the brace is an ordinary character. */
static const char *skip_counts(const char *at, bool *too_many_out)
{
	unsigned long most = 0;

	if (!isdigit((unsigned char)*++at))
		return NULL;
	for (int i = 0; i < 2; i++) {
		char *end;
		if (i == 1 && *at == '}')
			break;
		unsigned long count = strtoul(at, &end, 10);
		most = count > most ? count : most;
		at = end;
		if (i == 0 && *at == ',')
			at++;
		else if (*at != '}')
			return NULL;
	}
	if (*at != '}')
		return NULL;
	*too_many_out = most > REPEATS_MAX;
	return at + 1;
}

/* at: behind "(?". Whether RE2 has what is there: (?:...), (?P<name>...), (?<name>...), flags. */
static bool is_plain_group(const char *at)
{
	if (*at == 'P')
		return at[1] == '<';
	if (*at == '<')
		return isalpha((unsigned char)at[1]) || at[1] == '_';
	size_t flags = strspn(at, "imsU-");
	return at[flags] == ':' || (flags && at[flags] == ')');
}

static const char *check_quantifier(const char *at, const char **why_out)
{
	bool too_many = false;
	const char *end = *at == '{' ? skip_counts(at, &too_many) : at + 1;

	if (too_many)
		*why_out = "more than 1000 repeats";
	if (!end)
		return at + 1;
	if (*end == '+')
		*why_out = "possessive quantifiers are not in RE2's syntax";
	return *end == '?' ? end + 1 : end;
}

/* What RE2 has not. Returns NULL, or what is wrong and where. What is no expression at all is left to the library. */
static const char *check_syntax(const char *pattern, size_t *at_out)
{
	const char *why = NULL, *next;

	for (const char *at = pattern; *at && !why; at = next) {
		*at_out = (size_t)(at - pattern);
		next = at + 1;
		if (*at == '\\' && at[1] == 'Q') {
			next = strstr(at, "\\E");
			next = next ? next + 2 : at + strlen(at);
		} else if (*at == '\\' && at[1]) {
			if (isalnum((unsigned char)at[1]) && !strchr("aftnrvxdDsSwWbBAzpP", at[1]))
				why = isdigit((unsigned char)at[1]) ? "back references are not in RE2's syntax" : "this escape is not in RE2's syntax";
			next = at + 2;
		} else if (*at == '[') {
			next = skip_class(at);
		} else if (strchr("*+?{", *at)) {
			next = check_quantifier(at, &why);
		} else if (at[0] == '(' && at[1] == '*') {
			why = "verbs are not in RE2's syntax";
		} else if (at[0] == '(' && at[1] == '?') {
			if (!is_plain_group(at + 2))
				why = "look-around, atomic groups, conditions and comments are not in RE2's syntax";
			next = at + 2; /* its '?' is no quantifier */
		}
	}
	return why;
}

/* --- matching ------------------------------------------------------------------------------------------------ */

int regex_create(const char *pattern, enum regex_mode mode, struct regex **regex_out, struct why *why)
{
	const uint32_t ends = mode == REGEX_WHOLE ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0;
	int err;
	size_t at = 0;

	if (strlen(pattern) > REGEX_MAX)
		return why_set(why, -EINVAL, "longer than %d bytes", REGEX_MAX);
	const char *wrong = check_syntax(pattern, &at);
	if (wrong)
		return why_set(why, -EINVAL, "%s (at character %zu)", wrong, at + 1);
	struct regex *regex = calloc(1, sizeof(*regex));
	if (!regex)
		return -ENOMEM;
	regex->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
				    PCRE2_UTF | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | ends, &err, &at,
				    NULL);
	if (!regex->code) {
		PCRE2_UCHAR text[160] = "";
		pcre2_get_error_message(err, text, sizeof(text));
		regex_destroy(regex);
		return err == PCRE2_ERROR_NOMEMORY ? -ENOMEM : why_set(why, -EINVAL, "%s (at character %zu)", (const char *)text, at + 1);
	}
	regex->match = pcre2_match_data_create_from_pattern(regex->code, NULL);
	regex->limits = pcre2_match_context_create(NULL);
	if (!regex->match || !regex->limits) {
		regex_destroy(regex);
		return -ENOMEM;
	}
	pcre2_set_match_limit(regex->limits, STEPS_MAX);
	pcre2_set_depth_limit(regex->limits, STEPS_MAX);
	pcre2_set_heap_limit(regex->limits, HEAP_KIB_MAX);
	*regex_out = regex;
	return 0;
}

int regex_match(struct regex *regex, const char *subject)
{
	size_t n = strnlen(subject, REGEX_SUBJECT_MAX + 1);

	if (n > REGEX_SUBJECT_MAX)
		return 0;
	int result = pcre2_match(regex->code, (PCRE2_SPTR)subject, n, 0, 0, regex->match, regex->limits);
	switch (result) {
	case PCRE2_ERROR_MATCHLIMIT:
	case PCRE2_ERROR_DEPTHLIMIT:
	case PCRE2_ERROR_HEAPLIMIT:
		return -E2BIG;
	case PCRE2_ERROR_NOMEMORY:
		return -ENOMEM;
	default:
		return result > 0;
	}
}

/* --- replacements -------------------------------------------------------------------------------------------- */

struct text {
	char *out;
	size_t n, bytes;
	bool full;
};

static void put(struct text *text, const char *from, size_t n)
{
	if (n >= text->bytes - text->n) {
		text->full = true;
		return;
	}
	memcpy(text->out + text->n, from, n);
	text->n += n;
}

static void put_group(struct text *text, const struct regex *regex, const char *subject, const char *name, size_t n)
{
	PCRE2_SIZE *ends = pcre2_get_ovector_pointer(regex->match);
	char key[GROUP_NAME_MAX];
	int group = 0;

	if (n >= sizeof(key))
		return;
	memcpy(key, name, n);
	key[n] = '\0';
	if (strspn(key, "0123456789") == n)
		group = n <= 4 ? atoi(key) : -1;
	else
		group = pcre2_substring_number_from_name(regex->code, (PCRE2_SPTR)key);
	if (group < 0 || (uint32_t)group >= pcre2_get_ovector_count(regex->match))
		return;
	PCRE2_SIZE begin = ends[2 * group], end = ends[2 * group + 1];
	if (begin != PCRE2_UNSET && begin < end)
		put(text, subject + begin, end - begin);
}

static size_t name_length(const char *at)
{
	size_t n = 0;

	while (isalnum((unsigned char)at[n]) || at[n] == '_')
		n++;
	return n;
}

int regex_expand(const struct regex *regex, const char *subject, const char *replacement, char *out, size_t out_bytes)
{
	struct text text = {.out = out, .bytes = out_bytes};

	for (const char *at = replacement; *at && !text.full;) {
		bool braced = at[0] == '$' && at[1] == '{';
		const char *name = at + 1 + braced;
		size_t n = name_length(name);
		if (*at != '$') {
			size_t plain = strcspn(at, "$");
			put(&text, at, plain);
			at += plain;
		} else if (at[1] == '$') {
			put(&text, at, 1);
			at += 2;
		} else if (n && (!braced || name[n] == '}')) {
			put_group(&text, regex, subject, name, n);
			at = name + n + braced;
		} else {
			put(&text, at++, 1);
		}
	}
	if (text.full || text.n >= out_bytes)
		return -E2BIG;
	out[text.n] = '\0';
	return (int)text.n;
}

void regex_destroy(struct regex *regex)
{
	if (!regex)
		return;
	pcre2_code_free(regex->code);
	pcre2_match_data_free(regex->match);
	pcre2_match_context_free(regex->limits);
	free(regex);
}
