#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/scope.h"
#include "pprof/encode.h"
#include "pprof/flame_tree.h"
#include "pprof/render.h"
#include "web/api_endpoints.h"

/* What is written: a profile, and of a comparison the base. */
struct exported {
	struct profile *profile, *base;
	uint32_t value;
};

struct format {
	const char *name, *extension, *content_type;
	bool has_labels; /* of samples; else only the process stays, which is all that the others show */
	bool compares;	 /* it can show two */
	int (*write)(struct api_query *q, const struct exported *e);
};

static int write_pprof(struct api_query *q, const struct exported *e)
{
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n;

	int err = profile_encode(e->profile, &bytes, &n);
	if (err < 0)
		return api_fail_errno(q, err, "encoding the profile");
	return fwrite(bytes, 1, n, q->answer->body) == n ? 0 : -EIO;
}

static int write_folded(struct api_query *q, const struct exported *e)
{
	return profile_write_folded(e->profile, q->type ? e->value : PROFILE_NONE, q->answer->body);
}

static int write_text(struct api_query *q, const struct exported *e)
{
	return profile_write_text(e->profile, e->value, 0, q->answer->body);
}

/* "host1, 2026-11-21 17:48:09 to 2026-11-21 18:03:09 UTC" */
static void title_of(const struct api_query *q, char *title, size_t bytes)
{
	time_t from = (time_t)(q->from_ns / (int64_t)NS_PER_S), to = (time_t)(q->to_ns / (int64_t)NS_PER_S);
	char begin[32] = "", end[32] = "";
	struct tm tm;

	if (gmtime_r(&from, &tm))
		strftime(begin, sizeof(begin), "%Y-%m-%d %H:%M:%S", &tm);
	if (gmtime_r(&to, &tm))
		strftime(end, sizeof(end), "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(title, bytes, "%.64s, %s to %s UTC", q->context->host, begin, end);
}

static int write_svg(struct api_query *q, const struct exported *e)
{
	const char *first = api_text(q, "first"), *function = api_text(q, "function");
	struct flame_options tree = {.no_process = first && strcmp(first, "none") == 0, .function = function && *function ? function : NULL};
	char title[160];
	struct profile_svg_options options = {.title = title, .tree = &tree};
	int64_t icicle;

	int status = api_number(q, "icicle", 0, 0, 1, &icicle);
	if (status)
		return status;
	title_of(q, title, sizeof(title));
	options.icicle = icicle;
	return e->base ? profile_write_diff_svg(e->profile, e->base, e->value, &options, q->answer->body)
		       : profile_write_svg(e->profile, e->value, &options, q->answer->body);
}

static int write_speedscope(struct api_query *q, const struct exported *e)
{
	return profile_write_speedscope(e->profile, q->context->host, q->answer->body);
}

static int write_firefox(struct api_query *q, const struct exported *e)
{
	return profile_write_firefox(e->profile, q->context->host, q->answer->body);
}

static const struct format formats[] = {
	{"pprof", "pb.gz", "application/octet-stream", true, false, write_pprof},
	{"folded", "folded", "text/plain; charset=utf-8", false, false, write_folded},
	{"text", "txt", "text/plain; charset=utf-8", false, false, write_text},
	{"svg", "svg", "image/svg+xml", false, true, write_svg},
	{"speedscope", "speedscope.json", "application/json", false, false, write_speedscope},
	{"firefox", "firefox.json", "application/json", false, false, write_firefox},
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

	int status = api_query_profile(q, format->has_labels ? NULL : process, 1, profile_out);
	if (status == 0 && !*profile_out)
		status = api_fail(q, 404, "there is no window of that time (/api/v1/status tells what time there is)");
	return status ? status : api_query_value(q, *profile_out, value_out);
}

/* The base first: the file is named after the other one. */
static int load_both(struct api_query *q, const struct format *format, struct exported *e)
{
	uint32_t base_value;

	int status = api_query_store(q);
	if (status == 0 && api_text(q, "base_from")) {
		if (!format->compares)
			return api_fail(q, 400, "a comparison (base_from) is exported as svg only");
		status = api_query_parse(q, "base_");
		if (status == 0)
			status = load(q, format, &e->base, &base_value);
		if (status == 0)
			status = api_query_parse(q, "");
	}
	return status ? status : load(q, format, &e->profile, &e->value);
}

int api_export(struct api_query *q)
{
	struct exported e = {0};
	const char *name;

	int status = api_needed(q, "format", &name);
	if (status)
		return status;
	const struct format *format = find_format(name);
	if (!format)
		return api_fail(q, 400, "format=%.32s: it is pprof, folded, svg, text, speedscope or firefox", name);
	status = load_both(q, format, &e);
	if (status == 0) {
		name_file(q, format);
		q->answer->content_type = format->content_type;
		q->answer->is_final = !e.base;
		status = format->write(q, &e);
	}
	profile_free(e.profile);
	profile_free(e.base);
	return status;
}
