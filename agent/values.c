#include "agent/values.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char BYTE_UNITS[] = "KMGT";

int value_uint(const char *text, uint64_t low, uint64_t high, uint64_t *value_out, struct why *why)
{
	char *end;

	errno = 0;
	uint64_t value = strtoull(text, &end, 10);
	if (errno || end == text || *end || !isdigit((unsigned char)text[0]) || value < low || value > high)
		return why_set(why, -EINVAL, "'%.100s' is not a number from %" PRIu64 " to %" PRIu64, text, low, high);
	*value_out = value;
	return 0;
}

void value_show_bytes(uint64_t bytes, char *out, size_t out_bytes)
{
	int unit = 0;

	for (; unit < 4 && bytes && bytes % 1024 == 0; unit++)
		bytes /= 1024;
	snprintf(out, out_bytes, "%" PRIu64 "%.1s", bytes, unit ? &BYTE_UNITS[unit - 1] : "");
}

int value_bytes(const char *text, uint64_t low, uint64_t high, uint64_t *bytes_out, struct why *why)
{
	char *end, low_text[32], high_text[32];
	unsigned shift = 0;

	errno = 0;
	uint64_t value = strtoull(text, &end, 10);
	bool is_number = !errno && end != text && isdigit((unsigned char)text[0]);
	const char *unit = is_number && *end ? strchr(BYTE_UNITS, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - BYTE_UNITS + 1);
		end += strcmp(end + 1, "iB") == 0 ? 3 : 1;
	}
	if (is_number && !*end && value <= UINT64_MAX >> shift && value << shift >= low && value << shift <= high) {
		*bytes_out = value << shift;
		return 0;
	}
	value_show_bytes(low, low_text, sizeof(low_text));
	value_show_bytes(high, high_text, sizeof(high_text));
	return why_set(why, -EINVAL, "'%.100s' is not a number of bytes such as 67108864 or 64M, from %s to %s", text, low_text, high_text);
}

static const struct {
	const char *unit;
	double seconds;
} TIME_UNITS[] = {{"", 1}, {"s", 1}, {"ms", 0.001}, {"m", 60}, {"h", 3600}, {"d", 86400}};

int value_duration(const char *text, uint64_t *ns_out, struct why *why)
{
	char *end;

	double value = strtod(text, &end);
	if (end != text && isdigit((unsigned char)text[0]) && isfinite(value)) {
		for (size_t i = 0; i < sizeof(TIME_UNITS) / sizeof(TIME_UNITS[0]); i++) {
			if (strcmp(end, TIME_UNITS[i].unit) != 0)
				continue;
			double ns = value * TIME_UNITS[i].seconds * 1e9;
			if (ns < 1e6 || ns > 365 * 86400e9)
				break;
			*ns_out = (uint64_t)ns;
			return 0;
		}
	}
	return why_set(why, -EINVAL, "'%.100s' is not a duration such as 10, 2.5, 500ms, 5m or 1h (at least 1ms)", text);
}

void value_show_duration(uint64_t ns, char *out, size_t out_bytes)
{
	static const struct {
		uint64_t ns;
		const char *unit;
	} UNITS[] = {{86400000000000, "d"}, {3600000000000, "h"}, {60000000000, "m"}, {1000000000, "s"}, {1000000, "ms"}};

	for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
		if (ns % UNITS[i].ns == 0 && ns) {
			snprintf(out, out_bytes, "%" PRIu64 "%s", ns / UNITS[i].ns, UNITS[i].unit);
			return;
		}
	}
	snprintf(out, out_bytes, "%.9gs", (double)ns / 1e9);
}

int value_percent(const char *text, double *share_out, struct why *why)
{
	char *end;

	double percent = strtod(text, &end);
	if (end == text || (*end && strcmp(end, "%") != 0) || !(percent > 0 && percent <= 100))
		return why_set(why, -EINVAL, "'%.100s' is not a percentage above 0 and up to 100", text);
	*share_out = percent / 100;
	return 0;
}

int value_fraction(const char *text, double *fraction_out, struct why *why)
{
	char *end;

	double fraction = strtod(text, &end);
	if (end == text || *end || !(fraction > 0 && fraction <= 1))
		return why_set(why, -EINVAL, "'%.100s' is not a fraction above 0 and up to 1, such as 0.1", text);
	*fraction_out = fraction;
	return 0;
}

int value_flag(const char *text, bool *flag_out, struct why *why)
{
	if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
		*flag_out = true;
	else if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
		*flag_out = false;
	else
		return why_set(why, -EINVAL, "'%.100s' is neither true nor false", text);
	return 0;
}

int value_choice(const char *text, const char *const *names, int *index_out, struct why *why)
{
	char all[256] = "";
	size_t n = 0;

	for (int i = 0; names[i]; i++) {
		if (strcmp(text, names[i]) == 0) {
			*index_out = i;
			return 0;
		}
		n += (size_t)snprintf(all + n, n < sizeof(all) ? sizeof(all) - n : 0, "%s%s", i ? ", " : "", names[i]);
		n = n < sizeof(all) ? n : sizeof(all) - 1;
	}
	return why_set(why, -EINVAL, "'%.100s' is none of %s", text, all);
}
