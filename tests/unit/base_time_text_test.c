/* base/time_text.c: every form, days on which clocks are changed, midnight, and what is no time. */
#include "base/time_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"

#define S 1000000000ll
/* Their rules of these years: the files of tzdata are needed for odd changes only. */
#define BERLIN	 "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"

/* A moment in UTC, in ns. */
static int64_t utc(int year, int month, int day, int hour, int minute, int second)
{
	struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute, .tm_sec = second};

	return (int64_t)timegm(&tm) * S;
}

static void zone(const char *name)
{
	setenv("TZ", name, 1);
	tzset();
}

static void is_at(const char *text, int64_t now, int64_t expected)
{
	struct why why = {""};
	int64_t ns = -1;

	int err = time_text_parse(text, now, &ns, &why);
	if (err < 0 || ns != expected)
		print_error("'%s': %d, %" PRId64 " and not %" PRId64 "; %s\n", text, err, ns, expected, why.text);
	assert_int_equal(err, 0);
	assert_true(ns == expected);
}

static void is_refused(const char *text, int64_t now, const char *part)
{
	struct why why = {""};
	int64_t ns = 77;

	int err = time_text_parse(text, now, &ns, &why);
	if (err != -EINVAL || !strstr(why.text, part))
		print_error("'%s': %d, %s\n", text, err, why.text);
	assert_int_equal(err, -EINVAL);
	assert_true(ns == 77);
	assert_non_null(strstr(why.text, part));
}

static void before_now(void **state)
{
	int64_t now = utc(2026, 11, 21, 16, 0, 0) + 5;

	(void)state;
	zone("UTC0");
	is_at("now", now, now);
	is_at("-15m", now, now - 15 * 60 * S);
	is_at("-15min", now, now - 15 * 60 * S);
	is_at("-90s", now, now - 90 * S);
	is_at("-1h30m", now, now - 5400 * S);
	is_at("-2d", now, now - 2 * 86400 * S);
	is_at("-1w2d3h4m5s", now, now - (9 * 86400ll + 3 * 3600 + 245) * S);
	is_at("-0s", now, now);
	is_refused("-15", now, "'-15' lacks a unit: write -15s, -15m, -15h or -15d");
	is_refused("-1h30", now, "lacks a unit");
	is_refused("-", now, "is no time");
	is_refused("-15y", now, "is no time");
	is_refused("-m", now, "is no time");
	is_refused("--5m", now, "is no time");
	is_refused("-1.5h", now, "is no time");
	is_refused("-100000d", now, "lies before 1970");
	is_refused("-99999999999999999999999d", now, "lies before 1970");
	is_refused("-9223372036854775807s", now, "lies before 1970");
}

static void exact(void **state)
{
	int64_t now = utc(2026, 11, 21, 16, 0, 0);

	(void)state;
	zone(BERLIN);
	is_at("2026-11-20T03:14:05Z", now, utc(2026, 11, 20, 3, 14, 5));
	is_at("2026-11-20t03:14:05z", now, utc(2026, 11, 20, 3, 14, 5));
	is_at("2026-11-20 03:14:05Z", now, utc(2026, 11, 20, 3, 14, 5));
	is_at("2026-11-20T03:14Z", now, utc(2026, 11, 20, 3, 14, 0));
	is_at("2026-11-20T03:14:05.25Z", now, utc(2026, 11, 20, 3, 14, 5) + S / 4);
	is_at("2026-11-20T03:14:05.123456789987Z", now, utc(2026, 11, 20, 3, 14, 5) + 123456789);
	is_at("2026-11-20T03:14:05+01:00", now, utc(2026, 11, 20, 2, 14, 5));
	is_at("2026-11-20T03:14:05-05:30", now, utc(2026, 11, 20, 8, 44, 5));
	is_at("1970-01-01T01:00:00+01:00", now, 0);
	is_at("@1763610845", now, 1763610845 * S);
	is_at("@1763610845.5", now, 1763610845 * S + S / 2);
	is_at("@0", now, 0);
	is_refused("1970-01-01T00:00:00+01:00", now, "lies before 1970");
	is_refused("1969-12-31T23:00:00Z", now, "lies before 1970");
	is_refused("9999-12-31T23:00:00Z", now, "behind 2261");
	is_refused("@99999999999", now, "behind 2261");
	is_refused("@99999999999999999999999999", now, "behind 2261");
	is_refused("@", now, "is no time");
	is_refused("@12x", now, "is no time");
	is_refused("@12.", now, "is no time");
	is_refused("@-5", now, "is no time");
	is_refused("2026-11-20T03:14:05+1:00", now, "is no time");
	is_refused("2026-11-20T03:14:05+24:00", now, "is no time");
	is_refused("2026-11-20T03:14:05ZZ", now, "is no time");
}

static void here(void **state)
{
	int64_t now = utc(2026, 11, 21, 16, 0, 0); /* 17:00 in Berlin */

	(void)state;
	zone(BERLIN);
	is_at("2026-11-20", now, utc(2026, 11, 19, 23, 0, 0));
	is_at("2026-11-20 03:14", now, utc(2026, 11, 20, 2, 14, 0));
	is_at("2026-11-20T03:14:05", now, utc(2026, 11, 20, 2, 14, 5));
	is_at("2026-07-20 03:14", now, utc(2026, 7, 20, 1, 14, 0));
	is_at("2024-02-29", now, utc(2024, 2, 28, 23, 0, 0));
	is_at("today", now, utc(2026, 11, 20, 23, 0, 0));
	is_at("today 00:30", now, utc(2026, 11, 20, 23, 30, 0));
	is_at("yesterday", now, utc(2026, 11, 19, 23, 0, 0));
	is_at("yesterday 03:14", now, utc(2026, 11, 20, 2, 14, 0));
	is_at("03:14", now, utc(2026, 11, 21, 2, 14, 0));
	is_at("3:14:15", now, utc(2026, 11, 21, 2, 14, 15));
	is_at("17:00", now, now);
	is_at("17:01", now, utc(2026, 11, 20, 16, 1, 0)); /* has not been today */
	is_at("00:00", now, utc(2026, 11, 20, 23, 0, 0));
	is_refused("2026-02-29", now, "is no time");
	is_refused("1900-02-29", now, "is no time");
	is_refused("2026-13-01", now, "is no time");
	is_refused("2026-00-01", now, "is no time");
	is_refused("2026-11-31", now, "is no time");
	is_refused("1969-11-30", now, "lies before 1970");
	is_refused("2262-01-01", now, "behind 2261");
	is_refused("2026-11-20 24:00", now, "is no time");
	is_refused("2026-11-20 ", now, "is no time");
	is_refused("2026-11-20  03:14", now, "is no time");
	is_refused("tomorrow", now, "is no time");
	is_refused("yesterday03:14", now, "is no time");
	is_refused("yesterday 3", now, "is no time");
	is_refused("24:00", now, "is no time");
	is_refused("03:60", now, "is no time");
	is_refused("03:14:60", now, "is no time");
	is_refused("3:1", now, "is no time");
}

static void around_midnight(void **state)
{
	int64_t just_after = utc(2026, 11, 20, 23, 0, 1), just_before = utc(2026, 11, 20, 22, 59, 59); /* 00:00:01 and 23:59:59 in Berlin */

	(void)state;
	zone(BERLIN);
	is_at("today", just_after, utc(2026, 11, 20, 23, 0, 0));
	is_at("today", just_before, utc(2026, 11, 19, 23, 0, 0));
	is_at("yesterday", just_after, utc(2026, 11, 19, 23, 0, 0));
	is_at("23:59:59", just_after, just_before);
	is_at("00:00:01", just_after, just_after);
	is_at("00:00:02", just_after, utc(2026, 11, 19, 23, 0, 2));
	is_at("00:00", just_before, utc(2026, 11, 19, 23, 0, 0));
	zone("UTC0");
	is_at("yesterday", utc(2027, 1, 1, 0, 0, 0), utc(2026, 12, 31, 0, 0, 0));
	is_at("yesterday", utc(2024, 3, 1, 5, 0, 0), utc(2024, 2, 29, 0, 0, 0));
	zone("EAST-14");
	is_at("today", utc(2026, 11, 21, 9, 59, 59), utc(2026, 11, 20, 10, 0, 0));
	is_at("today", utc(2026, 11, 21, 10, 0, 0), utc(2026, 11, 21, 10, 0, 0));
}

/* 2026-03-29 02:00 became 03:00; 2026-10-25 03:00 became 02:00. */
static void clocks_changed(void **state)
{
	(void)state;
	zone(BERLIN);
	is_refused("2026-03-29 02:30", utc(2026, 4, 1, 0, 0, 0), "clocks here were put forward over that time");
	is_at("2026-03-29 01:59:59", utc(2026, 4, 1, 0, 0, 0), utc(2026, 3, 29, 0, 59, 59));
	is_at("2026-03-29 03:00", utc(2026, 4, 1, 0, 0, 0), utc(2026, 3, 29, 1, 0, 0));
	/* 02:30 was not on that day: the last time was the day before. */
	is_at("02:30", utc(2026, 3, 29, 10, 0, 0), utc(2026, 3, 28, 1, 30, 0));
	is_at("02:30", utc(2026, 3, 30, 0, 0, 0), utc(2026, 3, 28, 1, 30, 0));
	is_at("02:30", utc(2026, 3, 30, 0, 30, 0), utc(2026, 3, 30, 0, 30, 0));
	/* 02:30 came at 00:30 and at 01:30 UTC. */
	is_at("2026-10-25 02:30", utc(2026, 11, 1, 0, 0, 0), utc(2026, 10, 25, 0, 30, 0));
	is_at("02:30", utc(2026, 10, 25, 10, 0, 0), utc(2026, 10, 25, 1, 30, 0));
	is_at("02:30", utc(2026, 10, 25, 1, 0, 0), utc(2026, 10, 25, 0, 30, 0));
	is_at("yesterday", utc(2026, 10, 26, 12, 0, 0), utc(2026, 10, 24, 22, 0, 0));
	is_at("today", utc(2026, 10, 25, 12, 0, 0), utc(2026, 10, 24, 22, 0, 0));
	is_at("-1d", utc(2026, 10, 26, 0, 30, 0), utc(2026, 10, 25, 0, 30, 0)); /* 24 h, and another o'clock */
}

static void odd_changes(void **state)
{
	(void)state;
	if (access("/usr/share/zoneinfo/Africa/Cairo", R_OK) < 0)
		skip();
	/* Midnight itself can be missing (Cairo, 2026-04-24). */
	zone("Africa/Cairo");
	is_refused("2026-04-24", utc(2026, 5, 1, 0, 0, 0), "put forward");
	is_at("2026-04-24 01:00", utc(2026, 5, 1, 0, 0, 0), utc(2026, 4, 23, 22, 0, 0));
	/* A change that is no daylight saving: Moscow, 2014-10-26 02:00 became 01:00. */
	zone("Europe/Moscow");
	is_at("2014-10-26 01:30", utc(2014, 11, 1, 0, 0, 0), utc(2014, 10, 25, 21, 30, 0));
	is_at("01:30", utc(2014, 10, 26, 10, 0, 0), utc(2014, 10, 25, 22, 30, 0));
	/* A whole day that was not: Samoa, 2011-12-30. */
	zone("Pacific/Apia");
	is_refused("2011-12-30 12:00", utc(2012, 1, 1, 0, 0, 0), "put forward");
	is_at("12:00", utc(2011, 12, 30, 12, 0, 0), utc(2011, 12, 29, 22, 0, 0));
}

static void garbage(void **state)
{
	static const char *const BAD[] = {"", " ", "no", "now ", " now", "NOW!", "12", "2026", "2026-11", "1763610845", "20:26-11-20", "\xff\xfe", "\033[31m",
					  "2026-11-20T", "2026-11-20X03:14", "26-11-20", "02026-11-20", "+5m", "03:14pm", "03", "3:", ":", "today 3:1", "%s%n", "@1e9"};
	char longest[5000];
	struct why why;
	int64_t ns;

	(void)state;
	zone("UTC0");
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		is_refused(BAD[i], utc(2026, 11, 21, 16, 0, 0), "is no time");
	memset(longest, '9', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(time_text_parse(longest, 0, &ns, &why), -EINVAL);
	longest[0] = '-';
	assert_int_equal(time_text_parse(longest, 0, &ns, &why), -EINVAL);
	assert_true(strlen(why.text) < sizeof(why.text) - 1);
	longest[0] = '@';
	assert_int_equal(time_text_parse(longest, 0, &ns, &why), -EINVAL);
	/* At the epoch there was no 03:14 yet. */
	assert_int_equal(time_text_parse("03:14", 0, &ns, &why), -EINVAL);
}

static void formats(void **state)
{
	char text[TIME_TEXT_MAX];

	(void)state;
	zone(BERLIN);
	assert_int_equal(time_text_format(utc(2026, 11, 20, 2, 14, 5) + 999, text, sizeof(text)), 19);
	assert_string_equal(text, "2026-11-20 03:14:05");
	assert_int_equal(time_text_format(-1, text, sizeof(text)), 19);
	assert_string_equal(text, "1970-01-01 00:59:59");
	assert_int_equal(time_text_format(0, text, 5), 4);
	assert_string_equal(text, "1970");
	assert_int_equal(time_text_format(0, text, 0), 0);
	assert_true(time_text_format(INT64_MAX, text, sizeof(text)) > 0);
}

/* What is shown reads back as the same second, on any day of a year with both changes. */
static void round_trip(void **state)
{
	char text[TIME_TEXT_MAX];

	(void)state;
	zone(NEW_YORK);
	for (int64_t at = utc(2026, 1, 1, 0, 17, 0); at < utc(2027, 1, 1, 0, 0, 0); at += 1800 * S) {
		int64_t ns;
		struct why why;
		time_text_format(at, text, sizeof(text));
		assert_int_equal(time_text_parse(text, 0, &ns, &why), 0);
		assert_true(ns == at || ns == at - 3600 * S); /* the second time of the hour that came twice */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_now), cmocka_unit_test(exact),	 cmocka_unit_test(here),    cmocka_unit_test(around_midnight),
		cmocka_unit_test(clocks_changed), cmocka_unit_test(odd_changes), cmocka_unit_test(garbage), cmocka_unit_test(formats), cmocka_unit_test(round_trip),
	};

	return cmocka_run_group_tests_name("base/time_text", tests, NULL, NULL);
}
