#include "server-upload/upload_process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/scope.h"
#include "base/text_clean.h"
#include "pprof/decode.h"
#include "pprof/encode.h"
#include "server-upload/upload_config.h"
#include "server-upload/upload_protocol.h"
#include "tests/unit/sample_profile.h"
#include "tests/unit/upload_server.h"

#define WINDOWS_MAX 40
#define PATIENCE_S  (RUNNING_ON_VALGRIND ? 100u : 60u)
#define MUTE_S	    40u /* that an answer is waited for */

#if defined(__SANITIZE_ADDRESS__)
#define BARE true
#else
#define BARE (RUNNING_ON_VALGRIND != 0)
#endif

static struct upload_server servers[2], grpc;

/* The agent's and the store's side. */
static struct {
	pid_t pid;
	struct channel agent, store;
	uint64_t serial, held; /* windows in the store: 1 to held */
	uint64_t marks[SINKS_MAX], n_shaped, n_next;
	struct upload_status statuses[SINKS_MAX];
	char events[64][508];
	size_t n_events;
	bool is_over;
} rig;

static int begin(void **state)
{
	(void)state;
	unsetenv("http_proxy");
	upload_server_start(&servers[0], false);
	upload_server_start(&servers[1], false);
	upload_server_start(&grpc, true);
	return 0;
}

static int end(void **state)
{
	(void)state;
	upload_server_stop(&servers[0]);
	upload_server_stop(&servers[1]);
	upload_server_stop(&grpc);
	return 0;
}

static int start(void **state)
{
	int agent[2], store[2];

	(void)state;
	memset(&rig, 0, sizeof(rig));
	for (int i = 0; i < 2; i++) {
		upload_server_say_one(&servers[i], ANSWER, "");
		atomic_store(&servers[i].shared->n_requests, 0);
		atomic_store(&servers[i].shared->n_connections, 0);
	}
	upload_server_say_one(&grpc, ANSWER_GRPC, "0");
	atomic_store(&grpc.shared->n_requests, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, agent), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, store), 0);
	rig.pid = fork();
	if (rig.pid == 0)
		/* exec would be cleaner; but who forks it does as is done here. */
		_exit((BARE ? upload_process_run_bare : upload_process_run)(agent[1], store[1]));
	close(agent[1]);
	close(store[1]);
	assert_int_equal(channel_init(&rig.agent, agent[0], &UPLOAD_RULES, sizeof(struct upload_event)), 0);
	assert_int_equal(channel_init(&rig.store, store[0], &UPLOAD_RULES, sizeof(struct upload_mark)), 0);
	return 0;
}

static int await_end(void)
{
	int status;

	assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
	rig.pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int stop(void **state)
{
	(void)state;
	channel_deinit(&rig.agent);
	channel_deinit(&rig.store);
	if (rig.pid)
		assert_int_equal(await_end(), 0);
	return 0;
}

static void send_store(uint16_t kind, const void *payload, size_t n, int fd)
{
	struct message_head head = {.kind = kind, .serial = rig.serial};
	struct iovec part = {(void *)(uintptr_t)payload, n};

	assert_int_equal(channel_send(&rig.store, &head, &part, n > 0, &fd, fd >= 0, true), 0);
}

static void give_window(const struct upload_next *next)
{
	uint64_t number = (next->after > rig.marks[next->sink] ? next->after : rig.marks[next->sink]) + 1;
	struct upload_window window = {.serial = next->serial, .number = number, .sink = next->sink};
	uint8_t *bytes;
	size_t n;
	AUTO_CLOSE int fd = -1;

	if (number > rig.held) {
		send_store(UPLOAD_NONE, next, sizeof(*next), -1);
		return;
	}
	struct profile *profile = sample_profile();
	profile->time_ns += (int64_t)number;
	assert_int_equal(profile_encode(profile, &bytes, &n), 0);
	profile_free(profile);
	window.bytes = n;
	assert_int_equal(sealed_create(&(struct iovec){bytes, n}, 1, &fd), 0);
	free(bytes);
	send_store(UPLOAD_WINDOW, &window, sizeof(window), fd);
}

static void take_store(const struct message *m)
{
	const struct upload_mark *mark = m->payload;
	const struct upload_next *next = m->payload;

	if (m->head.kind == UPLOAD_NEXT) {
		rig.n_next++;
		if (next->serial == rig.serial)
			give_window(next);
	} else if (m->head.kind == UPLOAD_MARK) {
		assert_true(mark->number > rig.marks[mark->sink] || mark->serial != rig.serial);
		rig.marks[mark->sink] = mark->number;
	} else {
		assert_int_equal(m->head.kind, UPLOAD_SHAPED);
		rig.n_shaped++;
	}
}

static void take_agent(const struct message *m)
{
	const struct upload_status *status = m->payload;
	const struct upload_event *event = m->payload;

	if (m->head.kind == UPLOAD_STATUS) {
		rig.statuses[status->sink] = *status;
		return;
	}
	assert_int_equal(m->head.kind, UPLOAD_EVENT);
	assert_true(rig.n_events < 64);
	strcpy(rig.events[rig.n_events++], event->text);
}

static void turn(int timeout_ms)
{
	struct pollfd fds[] = {{.fd = rig.agent.fd, .events = POLLIN}, {.fd = rig.store.fd, .events = POLLIN}};
	struct channel *const channels[] = {&rig.agent, &rig.store};

	poll(fds, 2, timeout_ms);
	for (size_t i = 0; i < 2; i++) {
		struct message m;
		int err = -ETIME;
		while (fds[i].revents && (err = channel_receive(channels[i], 1, &m)) == 0) {
			assert_int_equal(upload_message_check(&m), 0);
			(i ? take_store : take_agent)(&m);
			message_close(&m);
		}
		rig.is_over = rig.is_over || err == -EPIPE;
	}
}

#define AWAIT(condition)                                                                                                                                 \
	for (uint64_t end_ns_ = clock_ns(CLOCK_MONOTONIC) + PATIENCE_S * NS_PER_S; !(condition); turn(50)) {                                             \
		assert_true(clock_ns(CLOCK_MONOTONIC) < end_ns_);                                                                                        \
		assert_false(rig.is_over);                                                                                                               \
	}

static void await_over(void)
{
	for (uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + PATIENCE_S * NS_PER_S; !rig.is_over; turn(50))
		assert_true(clock_ns(CLOCK_MONOTONIC) < end_ns);
}

static struct upload_config *configuration(const enum sink_kind *kinds, const int *ports, size_t n)
{
	struct upload_config *config = calloc(1, sizeof(*config));
	char text[64];

	config->serial = ++rig.serial;
	config->n_sinks = n;
	for (size_t i = 0; i < n; i++) {
		struct sink_config *sink = &config->sinks[i].config;
		snprintf(sink->name, sizeof(sink->name), "s%zu", i);
		sink->kind = kinds[i];
		snprintf(text, sizeof(text), "http://127.0.0.1:%d", ports[i]);
		sink->url = strdup(text);
		sink->timeout_s = MUTE_S;
	}
	return config;
}

static void send_config(struct upload_config *config)
{
	struct message_head head = {.kind = UPLOAD_CONFIG};
	uint8_t *bytes;
	size_t n;

	assert_int_equal(upload_config_encode(config, &bytes, &n), 0);
	assert_int_equal(channel_send(&rig.agent, &head, &(struct iovec){bytes, n}, 1, NULL, 0, true), 0);
	upload_config_wipe(bytes, n);
	upload_config_free(config);
}

static struct upload_config *one_sink(void)
{
	return configuration((enum sink_kind[]){SINK_HTTP}, (int[]){servers[0].port}, 1);
}

static void news(uint64_t held)
{
	rig.held = held;
	send_store(UPLOAD_NEWS, NULL, 0, -1);
}

static bool has_event(const char *text)
{
	for (size_t i = 0; i < rig.n_events; i++)
		if (strstr(rig.events[i], text))
			return true;
	return false;
}

static void three_sinks_get_all(void **state)
{
	struct upload_config *config = configuration((enum sink_kind[]){SINK_HTTP, SINK_PYROSCOPE, SINK_DIR, SINK_OTLP_GRPC},
						     (int[]){servers[0].port, servers[1].port, 0, grpc.port}, 4);

	(void)state;
	rig.held = 3;
	send_config(config);
	AWAIT(rig.marks[0] == 3 && rig.marks[1] == 3 && rig.marks[3] == 3);
	for (uint64_t i = 4; i <= 6; i++) {
		news(i);
		AWAIT(rig.marks[0] == i && rig.marks[1] == i && rig.marks[3] == i);
	}
	assert_int_equal(rig.marks[2], 0);
	assert_int_equal(rig.n_shaped, 18);
	AWAIT(rig.statuses[0].windows_sent == 6 && rig.statuses[1].windows_sent == 6 && rig.statuses[3].windows_sent == 6);
	assert_int_equal(rig.n_events, 0);
	assert_int_equal(atomic_load(&servers[0].shared->n_connections), 1);
	assert_non_null(strstr(servers[1].shared->requests[0].head, "POST /push.v1.PusherService/Push HTTP/1.1\r\n"));
	for (size_t i = 0; i < 6; i++) {
		struct profile *profile;
		const struct upload_server_request *r = &servers[0].shared->requests[i];
		assert_int_equal(profile_decode(r->body, r->n_body, 0, &profile, NULL), 0);
		assert_int_equal(profile->time_ns - 1700000000000000000, i + 1);
		profile_free(profile);
	}
}

/* It is nobody, can do nothing, and has two descriptors of ours. */
static void it_has_no_rights(void **state)
{
	char path[64], line[256], capabilities[64] = "", uid[64] = "";
	int seccomp = -1, no_new = -1;

	(void)state;
	rig.held = 1;
	send_config(one_sink());
	AWAIT(rig.marks[0] == 1);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)rig.pid);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		sscanf(line, "CapEff: %63s", capabilities);
		sscanf(line, "Uid: %63s", uid);
		sscanf(line, "Seccomp: %d", &seccomp);
		sscanf(line, "NoNewPrivs: %d", &no_new);
	}
	fclose(file);
	assert_string_equal(capabilities, "0000000000000000");
	assert_int_equal(no_new, 1);
	if (!BARE)
		assert_int_equal(seccomp, 2);
	if (geteuid() == 0)
		assert_string_equal(uid, "65534");
}

static void an_outage_is_waited_for(void **state)
{
	(void)state;
	upload_server_say_one(&servers[0], ANSWER, "503 No");
	rig.held = 5;
	send_config(one_sink());
	AWAIT(rig.statuses[0].failing >= 2);
	assert_string_equal(rig.statuses[0].last_error, "HTTP 503");
	assert_int_equal(rig.marks[0], 0);
	AWAIT(rig.n_events == 1);
	assert_true(has_event("upload 's0': HTTP 503"));
	upload_server_say_one(&servers[0], ANSWER, "");
	AWAIT(rig.marks[0] == 5);
	AWAIT(has_event("it works again"));
	assert_int_equal(rig.n_events, 2);
	assert_int_equal(rig.statuses[0].windows_dropped, 0);
}

static void a_new_token_is_used_at_once(void **state)
{
	struct upload_config *config = one_sink();

	(void)state;
	config->sinks[0].secrets.bearer_token = strdup("the-old-token");
	upload_server_say_one(&servers[0], ANSWER, "401 Who\r\nContent-Type: text/plain\r\n\r\nnot the-old-token");
	rig.held = 2;
	send_config(config);
	AWAIT(has_event("HTTP 401"));
	AWAIT(*rig.statuses[0].last_error);
	assert_true(has_event("not *************"));
	assert_false(has_event("the-old-token"));
	assert_null(strstr(rig.statuses[0].last_error, "the-old-token"));
	uint64_t requests = rig.statuses[0].requests;
	upload_server_say_one(&servers[0], ANSWER, "");
	config = one_sink();
	config->sinks[0].secrets.bearer_token = strdup("the-new-token");
	send_config(config);
	AWAIT(rig.marks[0] == 2);
	assert_non_null(strstr(servers[0].shared->requests[atomic_load(&servers[0].shared->n_requests) - 1].head, "Bearer the-new-token\r\n"));
	/* What was counted stays. */
	AWAIT(rig.statuses[0].windows_sent == 2);
	assert_true(rig.statuses[0].requests > requests);
}

static void sinks_come_and_go(void **state)
{
	const enum sink_kind kinds[] = {SINK_HTTP, SINK_HTTP};
	struct upload_config *config;

	(void)state;
	rig.held = 2;
	send_config(configuration(kinds, (int[]){servers[0].port, servers[1].port}, 2));
	AWAIT(rig.marks[0] == 2 && rig.marks[1] == 2);
	/* The first goes, the second goes on over its connection, under another number. */
	config = configuration(kinds, (int[]){servers[1].port, servers[0].port}, 1);
	strcpy(config->sinks[0].config.name, "s1");
	send_config(config);
	news(3);
	AWAIT(rig.marks[0] == 3);
	assert_int_equal(atomic_load(&servers[0].shared->n_requests), 2);
	assert_int_equal(atomic_load(&servers[1].shared->n_requests), 3);
	assert_int_equal(atomic_load(&servers[1].shared->n_connections), 1);
	AWAIT(rig.statuses[0].windows_sent == 3);
	/* None at all. */
	send_config(configuration(kinds, (int[]){0, 0}, 0));
	news(4);
	turn(100);
	assert_int_equal(atomic_load(&servers[1].shared->n_requests), 3);
	send_config(one_sink());
	AWAIT(rig.marks[0] == 4);
}


static void it_ends_with_its_sockets(void **state)
{
	(void)state;
	upload_server_say_one(&servers[0], MUTE, "");
	rig.held = 1;
	send_config(one_sink());
	AWAIT(rig.n_shaped == 1);
	turn(100);
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
	channel_deinit(&rig.store);
	assert_int_equal(await_end(), 0);
	assert_true(clock_ns(CLOCK_MONOTONIC) - start_ns < (MUTE_S - 5) * NS_PER_S); /* it does not wait for the server */
}

static void wrong_messages_end_it(void **state)
{
	struct message_head head = {.kind = UPLOAD_CONFIG};

	(void)state;
	assert_int_equal(channel_send(&rig.agent, &head, &(struct iovec){(void *)(uintptr_t)"garbage", 7}, 1, NULL, 0, true), 0);
	await_over();
	assert_true(has_event("the configuration of uploading is damaged"));
	assert_int_equal(await_end(), 1);
	stop(NULL);
	start(NULL);
	send_store(UPLOAD_MARK, &(struct upload_mark){.number = 1}, sizeof(struct upload_mark), -1);
	await_over();
	assert_int_equal(await_end(), 1);
	stop(NULL);
	start(NULL);
	/* A window whose descriptor is no sealed memfd. */
	rig.held = 0;
	send_config(one_sink());
	AWAIT(rig.n_next == 1);
	rig.held = 1;
	AUTO_CLOSE int fd = memfd_create("x", 0);
	send_store(UPLOAD_WINDOW, &(struct upload_window){.serial = rig.serial, .number = 1, .bytes = 5}, sizeof(struct upload_window), fd);
	turn(100);
	/* It did not ask for it any more: nothing. */
	assert_false(rig.is_over);
	stop(NULL);
	start(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(three_sinks_get_all, start, stop),	 cmocka_unit_test_setup_teardown(it_has_no_rights, start, stop),
		cmocka_unit_test_setup_teardown(an_outage_is_waited_for, start, stop),	 cmocka_unit_test_setup_teardown(a_new_token_is_used_at_once, start, stop),
		cmocka_unit_test_setup_teardown(sinks_come_and_go, start, stop),	 cmocka_unit_test_setup_teardown(it_ends_with_its_sockets, start, stop),
		cmocka_unit_test_setup_teardown(wrong_messages_end_it, start, stop),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
