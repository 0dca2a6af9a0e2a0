#include "agent/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/json_writer.h"

static struct {
	bool json, quiet;
} setup;

void log_setup(bool json, bool quiet)
{
	setup.json = json;
	setup.quiet = quiet;
}

static void write_json(const char *level, const char *message)
{
	char stamp[40];
	struct timespec now;
	struct tm utc;
	struct json_writer writer;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	size_t n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(stamp + n, sizeof(stamp) - n, ".%03ldZ", now.tv_nsec / 1000000);
	json_writer_init(&writer, stderr);
	json_object_begin(&writer, NULL);
	json_string(&writer, "time", stamp);
	json_string(&writer, "level", level);
	json_string(&writer, "message", message);
	json_object_end(&writer);
	fputc('\n', stderr);
}

void log_line(enum log_level level, const char *format, ...)
{
	static const char *const LEVELS[] = {"error", "warning", "info"};
	char message[2048];
	va_list arguments;

	if (setup.quiet && level == LOG_INFO)
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (setup.json)
		write_json(LEVELS[level], message);
	else
		fprintf(stderr, "hearth: %s%s\n", level == LOG_ERROR ? "" : level == LOG_WARNING ? "warning: " : "", message);
}
