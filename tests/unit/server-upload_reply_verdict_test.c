#include "server-upload/reply_verdict.h"

#include <string.h>

#include "base/clock.h"
#include "tests/unit/cmocka_prelude.h"

static struct http_reply http(int status, const char *content_type, const char *body)
{
	struct http_reply reply = {.status = status, .grpc_status = -1, .body = (const uint8_t *)body, .n_body = strlen(body)};

	strcpy(reply.content_type, content_type);
	return reply;
}

static struct http_reply grpc(int status, const char *message)
{
	struct http_reply reply = http(200, "application/grpc", "");

	reply.grpc_status = status;
	strcpy(reply.grpc_message, message);
	return reply;
}

static struct verdict judge(enum sink_kind kind, struct http_reply reply)
{
	struct verdict v;

	reply_verdict(kind, &reply, false, &v);
	return v;
}

static void http_statuses(void **state)
{
	static const struct {
		int status;
		enum verdict_kind kind, otlp;
	} STATUSES[] = {
		{200, VERDICT_TAKEN, VERDICT_TAKEN},	 {202, VERDICT_TAKEN, VERDICT_TAKEN},	  {204, VERDICT_TAKEN, VERDICT_TAKEN},
		{301, VERDICT_SLOWLY, VERDICT_SLOWLY},	 {307, VERDICT_SLOWLY, VERDICT_SLOWLY},	  {400, VERDICT_REFUSED, VERDICT_REFUSED},
		{401, VERDICT_SLOWLY, VERDICT_SLOWLY},	 {403, VERDICT_SLOWLY, VERDICT_SLOWLY},	  {404, VERDICT_REFUSED, VERDICT_REFUSED},
		{407, VERDICT_SLOWLY, VERDICT_SLOWLY},	 {408, VERDICT_SOON, VERDICT_REFUSED},	  {410, VERDICT_REFUSED, VERDICT_REFUSED},
		{413, VERDICT_TOO_LARGE, VERDICT_TOO_LARGE}, {415, VERDICT_REFUSED, VERDICT_REFUSED}, {422, VERDICT_REFUSED, VERDICT_REFUSED},
		{429, VERDICT_BUSY, VERDICT_BUSY},	 {500, VERDICT_SOON, VERDICT_REFUSED},	  {501, VERDICT_SOON, VERDICT_REFUSED},
		{502, VERDICT_SOON, VERDICT_SOON},	 {503, VERDICT_SOON, VERDICT_SOON},	  {504, VERDICT_SOON, VERDICT_SOON},
		{599, VERDICT_SOON, VERDICT_REFUSED},	 {999, VERDICT_SOON, VERDICT_REFUSED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(STATUSES) / sizeof(STATUSES[0]); i++) {
		struct http_reply reply = http(STATUSES[i].status, "text/plain", "why");
		reply.retry_after_ns = 5 * NS_PER_S;
		assert_int_equal(judge(SINK_PYROSCOPE, reply).kind, STATUSES[i].kind);
		assert_int_equal(judge(SINK_HTTP, reply).kind, STATUSES[i].kind);
		assert_int_equal(judge(SINK_OTLP_HTTP, reply).kind, STATUSES[i].otlp);
		bool taken = STATUSES[i].kind == VERDICT_TAKEN;
		assert_int_equal(judge(SINK_HTTP, reply).retry_after_ns, taken ? 0 : 5 * NS_PER_S);
		/* A proxy's answer to gRPC. */
		if (!taken)
			assert_int_equal(judge(SINK_PARCA, reply).kind, STATUSES[i].kind);
	}
	struct http_reply packed = http(415, "", "");
	struct verdict v;
	reply_verdict(SINK_OTLP_HTTP, &packed, true, &v);
	assert_int_equal(v.kind, VERDICT_UNPACKED);
}

static void grpc_statuses(void **state)
{
	static const struct {
		enum verdict_kind parca, otlp;
	} STATUSES[17] = {
		{VERDICT_TAKEN, VERDICT_TAKEN},	    {VERDICT_SOON, VERDICT_SOON},     {VERDICT_SOON, VERDICT_REFUSED},	  {VERDICT_REFUSED, VERDICT_REFUSED},
		{VERDICT_SOON, VERDICT_SOON},	    {VERDICT_REFUSED, VERDICT_REFUSED}, {VERDICT_REFUSED, VERDICT_REFUSED}, {VERDICT_SLOWLY, VERDICT_SLOWLY},
		{VERDICT_BUSY, VERDICT_BUSY},	    {VERDICT_REFUSED, VERDICT_REFUSED}, {VERDICT_SOON, VERDICT_SOON},	  {VERDICT_SOON, VERDICT_SOON},
		{VERDICT_REFUSED, VERDICT_REFUSED}, {VERDICT_SOON, VERDICT_REFUSED},  {VERDICT_SOON, VERDICT_SOON},	  {VERDICT_SOON, VERDICT_SOON},
		{VERDICT_SLOWLY, VERDICT_SLOWLY},
	};
	struct verdict v;

	(void)state;
	for (int i = 0; i <= 16; i++) {
		assert_int_equal(judge(SINK_PARCA, grpc(i, "why")).kind, STATUSES[i].parca);
		assert_int_equal(judge(SINK_OTLP_GRPC, grpc(i, "why")).kind, STATUSES[i].otlp);
	}
	/* No status is no success. */
	struct http_reply strange = grpc(-1, "");
	assert_int_equal(judge(SINK_PARCA, strange).kind, VERDICT_SLOWLY);
	strange = grpc(0, "");
	strange.status = 204;
	assert_int_equal(judge(SINK_OTLP_GRPC, strange).kind, VERDICT_SLOWLY);
	v = judge(SINK_PARCA, grpc(14, "no leader"));
	assert_string_equal(v.text, "gRPC UNAVAILABLE: no leader");
	assert_int_equal(judge(SINK_PARCA, grpc(8, "grpc: received message larger than max (5 vs. 4)")).kind, VERDICT_TOO_LARGE);
	struct http_reply packed = grpc(12, "gzip is not installed");
	reply_verdict(SINK_OTLP_GRPC, &packed, true, &v);
	assert_int_equal(v.kind, VERDICT_UNPACKED);
}

static void no_replies(void **state)
{
	(void)state;
	for (int i = HTTP_UNREACHABLE; i <= HTTP_NO_MEMORY; i++) {
		struct http_reply reply = {.failure = (enum http_failure)i, .error = "no route", .grpc_status = -1};
		struct verdict v = judge(SINK_HTTP, reply);
		assert_int_equal(v.kind, i == HTTP_DISTRUSTED || i == HTTP_UNUSABLE ? VERDICT_SLOWLY : VERDICT_SOON);
		assert_string_equal(v.text, "no route");
	}
}

static void words(void **state)
{
	char body[1000];

	(void)state;
	assert_string_equal(judge(SINK_HTTP, http(400, "text/plain", "bad\x1b[2Jness\n")).text, "HTTP 400: bad?[2Jness");
	assert_string_equal(judge(SINK_PYROSCOPE, http(400, "application/json", "{\"code\":\"invalid\",\"message\":\"too \\\"old\\\"\"}")).text,
			    "HTTP 400: too \\\"old\\\"");
	assert_string_equal(judge(SINK_PYROSCOPE, http(400, "application/json", "{\"message\":\"")).text, "HTTP 400");
	assert_string_equal(judge(SINK_PYROSCOPE, http(400, "application/json", "{\"message\":\"\\")).text, "HTTP 400: \\");
	assert_string_equal(judge(SINK_HTTP, http(502, "text/html", "<html>")).text, "HTTP 502");
	assert_string_equal(judge(SINK_HTTP, http(401, "", "")).text, "HTTP 401; check the sink's token or password");
	struct http_reply reply = http(302, "", "");
	strcpy(reply.redirect, "http://else.where/");
	assert_string_equal(judge(SINK_HTTP, reply).text, "HTTP 302: it sends us to http://else.where/; give that URL if it is right");
	/* google.rpc.Status */
	assert_string_equal(judge(SINK_OTLP_HTTP, http(400, "application/x-protobuf", "\x08\x03\x12\x05wrong")).text, "HTTP 400: wrong");
	assert_string_equal(judge(SINK_OTLP_HTTP, http(400, "application/x-protobuf", "\x08\x03\x12\x06wrong")).text, "HTTP 400");
	/* Cut between characters. */
	memset(body, 0, sizeof(body));
	for (size_t i = 0; i < 900; i += 3)
		memcpy(body + i, "\xe2\x82\xac", 3);
	struct verdict v = judge(SINK_HTTP, http(400, "text/plain", body));
	assert_true(strlen(v.text) < sizeof(v.text));
	assert_memory_equal(v.text + strlen(v.text) - 3, "\xe2\x82\xac", 3);
	/* Words differ, the reason does not. */
	assert_int_equal(judge(SINK_HTTP, http(503, "text/plain", "after 1 s")).reason, judge(SINK_HTTP, http(503, "text/plain", "after 2 s")).reason);
	assert_int_not_equal(judge(SINK_HTTP, http(503, "", "")).reason, judge(SINK_HTTP, http(504, "", "")).reason);
}

static struct verdict partial(const char *message, size_t n)
{
	static uint8_t frame[300];
	struct http_reply reply = grpc(0, "");

	memset(frame, 0, sizeof(frame));
	frame[4] = (uint8_t)n;
	memcpy(frame + 5, message, n);
	reply.body = frame;
	reply.n_body = n + 5;
	return judge(SINK_OTLP_GRPC, reply);
}

static void partial_success(void **state)
{
	static const char MESSAGE[] = "\x0a\x0a\x08\x83\x01\x12\x05 old\n";
	struct http_reply reply = http(200, "application/x-protobuf", MESSAGE);

	(void)state;
	reply.n_body = sizeof(MESSAGE) - 1;
	struct verdict v = judge(SINK_OTLP_HTTP, reply);
	assert_int_equal(v.kind, VERDICT_TAKEN);
	assert_int_equal(v.rejected, 131);
	assert_string_equal(v.text, "it rejected 131 profiles:  old?");
	assert_int_equal(partial(MESSAGE, sizeof(MESSAGE) - 1).rejected, 131);
	assert_int_equal(partial("", 0).rejected, 0);
	/* Others have no such message. */
	assert_int_equal(judge(SINK_HTTP, reply).rejected, 0);
	strcpy(reply.content_type, "application/json");
	assert_int_equal(judge(SINK_OTLP_HTTP, reply).rejected, 0);
	/* Damaged ones are read as far as they go, and no further. */
	for (size_t n = 0; n < sizeof(MESSAGE) - 1; n++)
		assert_int_equal(partial(MESSAGE, n).kind, VERDICT_TAKEN);
	assert_int_equal(partial("\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13).rejected, 0); /* negative */
	assert_int_equal(partial("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11).rejected, 0);
	assert_int_equal(partial("\x0b\x0c\x00", 3).rejected, 0);
	assert_int_equal(partial("\x09" "12345678" "\x15" "1234" "\x0a\x02\x08\x07", 18).rejected, 7);
	/* A frame that says it is longer than what came. */
	struct http_reply lying = grpc(0, "");
	lying.body = (const uint8_t *)"\0\xff\xff\xff\xff\x0a\x02\x08\x07";
	lying.n_body = 9;
	assert_int_equal(judge(SINK_OTLP_GRPC, lying).rejected, 0);
}

static void lines_of_a_head(void **state)
{
	static const char *const LINES[] = {"HTTP/1.1 100 Continue\r\n", "grpc-status: 3\r\n", "\r\n", "HTTP/2 200 \r\n", "Content-TYPE:\t Application/GRPC ; x=y\r\n",
					    "no colon\r\n", "grpc-status-details-bin: 9\r\n", ":\r\n", ""};
	static const struct {
		const char *line;
		int status;
	} STATUSES[] = {{"grpc-status: 0\r\n", 0}, {"Grpc-Status:16", 16}, {"grpc-status: 17", 2}, {"grpc-status: -1", 2}, {"grpc-status: 007", 2},
			{"grpc-status:", 2}, {"grpc-status: 1x", 2}, {"grpc-status: 99999999999", 2}};
	struct http_reply reply = {.grpc_status = -1};

	(void)state;
	for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++)
		http_reply_take_line(&reply, LINES[i], strlen(LINES[i]));
	assert_int_equal(reply.status, 200);
	assert_int_equal(reply.grpc_status, -1);
	assert_string_equal(reply.content_type, "application/grpc");
	for (size_t i = 0; i < sizeof(STATUSES) / sizeof(STATUSES[0]); i++) {
		http_reply_take_line(&reply, STATUSES[i].line, strlen(STATUSES[i].line));
		assert_int_equal(reply.grpc_status, STATUSES[i].status);
	}
	http_reply_take_line(&reply, "HTTP/1.1 banana", 15);
	assert_int_equal(reply.status, 0);
	http_reply_take_line(&reply, "HTTP/1.1", 8);
	http_reply_take_line(&reply, "HTTP/1.1 20012", 14);
	assert_int_equal(reply.status, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_statuses), cmocka_unit_test(grpc_statuses),   cmocka_unit_test(no_replies),
		cmocka_unit_test(words),	 cmocka_unit_test(partial_success), cmocka_unit_test(lines_of_a_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
