#include "pprof/format_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct scale {
	double from; /* smallest value that is written in this unit */
	double divisor;
	const char *unit;
};

static const struct scale TIMES[] = {
	{3600e9, 3600e9, "h"}, {60e9, 60e9, "min"}, {1e9, 1e9, "s"}, {1e6, 1e6, "ms"}, {1e3, 1e3, "µs"}, {0, 1, "ns"},
};
static const struct scale BYTES[] = {
	{1ull << 30, 1ull << 30, "GiB"}, {1 << 20, 1 << 20, "MiB"}, {1 << 10, 1 << 10, "KiB"}, {0, 1, "B"},
};

static size_t clip(int n, size_t text_bytes)
{
	size_t length = n < 0 ? 0 : (size_t)n;

	return length < text_bytes ? length : text_bytes ? text_bytes - 1 : 0;
}

static size_t scaled(double value, const struct scale *scales, char *text, size_t text_bytes)
{
	double size = value < 0 ? -value : value;
	const struct scale *scale = scales;

	while (size < scale->from)
		scale++;
	double shown = value / scale->divisor, magnitude = shown < 0 ? -shown : shown;
	int digits = scale->divisor == 1 ? 0 : magnitude < 10 ? 2 : magnitude < 100 ? 1 : 0;
	return clip(snprintf(text, text_bytes, "%.*f %s", digits, shown, scale->unit), text_bytes);
}

size_t format_count(int64_t value, char *text, size_t text_bytes)
{
	char plain[32], grouped[48];
	size_t n = 0, length = (size_t)snprintf(plain, sizeof(plain), "%" PRId64, value);
	size_t sign = plain[0] == '-';

	for (size_t i = 0; i < length; i++) {
		if (i > sign && (length - i) % 3 == 0)
			grouped[n++] = ',';
		grouped[n++] = plain[i];
	}
	return clip(snprintf(text, text_bytes, "%.*s", (int)n, grouped), text_bytes);
}

size_t format_value(int64_t value, const char *type, const char *unit, char *text, size_t text_bytes)
{
	char count[48];

	if (strcmp(unit, "nanoseconds") == 0)
		return scaled((double)value, TIMES, text, text_bytes);
	if (strcmp(unit, "bytes") == 0)
		return scaled((double)value, BYTES, text, text_bytes);
	format_count(value, count, sizeof(count));
	return clip(snprintf(text, text_bytes, "%s %s", count, strcmp(unit, "count") == 0 ? type : unit), text_bytes);
}
