#include "agent/arguments.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "agent/values.h"

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

static bool is_good(const char *option, int err, const struct why *why)
{
	if (err < 0)
		fprintf(stderr, "hearth: %s: %s\n", option, why->text);
	return err == 0;
}

bool argument_uint(const char *option, const char *text, uint64_t low, uint64_t high, uint64_t *value_out)
{
	struct why why;

	return is_good(option, value_uint(text, low, high, value_out, &why), &why);
}

bool argument_bytes(const char *option, const char *text, uint64_t low, uint64_t high, uint64_t *bytes_out)
{
	struct why why;

	return is_good(option, value_bytes(text, low, high, bytes_out, &why), &why);
}

bool argument_duration(const char *option, const char *text, uint64_t *ns_out)
{
	struct why why;

	return is_good(option, value_duration(text, ns_out, &why), &why);
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

const char *const argument_demangle_styles[] = {[DEMANGLE_FULL] = "full", [DEMANGLE_SHORT] = "short", [DEMANGLE_NONE] = "none", NULL};

bool argument_demangle(const char *option, const char *text, enum demangle_style *style_out)
{
	struct why why;
	int style;

	if (!is_good(option, value_choice(text, argument_demangle_styles, &style, &why), &why))
		return false;
	*style_out = (enum demangle_style)style;
	return true;
}

bool argument_folder(const char *option, const char *text, const char **path_out)
{
	struct stat status;

	if (stat(text, &status) < 0 || !S_ISDIR(status.st_mode)) {
		fprintf(stderr, "hearth: %s: '%s' is not a folder\n", option, text);
		return false;
	}
	*path_out = text;
	return true;
}
