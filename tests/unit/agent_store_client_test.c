/* agent/store_client.c and the process that it speaks to (agent/store_process.c, outbox_server.c, folder_sink.c): what becomes of a window, whatever dies or is
 * full. */
#include "agent/store_client.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <valgrind/valgrind.h>

#include "agent/outbox_server.h"
#include "agent/store_process.h"
#include "base/clock.h"
#include "server-upload/upload_protocol.h"
#include "tests/unit/fake_store.h"
#include "tests/unit/sample_profile.h"

#define BEGIN_NS 1700000000000000000

static const struct service TABLE[] = {{"hearth-store", store_process_run}};

struct setup {
	struct services *services;
	struct store_client *client;
	char scratch[64], store[128], files[128];
	char log[1 << 16];
	int64_t windows; /* made */
};

static void say(void *context, enum log_level level, const char *text)
{
	struct setup *t = context;
	size_t n = strlen(t->log);

	snprintf(t->log + n, sizeof(t->log) - n, "%c %s\n", "EWI"[level], text);
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, word)); at++)
		n++;
	return n;
}

static void create(struct setup *t, bool with_store, bool with_files, uint64_t backlog_bytes)
{
	const struct store_client_options options = {
		.services = t->services, .backlog_bytes = backlog_bytes, .retry_ns = 50 * NS_PER_MS, .say = say, .context = t};
	struct store_settings settings = {.bytes_max = 1 << 20, .serial = 1, .bare = RUNNING_ON_VALGRIND != 0};

	if (with_store)
		snprintf(settings.folder, sizeof(settings.folder), "%s", t->store);
	if (with_files) {
		settings.n_sinks = 1;
		snprintf(settings.sinks[0].name, sizeof(settings.sinks[0].name), "files");
		snprintf(settings.sinks[0].folder, sizeof(settings.sinks[0].folder), "%s", t->files);
		settings.sinks[0].folder_bytes = 1 << 20;
	}
	assert_int_equal(store_client_create(&options, &settings, &t->client), 0);
	store_client_go_on(t->client);
}

static void begin(struct setup *t)
{
	*t = (struct setup){.windows = 0};
	assert_int_equal(services_create(TABLE, 1, &t->services), 0);
	snprintf(t->scratch, sizeof(t->scratch), "%s/hearth-store-client-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); /* a disk may be slow */
	assert_non_null(mkdtemp(t->scratch));
	snprintf(t->store, sizeof(t->store), "%s/store", t->scratch);
	snprintf(t->files, sizeof(t->files), "%s/files", t->scratch);
	assert_int_equal(mkdir(t->store, 0700), 0);
}

/* As the agent's loop does. */
static void work(struct setup *t, int timeout_ms)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), due_ns = store_client_due_ns(t->client);
	struct pollfd fds[] = {{.fd = services_fd(t->services), .events = POLLIN}, {.fd = store_client_fd(t->client), .events = POLLIN}};
	struct service_event event;

	if (due_ns <= now_ns)
		timeout_ms = 0;
	else if ((due_ns - now_ns) / NS_PER_MS < (uint64_t)timeout_ms)
		timeout_ms = (int)((due_ns - now_ns) / NS_PER_MS) + 1;
	poll(fds, 2, timeout_ms);
	while (services_take(t->services, &event) == 0)
		store_client_event(t->client, &event);
	store_client_work(t->client);
}

#define WORK_UNTIL(t, condition)                                                                                  \
	do {                                                                                                      \
		uint64_t limit_ns_ = clock_ns(CLOCK_MONOTONIC) + 60 * NS_PER_S;                                   \
		bool is_met_;                                                                                     \
		while (!(is_met_ = (condition)) && clock_ns(CLOCK_MONOTONIC) < limit_ns_)                         \
			work(t, 20);                                                                              \
		if (!is_met_)                                                                                     \
			print_error("%s\n", (t)->log);                                                            \
		assert_true(is_met_);                                                                             \
	} while (0)

static void work_for(struct setup *t, uint64_t ms)
{
	uint64_t limit_ns = clock_ns(CLOCK_MONOTONIC) + ms * NS_PER_MS;

	while (clock_ns(CLOCK_MONOTONIC) < limit_ns)
		work(t, 10);
}

static struct store_client_stats stats_of(const struct setup *t)
{
	struct store_client_stats stats;

	store_client_stats(t->client, &stats);
	return stats;
}

static void end(struct setup *t)
{
	char command[256];

	if (t->client) {
		store_client_shut(t->client);
		WORK_UNTIL(t, !services_runs(t->services, 0));
	}
	store_client_destroy(t->client);
	services_destroy(t->services);
	snprintf(command, sizeof(command), "rm -r '%s'", t->scratch);
	assert_int_equal(system(command), 0);
}

/* The next window; each has its time and its account. */
static size_t put_of(struct setup *t, int64_t duration_ns)
{
	struct profile *profile = sample_profile();
	char account[32];
	uint8_t *bytes;
	size_t n;

	profile->time_ns = BEGIN_NS + t->windows * 1000000000;
	profile->duration_ns = duration_ns;
	snprintf(account, sizeof(account), "account-%d", (int)++t->windows);
	assert_int_equal(profile_encode(profile, &bytes, &n), 0);
	profile_free(profile);
	store_client_put(t->client, bytes, n, account);
	return n;
}

static size_t put(struct setup *t)
{
	return put_of(t, 1000000000);
}

/* What the store has is all that was put, in its order, each once. */
static void assert_stored(const struct setup *t, unsigned n)
{
	for (unsigned i = 1; i <= n; i++) {
		struct profile *profile = fake_read(t->store, i);
		assert_non_null(profile);
		assert_int_equal(profile->time_ns, BEGIN_NS + (int64_t)(i - 1) * 1000000000);
		profile_free(profile);
	}
	assert_int_equal(fake_number(t->store, 0, true), n);
}

static unsigned count_files(const struct setup *t)
{
	DIR *dir = opendir(t->files);
	unsigned n = 0;

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		n += strncmp(entry->d_name, "hearth-", 7) == 0;
	if (dir)
		closedir(dir);
	return n;
}

static void stores(void **state)
{
	struct setup t;

	(void)state;
	begin(&t);
	create(&t, true, true, 0);
	for (int i = 0; i < 5; i++)
		put(&t);
	WORK_UNTIL(&t, stats_of(&t).stored == 5);
	assert_int_equal(stats_of(&t).waiting, 0);
	assert_int_equal(stats_of(&t).waiting_bytes, 0);
	assert_stored(&t, 5);
	WORK_UNTIL(&t, count_files(&t) == 5 && stats_of(&t).report.store.appended == 5);
	assert_non_null(strstr(t.log, "I window 3 ("));
	assert_non_null(strstr(t.log, "account-5"));
	assert_null(strstr(t.log, "E "));
	end(&t);
}

static void stores_in_folders_only(void **state)
{
	struct setup t;

	(void)state;
	begin(&t);
	create(&t, false, true, 0);
	put(&t);
	put(&t);
	WORK_UNTIL(&t, stats_of(&t).stored == 2);
	assert_int_equal(count_files(&t), 2);
	WORK_UNTIL(&t, stats_of(&t).report.folders[0].written == 2);
	assert_non_null(strstr(t.log, "I window ("));
	end(&t);
}

/* Storing fails: folders get windows all the same, it is said once, nothing is lost. */
static void full(void **state)
{
	struct setup t;

	(void)state;
	begin(&t);
	fake_put(t.store, "full", "", 0);
	create(&t, true, true, 0);
	for (int i = 0; i < 4; i++) {
		put(&t);
		work_for(&t, 60);
	}
	WORK_UNTIL(&t, count_files(&t) == 4);
	assert_int_equal(stats_of(&t).stored, 0);
	assert_int_equal(count(t.log, "No space left"), 1);
	assert_int_equal(count(t.log, "E "), 1);
	fake_remove(t.store, "full");
	WORK_UNTIL(&t, stats_of(&t).stored == 4);
	assert_stored(&t, 4);
	assert_int_equal(count(t.log, "W writing works again; 0 windows were lost, 3 wait"), 1);
	assert_int_equal(stats_of(&t).dropped, 0);
	put(&t);
	WORK_UNTIL(&t, stats_of(&t).stored == 5 && count_files(&t) == 5);
	end(&t);
}

/* Memory is bounded: the oldest go. */
static void backlog(void **state)
{
	struct setup t;

	(void)state;
	begin(&t);
	fake_put(t.store, "refuse", "", 0);
	create(&t, true, false, 4000);
	WORK_UNTIL(&t, strstr(t.log, "no space"));
	size_t one = put(&t);
	unsigned fit = (unsigned)(4000 / one);
	assert_true(fit >= 2 && fit < 20);
	for (unsigned i = 1; i < fit + 3; i++)
		put(&t);
	assert_int_equal(stats_of(&t).dropped, 3);
	assert_int_equal(stats_of(&t).waiting, fit);
	assert_true(stats_of(&t).waiting_bytes <= 4000);
	assert_non_null(strstr(t.log, "I window lost (no room in memory): account-1\n"));
	fake_remove(t.store, "refuse");
	WORK_UNTIL(&t, stats_of(&t).stored == fit);
	assert_int_equal(count(t.log, "no space"), 1);
	assert_int_equal(count(t.log, "writing works again; 3 windows were lost"), 1);
	end(&t);
}

/* It dies between storing and saying so: the window is there once. */
static void dies_after(void **state)
{
	struct setup t;

	(void)state;
	begin(&t);
	create(&t, true, false, 0);
	put(&t);
	WORK_UNTIL(&t, stats_of(&t).stored == 1);
	fake_put(t.store, "die-after", "", 0);
	put(&t);
	put(&t);
	WORK_UNTIL(&t, stats_of(&t).stored == 3);
	assert_stored(&t, 3);
	assert_int_equal(count(t.log, "hearth-store died (signal"), 1);
	assert_int_equal(services_deaths(t.services, 0), 1);
	assert_int_equal(stats_of(&t).repeated, 1);
	end(&t);
}

static void killed(void **state)
{
	struct setup t;

	(void)state;
	begin(&t);
	create(&t, true, false, 0);
	WORK_UNTIL(&t, store_client_generation(t.client) == 1);
	kill(services_pid(t.services, 0), SIGKILL);
	for (int i = 0; i < 3; i++)
		put(&t);
	WORK_UNTIL(&t, stats_of(&t).stored == 3);
	assert_stored(&t, 3);
	assert_int_equal(count(t.log, "hearth-store died (signal 9)"), 1);
	assert_int_equal(store_client_generation(t.client), 2);
	end(&t);
}

/* A window that it dies of each time does not stop all others for ever. */
static void poison(void **state)
{
	struct setup t;

	(void)state;
	begin(&t);
	fake_put(t.store, "poison", "", 0);
	create(&t, true, false, 0);
	put(&t);
	put_of(&t, POISON_NS);
	put(&t);
	WORK_UNTIL(&t, stats_of(&t).stored == 2);
	assert_int_equal(stats_of(&t).dropped, 1);
	assert_int_equal(count(t.log, "died (signal"), STORE_CLIENT_STRIKES);
	assert_non_null(strstr(t.log, "window lost (hearth-store died of it): account-2"));
	end(&t);
}

/* What is no window is dropped, and the next one is stored. */
static void nonsense(void **state)
{
	uint8_t *bytes = malloc(100);
	struct setup t;

	(void)state;
	begin(&t);
	create(&t, true, true, 0);
	memset(bytes, 0x55, 100);
	store_client_put(t.client, bytes, 100, "nonsense");
	put(&t);
	WORK_UNTIL(&t, stats_of(&t).stored == 1);
	assert_int_equal(stats_of(&t).dropped, 1);
	assert_non_null(strstr(t.log, "E a window cannot be read"));
	end(&t);
}

/* What is handed over before the end is stored. */
static void ends_cleanly(void **state)
{
	struct store_client *client;
	struct setup t;

	(void)state;
	begin(&t);
	create(&t, true, false, 0);
	for (int i = 0; i < 20; i++)
		put(&t);
	WORK_UNTIL(&t, store_client_is_idle(t.client));
	store_client_shut(t.client);
	WORK_UNTIL(&t, !services_runs(t.services, 0));
	assert_stored(&t, 20);
	client = t.client;
	t.client = NULL;
	store_client_destroy(client);
	assert_null(strstr(t.log, "lost"));
	assert_int_equal(services_deaths(t.services, 0), 0);
	end(&t);
}

static void cannot_begin(void **state)
{
	struct store_client_stats stats;
	struct why why = {""};
	struct setup t;
	int err = 0;

	(void)state;
	begin(&t);
	snprintf(t.files, sizeof(t.files), "%s/no/where", t.scratch);
	create(&t, true, true, 0);
	WORK_UNTIL(&t, store_client_state(t.client, &err, &why) != STORE_CLIENT_STARTING);
	assert_int_equal(store_client_state(t.client, &err, &why), STORE_CLIENT_FAILS);
	assert_int_equal(err, -ENOENT);
	assert_non_null(strstr(why.text, "no/where"));
	put(&t);
	stats = stats_of(&t);
	assert_int_equal(stats.waiting, 1);
	end(&t);
}

/* --- hearth-upload ---------------------------------------------------------------------------------------------- */

static void connect_upload(struct setup *t, struct channel *upload, uint64_t serial)
{
	struct store_sinks sinks = {.serial = serial, .n = 2, .names = {"first", "second"}};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(channel_init(upload, pair[0], &UPLOAD_RULES, CHANNEL_INLINE_MAX), 0);
	assert_int_equal(store_client_sinks(t->client, &sinks, pair[1]), 0);
	close(pair[1]);
}

static void ask(const struct channel *upload, uint64_t serial, uint32_t sink, uint64_t after)
{
	const struct upload_next next = {.serial = serial, .after = after, .sink = sink};
	struct message_head head = {.kind = UPLOAD_NEXT};

	assert_int_equal(channel_send(upload, &head, &(struct iovec){(void *)(uintptr_t)&next, sizeof(next)}, 1, NULL, 0, true), 0);
}

static void tell(const struct channel *upload, enum upload_message kind, uint32_t sink, uint64_t number)
{
	const struct upload_mark mark = {.serial = 7, .number = number, .sink = sink};
	struct message_head head = {.kind = (uint16_t)kind};

	assert_int_equal(channel_send(upload, &head, &(struct iovec){(void *)(uintptr_t)&mark, sizeof(mark)}, 1, NULL, 0, true), 0);
}

/* The number of the window that comes; 0: none. News are passed over. */
static uint64_t receive(struct channel *upload, uint32_t sink)
{
	struct profile *profile;
	uint64_t number = 0;
	struct message m;
	void *bytes;
	size_t n;

	do {
		assert_int_equal(channel_receive(upload, clock_ns(CLOCK_MONOTONIC) + 60 * NS_PER_S, &m), 0);
		assert_int_equal(upload_message_check(&m), 0);
		if (m.head.kind != UPLOAD_NEWS)
			break;
		message_close(&m);
	} while (true);
	if (m.head.kind == UPLOAD_WINDOW) {
		const struct upload_window *window = m.payload;
		assert_int_equal(window->sink, sink);
		assert_int_equal(window->serial, 7);
		number = window->number;
		assert_int_equal(sealed_map(m.fds[0], UPLOAD_WINDOW_BYTES, &bytes, &n), 0);
		assert_int_equal(n, window->bytes);
		assert_int_equal(profile_decode(bytes, n, 0, &profile, NULL), 0);
		assert_int_equal(profile->time_ns, BEGIN_NS + (int64_t)(number - 1) * 1000000000);
		profile_free(profile);
		munmap(bytes, n);
	} else {
		assert_int_equal(m.head.kind, UPLOAD_NONE);
	}
	message_close(&m);
	return number;
}

static void uploads(void **state)
{
	struct channel upload;
	struct setup t;
	struct message m;

	(void)state;
	begin(&t);
	create(&t, true, false, 0);
	WORK_UNTIL(&t, store_client_generation(t.client) == 1);
	connect_upload(&t, &upload, 7);
	ask(&upload, 7, 0, 0);
	assert_int_equal(receive(&upload, 0), 0);
	put(&t);
	put(&t);
	WORK_UNTIL(&t, stats_of(&t).stored == 2);
	assert_int_equal(channel_receive(&upload, clock_ns(CLOCK_MONOTONIC) + 60 * NS_PER_S, &m), 0);
	assert_int_equal(m.head.kind, UPLOAD_NEWS);
	message_close(&m);
	ask(&upload, 6, 0, 0); /* of an older configuration: not answered */
	ask(&upload, 7, 0, 0);
	assert_int_equal(receive(&upload, 0), 1);
	ask(&upload, 7, 0, 1); /* out of memory */
	assert_int_equal(receive(&upload, 0), 2);
	ask(&upload, 7, 0, 2);
	assert_int_equal(receive(&upload, 0), 0);
	tell(&upload, UPLOAD_MARK, 0, 1);
	ask(&upload, 7, 0, 0);
	assert_int_equal(receive(&upload, 0), 2);
	tell(&upload, UPLOAD_MARK, 0, 2);
	ask(&upload, 7, 1, 0); /* the other sink has not got any */
	assert_int_equal(receive(&upload, 1), 1);
	/* A message that cannot be closes the socket. */
	tell(&upload, UPLOAD_MARK, 9, 1);
	assert_int_equal(channel_receive(&upload, clock_ns(CLOCK_MONOTONIC) + 60 * NS_PER_S, &m), -EPIPE);
	channel_deinit(&upload);
	WORK_UNTIL(&t, strstr(t.log, "a message that cannot be"));
	/* Marks stay. */
	connect_upload(&t, &upload, 7);
	ask(&upload, 7, 0, 0);
	assert_int_equal(receive(&upload, 0), 0);
	channel_deinit(&upload);
	end(&t);
}

/* A window that hearth-upload dies of three times is passed over, for that sink. One that is replaced has not died. */
static void strikes(void **state)
{
	struct channel upload, other;
	struct setup t;

	(void)state;
	begin(&t);
	create(&t, true, false, 0);
	put(&t);
	put(&t);
	WORK_UNTIL(&t, stats_of(&t).stored == 2);
	connect_upload(&t, &upload, 7);
	for (int i = 0; i < UPLOAD_STRIKES; i++) {
		ask(&upload, 7, 0, 0);
		assert_int_equal(receive(&upload, 0), 1);
		connect_upload(&t, &other, 7);
		ask(&other, 7, 0, 0);
		assert_int_equal(receive(&other, 0), 1);
		channel_deinit(&upload);
		upload = other;
	}
	for (int i = 0; i < UPLOAD_STRIKES; i++) {
		ask(&upload, 7, 0, 0);
		assert_int_equal(receive(&upload, 0), 1);
		ask(&upload, 7, 1, 0);
		assert_int_equal(receive(&upload, 1), 1);
		tell(&upload, UPLOAD_SHAPED, 1, 1);
		channel_deinit(&upload);
		connect_upload(&t, &upload, 7);
	}
	ask(&upload, 7, 0, 0);
	assert_int_equal(receive(&upload, 0), 2);
	ask(&upload, 7, 1, 0);
	assert_int_equal(receive(&upload, 1), 1);
	put(&t);
	WORK_UNTIL(&t, stats_of(&t).report.passed_over[0] == 1);
	assert_int_equal(stats_of(&t).report.passed_over[1], 0);
	assert_int_equal(count(t.log, "E first: window 1 is not sent"), 1);
	channel_deinit(&upload);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores),      cmocka_unit_test(stores_in_folders_only), cmocka_unit_test(full),	 cmocka_unit_test(backlog),
		cmocka_unit_test(dies_after),  cmocka_unit_test(killed),		 cmocka_unit_test(poison),	 cmocka_unit_test(nonsense),
		cmocka_unit_test(ends_cleanly), cmocka_unit_test(cannot_begin),		 cmocka_unit_test(uploads),	 cmocka_unit_test(strikes),
	};

	return cmocka_run_group_tests_name("agent/store_client", tests, NULL, NULL);
}
