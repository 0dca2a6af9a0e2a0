#include "web/api.h"

#include <errno.h>
#include <string.h>

#include "web/api_endpoints.h"
#include "web/pyroscope.h"

#define API_ROOT "/api/v1/"

static const struct endpoint {
	const char *name;
	int (*answer)(struct api_query *q);
} endpoints[] = {
	{"status", api_status}, {"labels", api_labels}, {"timeline", api_timeline}, {"flame", api_flame}, {"diff", api_diff},
	{"sandwich", api_sandwich}, {"functions", api_functions}, {"lines", api_lines}, {"export", api_export},
};

static bool begins(const char *path, const char *with)
{
	return strncmp(path, with, strlen(with)) == 0;
}

bool api_has(const char *path)
{
	return begins(path, API_ROOT) || begins(path, PYROSCOPE_SERVICE) || strcmp(path, PYROSCOPE_RENDER) == 0;
}

/* ---- one answer ---- */

static int answer_error(struct api_query *q, int status)
{
	struct json_writer json;

	q->answer->status = status;
	q->answer->content_type = "application/json";
	q->answer->filename[0] = '\0';
	q->answer->is_final = false;
	json_writer_init(&json, q->answer->body);
	json_object_begin(&json, NULL);
	json_string(&json, "error", q->why.text);
	json_object_end(&json);
	return 0;
}

static int answer_json(struct api_query *q, const struct endpoint *e)
{
	if (strcmp(q->request->method, "GET") != 0)
		return api_fail(q, 405, "%.16s: this is answered to GET only", q->request->method);
	int status = api_query_parse(q, "");
	if (status == 0)
		status = e->answer(q);
	if (status == 0)
		q->answer->is_final = q->answer->is_final && q->is_fixed && q->to_ns <= q->context->now_ns - API_FINAL_AFTER_NS && !q->warning;
	return status;
}

static int answer_path(struct api_query *q, const char *path)
{
	if (begins(path, PYROSCOPE_SERVICE))
		return pyroscope_call(q, path + strlen(PYROSCOPE_SERVICE));
	if (strcmp(path, PYROSCOPE_RENDER) == 0)
		return pyroscope_render(q);
	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++)
		if (begins(path, API_ROOT) && strcmp(path + strlen(API_ROOT), endpoints[i].name) == 0)
			return answer_json(q, &endpoints[i]);
	return api_fail(q, 404, "there is no '%.64s' (docs/api.md lists what there is)", path);
}

int api_answer(const struct web_context *context, const struct web_request *request, struct web_answer *answer)
{
	struct api_query q = {.context = context, .request = request, .answer = answer, .matches_host = true};

	answer->status = 200;
	answer->content_type = "application/json";
	json_writer_init(&q.json, answer->body);
	int status = answer_path(&q, request->path);
	if (status > 0)
		answer_error(&q, status);
	api_query_deinit(&q);
	if (status < 0)
		return status;
	return fflush(answer->body) != 0 || ferror(answer->body) ? -EIO : 0;
}
