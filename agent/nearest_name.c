#include "agent/nearest_name.h"

#include <ctype.h>
#include <string.h>

#define LETTERS_MAX 63

static int letter(char c)
{
	return c == '_' ? '-' : tolower((unsigned char)c);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Source: "optimal string alignment", by rows: the last three are kept. */
unsigned name_distance(const char *a, const char *b)
{
	unsigned rows[3][LETTERS_MAX + 1];
	size_t n_a = strnlen(a, LETTERS_MAX), n_b = strnlen(b, LETTERS_MAX);

	for (size_t j = 0; j <= n_b; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n_a; i++) {
		unsigned *row = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= n_b; j++) {
			unsigned cost = letter(a[i - 1]) != letter(b[j - 1]);
			row[j] = least(least(last[j] + 1, row[j - 1] + 1), last[j - 1] + cost);
			if (i > 1 && j > 1 && letter(a[i - 1]) == letter(b[j - 2]) && letter(a[i - 2]) == letter(b[j - 1]))
				row[j] = least(row[j], before[j - 2] + 1);
		}
	}
	return rows[n_a % 3][n_b];
}

void nearest_name(const char *name, const char *candidate, const char **best)
{
	unsigned distance = name_distance(name, candidate);
	size_t n = strlen(name);

	if (distance > (n < 6 ? 2 : n / 3))
		return;
	if (!*best || distance < name_distance(name, *best))
		*best = candidate;
}
