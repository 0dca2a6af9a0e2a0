#include "agent/arguments.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int usage_error(const char *command, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "hearth: ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "; see 'hearth %s%s--help'\n", command, *command ? " " : "");
	return STATUS_USAGE;
}

bool argument_uint(const char *option, const char *text, uint64_t low, uint64_t high, uint64_t *value_out)
{
	char *end;

	errno = 0;
	uint64_t value = strtoull(text, &end, 10);
	if (errno || end == text || *end || !isdigit((unsigned char)text[0]) || value < low || value > high) {
		fprintf(stderr, "hearth: %s: '%s' is not a number from %" PRIu64 " to %" PRIu64 "\n", option, text, low,
			high);
		return false;
	}
	*value_out = value;
	return true;
}

/* A number of bytes in the largest unit that divides it, for messages. */
static void format_bytes(uint64_t bytes, char text[32])
{
	static const char UNITS[] = "\0KMGT";
	int unit = 0;

	for (; unit < 4 && bytes && bytes % 1024 == 0; unit++)
		bytes /= 1024;
	snprintf(text, 32, "%" PRIu64 "%.1s", bytes, UNITS + unit);
}

bool argument_bytes(const char *option, const char *text, uint64_t low, uint64_t high, uint64_t *bytes_out)
{
	static const char UNITS[] = "KMGT";
	char *end, low_text[32], high_text[32];
	unsigned shift = 0;

	errno = 0;
	uint64_t value = strtoull(text, &end, 10);
	bool is_number = !errno && end != text && isdigit((unsigned char)text[0]);
	const char *unit = is_number && *end ? strchr(UNITS, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - UNITS + 1);
		end += strcmp(end + 1, "iB") == 0 ? 3 : 1;
	}
	if (is_number && !*end && value <= UINT64_MAX >> shift && value << shift >= low && value << shift <= high) {
		*bytes_out = value << shift;
		return true;
	}
	format_bytes(low, low_text);
	format_bytes(high, high_text);
	fprintf(stderr, "hearth: %s: '%s' is not a number of bytes such as 67108864 or 64M, from %s to %s\n", option, text,
		low_text, high_text);
	return false;
}

bool argument_duration(const char *option, const char *text, uint64_t *ns_out)
{
	static const struct {
		const char *unit;
		double seconds;
	} UNITS[] = {{"", 1}, {"s", 1}, {"ms", 0.001}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	char *end;

	double value = strtod(text, &end);
	if (end != text && isdigit((unsigned char)text[0]) && isfinite(value)) {
		for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
			if (strcmp(end, UNITS[i].unit) != 0)
				continue;
			double ns = value * UNITS[i].seconds * 1e9;
			if (ns < 1e6 || ns > 365 * 86400e9)
				break;
			*ns_out = (uint64_t)ns;
			return true;
		}
	}
	fprintf(stderr, "hearth: %s: '%s' is not a duration such as 10, 2.5, 500ms, 5m or 1h (at least 1ms)\n", option, text);
	return false;
}

bool argument_pids(const char *option, const char *text, pid_t *pids, size_t max, size_t *n_inout)
{
	for (const char *at = text;;) {
		char *end;
		errno = 0;
		long pid = strtol(at, &end, 10);
		if (errno || end == at || pid <= 0 || pid > INT32_MAX || (*end && *end != ',')) {
			fprintf(stderr, "hearth: %s: '%s' is not a list of process ids such as 123 or 123,456\n", option, text);
			return false;
		}
		if (*n_inout == max) {
			fprintf(stderr, "hearth: %s: more than %zu process ids; leave -p out to sample all\n", option, max);
			return false;
		}
		pids[(*n_inout)++] = (pid_t)pid;
		if (!*end)
			return true;
		at = end + 1;
	}
}

bool argument_demangle(const char *option, const char *text, enum demangle_style *style_out)
{
	static const char *const NAMES[] = {[DEMANGLE_FULL] = "full", [DEMANGLE_SHORT] = "short", [DEMANGLE_NONE] = "none"};

	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		if (strcmp(text, NAMES[i]) == 0) {
			*style_out = (enum demangle_style)i;
			return true;
		}
	}
	fprintf(stderr, "hearth: %s: '%s' is none of full, short, none\n", option, text);
	return false;
}
