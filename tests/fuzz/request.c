/* A request's head as hearth-web reads it itself, and its messages with hearth-query and the agent. The first byte chooses: the target, a form, headers (five lines: Host, Origin, Accept-Encoding, Authorization,
 * Cookie), or a payload of QUERY_RUN, QUERY_DONE, WEB_STATE. */
#include <errno.h>
#include <string.h>

#include "base/text_clean.h"
#include "tests/fuzz/fuzz.h"
#include "web/query_protocol.h"
#include "web/request_guard.h"
#include "web/request_target.h"
#include "web/web_state.h"

static void check_target(const struct request_target *t)
{
	PROMISE(t->n_parameters <= TARGET_PARAMETERS_MAX && text_is_clean(t->path, strlen(t->path)));
	for (size_t i = 0; i < t->n_parameters; i++) {
		PROMISE(text_is_clean(t->parameters[i].key, strlen(t->parameters[i].key)));
		PROMISE(text_is_clean(t->parameters[i].value, strlen(t->parameters[i].value)));
	}
}

static void parse_target(const char *raw)
{
	struct web_request request = {.method = "GET", .content_type = "", .accept = ""};
	struct request_target t;
	struct query query;
	uint8_t *payload;
	size_t n;

	int err = request_target_parse(raw, &t);
	PROMISE(err == 0 || err == -EBADMSG || err == -E2BIG);
	if (err < 0)
		return;
	check_target(&t);
	PROMISE(t.path[0] == '/');
	/* And over to hearth-query. */
	request.path = t.path;
	request.parameters = t.parameters;
	request.n_parameters = t.n_parameters;
	PROMISE(query_encode(&request, false, &payload, &n) == 0);
	PROMISE(query_decode(payload, n, &query) == 0);
	PROMISE(strcmp(query.request.path, t.path) == 0 && query.request.n_parameters == t.n_parameters);
	for (size_t i = 0; i < t.n_parameters; i++)
		PROMISE(strcmp(query.request.parameters[i].value, t.parameters[i].value) == 0);
	free(payload);
	request_target_deinit(&t);
}

static void parse_form(const uint8_t *data, size_t n)
{
	struct request_target t;

	int err = request_form_parse(data, n, &t);
	PROMISE(err == 0 || err == -EBADMSG || err == -E2BIG);
	if (err < 0)
		return;
	check_target(&t);
	request_target_deinit(&t);
}

static void parse_headers(char *text)
{
	static const char *const NAMES[] = {"profiles.example.com"};
	const char *lines[5] = {NULL};
	size_t n = 0;

	for (size_t i = 0; i < 5 && text; i++)
		lines[i] = strsep(&text, "\n");
	bool is_host = guard_host(lines[0], NAMES, 1, false);
	/* What is fine for few is fine for many. */
	PROMISE(!is_host || guard_host(lines[0], NAMES, 1, true));
	bool is_own = guard_origin(lines[1], lines[0]);
	PROMISE(!is_own || !lines[1] || strlen(lines[1]) > strlen(lines[0]));
	guard_accepts_gzip(lines[2]);
	guard_fetch(lines[2], lines[3], lines[4], true);
	const char *token = guard_bearer(lines[3]);
	PROMISE(!token || (token >= lines[3] && token <= lines[3] + strlen(lines[3])));
	const char *cookie = guard_cookie(lines[4], "hearth", &n);
	PROMISE(!cookie || (cookie > lines[4] && cookie + n <= lines[4] + strlen(lines[4])));
}

static void decode_query(const uint8_t *data, size_t n)
{
	struct query query;
	size_t sum = 0;

	int err = query_decode(data, n, &query);
	PROMISE(err == 0 || err == -EBADMSG);
	if (err < 0)
		return;
	sum += strlen(query.request.method) + strlen(query.request.path) + strlen(query.request.content_type) + strlen(query.request.accept);
	for (size_t i = 0; i < query.request.n_parameters; i++)
		sum += strlen(query.request.parameters[i].key) + strlen(query.request.parameters[i].value);
	for (size_t i = 0; i < query.request.body_bytes; i++)
		sum += ((const uint8_t *)query.request.body)[i];
	__asm__ volatile("" ::"r"(sum));
}

static void decode_done(const uint8_t *data, size_t n)
{
	struct query_done done;

	int err = query_done_check(data, n, &done);
	PROMISE(err == 0 || err == -EBADMSG);
	if (err < 0)
		return;
	PROMISE(strlen(done.content_type) < sizeof(done.content_type) && !strpbrk(done.content_type, "\r\n"));
	PROMISE(strspn(done.filename, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(done.filename));
}

static void decode_state(const uint8_t *data, size_t n)
{
	static struct web_state state;

	int err = web_state_take(data, n, &state);
	PROMISE(err == 0 || err == -EBADMSG);
	if (err < 0)
		return;
	FILE *stream = fopen("/dev/null", "we");
	PROMISE(stream && strlen(state.json) == state.head.json_bytes && state.samples.n <= WEB_SAMPLES_MAX);
	web_metrics_write(&state.samples, data[0] & 1, stream);
	fclose(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (!n)
		return 0;
	uint8_t *copy = fuzz_copy(data + 1, n - 1);
	char *text = malloc(n);
	memcpy(text, data + 1, n - 1);
	text[n - 1] = '\0';
	switch (data[0] % 6) {
	case 0:
		parse_target(text);
		break;
	case 1:
		parse_form(copy, n - 1);
		break;
	case 2:
		parse_headers(text);
		break;
	case 3:
		decode_query(copy, n - 1);
		break;
	case 4:
		decode_done(copy, n - 1);
		break;
	default:
		decode_state(copy, n - 1);
	}
	free(text);
	free(copy);
	return 0;
}
