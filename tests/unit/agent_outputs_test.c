/* agent/outputs.c and upload_client.c: windows, through hearth-store, to a hearth-upload that is made up here. */
#include "agent/outputs.h"

#include <ctype.h>
#include <poll.h>
#include <sys/mman.h>
#include <valgrind/valgrind.h>

#include "base/clock.h"
#include "server-upload/upload_process.h"
#include "tests/unit/fake_store.h"
#include "tests/unit/sample_profile.h"
#include "web/web_process.h"

#define BEGIN_NS 1700000000000000000

static char scratch[64], store[128], files[128], token[128];

/* The page is none of this test: with it would come the real store. */
int web_process_run(const int *fds, size_t n_fds, const void *argument, size_t n_bytes)
{
	(void)fds, (void)n_fds, (void)argument, (void)n_bytes;
	return 1;
}

/* --- a process that uploads into STATUS -------------------------------------------------------------------------------------- */

struct uploader {
	struct channel agent, store;
	struct upload_config *config;
	struct upload_status status;
	bool asked, news;
};

static void send_to(const struct channel *c, enum upload_message kind, const void *payload, size_t n)
{
	struct message_head head = {.kind = (uint16_t)kind};

	channel_send(c, &head, &(struct iovec){(void *)(uintptr_t)payload, n}, 1, NULL, 0, true);
}

/* Of the first sink that is no folder. */
static uint32_t sink_of(const struct uploader *u)
{
	for (uint32_t i = 0; i < u->config->n_sinks; i++)
		if (u->config->sinks[i].config.kind != SINK_DIR)
			return i;
	return 0;
}

static void ask(struct uploader *u, uint64_t after)
{
	const struct upload_next next = {.serial = u->config->serial, .after = after, .sink = sink_of(u)};

	u->asked = true;
	u->news = false;
	send_to(&u->store, UPLOAD_NEXT, &next, sizeof(next));
}

/* A byte for each: the process lives too short a time to be looked for. */
static void note_nonsense(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/nonsense", scratch);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "n", 1) != 1)
		abort();
}

static off_t times_of_nonsense(void)
{
	char path[128];
	struct stat status;

	snprintf(path, sizeof(path), "%s/nonsense", scratch);
	return stat(path, &status) == 0 ? status.st_size : 0;
}

static int take_config(struct uploader *u, const struct message *m)
{
	struct upload_event event = {.severity = UPLOAD_INFO};
	struct upload_config *config;
	struct why why;

	if (upload_config_decode(m->payload, m->head.payload_bytes, &config, &why) < 0)
		return -EBADMSG;
	upload_config_free(u->config);
	u->config = config;
	const char *secret = config->sinks[sink_of(u)].secrets.bearer_token;
	snprintf(event.text, sizeof(event.text), "config %d with %s", (int)config->serial, secret ? secret : "nothing");
	send_to(&u->agent, UPLOAD_EVENT, &event, sizeof(event));
	if (secret && strcmp(secret, "nonsense") == 0) {
		note_nonsense();
		send_to(&u->agent, UPLOAD_WINDOW, &event, sizeof(event));
	}
	const struct upload_want want = {.build_id = "00112233"};
	if (secret && strcmp(secret, "want") == 0)
		send_to(&u->agent, UPLOAD_WANT, &want, sizeof(want));
	ask(u, 0);
	return 0;
}

static void take_window(struct uploader *u, const struct message *m)
{
	const struct upload_window *window = m->payload;
	const struct upload_mark mark = {.serial = window->serial, .number = window->number, .sink = window->sink};

	send_to(&u->store, UPLOAD_MARK, &mark, sizeof(mark));
	u->status.serial = window->serial;
	u->status.sink = window->sink;
	u->status.windows_sent++;
	send_to(&u->agent, UPLOAD_STATUS, &u->status, sizeof(u->status));
	ask(u, window->number);
}

/* Ask until there is a file, and say how large it is. */
static void take_file(struct uploader *u, const struct message *m)
{
	const struct upload_file *file = m->payload;
	struct upload_want want = {.build_id = ""};

	if (upload_message_check(m) < 0 || strcmp(file->build_id, "00112233") != 0)
		return;
	strcpy(want.build_id, file->build_id);
	u->status.serial = u->config->serial;
	u->status.sink = sink_of(u);
	if (file->result == -ENOENT)
		u->status.debuginfo_missing++;
	else
		u->status.debuginfo_bytes = (uint64_t)sealed_bytes(m->fds[0], UPLOAD_FILE_BYTES);
	send_to(&u->agent, UPLOAD_STATUS, &u->status, sizeof(u->status));
	if (file->result < 0)
		send_to(&u->agent, UPLOAD_WANT, &want, sizeof(want));
}

int upload_process_run(int agent_socket, int store_socket)
{
	struct uploader u = {.config = NULL};
	struct message m;

	if (channel_init(&u.agent, agent_socket, &UPLOAD_RULES, UPLOAD_CONFIG_BYTES) < 0 ||
	    channel_init(&u.store, store_socket, &UPLOAD_RULES, CHANNEL_INLINE_MAX) < 0)
		return 1;
	for (;;) {
		struct pollfd fds[] = {{.fd = u.agent.fd, .events = POLLIN}, {.fd = u.store.fd, .events = POLLIN}};
		poll(fds, 2, -1);
		int err = channel_receive(fds[0].revents ? &u.agent : &u.store, 0, &m);
		if (err == -EPIPE)
			break;
		if (err < 0 || (m.head.kind == UPLOAD_CONFIG && take_config(&u, &m) < 0))
			return 1;
		if (m.head.kind == UPLOAD_WINDOW)
			take_window(&u, &m);
		if (m.head.kind == UPLOAD_FILE)
			take_file(&u, &m);
		u.asked = u.asked && m.head.kind != UPLOAD_NONE;
		u.news = u.news || m.head.kind == UPLOAD_NEWS;
		if (u.news && u.config && !u.asked)
			ask(&u, 0);
		message_close(&m);
	}
	channel_deinit(&u.agent);
	channel_deinit(&u.store);
	upload_config_free(u.config);
	return 0;
}

/* --- what the agent does ----------------------------------------------------------------------------------------------------- */

static struct upload_config *config_of(const char *const *sinks, bool with_token)
{
	struct upload_config *config = calloc(1, sizeof(*config));
	struct sink_config parsed[SINKS_MAX], *list[SINKS_MAX];
	struct why why = {""};
	size_t n = 0;

	assert_non_null(config);
	for (; sinks[n]; n++)
		assert_int_equal(sink_config_parse(sinks[n], list[n] = &parsed[n], &why), 0);
	assert_int_equal(sink_config_name_all(list, n, &why), 0);
	for (size_t i = 0; i < n; i++) {
		if (with_token && parsed[i].kind != SINK_DIR)
			assert_int_equal(sink_config_set(&parsed[i], "bearer_token_file", token, &why), 0);
		config->sinks[i].config = parsed[i];
	}
	config->n_sinks = n;
	return config;
}

/* What the session does: it has no file at first, then one. */
static struct asked {
	struct outputs *outputs;
	unsigned n;
} asked;

static void want_debug(void *context, const char *build_id)
{
	struct asked *a = context;
	AUTO_CLOSE int fd = -1;

	assert_string_equal(build_id, "00112233");
	if (a->n++ == 0) {
		outputs_give_debug(a->outputs, build_id, -ENOENT, -1, 0, "");
		return;
	}
	assert_int_equal(sealed_create(&(struct iovec){(char *)"a file", 6}, 1, &fd), 0);
	outputs_give_debug(a->outputs, build_id, 0, fd, 6, "00ff");
}

static struct outputs *open_with(const char *const *sinks, bool with_store, bool with_token)
{
	struct outputs_options options = {.store = with_store ? store : NULL, .store_bytes = 1 << 20, .folder_bytes = 1 << 20,
					  .bare = RUNNING_ON_VALGRIND != 0, .want_debug = want_debug, .context = &asked};
	struct outputs *o = NULL;
	struct why why = {""};

	assert_int_equal(outputs_services_create(&options.services), 0);
	assert_int_equal(outputs_open(&options, config_of(sinks, with_token), &o, &why), 0);
	asked = (struct asked){.outputs = o};
	return o;
}

static void work(struct outputs *o)
{
	struct pollfd fds[OUTPUTS_FDS];
	uint64_t due_ns = outputs_poll(o, fds), now_ns = clock_ns(CLOCK_MONOTONIC);

	poll(fds, OUTPUTS_FDS, due_ns <= now_ns ? 0 : 20);
	assert_int_equal(outputs_work(o), 0);
}

#define WORK_UNTIL(o, condition)                                                          \
	do {                                                                              \
		uint64_t limit_ns_ = clock_ns(CLOCK_MONOTONIC) + 30 * NS_PER_S;           \
		bool is_met_;                                                             \
		while (!(is_met_ = (condition)) && clock_ns(CLOCK_MONOTONIC) < limit_ns_) \
			work(o);                                                          \
		assert_true(is_met_);                                                     \
	} while (0)

static uint64_t stored(const struct outputs *o)
{
	struct store_client_stats stats;

	outputs_stats(o, &stats);
	return stats.stored;
}

static uint64_t sent(const struct outputs *o, size_t sink)
{
	struct upload_status status;

	outputs_status(o, sink, &status);
	return status.windows_sent;
}

static void put(struct outputs *o, int n)
{
	static int64_t made;

	for (int i = 0; i < n; i++) {
		struct profile *profile = sample_profile();
		profile->time_ns = BEGIN_NS + made++ * 1000000000;
		outputs_put(o, profile, "account");
		profile_free(profile);
	}
}

static unsigned count_files(const char *folder)
{
	DIR *dir = opendir(folder);
	unsigned n = 0;

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		n += strncmp(entry->d_name, "hearth-", 7) == 0;
	if (dir)
		closedir(dir);
	return n;
}

/* A child of a child of ours, by its name; 0: none. */
static pid_t find_process(const char *name)
{
	DIR *dir = opendir("/proc");
	char path[300], comm[32];
	pid_t found = 0;
	int keeper, parent;

	for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		AUTO_FCLOSE FILE *file = fopen(path, "re");
		if (!file || fscanf(file, "%*d (%31[^)]) %*c %d", comm, &keeper) != 2 || strcmp(comm, name) != 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", keeper);
		AUTO_FCLOSE FILE *above = fopen(path, "re");
		if (above && fscanf(above, "%*d (%*[^)]) %*c %d", &parent) == 1 && parent == getpid())
			found = atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void stores_and_uploads(void **state)
{
	const char *const sinks[] = {files, "pyroscope=http://localhost:4040", NULL};
	struct outputs *o = open_with(sinks, true, true);
	struct why why = {""};

	(void)state;
	assert_int_equal(outputs_wait(o, &why), 0);
	put(o, 3);
	WORK_UNTIL(o, stored(o) == 3 && sent(o, 1) >= 3 && count_files(files + 4) == 3);
	assert_true(outputs_cpu_ns(o) > 0);
	/* A new token is told. */
	fake_put(scratch, "token", "second", 6);
	outputs_refresh(o);
	assert_int_equal(outputs_config(o)->serial, 2);
	put(o, 1);
	WORK_UNTIL(o, sent(o, 1) >= 4);
	/* Whoever dies comes again, and goes on where it was. */
	pid_t pid = find_process("hearth-upload");
	assert_true(pid > 0);
	kill(pid, SIGKILL);
	put(o, 1);
	/* At least once: what was sent when it died, or asked for twice, may come again. */
	WORK_UNTIL(o, sent(o, 1) >= 5);
	pid = find_process("hearth-store");
	assert_true(pid > 0);
	kill(pid, SIGKILL);
	put(o, 2);
	WORK_UNTIL(o, stored(o) == 7 && sent(o, 1) >= 7 && count_files(files + 4) == 7);
	assert_int_equal(fake_number(store, 0, true), 7);
	outputs_close(o);
	assert_int_equal(find_process("hearth-store"), 0);
	assert_int_equal(find_process("hearth-upload"), 0);
}

/* What is wrong at the beginning ends it, what may pass does not. */
static void begins(void **state)
{
	const char *const nowhere[] = {"dir=/no/where/at/all", NULL}, *const none[] = {NULL};
	struct outputs *o = open_with(nowhere, true, false);
	struct why why = {""};

	(void)state;
	assert_int_equal(outputs_wait(o, &why), -ENOENT);
	assert_non_null(strstr(why.text, "/no/where/at/all"));
	outputs_close(o);
	fake_put(store, "refuse", "", 0);
	o = open_with(none, true, false);
	assert_int_equal(outputs_wait(o, &why), 0);
	put(o, 1);
	fake_remove(store, "refuse");
	WORK_UNTIL(o, stored(o) == 1);
	outputs_close(o);
	outputs_close(NULL);
}

/* Other sinks while it runs: servers change in place, folders with another hearth-store; no window is lost. */
static void reconfigures(void **state)
{
	static char other[128];
	const char *const one[] = {"http=http://localhost/", NULL}, *const two[] = {"parca=localhost:7070", "http=http://localhost/", NULL};
	struct why why = {""};

	(void)state;
	snprintf(other, sizeof(other), "dir=%s/other", scratch);
	const char *const three[] = {other, "http=http://localhost/", NULL}, *const none[] = {NULL};
	struct outputs *o = open_with(one, true, false);
	uint64_t before = fake_number(store, 0, true);
	assert_int_equal(outputs_wait(o, &why), 0);
	put(o, 1);
	WORK_UNTIL(o, stored(o) == 1 && sent(o, 0) >= before + 1); /* of a fake store, a new sink gets all */
	assert_int_equal(outputs_reconfigure(o, config_of(two, false)), 0);
	put(o, 1);
	WORK_UNTIL(o, stored(o) == 2);
	pid_t pid = find_process("hearth-store");
	assert_int_equal(outputs_reconfigure(o, config_of(three, false)), 0);
	put(o, 3);
	WORK_UNTIL(o, stored(o) == 5 && count_files(other + 4) >= 3);
	WORK_UNTIL(o, find_process("hearth-store") != pid); /* the old one may be at its end yet */
	assert_int_equal(outputs_reconfigure(o, config_of(none, false)), 0);
	WORK_UNTIL(o, find_process("hearth-upload") == 0);
	put(o, 1);
	WORK_UNTIL(o, stored(o) == 6);
	assert_int_equal(fake_number(store, 0, true), before + 6);
	outputs_close(o);
}

/* What a server wants of files goes to the session, and its answer back. */
static void debug_information(void **state)
{
	const char *const sinks[] = {"parca=localhost:7070", NULL};
	struct upload_status status = {0};

	(void)state;
	fake_put(scratch, "token", "want", 4);
	struct outputs *o = open_with(sinks, true, true);
	struct why why = {""};
	assert_int_equal(outputs_wait(o, &why), 0);
	WORK_UNTIL(o, (outputs_status(o, 0, &status), status.debuginfo_bytes));
	assert_int_equal(status.debuginfo_bytes, 6);
	assert_int_equal(status.debuginfo_missing, 1);
	assert_int_equal(asked.n, 2);
	outputs_give_debug(o, "00112233", -EIO, -1, 0, ""); /* nobody asked */
	outputs_close(o);
	fake_put(scratch, "token", "first", 5);
}

/* A process that says what cannot be is ended; the agent goes on. */
static void nonsense(void **state)
{
	const char *const sinks[] = {"http=http://localhost/", NULL};

	(void)state;
	fake_put(scratch, "token", "nonsense", 8);
	struct outputs *o = open_with(sinks, true, true);
	struct why why = {""};
	assert_int_equal(outputs_wait(o, &why), 0);
	WORK_UNTIL(o, times_of_nonsense() >= 2); /* it was ended, and started again */
	fake_put(scratch, "token", "sense", 5);
	outputs_refresh(o);
	put(o, 1);
	WORK_UNTIL(o, stored(o) == 1);
	outputs_close(o);
}

/* Handed over and not yet stored when the end comes. */
static void ends(void **state)
{
	const char *const none[] = {NULL};
	struct outputs *o = open_with(none, true, false);
	uint64_t before = fake_number(store, 0, true);
	struct why why = {""};

	(void)state;
	assert_int_equal(outputs_wait(o, &why), 0); /* of the time to finish nothing is for beginning */
	put(o, 20);
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
	outputs_close(o);
	assert_true(clock_ns(CLOCK_MONOTONIC) - begin_ns < 30 * NS_PER_S);
	assert_int_equal(fake_number(store, 0, true), before + 20);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(scratch, sizeof(scratch), "%s/hearth-outputs-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); /* a disk may be slow */
	if (!mkdtemp(scratch))
		return -1;
	snprintf(store, sizeof(store), "%s/store", scratch);
	snprintf(files, sizeof(files), "dir=%s/files", scratch);
	snprintf(token, sizeof(token), "%s/token", scratch);
	fake_put(scratch, "token", "first\n", 6);
	return mkdir(store, 0700);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r '%s'", scratch);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores_and_uploads), cmocka_unit_test(begins), cmocka_unit_test(reconfigures),
		cmocka_unit_test(debug_information), cmocka_unit_test(nonsense),	      cmocka_unit_test(ends),
	};

	return cmocka_run_group_tests_name("agent/outputs", tests, set_up, tear_down);
}
