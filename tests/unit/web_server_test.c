/* web/web_server.c with web/query_runner.c: a server in this process, its queries in processes of their own, and raw sockets. */
#include "web/web_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "base/clock.h"
#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"
#include "web/query_runner.h"

#define TOKEN "correct horse battery staple"

struct site {
	struct web_server *server;
	uint16_t port;
	pid_t runner;
	unsigned said;
};

static struct microhttpd mhd;

/* --- who answers ---------------------------------------------------------------------------------------------------- */

static bool has(const char *path)
{
	return strncmp(path, "/api/v1/", 8) == 0;
}

static void spin(void)
{
	for (volatile unsigned long i = 0;; i++)
		;
}

static void take_memory(void)
{
	for (;;) {
		char *more = malloc(16 << 20);
		if (!more)
			return;
		memset(more, 1, 16 << 20);
	}
}

static int answer(const struct web_context *context, const struct web_request *request, struct web_answer *a)
{
	const char *what = request->path + 8;

	a->filename[0] = '\0';
	if (strcmp(what, "echo") == 0) {
		fprintf(a->body, "%s %s", request->method, request->path);
		for (size_t i = 0; i < request->n_parameters; i++)
			fprintf(a->body, " %s=%s", request->parameters[i].key, request->parameters[i].value);
		fprintf(a->body, " [%.*s] %s %s %.*s", (int)request->body_bytes, (const char *)request->body, context->host, request->content_type,
			(int)context->state_bytes, context->state);
	} else if (strcmp(what, "large") == 0 || strcmp(what, "final") == 0) {
		for (int i = 0; i < 200000; i++)
			fprintf(a->body, "%d,", i % 10);
		a->is_final = what[0] == 'f';
		fprintf(a->body, "%d", (int)getpid());
	} else if (strcmp(what, "huge") == 0) {
		char *zeros = calloc(1, 16 << 20);
		fwrite(zeros, 1, 16 << 20, a->body);
		free(zeros);
	} else if (strcmp(what, "file") == 0) {
		a->content_type = "application/octet-stream";
		snprintf(a->filename, sizeof(a->filename), "hearth-\"b\r\n x.pb.gz");
		fputs("file", a->body);
	} else if (strcmp(what, "missing") == 0) {
		a->status = 404;
		fputs("{\"error\":\"nothing\"}", a->body);
	} else if (strcmp(what, "crash") == 0) {
		abort();
	} else if (strcmp(what, "spin") == 0) {
		spin();
	} else if (strcmp(what, "sleep") == 0) {
		sleep(60);
	} else if (strcmp(what, "memory") == 0) {
		take_memory();
		return -ENOMEM;
	} else if (strcmp(what, "socket") == 0) {
		return socket(AF_INET, SOCK_STREAM, 0);
	} else if (strcmp(what, "fork") == 0) {
		return fork();
	} else if (strcmp(what, "type") == 0) {
		a->content_type = "text/html\r\nSet-Cookie: x";
	} else {
		return -EIO;
	}
	return 0;
}

/* --- a server ------------------------------------------------------------------------------------------------------- */

static void said(void *context, const char *text)
{
	(void)text;
	((struct site *)context)->said++;
}

static int listen_somewhere(uint16_t *port_out)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
	*port_out = ntohs(address.sin_port);
	return fd;
}

/* wall_ns, cpu_s: of a query; 0: enough for machines whose CPUs are taken away, which is counted as CPU time. */
static void open_site(struct site *site, const char *token, uint64_t wall_ns, uint32_t cpu_s)
{
	static const struct web_handlers HANDLERS = {has, answer};
	static const char *const NAMES[] = {"profiles.example.com"};
	struct query_runner_options runner = {.handlers = &HANDLERS, .store = "", .host = "box", .version = "1", .cpu_s = cpu_s ? cpu_s : 60, .wall_ns = wall_ns ? wall_ns : 100 * NS_PER_S,
					      .address_bytes = 192 << 20, .bare = RUNNING_ON_VALGRIND != 0};
	struct web_server_options options = {.mhd = &mhd, .has = has, .token = token, .names = NAMES, .n_names = 1, .window_ns = 60 * NS_PER_S, .sending_bytes = 20 << 20, .say = said,
					     .context = site};
	struct why why;
	int pair[2];

#ifdef __SANITIZE_ADDRESS__
	runner.bare = true;
#endif
	*site = (struct site){.server = NULL};
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	site->runner = fork();
	if (site->runner == 0) {
		close(pair[0]);
		_exit(query_runner_run(pair[1], &runner));
	}
	close(pair[1]);
	options.listen_fd = listen_somewhere(&site->port);
	options.query_socket = pair[0];
	assert_int_equal(web_server_create(&options, &site->server, &why), 0);
}

static void close_site(struct site *site)
{
	int status;

	web_server_destroy(site->server);
	assert_int_equal(waitpid(site->runner, &status, 0), site->runner);
	assert_int_equal(status, 0);
}

/* Let the server work for so long, or until fd has something. */
static bool work(struct site *site, int fd, unsigned ms)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + ms * NS_PER_MS, due_ns, now_ns;
	struct pollfd fds[WEB_SERVER_FDS + 1];

	while ((now_ns = clock_ns(CLOCK_MONOTONIC)) < end_ns) {
		size_t n = web_server_poll(site->server, fds, &due_ns);
		if (due_ns > end_ns)
			due_ns = end_ns;
		fds[n] = (struct pollfd){.fd = fd, .events = POLLIN};
		poll(fds, (nfds_t)(n + 1), due_ns > now_ns ? (int)((due_ns - now_ns) / NS_PER_MS + 1) : 0);
		if (fd >= 0 && fds[n].revents)
			return true;
		assert_int_equal(web_server_work(site->server, fds, n), 0);
	}
	return false;
}

static int connect_to(const struct site *site)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(site->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* All that comes until the server closes. The caller frees. */
static char *receive(struct site *site, int fd, size_t *n_out)
{
	size_t n = 0, room = 1 << 16;
	char *text = malloc(room + 1);

	while (text && work(site, fd, 60000)) {
		ssize_t got = recv(fd, text + n, room - n, MSG_DONTWAIT);
		if (got < 0 && errno == EAGAIN)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
		if (n == room)
			text = realloc(text, (room *= 2) + 1);
	}
	assert_non_null(text);
	text[n] = '\0';
	if (n_out)
		*n_out = n;
	return text;
}

/* "%s" in the request is the text. */
static char *ask(struct site *site, const char *request_text, const char *a)
{
	char request[40000];
	const char *place = strstr(request_text, "%s");
	int fd = connect_to(site);

	assert_non_null(place);
	int n = snprintf(request, sizeof(request), "%.*s%s%s", (int)(place - request_text), request_text, a, place + 2);

	assert_int_equal(send(fd, request, (size_t)n, 0), n);
	char *text = receive(site, fd, NULL);
	close(fd);
	return text;
}

static char *get(struct site *site, const char *target)
{
	return ask(site, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", target);
}

static int status_of(const char *reply)
{
	return strncmp(reply, "HTTP/1.1 ", 9) == 0 ? atoi(reply + 9) : -1;
}

#define CHECK(expected_status, expected_text, call)                            \
	do {                                                                   \
		char *reply_ = (call);                                         \
		if (status_of(reply_) != (expected_status) || !strstr(reply_, expected_text)) \
			print_error("%s\n", reply_);                          \
		assert_int_equal(status_of(reply_), expected_status);         \
		assert_non_null(strstr(reply_, expected_text));                \
		free(reply_);                                                  \
	} while (0)

/* Until what is asked for is answered so: what a server gets to know by its sockets, or from the runner, it knows a while later. */
static void await_answer(struct site *site, const char *target, const char *text)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + 60 * NS_PER_S;

	for (bool is_there = false; !is_there;) {
		char *reply = get(site, target);
		is_there = strstr(reply, text) != NULL;
		if (!is_there && clock_ns(CLOCK_MONOTONIC) >= end_ns)
			fail_msg("no '%s' in %s", text, reply);
		free(reply);
		work(site, -1, 10);
	}
}

/* --- tests ---------------------------------------------------------------------------------------------------------- */

static void answers(void **state)
{
	struct site site;

	(void)state;
	open_site(&site, NULL, 0, 0);
	CHECK(200, "GET /api/v1/echo a=1 b=x y a= c= [] box", get(&site, "/api/v1/echo?a=1&b=x%20y&a&c="));
	CHECK(200, "ok", get(&site, "/healthz"));
	CHECK(503, "has not said", get(&site, "/readyz"));
	CHECK(200, "# TYPE hearth_web_requests_total counter", get(&site, "/metrics"));
	CHECK(404, "there is nothing here", get(&site, "/nothing"));
	CHECK(404, "{\"error\":\"nothing\"}", get(&site, "/api/v1/missing"));
	CHECK(500, "could not be answered", get(&site, "/api/v1/other"));
	CHECK(200, "filename=\"hearth-_b___x.pb.gz\"", get(&site, "/api/v1/file"));
	CHECK(500, "\r\n", get(&site, "/api/v1/type"));
	CHECK(200, "POST /api/v1/echo [0123456789] box text/x {}", ask(&site, "POST /api/v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/x\r\n"
									"Content-Length: 10\r\nConnection: close\r\n\r\n%s", "0123456789"));
	CHECK(200, "Content-Length: 4000", ask(&site, "HEAD %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "/api/v1/large"));
	CHECK(304, "ETag", ask(&site, "GET /login.css HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\nConnection: close\r\n\r\n", "\"b586bc95dbe99c24\""));
	close_site(&site);
}

static void is_strict(void **state)
{
	static const char GET[] = "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct site site;
	char *text;

	(void)state;
	open_site(&site, NULL, 0, 0);
	CHECK(400, "not valid", ask(&site, GET, "/api/v1/echo?a=%zz"));
	CHECK(400, "not valid", ask(&site, GET, "/api/v1/echo?a=%0a"));
	CHECK(400, "not valid", ask(&site, GET, "/api/v1/echo?a=%00"));
	CHECK(400, "not valid", ask(&site, GET, "/%c3%28"));
	CHECK(404, "nothing here", ask(&site, GET, "/../../etc/passwd"));
	CHECK(404, "nothing here", ask(&site, GET, "/%2e%2e%2fetc%2fpasswd"));
	CHECK(404, "nothing here", ask(&site, GET, "/login.html"));
	CHECK(421, "--listen-host", ask(&site, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", "evil.example.com:7117"));
	CHECK(400, "Host", ask(&site, "GET / HTTP/1.1\r\nHost: localhost\r\nHost: %s\r\nConnection: close\r\n\r\n", "localhost"));
	CHECK(200, "GET", ask(&site, "GET /api/v1/echo HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", "Profiles.Example.com:7117"));
	CHECK(403, "other pages", ask(&site, "GET /api/v1/echo HTTP/1.1\r\nHost: localhost\r\nOrigin: %s\r\nConnection: close\r\n\r\n", "http://evil.example.com"));
	CHECK(403, "other pages", ask(&site, "GET /api/v1/echo HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: %s\r\nConnection: close\r\n\r\n", "cross-site"));
	CHECK(200, "GET", ask(&site, "GET /api/v1/echo HTTP/1.1\r\nHost: localhost:1\r\nOrigin: %s\r\nConnection: close\r\n\r\n", "http://localhost:1"));
	CHECK(405, "Allow: GET, HEAD, POST", ask(&site, "DELETE %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "/api/v1/echo"));
	CHECK(405, "Allow: GET, HEAD\r", ask(&site, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "/metrics"));
	CHECK(413, "64 KiB", ask(&site, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\nConnection: close\r\n\r\n", "/api/v1/echo"));
	text = malloc(33000);
	memset(text, 'a', 32999);
	text[32999] = '\0';
	text[0] = '/';
	text[9000] = '\0';
	CHECK(414, "too long", ask(&site, GET, text));
	text[9000] = 'a';
	text[17000] = '\0';
	CHECK(431, "", ask(&site, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: %s\r\n\r\n", text));
	free(text);
	text = get(&site, "/healthz");
	assert_non_null(strstr(text, "Content-Security-Policy: default-src 'none'; script-src 'self'"));
	assert_non_null(strstr(text, "X-Content-Type-Options: nosniff"));
	assert_non_null(strstr(text, "Cache-Control: no-store"));
	assert_null(strstr(text, "Access-Control"));
	free(text);
	close_site(&site);
}

static void asks_for_a_token(void **state)
{
	static const char WITH[] = "GET /api/v1/echo HTTP/1.1\r\nHost: localhost\r\n%s\r\nConnection: close\r\n\r\n";
	char header[256];
	struct site site;

	(void)state;
	open_site(&site, TOKEN, 0, 0);
	CHECK(401, "WWW-Authenticate: Bearer", get(&site, "/api/v1/echo"));
	CHECK(401, "WWW-Authenticate: Bearer", get(&site, "/metrics"));
	CHECK(200, "ok", get(&site, "/healthz"));
	CHECK(401, "<form", ask(&site, "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nConnection: close\r\n\r\n", "/?from=1"));
	CHECK(200, "GET /api/v1/echo", ask(&site, WITH, "Authorization: Bearer " TOKEN));
	CHECK(401, "token", ask(&site, WITH, "Authorization: Bearer wrong"));
	CHECK(401, "token", ask(&site, WITH, "Cookie: hearth=0123456789012345678901234567890123456789012345678901234567890123"));
	char *reply = ask(&site, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 34\r\nConnection: close\r\n\r\ntoken=correct+horse+battery+staple", "/?from=1");
	assert_int_equal(status_of(reply), 303);
	assert_non_null(strstr(reply, "Location: /?from=1\r"));
	const char *cookie = strstr(reply, "Set-Cookie: hearth=");
	assert_non_null(cookie);
	assert_non_null(strstr(cookie, "HttpOnly; SameSite=Strict"));
	snprintf(header, sizeof(header), "Cookie: a=b; hearth=%.64s", cookie + 19);
	free(reply);
	CHECK(200, "GET /api/v1/echo", ask(&site, WITH, header));
	char logout[512];
	snprintf(logout, sizeof(logout), "POST /logout HTTP/1.1\r\nHost: localhost\r\n%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n%%s", header);
	CHECK(303, "Max-Age=0", ask(&site, logout, ""));
	CHECK(401, "token", ask(&site, WITH, header));
	for (int i = 0; i < 9; i++)
		CHECK(401, "token", ask(&site, WITH, "Authorization: Bearer wrong"));
	CHECK(429, "Retry-After: ", ask(&site, WITH, "Authorization: Bearer " TOKEN));
	CHECK(429, "Retry-After: ", ask(&site, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\nConnection: close\r\n\r\n%s", "token=x"));
	close_site(&site);
}

static void compresses_and_keeps(void **state)
{
	static const char GZIP[] = "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: br, gzip\r\nConnection: close\r\n\r\n";
	struct site site;
	char *first, *second;

	(void)state;
	open_site(&site, NULL, 0, 0);
	first = ask(&site, GZIP, "/api/v1/large");
	assert_non_null(strstr(first, "Content-Encoding: gzip"));
	free(first);
	CHECK(200, "Content-Length: 4", ask(&site, GZIP, "/api/v1/file"));
	/* The process's number is in it. */
	first = get(&site, "/api/v1/large");
	second = get(&site, "/api/v1/large");
	assert_string_not_equal(strrchr(first, ','), strrchr(second, ','));
	free(first);
	free(second);
	first = get(&site, "/api/v1/final?a=1");
	second = get(&site, "/api/v1/final?a=1");
	assert_string_equal(strrchr(first, ','), strrchr(second, ','));
	free(second);
	second = get(&site, "/api/v1/final?a=2");
	assert_string_not_equal(strrchr(first, ','), strrchr(second, ','));
	free(first);
	free(second);
	CHECK(200, "hearth_cache_hits_total{cache=\"answers\"} 1\n", get(&site, "/metrics"));
	close_site(&site);
}

static void survives_queries(void **state)
{
	struct site site;

	(void)state;
	open_site(&site, NULL, NS_PER_S / 2, 0);
	CHECK(503, "longer than it may", get(&site, "/api/v1/sleep"));
	close_site(&site);
	open_site(&site, NULL, 0, 0);
	CHECK(500, "died", get(&site, "/api/v1/crash"));
	assert_int_equal(site.said, 1);
#ifndef __SANITIZE_ADDRESS__
	if (!RUNNING_ON_VALGRIND) {
		CHECK(503, "more memory", get(&site, "/api/v1/memory"));
		CHECK(500, "died", get(&site, "/api/v1/socket"));
		CHECK(500, "died", get(&site, "/api/v1/fork"));
	}
#endif
	CHECK(200, "GET /api/v1/echo", get(&site, "/api/v1/echo"));
	close_site(&site);
	if (RUNNING_ON_VALGRIND)
		return;
	open_site(&site, NULL, 0, 1);
	CHECK(503, "more CPU time", get(&site, "/api/v1/spin"));
	CHECK(200, "hearth_web_queries_total{outcome=\"over_cpu\"} 1\n", get(&site, "/metrics"));
	close_site(&site);
}

static void limits_queries(void **state)
{
	static const char REQUEST[] = "GET /api/v1/sleep HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	int fds[QUERIES_WAITING_MAX + QUERIES_AT_ONCE];
	struct site site;

	(void)state;
	open_site(&site, NULL, 0, 0);
	for (size_t i = 0; i < QUERIES_WAITING_MAX + QUERIES_AT_ONCE; i++) {
		fds[i] = connect_to(&site);
		assert_true(send(fds[i], REQUEST, strlen(REQUEST), 0) > 0);
	}
	await_answer(&site, "/metrics", "hearth_web_current_queries{state=\"waiting\"} 32\n");
	CHECK(503, "Retry-After: 2", get(&site, "/api/v1/echo"));
	/* They lose interest: what runs is killed, what waits goes. */
	for (size_t i = 0; i < QUERIES_WAITING_MAX + QUERIES_AT_ONCE; i++)
		close(fds[i]);
	await_answer(&site, "/metrics", "hearth_web_queries_total{outcome=\"cancelled\"} 34\n");
	await_answer(&site, "/metrics", "hearth_web_connections 1\n");
	CHECK(200, "GET /api/v1/echo", get(&site, "/api/v1/echo"));
	close_site(&site);
}

static void answers_that_nobody_takes(void **state)
{
	static const char REQUEST[] = "GET /api/v1/huge HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct site site;
	int fds[2];

	(void)state;
	open_site(&site, NULL, 0, 0);
	for (size_t i = 0; i < 2; i++) {
		fds[i] = connect_to(&site);
		assert_true(send(fds[i], REQUEST, strlen(REQUEST), 0) > 0);
		assert_true(work(&site, fds[i], 60000)); /* it begins to come */
		CHECK(200, "ok", get(&site, "/healthz"));
	}
	CHECK(503, "nobody takes", get(&site, "/api/v1/echo"));
	close(fds[0]);
	close(fds[1]);
	await_answer(&site, "/api/v1/echo", "GET /api/v1/echo");
	close_site(&site);
}

static void ends_in_the_middle(void **state)
{
	static const char REQUEST[] = "GET /api/v1/sleep HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct site site;

	(void)state;
	open_site(&site, NULL, 0, 0);
	int fd = connect_to(&site), idle = connect_to(&site);
	assert_true(send(fd, REQUEST, strlen(REQUEST), 0) > 0);
	await_answer(&site, "/metrics", "hearth_web_current_queries{state=\"running\"} 1\n");
	close_site(&site);
	close(fd);
	close(idle);
}

/* A state that came in pieces of nothing. */
static void takes_states(void **state)
{
	struct {
		struct web_state_head head;
		struct web_sample sample;
		char json[16];
	} message = {.head = {.n_samples = 1, .json_bytes = 8, .is_ready = 1}, .sample = {.value = 0.1, .metric = METRIC_DROPPED, .label = "a\"b\\<b>"}, .json = "{\"a\":1 }"};
	const size_t n = sizeof(message) - 8;
	struct site site;

	(void)state;
	open_site(&site, NULL, 0, 0);
	assert_int_equal(web_server_state(site.server, &message, n), 0);
	CHECK(200, "ok", get(&site, "/readyz"));
	CHECK(200, "{\"a\":1 }", get(&site, "/api/v1/echo"));
	CHECK(200, "hearth_dropped_total{reason=\"a\\\"b\\\\<b>\"} 0.1\n", get(&site, "/metrics"));
	CHECK(200, "# TYPE hearth_dropped counter", ask(&site, "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\nConnection: close\r\n\r\n", "/metrics"));
	assert_int_equal(web_server_state(site.server, &message, n - 1), -EBADMSG);
	assert_int_equal(web_server_state(site.server, &message, 10), -EBADMSG);
	message.sample.metric = METRICS;
	assert_int_equal(web_server_state(site.server, &message, n), -EBADMSG);
	message.sample.metric = METRIC_DROPPED;
	memset(message.sample.label, 'x', sizeof(message.sample.label));
	assert_int_equal(web_server_state(site.server, &message, n), -EBADMSG);
	message.sample.label[3] = '\0';
	message.json[0] = '[';
	assert_int_equal(web_server_state(site.server, &message, n), -EBADMSG);
	message.json[0] = '{';
	message.head.is_ready = 0;
	strcpy(message.head.why, "windows are not stored");
	assert_int_equal(web_server_state(site.server, &message, n), 0);
	CHECK(503, "windows are not stored", get(&site, "/readyz"));
	close_site(&site);
}

static void refuses_bad_certificates(void **state)
{
	struct web_server_options options = {.mhd = &mhd, .has = has, .window_ns = 1, .certificate = "no", .key = "PEM"};
	struct web_server *server;
	struct why why;
	uint16_t port;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	options.query_socket = pair[0];
	options.listen_fd = listen_somewhere(&port);
	assert_int_equal(web_server_create(&options, &server, &why), -EINVAL);
	assert_non_null(strstr(why.text, "certificate"));
	close(options.listen_fd);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),	    cmocka_unit_test(is_strict),      cmocka_unit_test(asks_for_a_token), cmocka_unit_test(compresses_and_keeps),
		cmocka_unit_test(survives_queries), cmocka_unit_test(limits_queries), cmocka_unit_test(ends_in_the_middle), cmocka_unit_test(answers_that_nobody_takes), cmocka_unit_test(takes_states),
		cmocka_unit_test(refuses_bad_certificates),
	};

	signal(SIGPIPE, SIG_IGN);
	if (microhttpd_load(&mhd) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
