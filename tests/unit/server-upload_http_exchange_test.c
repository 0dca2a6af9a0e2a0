#include "server-upload/http_exchange.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/upload_server.h"

static struct curl_library library;
static struct http_client *client;
static struct upload_server server, grpc;
static const struct http_form PLAIN = {"application/octet-stream", "X-Form: yes", false, false}, GRPC = {"application/grpc+proto", NULL, true, false};
static struct sink_secrets secrets;
static struct sink_config config;
static const uint8_t BODY[] = "the body of a window";

static struct http_exchange *create(const char *path)
{
	struct http_exchange *e = NULL;
	struct why why = {""};
	char url[256];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", server.port, path);
	assert_int_equal(http_exchange_create(client, url, &PLAIN, &config, &secrets, &e, &why), 0);
	return e;
}

static struct http_reply await(struct http_exchange *e)
{
	struct http_reply reply;
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + 60 * NS_PER_S;

	while (!http_exchange_take(e, &reply)) {
		assert_true(clock_ns(CLOCK_MONOTONIC) < end_ns);
		http_client_wait(client, NULL, NULL, 0, 1000);
	}
	assert_false(http_exchange_is_busy(e));
	assert_false(http_exchange_take(e, &reply));
	return reply;
}

static struct http_reply ask(struct http_exchange *e, const char *query, bool gzip)
{
	assert_int_equal(http_exchange_begin(e, query, BODY, sizeof(BODY), gzip), 0);
	assert_true(http_exchange_is_busy(e));
	assert_int_equal(http_exchange_begin(e, query, BODY, sizeof(BODY), gzip), -EBUSY);
	return await(e);
}

static const struct upload_server_request *last(const struct upload_server *of)
{
	return &of->shared->requests[atomic_load(&of->shared->n_requests) - 1];
}

static int begin(void **state)
{
	(void)state;
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	upload_server_start(&server, false);
	upload_server_start(&grpc, true);
	assert_int_equal(curl_library_load(&library), 0);
	return http_client_create(&library, &client);
}

static int end(void **state)
{
	(void)state;
	http_client_destroy(client);
	http_client_destroy(NULL);
	http_exchange_destroy(NULL);
	upload_server_stop(&server);
	upload_server_stop(&grpc);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	config = (struct sink_config){.timeout_s = 30};
	secrets = (struct sink_secrets){0};
	upload_server_say_one(&server, ANSWER, "");
	atomic_store(&server.shared->n_requests, 0);
	atomic_store(&grpc.shared->n_requests, 0);
	return 0;
}

static void sends_over_one_connection(void **state)
{
	(void)state;
	config.headers[0] = (struct sink_pair){(char *)"X-Team", (char *)"red"};
	config.headers[1] = (struct sink_pair){(char *)"Content-Type", (char *)"text/evil"};
	config.n_headers = 2;
	config.tenant = (char *)"tenant-1";
	secrets.bearer_token = (char *)"a-token";
	struct http_exchange *e = create("/in");
	for (int i = 0; i < 3; i++) {
		struct http_reply reply = ask(e, "?a=b&c=d", false);
		assert_int_equal(reply.failure, HTTP_ANSWERED);
		assert_int_equal(reply.status, 200);
		assert_int_equal(reply.bytes_sent, sizeof(BODY));
		assert_int_equal(http_exchange_bytes(e), sizeof(BODY));
		assert_int_equal(last(&server)->connection, server.shared->requests[0].connection);
	}
	const char *head = last(&server)->head;
	assert_memory_equal(head, "POST /in?a=b&c=d HTTP/1.1\r\n", 27);
	assert_non_null(strstr(head, "\r\nContent-Type: application/octet-stream\r\n"));
	assert_non_null(strstr(head, "\r\nX-Form: yes\r\n"));
	assert_non_null(strstr(head, "\r\nX-Team: red\r\n"));
	assert_non_null(strstr(head, "\r\nX-Scope-OrgID: tenant-1\r\n"));
	assert_non_null(strstr(head, "\r\nAuthorization: Bearer a-token\r\n"));
	assert_non_null(strstr(head, "\r\nUser-Agent: hearth/"));
	assert_null(strstr(head, "evil"));
	assert_null(strstr(head, "Expect"));
	assert_int_equal(last(&server)->n_body, sizeof(BODY));
	assert_memory_equal(last(&server)->body, BODY, sizeof(BODY));
	http_exchange_destroy(e);
}

static void basic_auth_and_gzip(void **state)
{
	uint8_t unpacked[64];
	z_stream z = {.next_out = unpacked, .avail_out = sizeof(unpacked)};

	(void)state;
	config.basic_user = (char *)"user";
	secrets.basic_password = (char *)"pass:word";
	struct http_exchange *e = create("");
	assert_int_equal(ask(e, NULL, true).status, 200);
	assert_non_null(strstr(last(&server)->head, "\r\nAuthorization: Basic dXNlcjpwYXNzOndvcmQ=\r\n"));
	assert_non_null(strstr(last(&server)->head, "\r\nContent-Encoding: gzip\r\n"));
	z.next_in = (Bytef *)(uintptr_t)last(&server)->body;
	z.avail_in = (uInt)last(&server)->n_body;
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	assert_int_equal(z.total_out, sizeof(BODY));
	assert_memory_equal(unpacked, BODY, sizeof(BODY));
	assert_int_equal(ask(e, NULL, false).status, 200);
	assert_null(strstr(last(&server)->head, "Content-Encoding"));
	http_exchange_destroy(e);
}

static void large_bodies(void **state)
{
	size_t n = 5u << 20;
	uint8_t *body = calloc(1, n);
	struct http_exchange *e = create("");

	(void)state;
	memcpy(body, BODY, sizeof(BODY));
	assert_int_equal(http_exchange_begin(e, NULL, body, n, false), 0);
	assert_int_equal(await(e).status, 200);
	assert_int_equal(last(&server)->n_body, n);
	assert_int_equal(http_exchange_begin(e, NULL, body, (size_t)UINT32_MAX + 1, false), -E2BIG);
	char *query = calloc(1, 9000);
	memset(query, 'q', 8999);
	assert_int_equal(http_exchange_begin(e, query, body, 1, false), -E2BIG);
	free(query);
	http_exchange_destroy(e);
	free(body);
}

/* Bytes of one value, and what goes wrong behind them. */
struct spring {
	uint64_t left, n_bytes;
	unsigned rewinds;
	int err;
};

static int64_t read_spring(void *context, void *buffer, size_t n)
{
	struct spring *s = context;
	size_t some = s->left < n ? (size_t)s->left : n;

	if (!some && s->err)
		return s->err;
	memset(buffer, 'q', some);
	s->left -= some;
	return (int64_t)some;
}

static void rewind_spring(void *context)
{
	struct spring *s = context;

	s->left = s->n_bytes;
	s->rewinds++;
}

static struct http_reply stream(struct http_exchange *e, struct spring *spring, uint64_t n_bytes, uint64_t bytes_per_s)
{
	const struct http_source source = {read_spring, rewind_spring, spring, n_bytes, bytes_per_s};

	assert_int_equal(http_exchange_begin_stream(e, "/file", &source), 0);
	assert_int_equal(http_exchange_bytes(e), n_bytes);
	assert_int_equal(http_exchange_begin_stream(e, "/file", &source), -EBUSY);
	return await(e);
}

/* Bodies that are made while they are sent. */
static void streams(void **state)
{
	static const struct http_form PUT = {.is_put = true};
	struct spring spring = {.n_bytes = 3000000}, broken = {.n_bytes = 1000, .err = -EIO};
	struct http_exchange *e = create(""), *put;
	struct why why = {""};
	char url[64];

	(void)state;
	upload_server_say_one(&server, ANSWER, "");
	struct http_reply reply = stream(e, &spring, spring.n_bytes, 0);
	assert_true(reply.failure == HTTP_ANSWERED && reply.status == 200);
	assert_int_equal(last(&server)->n_body, 3000000);
	assert_int_equal(last(&server)->body[4000], 'q');
	assert_non_null(strstr(last(&server)->head, "POST /file "));
	/* An ordinary one after it, on the same connection. */
	assert_int_equal(ask(e, "", false).status, 200);
	assert_memory_equal(last(&server)->body, BODY, sizeof(BODY));
	spring.n_bytes = 300000;
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
	assert_int_equal(stream(e, &spring, spring.n_bytes, 150000).status, 200);
	assert_true(clock_ns(CLOCK_MONOTONIC) - begin_ns > NS_PER_S);
	/* What ends early, or cannot be read, is no answer. */
	assert_int_equal(stream(e, &broken, 2000, 0).failure, HTTP_BROKEN);
	assert_int_equal(ask(e, "", false).status, 200);
	assert_int_equal(http_exchange_begin_stream(e, "", &(struct http_source){read_spring, rewind_spring, &spring, 1ull << 32, 0}), -E2BIG);
	http_exchange_destroy(e);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", server.port);
	assert_int_equal(http_exchange_create(client, url, &PUT, &config, &secrets, &put, &why), 0);
	assert_int_equal(stream(put, &spring, spring.n_bytes, 0).status, 200);
	assert_non_null(strstr(last(&server)->head, "PUT /file "));
	assert_non_null(strstr(last(&server)->head, "\r\nContent-Length: 300000\r\n"));
	assert_null(strcasestr(last(&server)->head, "content-type"));
	http_exchange_destroy(put);
}

static void replies_are_read(void **state)
{
	struct http_exchange *e = create("");

	(void)state;
	upload_server_say_one(&server, ANSWER, "429 Slow down\r\nRetry-After: 7\r\nContent-Type: Text/Plain; charset=utf-8\r\n\r\nnot\tnow");
	struct http_reply reply = ask(e, NULL, false);
	assert_int_equal(reply.status, 429);
	assert_int_equal(reply.retry_after_ns, 7 * NS_PER_S);
	assert_string_equal(reply.content_type, "text/plain");
	assert_int_equal(reply.n_body, 7);
	assert_memory_equal(reply.body, "not\tnow", 7);
	upload_server_say_one(&server, ANSWER, "503 No\r\nRetry-After: Fri, 31 Dec 2099 23:59:59 GMT");
	reply = ask(e, NULL, false);
	assert_true(reply.retry_after_ns > 365 * 86400 * NS_PER_S);
	upload_server_say_one(&server, ANSWER, "503 No\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT");
	assert_int_equal(ask(e, NULL, false).retry_after_ns, 0);
	upload_server_say_one(&server, ANSWER, "503 No\r\nRetry-After: -5");
	assert_int_equal(ask(e, NULL, false).retry_after_ns, 0);
	upload_server_say_one(&server, ANSWER, "503 No\r\nRetry-After: 99999999999999999999");
	reply = ask(e, NULL, false);
	assert_true(reply.retry_after_ns <= INT32_MAX * NS_PER_S);
	http_exchange_destroy(e);
}

static void replies_without_end(void **state)
{
	struct http_exchange *e = create("");

	(void)state;
	upload_server_say_one(&server, ENDLESS, "");
	struct http_reply reply = ask(e, NULL, false);
	assert_int_equal(reply.failure, HTTP_ANSWERED);
	assert_int_equal(reply.status, 200);
	assert_true(reply.is_cut);
	assert_int_equal(reply.n_body, HTTP_BODY_MAX);
	upload_server_say_one(&server, ENDLESS_HEAD, "");
	assert_int_equal(ask(e, NULL, false).status, 200);
	/* Its status is its word; of a reply that never comes there is none. */
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
	config.timeout_s = 3;
	upload_server_say_one(&server, TRICKLE, "");
	reply = ask(e, NULL, false);
	assert_int_equal(reply.failure, HTTP_ANSWERED);
	assert_int_equal(reply.status, 200);
	config.timeout_s = 1;
	upload_server_say_one(&server, MUTE, "");
	reply = ask(e, NULL, false);
	assert_int_equal(reply.failure, HTTP_TIMED_OUT);
	assert_int_equal(reply.status, 0);
	assert_true(*reply.error);
	assert_true(clock_ns(CLOCK_MONOTONIC) - start_ns < 40 * NS_PER_S);
	http_exchange_destroy(e);
}

static void broken_connections(void **state)
{
	struct http_exchange *e = create("");

	(void)state;
	upload_server_say_one(&server, RESET, "");
	assert_int_equal(ask(e, NULL, false).failure, HTTP_BROKEN);
	upload_server_say_one(&server, RESET_EARLY, "");
	assert_int_equal(ask(e, NULL, false).failure, HTTP_BROKEN);
	upload_server_say_one(&server, CUT, "");
	struct http_reply reply = ask(e, NULL, false);
	assert_int_equal(reply.failure, HTTP_ANSWERED);
	assert_int_equal(reply.status, 200);
	/* A server that was away between two requests is not noticed. */
	upload_server_say_one(&server, ANSWER, "");
	assert_int_equal(ask(e, NULL, false).status, 200);
	http_exchange_destroy(e);
	struct why why;
	assert_int_equal(http_exchange_create(client, "http://127.0.0.1:9", &PLAIN, &config, &secrets, &e, &why), 0);
	assert_int_equal(ask(e, NULL, false).failure, HTTP_UNREACHABLE);
	http_exchange_destroy(e);
	assert_int_equal(http_exchange_create(client, "ftp://127.0.0.1:9", &PLAIN, &config, &secrets, &e, &why), 0);
	assert_int_equal(ask(e, NULL, false).failure, HTTP_UNUSABLE);
	http_exchange_destroy(e);
	/* It is not HTTPS that answers. */
	char url[64];
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
	assert_int_equal(http_exchange_create(client, url, &PLAIN, &config, &secrets, &e, &why), 0);
	config.timeout_s = 2;
	assert_int_not_equal(ask(e, NULL, false).failure, HTTP_ANSWERED);
	http_exchange_destroy(e);
	/* One that is under way is given up. */
	e = create("");
	upload_server_say_one(&server, MUTE, "");
	assert_int_equal(http_exchange_begin(e, NULL, BODY, sizeof(BODY), false), 0);
	http_client_wait(client, NULL, NULL, 0, 50);
	http_exchange_destroy(e);
}

static void redirects(void **state)
{
	struct upload_server_reply replies[2] = {{.how = ANSWER}, {.how = ANSWER}};
	static const struct {
		const char *before, *behind;
	} FOREIGN[] = {{"http://127.0.0.2:", "/x"}, {"https://127.0.0.1:", "/x"}, {"http://127.0.0.1:1", "/x?secret=1"}, {"http://127.0.0.1:", "@evil/x"}};

	(void)state;
	secrets.bearer_token = (char *)"a-token";
	struct http_exchange *e = create("/in");
	snprintf(replies[0].text, sizeof(replies[0].text), "307 There\r\nLocation: /there?x=1");
	upload_server_say(&server, 2, replies);
	assert_int_equal(ask(e, NULL, false).status, 200);
	assert_memory_equal(last(&server)->head, "POST /there?x=1 HTTP/1.1\r\n", 26);
	assert_int_equal(last(&server)->n_body, sizeof(BODY));
	/* Without end. */
	atomic_store(&server.shared->n_requests, 0);
	upload_server_say_one(&server, ANSWER, "308 There\r\nLocation: /there");
	struct http_reply reply = ask(e, NULL, false);
	assert_int_equal(reply.status, 308);
	assert_int_equal(atomic_load(&server.shared->n_requests), 4);
	for (size_t i = 0; i < sizeof(FOREIGN) / sizeof(FOREIGN[0]); i++) {
		char to[128];
		atomic_store(&server.shared->n_requests, 0);
		snprintf(to, sizeof(to), "%s%d%s", FOREIGN[i].before, server.port, FOREIGN[i].behind);
		snprintf(replies[0].text, sizeof(replies[0].text), "307 There\r\nLocation: %s", to);
		upload_server_say(&server, 2, replies);
		reply = ask(e, NULL, false);
		assert_int_equal(reply.failure, HTTP_ANSWERED);
		assert_int_equal(reply.status, 307);
		assert_int_equal(atomic_load(&server.shared->n_requests), 1);
		assert_null(strchr(reply.redirect, '?'));
	}
	/* By 302 a POST would become a GET. */
	upload_server_say_one(&server, ANSWER, "302 There\r\nLocation: /there");
	reply = ask(e, NULL, false);
	assert_int_equal(reply.status, 302);
	assert_non_null(strstr(reply.redirect, "/there"));
	http_exchange_destroy(e);
}

/* When this returns its socket is closed. */
static void end_connection(pid_t pid)
{
	kill(pid, SIGKILL);
	for (int i = 0; i < 60000 && kill(pid, 0) == 0; i++)
		usleep(1000);
	assert_int_equal(kill(pid, 0), -1);
}

static void grpc_over_http2(void **state)
{
	struct upload_server_reply reply_text = {.how = ANSWER_GRPC, .text = "0", .body = "\x0a\x02\x08\x05", .n_body = 4};
	struct http_exchange *e;
	struct why why;
	char url[64];

	(void)state;
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/a.b/C", grpc.port);
	assert_int_equal(http_exchange_create(client, url, &GRPC, &config, &secrets, &e, &why), 0);
	upload_server_say(&grpc, 1, &reply_text);
	for (int i = 0; i < 2; i++) {
		struct http_reply reply = ask(e, NULL, false);
		assert_int_equal(reply.failure, HTTP_ANSWERED);
		assert_int_equal(reply.status, 200);
		assert_int_equal(reply.grpc_status, 0);
		assert_string_equal(reply.content_type, "application/grpc");
		assert_int_equal(reply.n_body, 9);
		assert_memory_equal(reply.body + 5, "\x0a\x02\x08\x05", 4);
		assert_int_equal(last(&grpc)->connection, grpc.shared->requests[0].connection);
	}
	const uint8_t head[] = {0, 0, 0, 0, sizeof(BODY)};
	assert_int_equal(last(&grpc)->n_body, 5 + sizeof(BODY));
	assert_memory_equal(last(&grpc)->body, head, 5);
	assert_memory_equal(last(&grpc)->body + 5, BODY, sizeof(BODY));
	assert_int_equal(ask(e, NULL, true).grpc_status, 0);
	assert_int_equal(last(&grpc)->body[0], 1);
	assert_memory_equal(last(&grpc)->body + 5, "\x1f\x8b", 2);
	/* More than the flow control's first window. */
	uint8_t *body = calloc(1, 1 << 20);
	assert_int_equal(http_exchange_begin(e, NULL, body, 1 << 20, false), 0);
	assert_int_equal(await(e).grpc_status, 0);
	assert_int_equal(last(&grpc)->n_body, (1 << 20) + 5);
	free(body);
	upload_server_say_one(&grpc, ANSWER_GRPC, "14 too%20busy%0d%0a%f0%9f%94%a5%zz%");
	struct http_reply reply = ask(e, NULL, false);
	assert_int_equal(reply.failure, HTTP_ANSWERED);
	assert_int_equal(reply.grpc_status, 14);
	assert_string_equal(reply.grpc_message, "too busy??\xf0\x9f\x94\xa5%zz%");
	upload_server_say_one(&grpc, ANSWER_GRPC_ONLY, "7 no");
	reply = ask(e, NULL, false);
	assert_int_equal(reply.grpc_status, 7);
	assert_string_equal(reply.grpc_message, "no");
	upload_server_say_one(&grpc, ANSWER, "");
	reply = ask(e, NULL, false);
	assert_int_equal(reply.failure, HTTP_UNUSABLE);
	upload_server_say_one(&grpc, RESET, "");
	assert_int_equal(ask(e, NULL, false).failure, HTTP_BROKEN);
	/* A connection that the server closed between two requests is made anew. */
	upload_server_say_one(&grpc, ANSWER_GRPC, "0");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask(e, NULL, false).grpc_status, 0);
		end_connection(last(&grpc)->pid);
		http_client_wait(client, NULL, NULL, 0, 100);
	}
	config.timeout_s = 2;
	upload_server_say_one(&grpc, MUTE, "");
	assert_int_equal(ask(e, NULL, false).failure, HTTP_TIMED_OUT);
	http_exchange_destroy(e);
	/* Who speaks HTTP/1.1 only is no gRPC server. */
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
	assert_int_equal(http_exchange_create(client, url, &GRPC, &config, &secrets, &e, &why), 0);
	assert_int_not_equal(ask(e, NULL, false).failure, HTTP_ANSWERED);
	http_exchange_destroy(e);
}

static void proxies(void **state)
{
	struct why why;
	struct http_exchange *e;
	char url[64];

	(void)state;
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", server.port);
	config.proxy = url;
	assert_int_equal(http_exchange_create(client, "http://far.away.example/in", &PLAIN, &config, &secrets, &e, &why), 0);
	assert_int_equal(ask(e, NULL, false).status, 200);
	assert_memory_equal(last(&server)->head, "POST http://far.away.example/in HTTP/1.1\r\n", 42);
	http_exchange_destroy(e);
	/* By CONNECT, which does not get the token; it answers nothing that follows. */
	secrets.bearer_token = (char *)"a-token";
	assert_int_equal(http_exchange_create(client, "https://far.away.example/in", &PLAIN, &config, &secrets, &e, &why), 0);
	upload_server_say_one(&server, ANSWER, "407 Who");
	struct http_reply reply = ask(e, NULL, false);
	assert_int_not_equal(reply.failure, HTTP_ANSWERED);
	assert_memory_equal(last(&server)->head, "CONNECT far.away.example:443 HTTP/1.1\r\n", 39);
	assert_null(strstr(last(&server)->head, "a-token"));
	http_exchange_destroy(e);
	config.proxy = (char *)"";
	setenv("http_proxy", url, 1);
	e = create("");
	upload_server_say_one(&server, ANSWER, "");
	assert_int_equal(ask(e, NULL, false).status, 200);
	assert_memory_equal(last(&server)->head, "POST / ", 7);
	http_exchange_destroy(e);
	config.proxy = NULL;
	e = create("/x");
	assert_int_equal(ask(e, NULL, false).status, 200);
	assert_memory_equal(last(&server)->head, "POST http://", 12);
	http_exchange_destroy(e);
	unsetenv("http_proxy");
}

struct tls {
	pid_t pid;
	int port;
};

/* tests/upload/tls_server with these files of folder. */
static struct tls start_tls(const char *folder, const char *certificate, const char *clients, const char *version)
{
	char cert[128], key[128], ca[128] = "", text[16] = "";
	struct tls tls;
	int out[2];

	snprintf(cert, sizeof(cert), "%s/%s.pem", folder, certificate);
	snprintf(key, sizeof(key), "%s/%s.key", folder, certificate);
	if (clients)
		snprintf(ca, sizeof(ca), "%s/%s.pem", folder, clients);
	assert_int_equal(pipe(out), 0);
	tls.pid = fork();
	if (tls.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		dup2(out[1], 1);
		execl("tests/upload/tls_server", "tls_server", cert, key, ca, version, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	(void)!read(out[0], text, sizeof(text) - 1);
	close(out[0]);
	tls.port = atoi(text);
	return tls;
}

static void stop_tls(struct tls tls)
{
	kill(tls.pid, SIGKILL);
	waitpid(tls.pid, NULL, 0);
}

static char *read_text(const char *folder, const char *name)
{
	char path[128], *text = calloc(1, 1 << 16);

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
	fclose(file);
	return text;
}

static struct http_reply ask_tls(const char *host, int port)
{
	struct http_exchange *e;
	struct why why = {""};
	char url[64];

	snprintf(url, sizeof(url), "https://%s:%d/in", host, port);
	assert_int_equal(http_exchange_create(client, url, &PLAIN, &config, &secrets, &e, &why), 0);
	struct http_reply reply = ask(e, NULL, false);
	reply.body = NULL;
	http_exchange_destroy(e);
	return reply;
}

static bool make_certificates(const char *folder)
{
	static const char *const NAMES[] = {"server", "client"};
	char command[512];

	for (size_t i = 0; i < 2; i++) {
		snprintf(command, sizeof(command),
			 "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=%s -addext subjectAltName=IP:127.0.0.1 -out %s/%s.pem -keyout %s/%s.key "
			 "2>/dev/null", NAMES[i], folder, NAMES[i], folder, NAMES[i]);
		if (system(command) != 0)
			return false;
	}
	return true;
}

static void certificates(void **state)
{
	char folder[] = "/tmp/hearth-upload-XXXXXX", command[64];

	(void)state;
	config.timeout_s = 60;
	assert_non_null(mkdtemp(folder));
	struct tls plain = {0}, mutual = {0}, old = {0};
	if (make_certificates(folder)) {
		plain = start_tls(folder, "server", NULL, NULL);
		mutual = start_tls(folder, "server", "client", NULL);
		old = start_tls(folder, "server", NULL, "TLSv1_1");
	}
	if (!plain.port || !mutual.port || !old.port) {
		print_message("no openssl or python3 here\n");
		skip();
	}
	/* Nobody vouches for it. */
	assert_int_equal(ask_tls("127.0.0.1", plain.port).failure, HTTP_DISTRUSTED);
	secrets.ca = read_text(folder, "server.pem");
	assert_int_equal(ask_tls("127.0.0.1", plain.port).status, 200);
	/* It has another name. */
	assert_int_equal(ask_tls("localhost", plain.port).failure, HTTP_DISTRUSTED);
	/* TLS 1.1 */
	assert_int_equal(ask_tls("127.0.0.1", old.port).failure, HTTP_BROKEN);
	/* It wants to know who we are. */
	assert_int_not_equal(ask_tls("127.0.0.1", mutual.port).failure, HTTP_ANSWERED);
	secrets.cert = read_text(folder, "client.pem");
	secrets.key = read_text(folder, "client.key");
	assert_int_equal(ask_tls("127.0.0.1", mutual.port).status, 200);
	/* A key of another certificate. */
	free(secrets.cert);
	secrets.cert = read_text(folder, "server.pem");
	assert_int_equal(ask_tls("127.0.0.1", mutual.port).failure, HTTP_DISTRUSTED);
	free(secrets.ca);
	secrets.ca = strdup("no certificate");
	assert_int_equal(ask_tls("127.0.0.1", plain.port).failure, HTTP_DISTRUSTED);
	stop_tls(plain);
	stop_tls(mutual);
	stop_tls(old);
	sink_secrets_deinit(&secrets);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(sends_over_one_connection, forget), cmocka_unit_test_setup(basic_auth_and_gzip, forget),
		cmocka_unit_test_setup(large_bodies, forget),		   cmocka_unit_test_setup(replies_are_read, forget),
		cmocka_unit_test_setup(streams, forget),
		cmocka_unit_test_setup(replies_without_end, forget),	   cmocka_unit_test_setup(broken_connections, forget),
		cmocka_unit_test_setup(redirects, forget),		   cmocka_unit_test_setup(grpc_over_http2, forget),
		cmocka_unit_test_setup(proxies, forget),		   cmocka_unit_test_setup(certificates, forget),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
