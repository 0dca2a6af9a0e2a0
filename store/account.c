#include "store/account.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define LEFT_OUT "more comments were left out"

/* A part of a text, without the separator behind it. */
struct part {
	const char *at;
	size_t n;
};

static bool next_part(const char **rest, char separator, struct part *part)
{
	if (!**rest)
		return false;
	const char *end = strchrnul(*rest, separator);
	*part = (struct part){*rest, (size_t)(end - *rest)};
	*rest = *end ? end + 1 : end;
	return true;
}

static bool same_part(struct part a, struct part b)
{
	return a.n == b.n && memcmp(a.at, b.at, a.n) == 0;
}

static bool is_account(struct part line)
{
	return line.n > 6 && memcmp(line.at, "ticks=", 6) == 0;
}

static size_t key_length(struct part word)
{
	const char *equals = memchr(word.at, '=', word.n);

	return equals ? (size_t)(equals - word.at) : word.n;
}

static bool number_of(struct part word, uint64_t *number_out)
{
	size_t at = key_length(word) + 1;
	uint64_t number = 0;

	if (at >= word.n)
		return false;
	for (; at < word.n; at++) {
		unsigned digit = (unsigned)word.at[at] - '0';
		if (digit > 9 || __builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, digit, &number))
			return false;
	}
	*number_out = number;
	return true;
}

/* The word of a line that has the same key. */
static bool find_key(struct part line, struct part word, struct part *found)
{
	const char *at = line.at, *end = line.at + line.n;

	while (at < end) {
		const char *space = memchr(at, ' ', (size_t)(end - at));
		struct part candidate = {at, (size_t)((space ? space : end) - at)};
		if (key_length(candidate) == key_length(word) && memcmp(candidate.at, word.at, key_length(word)) == 0) {
			*found = candidate;
			return true;
		}
		at = space ? space + 1 : end;
	}
	return false;
}

/* Only what is whole is written: nothing, when it does not fit. */
static void write_part(char *out, size_t *n, struct part part, char separator)
{
	size_t more = part.n + (*n ? 1 : 0);

	if (*n + more + sizeof(LEFT_OUT) + 1 > ACCOUNT_BYTES_MAX)
		return;
	if (*n)
		out[(*n)++] = separator;
	memcpy(out + *n, part.at, part.n);
	*n += part.n;
}

static void write_word(char *out, size_t *n, struct part mine, const struct part *theirs)
{
	char text[160];
	uint64_t a, b, sum;
	int key = (int)key_length(mine), length;

	if (!theirs || (same_part(mine, *theirs) && !number_of(mine, &a))) {
		write_part(out, n, mine, ' ');
		return;
	}
	if (number_of(mine, &a) && number_of(*theirs, &b)) {
		if (__builtin_add_overflow(a, b, &sum))
			sum = UINT64_MAX;
		length = snprintf(text, sizeof(text), "%.*s=%" PRIu64, key, mine.at, sum);
	} else {
		bool identity = key == 8 && memcmp(mine.at, "identity", 8) == 0;
		length = snprintf(text, sizeof(text), "%.*s=%s", key, mine.at, identity ? "BROKEN" : "varies");
	}
	if (length > 0 && (size_t)length < sizeof(text))
		write_part(out, n, (struct part){text, (size_t)length}, ' ');
}

/* The words of line that other has not, or of both that do not begin with "identity": it stays the last. */
static void write_words(char *out, size_t *n, struct part line, struct part other, bool both, bool identity)
{
	const char *at = line.at, *end = line.at + line.n;

	while (at < end) {
		const char *space = memchr(at, ' ', (size_t)(end - at));
		struct part word = {at, (size_t)((space ? space : end) - at)}, found;
		bool there = find_key(other, word, &found);
		bool last = key_length(word) == 8 && memcmp(word.at, "identity", 8) == 0;
		if (word.n && last == identity && (both || !there))
			write_word(out, n, word, there ? &found : NULL);
		at = space ? space + 1 : end;
	}
}

static size_t merge_accounts(struct part a, struct part b, char out[ACCOUNT_BYTES_MAX])
{
	size_t n = 0;

	for (int identity = 0; identity < 2; identity++) {
		write_words(out, &n, a, b, true, identity);
		write_words(out, &n, b, a, false, identity);
	}
	return n;
}

static bool find_line(const char *lines, struct part line, bool account, struct part *found)
{
	const char *rest = lines ? lines : "";

	while (next_part(&rest, '\n', found))
		if (account ? is_account(*found) : same_part(*found, line))
			return true;
	return false;
}

int account_merge(const char *a, const char *b, char **merged_out)
{
	char text[ACCOUNT_BYTES_MAX + 1], account[ACCOUNT_BYTES_MAX];
	const char *rest = a ? a : "";
	struct part line, other;
	size_t n = 0, wanted = 0;

	if (!a && !b) {
		*merged_out = NULL;
		return 0;
	}
	while (next_part(&rest, '\n', &line)) {
		if (is_account(line) && find_line(b, line, true, &other))
			line = (struct part){account, merge_accounts(line, other, account)};
		wanted += line.n + (wanted ? 1 : 0);
		write_part(text, &n, line, '\n');
	}
	rest = b ? b : "";
	while (next_part(&rest, '\n', &line)) {
		if (find_line(a, line, is_account(line), &other))
			continue;
		wanted += line.n + (wanted ? 1 : 0);
		write_part(text, &n, line, '\n');
	}
	text[n] = '\0';
	if (wanted != n && !strstr(text, LEFT_OUT))
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s" LEFT_OUT, n ? "\n" : "");
	*merged_out = strdup(text);
	return *merged_out ? 0 : -ENOMEM;
}
