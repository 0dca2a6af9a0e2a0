/* kill -9 at random moments while windows are written, merged and marked: tests/store/crash [rounds [seed]]; prints TAP.
 *
 * A process writes to two stores in turn. One has a sink that never gets anything: its windows stay as they are, and after each round every window that was reported as
 * written must be there, in order and equal. The other merges windows and moves marks: there the sums must be right. A window that was written but not yet reported when the
 * process died may be there, too. */
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/folder.h"
#include "store/store.h"
#include "store/store_reader.h"
#include "tests/store/profile_text.h"
#include "tests/store/replay.h"

#define LOG_MAX	  1000000
#define WINDOW_NS ((int64_t)(10 * NS_PER_S))
#define WHOLE	  0 /* the store whose windows stay as they are */
#define MERGED	  1

static const struct replay_options host = {.seed = 5, .processes = 10, .brief = 3, .ticks = 60, .depth = 12, .period = 1000, .branching = 30};

/* Shared with the process that is killed. */
struct progress {
	_Atomic uint64_t n[2]; /* windows that were reported as written */
	_Atomic uint64_t windows; /* that were made */
	uint64_t numbers[LOG_MAX], digests[LOG_MAX]; /* of the first store */
	uint64_t damaged; /* of the last opening */
};

static struct progress *progress;
static char base[] = "/var/tmp/hearth-crash.XXXXXX";
static unsigned tests;
static int failed;

static void report(int ok, const char *what, uint64_t number)
{
	printf("%s %u - %s (%llu)\n", ok ? "ok" : "not ok", ++tests, what, (unsigned long long)number);
	failed |= !ok;
}

static struct store *open_store(int which)
{
	struct store_options options = {.bytes_max = UINT64_C(1) << 30, .n_sinks = 1};
	char folder[64];
	struct store *store;
	struct why why;

	options.sinks[0] = which == WHOLE ? "away" : "quick";
	options.levels[0] = (struct store_level){300 * NS_PER_S, 60 * NS_PER_S};
	options.levels[1] = (struct store_level){1800 * NS_PER_S, 600 * NS_PER_S};
	snprintf(folder, sizeof(folder), "%s/%d", base, which);
	int err = store_open(folder, &options, &store, &why);
	if (err < 0) {
		printf("# %s\n", why.text);
		return NULL;
	}
	if (why.text[0]) {
		printf("# %s\n", why.text);
		progress->damaged++;
	}
	return store;
}

/* Until it is killed. */
static void write_windows(void)
{
	struct store *stores[2] = {open_store(WHOLE), open_store(MERGED)};
	struct replay_options options = host;
	struct profile *window;
	uint64_t number;
	struct why why;

	options.seed += progress->windows;
	struct replay *replay = replay_create(&options);
	for (int i = 0; stores[0] && stores[1]; i = !i) {
		/* The digest is there before the window is: a reported one has one. */
		window = replay_window(replay, 1790000000 * (int64_t)NS_PER_S + (int64_t)progress->windows++ * WINDOW_NS, WINDOW_NS);
		uint64_t n = progress->n[i], digest = profile_digest(window);
		if (store_append(stores[i], window, &number, &why) < 0)
			break;
		if (i == WHOLE && n < LOG_MAX) {
			progress->numbers[n] = number;
			progress->digests[n] = digest;
		}
		progress->n[i] = n + 1;
		profile_free(window);
		if (i == MERGED)
			store_outbox_mark(stores[i], 0, number);
		store_maintain(stores[i], &why);
	}
	printf("# writing: %s\n", why.text);
	_exit(3);
}

/* Windows that were never reported may stand between those that were. */
static int check_whole(struct store *store, uint64_t *extra_out)
{
	uint64_t number = 0, extra = 0, i = 0, n = progress->n[WHOLE];
	struct profile *profile;

	while (store_outbox_next(store, 0, number, &number, &profile) == 0) {
		if (i < n && number == progress->numbers[i]) {
			if (profile_digest(profile) != progress->digests[i++])
				return 0;
		} else {
			extra++;
		}
		profile_free(profile);
	}
	*extra_out = extra;
	return i == n;
}

static int check_merged(const char *folder, uint64_t *extra_out)
{
	struct store_reader *reader;
	struct profile *sum = NULL;
	struct why why;

	if (store_reader_open(folder, &reader, &why) < 0)
		return 0;
	int err = store_reader_sum(reader, &(struct store_filter){0}, &sum, &why);
	store_reader_close(reader);
	uint64_t total = err == 0 ? (uint64_t)profile_total(sum, 0) : 0, n = progress->n[MERGED] * host.ticks;
	profile_free(sum);
	*extra_out = total < n ? 0 : (total - n) / host.ticks;
	return (err == 0 || err == -ENOENT) && !why.text[0] && total >= n && total % host.ticks == 0;
}

static int check_file(const char *path)
{
	sqlite3_stmt *statement = NULL;
	sqlite3 *db;

	int ok = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
		 sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW &&
		 strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return ok;
}

static int check_files(const char *path)
{
	struct folder folder;
	struct folder_list list;
	struct why why;
	int ok = folder_open(&folder, path, false, &why) == 0 && folder_list(&folder, &list) == 0;

	for (size_t i = 0; ok && i < list.n_segments; i++) {
		char *file = folder_path(&folder, list.segments[i]);
		ok = check_file(file);
		free(file);
	}
	if (ok) {
		folder_list_deinit(&list);
		folder_close(&folder);
	}
	return ok;
}

/* In a process of its own, as after a crash. */
static int check(uint64_t extra[2])
{
	struct store *stores[2] = {open_store(WHOLE), open_store(MERGED)};
	char folders[2][64];
	int ok = stores[0] && stores[1] && check_whole(stores[0], &extra[0]);

	store_close(stores[0]);
	store_close(stores[1]);
	for (int i = 0; i < 2; i++)
		snprintf(folders[i], sizeof(folders[i]), "%s/%d", base, i);
	ok = check_merged(folders[1], &extra[1]) && ok;
	return check_files(folders[0]) && check_files(folders[1]) && ok;
}

/* Mostly until it has written to both stores, however long a busy machine takes for that. */
static void wait_for_the_moment(unsigned round)
{
	const uint64_t before[2] = {progress->n[WHOLE], progress->n[MERGED]};

	for (unsigned i = 0; round % 4 && i < 60000 && (progress->n[WHOLE] == before[WHOLE] || progress->n[MERGED] == before[MERGED]); i++)
		usleep(1000);
	usleep((useconds_t)(random() % (round % 4 ? 150000 : 20000)));
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 200;
	uint64_t extra[2] = {0, 0};
	char command[64];

	srandom(argc > 2 ? (unsigned)atoi(argv[2]) : (unsigned)getpid());
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED || !mkdtemp(base))
		return 1;
	setvbuf(stdout, NULL, _IONBF, 0);
	for (unsigned i = 0; i < rounds && !failed; i++) {
		pid_t writer = fork();
		if (writer == 0)
			write_windows();
		wait_for_the_moment(i);
		kill(writer, SIGKILL);
		int status;
		if (waitpid(writer, &status, 0) != writer || !WIFSIGNALED(status))
			report(0, "the writer wrote until it was killed", i);
		/* All that was ever written is looked at in each tenth round, and at the end. */
		if ((i % 10 == 9 || i + 1 == rounds) && !check(extra))
			report(0, "every window that was reported as written is there and equal, every file is sound; round", i);
	}
	report(!failed, "kill -9 at random moments: rounds", rounds);
	report(progress->n[WHOLE] > rounds / 2 && progress->n[MERGED] > rounds / 2, "windows were written", progress->n[WHOLE] + progress->n[MERGED]);
	report(extra[WHOLE] <= rounds && extra[MERGED] <= rounds, "windows that were written but not reported", extra[WHOLE] + extra[MERGED]);
	report(progress->damaged == 0, "nothing was set aside", progress->damaged);
	printf("1..%u\n# measured: %llu windows in %u rounds, %llu of them not reported\n", tests,
	       (unsigned long long)(progress->n[0] + progress->n[1]), rounds, (unsigned long long)(extra[0] + extra[1]));
	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	return (failed ? 0 : system(command)) || failed;
}
