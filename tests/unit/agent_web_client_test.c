/* agent/web_client.c and listen_address.c: a hearth-web that is made up here. */
#include "agent/web_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"

static char scratch[64], said[8192];

/* --- a hearth-web that says what it is told ---------------------------------------------------------------------------- */

static void tell(const struct channel *c, enum web_message kind, int result, const char *text, size_t n)
{
	struct message_head head = {.kind = (uint16_t)kind, .result = result};
	struct web_text message = {.severity = LOG_INFO};

	snprintf(message.text, sizeof(message.text), "%s", text);
	channel_send(c, &head, &(struct iovec){&message, n}, 1, NULL, 0, true);
}

/* What it does follows from the first name that it may be called by. */
static int fake_web(const int *fds, size_t n_fds, const void *argument, size_t n_bytes)
{
	const struct web_settings *settings = argument;
	const char *what = settings->names[0];
	struct web_secrets_head head;
	struct channel c;
	struct message m;
	char text[WEB_TEXT_MAX];

	if (n_fds != WEB_FDS || n_bytes != sizeof(*settings) || channel_init(&c, fds[WEB_FD_AGENT], &WEB_RULES, 1 << 20) < 0)
		return 9;
	if (channel_receive(&c, 0, &m) < 0 || m.head.kind != WEB_SECRETS)
		return 8;
	memcpy(&head, m.payload, sizeof(head));
	snprintf(text, sizeof(text), "secrets %u %u %u %.*s", head.token_bytes, head.certificate_bytes, head.key_bytes,
		 (int)(m.head.payload_bytes - sizeof(head)), (const char *)m.payload + sizeof(head));
	tell(&c, WEB_EVENT, 0, text, sizeof(struct web_text));
	message_close(&m);
	if (strcmp(what, "fails") == 0) {
		tell(&c, WEB_READY, -EINVAL, "no certificate", sizeof(struct web_text));
		channel_deinit(&c);
		return 1;
	}
	tell(&c, WEB_READY, 0, "", strcmp(what, "nonsense") == 0 ? 5 : sizeof(struct web_text));
	while (channel_receive(&c, 0, &m) == 0) {
		struct web_state_head state;
		memcpy(&state, m.payload, sizeof(state));
		snprintf(text, sizeof(text), "state %u %u %u %s %.*s", state.n_samples, state.json_bytes, state.is_ready, state.why, (int)state.json_bytes,
			 (const char *)m.payload + sizeof(state) + state.n_samples * sizeof(struct web_sample));
		message_close(&m);
		tell(&c, WEB_EVENT, 0, text, sizeof(struct web_text));
		if (strcmp(what, "dies") == 0)
			raise(SIGKILL);
	}
	channel_deinit(&c);
	return 0;
}

static const struct service TABLE[] = {{"fake-web", fake_web}};

/* --- the agent --------------------------------------------------------------------------------------------------------- */

static void say(void *context, enum log_level level, const char *text)
{
	size_t n = strlen(said);

	(void)context, (void)level;
	snprintf(said + n, sizeof(said) - n, "%s\n", text);
}

static bool work_until(struct services *s, struct web_client *c, const char *text)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + 60 * NS_PER_S;
	struct service_event event;

	while (clock_ns(CLOCK_MONOTONIC) < end_ns) {
		struct pollfd fds[] = {{.fd = services_fd(s), .events = POLLIN}, {.fd = web_client_fd(c), .events = POLLIN}};
		poll(fds, 2, 20);
		while (services_take(s, &event) == 0)
			web_client_event(c, &event);
		web_client_work(c);
		if (strstr(said, text))
			return true;
	}
	print_error("no '%s' in: %s", text, said);
	return false;
}

static const char *write_file(const char *name, const char *text, mode_t mode)
{
	static char paths[8][128];
	static unsigned turn;
	char *path = paths[turn++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", scratch, name);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	return path;
}

static struct web_client_options options_of(struct services *s, const char *names)
{
	struct web_client_options o = {.services = s, .names = names, .store = "/nowhere", .host = "box", .window_ns = NS_PER_S, .say = say};
	struct why why;

	said[0] = '\0';
	assert_int_equal(listen_address_parse("0", &o.address, &why), 0);
	return o;
}

static struct web_client *create(const struct web_client_options *o)
{
	struct web_client *c;
	struct why why;

	assert_int_equal(web_client_create(o, &c, &why), 0);
	return c;
}

/* --- tests ------------------------------------------------------------------------------------------------------------- */

static void addresses(void **state)
{
	static const char *const LOCAL[] = {"7117", "127.0.0.1:7117", "localhost:0", "127.9.9.9:65535", "[::1]:80", "[::ffff:127.0.0.1]:80"};
	static const char *const OPEN[] = {"0.0.0.0:7117", "*:7117", "[::]:7117", "192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:80"};
	static const char *const BAD[] = {"x", "65536", "-1", ":", ":7117", "localhost", "localhost:", "localhost:x", "::1:7117", "[::1]", "[::1:7117", "[127.0.0.1]:1", "host:1",
					  "127.0.0.1:7117 ", "[*]:1", "127.0.0.1:+1"};
	struct listen_address a;
	struct why why;
	char url[96];

	(void)state;
	for (size_t i = 0; i < sizeof(LOCAL) / sizeof(LOCAL[0]); i++) {
		assert_int_equal(listen_address_parse(LOCAL[i], &a, &why), 0);
		assert_false(a.is_none || a.is_open);
	}
	for (size_t i = 0; i < sizeof(OPEN) / sizeof(OPEN[0]); i++) {
		assert_int_equal(listen_address_parse(OPEN[i], &a, &why), 0);
		assert_true(a.is_open);
	}
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		assert_int_equal(listen_address_parse(BAD[i], &a, &why), -EINVAL);
		assert_non_null(strstr(why.text, "[HOST:]PORT"));
	}
	assert_int_equal(listen_address_parse("none", &a, &why), 0);
	assert_true(a.is_none);
	assert_int_equal(listen_address_parse(NULL, &a, &why), 0);
	assert_true(a.is_none);
	assert_int_equal(listen_address_parse("0", &a, &why), 0);
	AUTO_CLOSE int fd = listen_address_open(&a, &why);
	assert_true(fd >= 0);
	listen_address_url(fd, true, url, sizeof(url));
	unsigned port = 0;
	assert_int_equal(sscanf(url, "https://127.0.0.1:%u/", &port), 1);
	snprintf(url, sizeof(url), "%u", port);
	assert_int_equal(listen_address_parse(url, &a, &why), 0);
	assert_int_equal(listen_address_open(&a, &why), -EADDRINUSE);
	assert_non_null(strstr(why.text, "--listen PORT"));
	assert_int_equal(listen_address_parse("192.0.2.77:0", &a, &why), 0);
	assert_int_equal(listen_address_open(&a, &why), -EADDRNOTAVAIL);
}

static void names(void **state)
{
	struct web_settings s;
	struct why why;
	char many[200] = "";

	(void)state;
	assert_int_equal(web_names_parse(" a.example.com,b\tc ", &s, &why), 0);
	assert_int_equal(s.n_names, 3);
	assert_string_equal(s.names[2], "c");
	assert_int_equal(web_names_parse(NULL, &s, &why), 0);
	assert_int_equal(s.n_names, 0);
	assert_int_equal(web_names_parse("http://a", &s, &why), -EINVAL);
	assert_int_equal(web_names_parse("a:80", &s, &why), -EINVAL);
	for (int i = 0; i < WEB_NAMES_MAX + 1; i++)
		strcat(many, "a,");
	assert_int_equal(web_names_parse(many, &s, &why), -EINVAL);
}

static void tells(void **state)
{
	struct web_samples *samples = calloc(1, sizeof(*samples));
	struct services *s;

	(void)state;
	assert_int_equal(services_create(TABLE, 1, &s), 0);
	struct web_client_options o = options_of(s, "plain");
	struct web_client *c = create(&o);
	assert_true(web_client_due_ns(c) == UINT64_MAX);
	web_client_work(c);
	assert_int_equal(web_client_fd(c), -1);
	web_client_go(c);
	assert_true(work_until(s, c, "the page is at http://127.0.0.1:"));
	assert_non_null(strstr(said, "secrets 0 0 0 \n"));
	assert_true(web_client_wants_state(c));
	web_samples_add(samples, METRIC_CPUS, NULL, 2);
	web_client_state(c, samples, "{\"a\":1}", 7, NULL);
	assert_false(web_client_wants_state(c));
	assert_true(work_until(s, c, "state 1 7 1  {\"a\":1}"));
	web_client_state(c, samples, "{}", 2, "no\nroom");
	assert_true(work_until(s, c, "state 1 2 0 no?room {}"));
	/* Too large: not sent. */
	web_client_state(c, samples, "{}", WEB_JSON_MAX + 1, NULL);
	web_client_let_go(c);
	assert_int_equal(web_client_fd(c), -1);
	web_client_destroy(c);
	web_client_destroy(NULL);
	services_destroy(s);
	free(samples);
}

static void secrets(void **state)
{
	struct web_client *c;
	struct services *s;
	struct why why;
	char large[WEB_TOKEN_MAX + 100];

	(void)state;
	assert_int_equal(services_create(TABLE, 1, &s), 0);
	struct web_client_options o = options_of(s, "plain");
	static const char *const BAD[] = {"", "short\n", "two words that are long\n", "control\x01that is long", "not ascii \xc3\xa4 0123456789"};
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		o.token_file = write_file("bad", BAD[i], 0600);
		assert_int_equal(web_client_create(&o, &c, &why), -EBADMSG);
		assert_non_null(strstr(why.text, "openssl rand -hex 32"));
	}
	memset(large, 'a', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	o.token_file = write_file("large", large, 0600);
	assert_int_equal(web_client_create(&o, &c, &why), -EFBIG);
	o.token_file = scratch;
	assert_int_equal(web_client_create(&o, &c, &why), -EINVAL);
	o.token_file = "/nowhere/token";
	assert_int_equal(web_client_create(&o, &c, &why), -ENOENT);
	assert_non_null(strstr(why.text, "--listen-token"));
	o.token_file = write_file("token", " 0123456789abcdef\n", 0644);
	o.certificate_file = write_file("cert", "certificate", 0644);
	o.key_file = write_file("key", "key", 0600);
	c = create(&o);
	assert_non_null(strstr(said, "chmod 600"));
	web_client_go(c);
	assert_true(work_until(s, c, "secrets 16 11 3 0123456789abcdefcertificatekey"));
	assert_true(work_until(s, c, "the page is at https://127.0.0.1:"));
	web_client_refresh(c);
	assert_null(strstr(said, "was changed"));
	/* Another token; then one that is none. */
	write_file("token", "fedcba9876543210\n", 0600);
	web_client_refresh(c);
	assert_non_null(strstr(said, "was changed"));
	assert_true(work_until(s, c, "secrets 16 11 3 fedcba9876543210certificatekey"));
	assert_null(strstr(said, "died"));
	write_file("token", "x", 0600);
	web_client_refresh(c);
	web_client_refresh(c);
	const char *first = strstr(said, "what it said before is used");
	assert_non_null(first);
	assert_null(strstr(first + 1, "what it said before is used"));
	web_client_destroy(c);
	services_destroy(s);
}

static void goes_wrong(void **state)
{
	static const char *const HOW[][2] = {{"fails", "the page cannot be served: no certificate; sampling goes on"},
					     {"nonsense", "hearth-web says what cannot be"},
					     {"dies", "hearth-web died (signal 9); it is started again"}};
	struct web_samples *samples = calloc(1, sizeof(*samples));
	struct services *s;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(services_create(TABLE, 1, &s), 0);
		struct web_client_options o = options_of(s, HOW[i][0]);
		struct web_client *c = create(&o);
		web_client_go(c);
		if (i == 2) {
			assert_true(work_until(s, c, "the page is at"));
			web_client_state(c, samples, "{}", 2, NULL);
		}
		assert_true(work_until(s, c, HOW[i][1]));
		/* Again, after a pause. */
		said[0] = '\0';
		assert_true(work_until(s, c, "secrets"));
		web_client_destroy(c);
		services_destroy(s);
	}
	free(samples);
}

static void waits_for_a_port(void **state)
{
	struct services *s;
	struct why why;
	char url[96];

	(void)state;
	assert_int_equal(services_create(TABLE, 1, &s), 0);
	struct web_client_options o = options_of(s, "plain");
	int other = listen_address_open(&o.address, &why);
	listen_address_url(other, false, url, sizeof(url));
	url[strlen(url) - 1] = '\0';
	assert_int_equal(listen_address_parse(url + 7, &o.address, &why), 0);
	struct web_client *c = create(&o);
	assert_non_null(strstr(said, "is taken"));
	said[0] = '\0';
	web_client_go(c);
	web_client_work(c);
	web_client_refresh(c);
	assert_true(web_client_due_ns(c) == UINT64_MAX);
	assert_string_equal(said, "");
	close(other);
	web_client_refresh(c);
	assert_true(work_until(s, c, "the page is at"));
	web_client_destroy(c);
	services_destroy(s);
}

static int make_scratch(void **state)
{
	(void)state;
	snprintf(scratch, sizeof(scratch), "/tmp/hearth-web-client-XXXXXX");
	return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", scratch);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses), cmocka_unit_test(names),	   cmocka_unit_test(tells),
		cmocka_unit_test(secrets),   cmocka_unit_test(goes_wrong), cmocka_unit_test(waits_for_a_port),
	};

	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
