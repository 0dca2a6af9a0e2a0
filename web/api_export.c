#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/scope.h"
#include "pprof/encode.h"
#include "pprof/render.h"
#include "web/api_endpoints.h"

struct format {
	const char *name, *extension, *content_type;
	bool has_labels; /* of samples; else only the process stays, which is all that the others show */
	int (*write)(struct api_query *q, const struct profile *profile, uint32_t value);
};

static int write_pprof(struct api_query *q, const struct profile *profile, uint32_t value)
{
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n;

	(void)value;
	int err = profile_encode(profile, &bytes, &n);
	if (err < 0)
		return api_fail_errno(q, err, "encoding the profile");
	return fwrite(bytes, 1, n, q->answer->body) == n ? 0 : -EIO;
}

static int write_folded(struct api_query *q, const struct profile *profile, uint32_t value)
{
	return profile_write_folded(profile, q->type ? value : PROFILE_NONE, q->answer->body);
}

static int write_text(struct api_query *q, const struct profile *profile, uint32_t value)
{
	return profile_write_text(profile, value, 0, q->answer->body);
}

static int write_svg(struct api_query *q, const struct profile *profile, uint32_t value)
{
	return profile_write_svg(profile, value, NULL, q->answer->body);
}

static int write_speedscope(struct api_query *q, const struct profile *profile, uint32_t value)
{
	(void)value;
	return profile_write_speedscope(profile, q->context->host, q->answer->body);
}

static int write_firefox(struct api_query *q, const struct profile *profile, uint32_t value)
{
	(void)value;
	return profile_write_firefox(profile, q->context->host, q->answer->body);
}

static const struct format formats[] = {
	{"pprof", "pb.gz", "application/octet-stream", true, write_pprof},
	{"folded", "folded", "text/plain; charset=utf-8", false, write_folded},
	{"text", "txt", "text/plain; charset=utf-8", false, write_text},
	{"svg", "svg", "image/svg+xml", false, write_svg},
	{"speedscope", "speedscope.json", "application/json", false, write_speedscope},
	{"firefox", "firefox.json", "application/json", false, write_firefox},
};

static const struct format *find_format(const char *name)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	return NULL;
}

static void time_of(int64_t ns, char text[24])
{
	time_t seconds = (time_t)(ns / (int64_t)NS_PER_S);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(text, 24, "%Y%m%dT%H%M%SZ", &tm))
		strcpy(text, "0");
}

/* hearth-HOST-FROM-TO.EXT; of the host's name only what is harmless in a file's name. */
static void name_file(struct api_query *q, const struct format *format)
{
	char host[64], from[24], to[24];
	size_t n = 0;

	for (const char *at = q->context->host; *at && n + 1 < sizeof(host); at++)
		host[n++] = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *at) ? *at : '_';
	host[n] = '\0';
	time_of(q->from_ns, from);
	time_of(q->to_ns, to);
	snprintf(q->answer->filename, sizeof(q->answer->filename), "hearth-%s-%s-%s.%s", host, from, to, format->extension);
}

static int load(struct api_query *q, const struct format *format, struct profile **profile_out, uint32_t *value_out)
{
	static const char *const process[] = {"process"};

	int status = api_query_store(q);
	if (status == 0)
		status = api_query_profile(q, format->has_labels ? NULL : process, 1, profile_out);
	if (status == 0 && !*profile_out)
		status = api_fail(q, 404, "there is no window of that time (/api/v1/status tells what time there is)");
	return status ? status : api_query_value(q, *profile_out, value_out);
}

int api_export(struct api_query *q)
{
	struct profile *profile = NULL;
	const char *name;
	uint32_t value;

	int status = api_needed(q, "format", &name);
	if (status)
		return status;
	const struct format *format = find_format(name);
	if (!format)
		return api_fail(q, 400, "format=%.32s: it is pprof, folded, svg, text, speedscope or firefox", name);
	status = load(q, format, &profile, &value);
	if (status == 0) {
		name_file(q, format);
		q->answer->content_type = format->content_type;
		q->answer->is_final = true;
		status = format->write(q, profile, value);
	}
	profile_free(profile);
	return status;
}
