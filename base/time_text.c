#include "base/time_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define NS_PER_S    1000000000ll
#define DAY_S	    86400
#define SECONDS_MAX (INT64_MAX / NS_PER_S - 1)
#define SHOWN	    128 /* bytes of a text in a message */
#define YEAR_MIN    1970
#define YEAR_MAX    2261
#define DAYS_BACK   4 /* clocks pass over an o'clock on one day, at most over a whole day (Samoa, 2011) */

/* A moment by calendar and clock, of no zone yet. */
struct civil {
	int year, month, day, hour, minute, second;
	int64_t ns; /* behind the second */
};

static int no_time(const char *text, struct why *why)
{
	return why_set(why, -EINVAL,
		       "'%.*s' is no time; write it as now, -15m, -1h30m, 03:14, yesterday 03:14, 2026-11-20 03:14, 2026-11-20T03:14:05Z or @1763610845", SHOWN,
		       text);
}

static int out_of_range(const char *text, struct why *why)
{
	return why_set(why, -EINVAL, "'%.*s' lies before %d or behind %d", SHOWN, text, YEAR_MIN, YEAR_MAX);
}

/* --- scanning: each moves *at on success ----------------------------------------------------------------------------- */

static bool take_char(const char **at, const char *any_of)
{
	if (!**at || !strchr(any_of, **at))
		return false;
	(*at)++;
	return true;
}

static bool take_word(const char **at, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*at, word, n) != 0)
		return false;
	*at += n;
	return true;
}

/* low to high digits. */
static bool take_digits(const char **at, int low, int high, int *number_out)
{
	int n = 0, number = 0;

	for (; n < high && isdigit((unsigned char)(*at)[n]); n++)
		number = 10 * number + ((*at)[n] - '0');
	if (n < low)
		return false;
	*at += n;
	*number_out = number;
	return true;
}

static bool take_number(const char **at, int64_t *number_out)
{
	const char *from = *at;
	int64_t number = 0;

	for (; isdigit((unsigned char)**at); (*at)++)
		if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, **at - '0', &number))
			number = INT64_MAX; /* stays there, and is out of every range */
	*number_out = number;
	return *at > from;
}

/* ".5", as ns; digits behind the ninth count for nothing. */
static bool take_fraction(const char **at, int64_t *ns_out)
{
	int64_t ns = 0, unit = NS_PER_S;
	const char *from;

	if (!take_char(at, ".,"))
		return true;
	for (from = *at; isdigit((unsigned char)**at); (*at)++) {
		unit /= 10;
		ns += unit * (**at - '0');
	}
	*ns_out = ns;
	return *at > from;
}

/* 3:14, 03:14:15, 03:14:15.5 */
static bool take_clock(const char **at, struct civil *c)
{
	if (!take_digits(at, 1, 2, &c->hour) || !take_char(at, ":") || !take_digits(at, 2, 2, &c->minute))
		return false;
	if (take_char(at, ":") && (!take_digits(at, 2, 2, &c->second) || !take_fraction(at, &c->ns)))
		return false;
	return c->hour < 24 && c->minute < 60 && c->second < 60;
}

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static bool take_date(const char **at, struct civil *c)
{
	static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (!take_digits(at, 4, 4, &c->year) || !take_char(at, "-") || !take_digits(at, 2, 2, &c->month) || !take_char(at, "-") ||
	    !take_digits(at, 2, 2, &c->day) || c->month < 1 || c->month > 12)
		return false;
	return c->day >= 1 && c->day <= DAYS[c->month - 1] + (c->month == 2 && is_leap(c->year));
}

/* Z, or +01:00: seconds to the east. */
static bool take_zone(const char **at, int *east_out)
{
	int hours, minutes, sign = **at == '-' ? -1 : 1;

	if (take_char(at, "Zz")) {
		*east_out = 0;
		return true;
	}
	if (!take_char(at, "+-") || !take_digits(at, 2, 2, &hours) || !take_char(at, ":") || !take_digits(at, 2, 2, &minutes) || hours > 23 ||
	    minutes > 59)
		return false;
	*east_out = sign * (hours * 3600 + minutes * 60);
	return true;
}

/* --- calendar -------------------------------------------------------------------------------------------------------- */

static int64_t seconds_utc(const struct civil *c)
{
	struct tm tm = {.tm_year = c->year - 1900, .tm_mon = c->month - 1, .tm_mday = c->day, .tm_hour = c->hour, .tm_min = c->minute, .tm_sec = c->second};

	return timegm(&tm);
}

static bool shows(time_t seconds, const struct civil *c)
{
	struct tm tm;

	return localtime_r(&seconds, &tm) && tm.tm_year == c->year - 1900 && tm.tm_mon == c->month - 1 && tm.tm_mday == c->day && tm.tm_hour == c->hour &&
	       tm.tm_min == c->minute && tm.tm_sec == c->second;
}

/* When clocks here show that: no moment, one, or two, in their order. The offsets that hold a day before, then and a day behind are tried, so that any change is seen, also
 * one that is no daylight saving. */
static size_t moments(const struct civil *c, int64_t seconds_out[2])
{
	int64_t utc = seconds_utc(c);
	size_t n = 0;

	for (int day = -1; day <= 1; day++) {
		time_t near = (time_t)(utc + day * DAY_S);
		struct tm tm;
		if (!localtime_r(&near, &tm))
			continue;
		int64_t seconds = utc - tm.tm_gmtoff;
		if (n == 2 || (n == 1 && seconds_out[0] == seconds) || !shows((time_t)seconds, c))
			continue;
		seconds_out[n++] = seconds;
	}
	if (n == 2 && seconds_out[0] > seconds_out[1]) {
		int64_t later = seconds_out[0];
		seconds_out[0] = seconds_out[1];
		seconds_out[1] = later;
	}
	return n;
}

/* The date here, some days back; the clock stays. */
static bool set_date(struct civil *c, int64_t now_ns, int days_back)
{
	time_t now = (time_t)(now_ns / NS_PER_S), noon;
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return false;
	tm.tm_hour = 12;
	tm.tm_min = tm.tm_sec = 0;
	noon = timegm(&tm) - (time_t)days_back * DAY_S; /* as if here were UTC: only the calendar is wanted */
	if (!gmtime_r(&noon, &tm))
		return false;
	c->year = tm.tm_year + 1900;
	c->month = tm.tm_mon + 1;
	c->day = tm.tm_mday;
	return true;
}

/* --- the kinds of text ----------------------------------------------------------------------------------------------- */

static int finish(const char *text, int64_t seconds, int64_t ns, int64_t *ns_out, struct why *why)
{
	if (seconds < 0 || seconds > SECONDS_MAX)
		return out_of_range(text, why);
	*ns_out = seconds * NS_PER_S + ns;
	return 0;
}

/* at: behind the '-'. */
static int parse_ago(const char *text, const char *at, int64_t now_ns, int64_t *ns_out, struct why *why)
{
	static const struct {
		const char *unit;
		int64_t seconds;
	} UNITS[] = {{"min", 60}, {"m", 60}, {"s", 1}, {"h", 3600}, {"d", DAY_S}, {"w", 7 * DAY_S}};
	int64_t total = 0, number, part;

	do {
		size_t i = 0;
		if (!take_number(&at, &number))
			return no_time(text, why);
		while (i < sizeof(UNITS) / sizeof(UNITS[0]) && !take_word(&at, UNITS[i].unit))
			i++;
		if (i == sizeof(UNITS) / sizeof(UNITS[0]))
			return *at ? no_time(text, why)
				   : why_set(why, -EINVAL, "'%.*s' lacks a unit: write %.*ss, %.*sm, %.*sh or %.*sd", SHOWN, text, SHOWN / 4, text, SHOWN / 4,
					     text, SHOWN / 4, text, SHOWN / 4, text);
		if (__builtin_mul_overflow(number, UNITS[i].seconds * NS_PER_S, &part) || __builtin_add_overflow(total, part, &total))
			return out_of_range(text, why);
	} while (*at);
	if (total > now_ns)
		return out_of_range(text, why);
	*ns_out = now_ns - total;
	return 0;
}

static int parse_epoch(const char *text, const char *at, int64_t *ns_out, struct why *why)
{
	int64_t seconds, ns = 0;

	if (!take_number(&at, &seconds) || !take_fraction(&at, &ns) || *at)
		return no_time(text, why);
	return finish(text, seconds, ns, ns_out, why);
}

static int parse_o_clock(const char *text, int64_t now_ns, int64_t *ns_out, struct why *why)
{
	struct civil c = {0};
	const char *at = text;

	if (!take_clock(&at, &c) || *at)
		return no_time(text, why);
	for (int day = 0; day < DAYS_BACK && set_date(&c, now_ns, day); day++) {
		int64_t seconds[2];
		for (size_t i = moments(&c, seconds); i-- > 0;)
			if (seconds[i] >= 0 && seconds[i] * NS_PER_S + c.ns <= now_ns)
				return finish(text, seconds[i], c.ns, ns_out, why);
	}
	return out_of_range(text, why);
}

static int finish_here(const char *text, const struct civil *c, int64_t *ns_out, struct why *why)
{
	int64_t seconds[2];

	if (c->year < YEAR_MIN || c->year > YEAR_MAX)
		return out_of_range(text, why);
	if (!moments(c, seconds))
		return why_set(why, -EINVAL, "'%.*s': clocks here were put forward over that time; write it with Z or an offset such as +01:00", SHOWN, text);
	return finish(text, seconds[0], c->ns, ns_out, why);
}

/* at: behind "today" or "yesterday". */
static int parse_day(const char *text, const char *at, int days_back, int64_t now_ns, int64_t *ns_out, struct why *why)
{
	struct civil c = {0};

	if (*at && (!take_char(&at, " ") || !take_clock(&at, &c) || *at))
		return no_time(text, why);
	return set_date(&c, now_ns, days_back) ? finish_here(text, &c, ns_out, why) : out_of_range(text, why);
}

static int parse_date(const char *text, int64_t *ns_out, struct why *why)
{
	struct civil c = {0};
	const char *at = text;
	int east;

	if (!take_date(&at, &c))
		return no_time(text, why);
	if (!*at)
		return finish_here(text, &c, ns_out, why);
	if (!take_char(&at, " Tt") || !take_clock(&at, &c))
		return no_time(text, why);
	if (!*at)
		return finish_here(text, &c, ns_out, why);
	if (!take_zone(&at, &east) || *at)
		return no_time(text, why);
	if (c.year < YEAR_MIN - 1 || c.year > YEAR_MAX)
		return out_of_range(text, why);
	return finish(text, seconds_utc(&c) - east, c.ns, ns_out, why);
}

int time_text_parse(const char *text, int64_t now_ns, int64_t *ns_out, struct why *why)
{
	const char *at = text;

	tzset(); /* localtime_r() alone need not look at TZ */
	if (strcmp(text, "now") == 0) {
		*ns_out = now_ns;
		return 0;
	}
	if (take_char(&at, "-"))
		return parse_ago(text, at, now_ns, ns_out, why);
	if (take_char(&at, "@"))
		return parse_epoch(text, at, ns_out, why);
	if (take_word(&at, "today"))
		return parse_day(text, at, 0, now_ns, ns_out, why);
	if (take_word(&at, "yesterday"))
		return parse_day(text, at, 1, now_ns, ns_out, why);
	return isdigit((unsigned char)text[0]) && strchr("0123456789:", text[1]) && text[1] && (text[1] == ':' || text[2] == ':')
		       ? parse_o_clock(text, now_ns, ns_out, why)
		       : parse_date(text, ns_out, why);
}

size_t time_text_format(int64_t ns, char *text, size_t bytes)
{
	time_t seconds = (time_t)(ns / NS_PER_S - (ns % NS_PER_S < 0));
	char whole[TIME_TEXT_MAX];
	struct tm tm;

	size_t n = localtime_r(&seconds, &tm) ? strftime(whole, sizeof(whole), "%Y-%m-%d %H:%M:%S", &tm) : 0;
	if (!bytes)
		return 0;
	n = n < bytes ? n : bytes - 1;
	memcpy(text, whole, n);
	text[n] = '\0';
	return n;
}
