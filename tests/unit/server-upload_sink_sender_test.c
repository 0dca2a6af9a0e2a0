#include "server-upload/sink_sender.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pprof/decode.h"
#include "tests/unit/random_profile.h"
#include "tests/unit/sample_profile.h"
#include "tests/unit/upload_server.h"

#define WINDOWS 8
#define SAMPLES 42 /* of sample_profile() */

static struct curl_library library;
static struct http_client *client;
static struct upload_server server, grpc;
static struct upload_config *config;
static struct sink_sender *sender;
static uint64_t now_ns, mark;
static struct profile *windows[WINDOWS + 1];
static uint64_t held; /* windows that the store has: 1 to held */
static char lines[32][512];
static enum upload_severity severities[32];
static size_t n_lines;

static void say(void *context, enum upload_severity severity, const char *text)
{
	assert_ptr_equal(context, lines);
	assert_true(n_lines < 32);
	severities[n_lines] = severity;
	strcpy(lines[n_lines++], text);
}

static int begin(void **state)
{
	(void)state;
	unsetenv("http_proxy");
	upload_server_start(&server, false);
	upload_server_start(&grpc, true);
	for (int i = 1; i <= WINDOWS; i++) {
		windows[i] = sample_profile();
		windows[i]->time_ns += i;
	}
	assert_int_equal(curl_library_load(&library), 0);
	return http_client_create(&library, &client);
}

static int end(void **state)
{
	(void)state;
	http_client_destroy(client);
	for (int i = 1; i <= WINDOWS; i++)
		profile_free(windows[i]);
	upload_server_stop(&server);
	upload_server_stop(&grpc);
	return 0;
}

static int make_config(void **state)
{
	(void)state;
	config = calloc(1, sizeof(*config));
	config->n_sinks = 1;
	strcpy(config->sinks[0].config.name, "a");
	config->sinks[0].config.kind = SINK_HTTP;
	config->sinks[0].config.timeout_s = 20;
	atomic_store(&server.shared->n_requests, 0);
	atomic_store(&grpc.shared->n_requests, 0);
	n_lines = 0;
	mark = 0;
	held = WINDOWS;
	now_ns = 1000 * NS_PER_S;
	return 0;
}

static int forget(void **state)
{
	(void)state;
	sink_sender_destroy(sender);
	sender = NULL;
	upload_config_free(config);
	return 0;
}

static void start(enum sink_kind kind)
{
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/in", kind == SINK_PARCA || kind == SINK_OTLP_GRPC ? grpc.port : server.port);
	config->sinks[0].config.kind = kind;
	if (!config->sinks[0].config.url)
		config->sinks[0].config.url = strdup(url);
	assert_int_equal(sink_sender_create(client, config, &config->sinks[0], NULL, say, lines, &sender), 0);
}

/* One thing: a window given, a request sent and answered, or a wait until something can be done. Returns false when it waits for news. */
static bool step(void)
{
	uint64_t after, marked;

	sink_sender_work(sender, now_ns);
	if (sink_sender_take_mark(sender, &marked)) {
		assert_true(marked > mark);
		mark = marked;
	}
	if (sink_sender_wants(sender, now_ns, &after)) {
		uint64_t number = (after > mark ? after : mark) + 1;
		if (number <= held)
			sink_sender_give(sender, now_ns, number, windows[number], 0, NULL);
		else
			sink_sender_none(sender);
		return true;
	}
	uint64_t wake_ns = sink_sender_wake_ns(sender, now_ns);
	if (wake_ns == UINT64_MAX) {
		int busy = 0;
		/* A request is under way, or there is nothing. */
		http_client_wait(client, NULL, NULL, 0, 20);
		sink_sender_work(sender, now_ns);
		busy = sink_sender_wake_ns(sender, now_ns) != UINT64_MAX;
		return busy || mark < held;
	}
	now_ns = wake_ns > now_ns ? wake_ns : now_ns;
	return true;
}

static void run(void)
{
	for (int i = 0; step(); i++)
		assert_true(i < 20000);
}

static void run_requests(size_t n)
{
	for (int i = 0; atomic_load(&server.shared->n_requests) + atomic_load(&grpc.shared->n_requests) < n; i++) {
		assert_true(i < 20000);
		step();
	}
}

/* Which window a request of kind http was: its time. */
static uint64_t number_of(size_t request)
{
	const struct upload_server_request *r = &server.shared->requests[request];
	struct profile *profile;

	assert_int_equal(profile_decode(r->body, r->n_body, 0, &profile, NULL), 0);
	uint64_t number = (uint64_t)(profile->time_ns - 1700000000000000000);
	profile_free(profile);
	return number;
}

static struct upload_status status(void)
{
	bool changed;

	return *sink_sender_status(sender, &changed);
}

static void all_go_in_order(void **state)
{
	(void)state;
	upload_server_say_one(&server, ANSWER, "");
	start(SINK_HTTP);
	run();
	assert_int_equal(mark, WINDOWS);
	assert_int_equal(atomic_load(&server.shared->n_requests), WINDOWS);
	for (size_t i = 0; i < WINDOWS; i++) {
		assert_int_equal(number_of(i), i + 1);
		assert_int_equal(server.shared->requests[i].connection, server.shared->requests[0].connection);
	}
	struct upload_status s = status();
	assert_int_equal(s.windows_sent, WINDOWS);
	assert_int_equal(s.samples_sent, WINDOWS * SAMPLES);
	assert_int_equal(s.requests, WINDOWS);
	assert_int_equal(s.windows_dropped + s.retries + s.failing, 0);
	assert_true(s.bytes_sent > 0 && s.last_success_ns);
	assert_int_equal(n_lines, 0);
}

static void an_outage_loses_nothing(void **state)
{
	struct upload_server_reply replies[] = {{.text = ""}, {.text = "503 No\r\nConnection: close\r\n\r\nno"}, {.how = RESET}, {.text = "429 Slow\r\nRetry-After: 60"}, {.text = "500 No"},
						{.text = "408 No"}, {.text = ""}};

	(void)state;
	upload_server_say(&server, 7, replies);
	start(SINK_HTTP);
	uint64_t start_ns = now_ns;
	run();
	assert_true(now_ns - start_ns > 60 * NS_PER_S);
	assert_int_equal(mark, WINDOWS);
	assert_int_equal(number_of(0), 1);
	for (size_t i = 1; i < 6; i++)
		assert_int_equal(number_of(i), 2);
	for (size_t i = 6; i < WINDOWS + 5; i++)
		assert_int_equal(number_of(i), i - 4);
	struct upload_status s = status();
	assert_int_equal(s.windows_sent, WINDOWS);
	assert_int_equal(s.retries, 5);
	assert_int_equal(s.windows_dropped, 0);
	assert_string_equal(s.last_error, "");
	/* It begins with the second failure, changes, and is over. */
	assert_int_equal(n_lines, 5);
	assert_int_equal(severities[0], UPLOAD_WARNING);
	assert_non_null(strstr(lines[0], "upload 'a': "));
	assert_non_null(strstr(lines[1], "now: HTTP 429"));
	assert_int_equal(severities[4], UPLOAD_INFO);
	assert_non_null(strstr(lines[4], "it works again"));
}

static void what_is_refused_blocks_nothing(void **state)
{
	struct upload_server_reply replies[] = {{.text = ""}, {.text = "400 No\r\nContent-Type: text/plain\r\n\r\nprofile too old \x1b[1m for hush-hush"}, {.text = ""}};

	(void)state;
	config->sinks[0].secrets.bearer_token = strdup("hush-hush");
	upload_server_say(&server, 3, replies);
	start(SINK_HTTP);
	run();
	assert_int_equal(mark, WINDOWS);
	assert_int_equal(atomic_load(&server.shared->n_requests), WINDOWS);
	assert_int_equal(status().windows_dropped, 1);
	assert_int_equal(status().windows_sent, WINDOWS - 1);
	assert_int_equal(status().samples_rejected, SAMPLES);
	assert_int_equal(n_lines, 1);
	assert_string_equal(lines[0], "upload 'a': window 2 is dropped: HTTP 400: profile too old ?[1m for *********");
	/* All of them: said ten times, counted always. */
	upload_server_say_one(&server, ANSWER, "422 No");
	for (int i = 0; i < 3; i++) {
		sink_sender_destroy(sender);
		mark = 0;
		start(SINK_HTTP);
		run();
		assert_int_equal(status().windows_dropped, WINDOWS);
	}
}

static void who_is_not_let_in_waits(void **state)
{
	(void)state;
	upload_server_say_one(&server, ANSWER, "401 Who");
	start(SINK_HTTP);
	uint64_t start_ns = now_ns;
	run_requests(20);
	sink_sender_work(sender, now_ns);
	/* From 15 to 30 s at first, then up to 5 minutes. */
	assert_true(now_ns - start_ns > 20 * 60 * NS_PER_S);
	assert_int_equal(mark, 0);
	assert_int_equal(status().windows_dropped, 0);
	assert_int_equal(n_lines, 1);
	assert_int_equal(severities[0], UPLOAD_ERROR);
	assert_non_null(strstr(lines[0], "HTTP 401; check the sink's token or password; windows wait"));
	assert_true(status().wait_until_ns > 0);
	upload_server_say_one(&server, ANSWER, "");
	run();
	assert_int_equal(mark, WINDOWS);
	assert_int_equal(n_lines, 2);
}

/* The server fails on the second window, and takes all others. */
static void a_window_that_a_server_fails_on_blocks_nothing(void **state)
{
	struct upload_server_reply replies[16] = {{.text = ""}};

	(void)state;
	for (int i = 1; i <= 10; i++)
		strcpy(replies[i].text, "500 Panic"); /* of 2 */
	strcpy(replies[11].text, "");		      /* 3 is taken */
	strcpy(replies[12].text, "500 Panic");	      /* 2 once more */
	upload_server_say(&server, 14, replies);
	start(SINK_HTTP);
	run();
	assert_int_equal(mark, WINDOWS);
	assert_int_equal(status().windows_dropped, 1);
	assert_int_equal(status().windows_sent, WINDOWS - 1);
	assert_int_equal(number_of(10), 2);
	assert_int_equal(number_of(11), 3);
	assert_int_equal(number_of(12), 2);
	assert_int_equal(number_of(13), 4);
	assert_non_null(strstr(lines[n_lines - 1], "window 2 is dropped: HTTP 500"));
}

/* It lets us in, but not with the second window. */
static void a_window_that_is_not_let_in_blocks_nothing(void **state)
{
	struct upload_server_reply replies[8] = {{.text = ""}};

	(void)state;
	strcpy(replies[1].text, "403 No"); /* of 2 */
	strcpy(replies[2].text, "403 No");
	strcpy(replies[3].text, ""); /* 3 is taken */
	strcpy(replies[4].text, "403 No"); /* 2 once more */
	upload_server_say(&server, 6, replies);
	start(SINK_HTTP);
	run();
	assert_int_equal(mark, WINDOWS);
	assert_int_equal(status().windows_dropped, 1);
	assert_int_equal(status().windows_sent, WINDOWS - 1);
	assert_int_equal(number_of(3), 3);
	assert_int_equal(number_of(4), 2);
	assert_int_equal(number_of(5), 4);
	assert_non_null(strstr(lines[n_lines - 1], "window 2 is dropped: HTTP 403"));
}

static void an_outage_with_answers_drops_nothing(void **state)
{
	struct upload_server_reply replies[64] = {{.text = ""}};

	(void)state;
	for (int i = 1; i <= 45; i++)
		strcpy(replies[i].text, "500 Panic");
	upload_server_say(&server, 47, replies);
	start(SINK_HTTP);
	run();
	assert_int_equal(mark, WINDOWS);
	assert_int_equal(status().windows_dropped, 0);
	assert_int_equal(status().windows_sent, WINDOWS);
	/* 3 was tried between the others; nothing was taken out of order. */
	assert_int_equal(number_of(11), 3);
	assert_int_equal(number_of(12), 2);
	for (size_t i = 46; i < 46 + WINDOWS - 1; i++)
		assert_int_equal(number_of(i), i - 44);
	/* With one window only there is none to try. */
	sink_sender_destroy(sender);
	mark = 0;
	held = 1;
	for (int i = 0; i <= 25; i++)
		strcpy(replies[i].text, "500 Panic");
	strcpy(replies[26].text, "");
	upload_server_say(&server, 27, replies);
	start(SINK_HTTP);
	run();
	assert_int_equal(mark, 1);
}

static void windows_that_are_none(void **state)
{
	(void)state;
	upload_server_say_one(&server, ANSWER, "");
	start(SINK_HTTP);
	sink_sender_give(sender, now_ns, 1, NULL, -EBADMSG, "it is garbage");
	run();
	assert_int_equal(mark, WINDOWS);
	assert_int_equal(status().windows_dropped, 1);
	assert_int_equal(status().windows_sent, WINDOWS - 1);
	assert_non_null(strstr(lines[0], "window 1 is dropped: it is garbage"));
	/* No memory: it is asked for again, five times. */
	sink_sender_destroy(sender);
	mark = 0;
	n_lines = 0;
	start(SINK_HTTP);
	for (int i = 0; i < 4; i++) {
		sink_sender_give(sender, now_ns, 1, NULL, -ENOMEM, NULL);
		assert_non_null(strstr(status().last_error, "no memory"));
		assert_true(sink_sender_wake_ns(sender, now_ns) > now_ns);
	}
	sink_sender_give(sender, now_ns, 1, NULL, -ENOMEM, NULL);
	run();
	assert_int_equal(status().windows_dropped, 1);
	assert_int_equal(status().windows_sent, WINDOWS - 1);
	/* One that was not asked for. */
	sink_sender_give(sender, now_ns, 3, windows[3], 0, NULL);
	run();
	assert_int_equal(status().windows_sent, WINDOWS - 1);
}

static void what_all_rules_drop_is_done(void **state)
{
	const struct relabel_rule rule = {.action = "drop", .source_labels = "process", .regex = "app"};

	(void)state;
	assert_int_equal(upload_rules_add(&config->rules, &rule), 0);
	start(SINK_HTTP);
	run();
	assert_int_equal(mark, WINDOWS);
	assert_int_equal(atomic_load(&server.shared->n_requests), 0);
	assert_int_equal(status().samples_relabelled, WINDOWS * SAMPLES);
	assert_int_equal(status().samples_sent, 0);
}

static void wrong_settings_hold_the_windows(void **state)
{
	const struct relabel_rule rule = {.action = "explode"};

	(void)state;
	assert_int_equal(upload_rules_add(&config->sinks[0].rules, &rule), 0);
	start(SINK_HTTP);
	run_requests(0);
	assert_int_equal(n_lines, 1);
	assert_int_equal(severities[0], UPLOAD_ERROR);
	assert_true(*status().last_error);
	assert_int_equal(sink_sender_wake_ns(sender, now_ns), UINT64_MAX);
	sink_sender_destroy(sender);
	config->sinks[0].held = strdup("reading '/etc/token': no");
	start(SINK_HTTP);
	assert_string_equal(status().last_error, "reading '/etc/token': no");
	sink_sender_destroy(sender);
	free(config->sinks[0].held);
	config->sinks[0].held = NULL;
	free(config->sinks[0].config.url);
	config->sinks[0].config.url = strdup("http://far.example/");
	config->sinks[0].secrets.bearer_token = strdup("hush-hush");
	start(SINK_HTTP);
	assert_non_null(strstr(status().last_error, "plain http"));
	uint64_t after;
	assert_false(sink_sender_wants(sender, now_ns, &after));
}

static void grpc_and_its_refusals(void **state)
{
	struct upload_server_reply replies[] = {{.how = ANSWER_GRPC, .text = "12 no gzip"}, {.how = ANSWER_GRPC, .text = "0"}, {.how = ANSWER_GRPC, .text = "8 larger than max"},
						{.how = ANSWER_GRPC, .text = "0", .body = "\x0a\x02\x08\x03", .n_body = 4}, {.how = ANSWER_GRPC, .text = "0"}};

	(void)state;
	upload_server_say(&grpc, 5, replies);
	start(SINK_OTLP_GRPC);
	run();
	assert_int_equal(mark, WINDOWS);
	assert_int_equal(grpc.shared->requests[0].body[0], 1);
	assert_int_equal(grpc.shared->requests[1].body[0], 0);
	assert_int_equal(grpc.shared->requests[2].body[0], 0);
	/* Too large, and too small to be made smaller: dropped. */
	assert_int_equal(status().windows_dropped, 1);
	assert_int_equal(status().windows_sent, WINDOWS - 1);
	assert_int_equal(status().rejected, 3);
	assert_non_null(strstr(lines[1], "of window 3 it rejected 3 profiles"));
	sink_sender_destroy(sender);
	mark = 0;
	upload_server_say_one(&grpc, ANSWER_GRPC, "0");
	start(SINK_PARCA);
	run();
	assert_int_equal(mark, WINDOWS);
}

static void swap_in_large(struct profile **small)
{
	const struct random_profile how = {.seed = 1, .n_samples = 20000, .n_processes = 5, .depth = 30, .name_bytes = 40};

	*small = windows[1];
	windows[1] = random_profile(&how);
	assert_non_null(windows[1]);
	held = 1;
}

static void swap_out_large(struct profile *small)
{
	profile_free(windows[1]);
	windows[1] = small;
}

static void what_is_too_large_is_split(void **state)
{
	struct upload_server_reply replies[] = {{.text = "413 Large"}, {.text = "413 Large"}, {.text = ""}};
	struct profile *small;

	(void)state;
	swap_in_large(&small);
	upload_server_say(&server, 3, replies);
	start(SINK_PYROSCOPE);
	run();
	size_t n = atomic_load(&server.shared->n_requests);
	assert_true(n > 4);
	for (size_t i = 2; i < n; i++)
		assert_true(server.shared->requests[i].n_body < server.shared->requests[0].n_body / 2);
	assert_int_equal(status().windows_sent, 1);
	assert_int_equal(status().windows_dropped, 0);
	assert_int_equal(n_lines, 2);
	assert_non_null(strstr(lines[0], "HTTP 413: requests are of at most "));
	swap_out_large(small);
}

/* One part is refused, the others are not; a part that fails is sent again, not those before it. */
static void parts_of_a_window(void **state)
{
	struct upload_server_reply replies[] = {{.text = "413 Large"}, {.text = "413 Large"}, {.text = ""}, {.text = "503 No"}, {.text = ""}, {.text = "400 No"}};
	struct profile *small;
	uint64_t after;

	(void)state;
	swap_in_large(&small);
	upload_server_say(&server, 6, replies);
	start(SINK_PYROSCOPE);
	assert_true(sink_sender_wants(sender, now_ns, &after));
	run();
	size_t n = atomic_load(&server.shared->n_requests);
	assert_true(n >= 6);
	assert_int_equal(server.shared->requests[3].n_body, server.shared->requests[4].n_body);
	assert_memory_equal(server.shared->requests[3].body, server.shared->requests[4].body, sizeof(server.shared->requests[3].body));
	assert_int_equal(status().requests, n);
	assert_int_equal(status().retries, 1);
	assert_int_equal(status().windows_dropped, 1);
	assert_int_equal(status().windows_sent, 0);
	assert_int_equal(mark, 1);
	swap_out_large(small);
}

/* A burst that is smaller than the request: 429 for ever, until it is smaller. */
static void what_is_too_much_at_once_is_split(void **state)
{
	struct upload_server_reply replies[11];
	struct profile *small;

	(void)state;
	memset(replies, 0, sizeof(replies));
	for (int i = 0; i < 10; i++)
		strcpy(replies[i].text, "429 Slow");
	swap_in_large(&small);
	upload_server_say(&server, 11, replies);
	start(SINK_PYROSCOPE);
	run();
	size_t n = atomic_load(&server.shared->n_requests);
	for (size_t i = 10; i < n; i++)
		assert_true(server.shared->requests[i].n_body < server.shared->requests[0].n_body);
	assert_int_equal(status().windows_sent, 1);
	swap_out_large(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_go_in_order, make_config, forget),
		cmocka_unit_test_setup_teardown(an_outage_loses_nothing, make_config, forget),
		cmocka_unit_test_setup_teardown(what_is_refused_blocks_nothing, make_config, forget),
		cmocka_unit_test_setup_teardown(who_is_not_let_in_waits, make_config, forget),
		cmocka_unit_test_setup_teardown(a_window_that_is_not_let_in_blocks_nothing, make_config, forget),
		cmocka_unit_test_setup_teardown(a_window_that_a_server_fails_on_blocks_nothing, make_config, forget),
		cmocka_unit_test_setup_teardown(an_outage_with_answers_drops_nothing, make_config, forget),
		cmocka_unit_test_setup_teardown(windows_that_are_none, make_config, forget),
		cmocka_unit_test_setup_teardown(what_all_rules_drop_is_done, make_config, forget),
		cmocka_unit_test_setup_teardown(wrong_settings_hold_the_windows, make_config, forget),
		cmocka_unit_test_setup_teardown(grpc_and_its_refusals, make_config, forget),
		cmocka_unit_test_setup_teardown(what_is_too_large_is_split, make_config, forget),
		cmocka_unit_test_setup_teardown(parts_of_a_window, make_config, forget),
		cmocka_unit_test_setup_teardown(what_is_too_much_at_once_is_split, make_config, forget),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
