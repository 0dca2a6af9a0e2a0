/* agent/reading_process.c: what a process that reads for a command can do, what ends it, and what is told about its end. */
#include "agent/reading_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "agent/folders_only.h"
#include "base/channel.h"
#include "base/scope.h"
#include "symbolizer/confine.h"
#include "tests/unit/cmocka_prelude.h"

static char scratch[64], file_path[128], base_path[128];
static int ends[2]; /* a pipe that is open before */

static bool is_bare(void)
{
	return RUNNING_ON_VALGRIND || confine_is_partial();
}

/* The process's exit status or what ended it. */
static int run(const char *folder, int (*attempt)(void *), int *signal_out, struct why *why)
{
	const struct reading_options options = {.folder = folder, .bare = RUNNING_ON_VALGRIND != 0};

	why->text[0] = '\0';
	return reading_process_run(&options, attempt, NULL, signal_out, why);
}

static int uses_what_is_open(void *context)
{
	struct stat status;
	char *text = malloc(1 << 20);

	(void)context;
	if (write(ends[1], "x", 1) != 1 || read(ends[0], text, 1) != 1 || fstat(ends[0], &status) < 0)
		return 1;
	void *mapped = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	free(text);
	return mapped == MAP_FAILED ? 2 : 42;
}

static int becomes_root(void *context)
{
	(void)context;
	return setuid(0);
}

static int keeps_no_right(void *context)
{
	char line[256];
	unsigned long long bits = 1;

	(void)context;
	AUTO_FCLOSE FILE *file = fopen("/proc/self/status", "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "CapPrm: %llx", &bits) == 1)
			break;
	return bits != 0 || geteuid() == 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
}

/* What store_reader does, with SQLite. */
static int reads_below(void *context)
{
	sqlite3 *base = NULL;
	sqlite3_stmt *statement = NULL;
	char text[8] = "";

	(void)context;
	int fd = open(file_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, 4) != 4 || strcmp(text, "text") != 0)
		return 1;
	if (sqlite3_open_v2(base_path, &base, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOFOLLOW, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(base, "SELECT sum(x) FROM t", -1, &statement, NULL) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
		return 2;
	int sum = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(base);
	return sum;
}

static int writes_below(void *context)
{
	(void)context;
	int fd = open(file_path, O_RDWR | O_CLOEXEC);
	return fd < 0 && errno == EACCES ? 0 : 1;
}

static int reads_elsewhere(void *context)
{
	(void)context;
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 1;
}

/* --- what ends it ------------------------------------------------------------------------------------------------------ */

static int opens(void *context)
{
	(void)context;
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int creates(void *context)
{
	(void)context;
	return open(file_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int removes(void *context)
{
	(void)context;
	return unlink(file_path) < 0 && errno == EPERM ? 0 : 1;
}

static int connects(void *context)
{
	(void)context;
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int connects_here(void *context)
{
	(void)context;
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int executes(void *context)
{
	(void)context;
	return execl("/bin/true", "true", NULL);
}

static int forks(void *context)
{
	(void)context;
	return fork();
}

static int traces(void *context)
{
	(void)context;
	return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int kills(void *context)
{
	(void)context;
	return kill(getppid(), 0);
}

static int makes_code(void *context)
{
	(void)context;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int crashes(void *context)
{
	(void)context;
	signal(SIGILL, SIG_DFL); /* cmocka has a handler */
	__builtin_trap();
}

static int writes_to_nobody(void *context)
{
	(void)context;
	return (int)write(ends[1], "x", 1);
}

/* Whoever sees its byte knows that it runs, and that who started it waits for it. */
static int lasts(void *context)
{
	(void)context;
	if (write(ends[1], "x", 1) != 1)
		return 1;
	for (;;)
		usleep(10000);
	return 0;
}

/* --- questions ----------------------------------------------------------------------------------------------------------- */

static int sockets[2];
static int other_fd; /* what is open in the command, and not meant for the process */

static int asks(void *context)
{
	char text[8] = "";

	(void)context;
	for (int i = 0; i < 3; i++)
		if (write(sockets[0], "how many", 8) != 8 || read(sockets[0], text, sizeof(text)) != 2)
			return 1;
	bool others = write(sockets[1], "x", 1) == 1 || write(other_fd, "x", 1) == 1 || write(ends[1], "x", 1) != 1;
	return others ? 2 : text[0] - '0' + 10 * (text[1] - '0');
}

/* What a channel does with a message that is too large for one datagram; opening stays forbidden. */
static int asks_much(void *context)
{
	static uint8_t large[2 * CHANNEL_INLINE_MAX];
	struct message_head head = {.kind = 1};
	struct channel c;

	(void)context;
	if (channel_init(&c, sockets[0], &(struct channel_rules){.version = 1, .kinds = 2, .fds_max = 1}, 2 * sizeof(large)) < 0)
		return 1;
	int err = channel_send(&c, &head, &(struct iovec){large, sizeof(large)}, 1, NULL, 0, true);
	char text[8];
	bool is_answered = err == 0 && read(sockets[0], text, sizeof(text)) == 2;
	channel_deinit(&c);
	return !is_answered;
}

static int answers(void *context)
{
	int *n = context;
	char text[64];

	ssize_t got = recv(sockets[1], text, sizeof(text), 0);
	if (got <= 0)
		return -EPIPE;
	++*n;
	text[0] = (char)('0' + *n);
	text[1] = '0';
	return send(sockets[1], text, 2, MSG_NOSIGNAL) == 2 ? 0 : -EPIPE;
}

static int refuses(void *context)
{
	return answers(context) < 0 ? -EPIPE : -EBADMSG;
}

static int run_asking(int (*attempt)(void *), int (*answer)(void *), int *n, struct why *why)
{
	int number;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	const struct reading_options options = {
		.bare = RUNNING_ON_VALGRIND != 0, .answer = answer, .answer_context = n, .sockets = {sockets[0], sockets[1]}, .fds = &ends[1], .n_fds = 1};
	why->text[0] = '\0';
	int status = reading_process_run(&options, attempt, NULL, &number, why);
	assert_int_equal(number, 0);
	close(sockets[1]);
	return status;
}

/* --- tests ------------------------------------------------------------------------------------------------------------- */

static void questions(void **state)
{
	struct why why;
	int n = 0;

	(void)state;
	other_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_true(other_fd >= 0);
	assert_int_equal(run_asking(asks, answers, &n, &why), 3);
	assert_int_equal(n, 3);
	assert_int_equal(run_asking(asks_much, answers, &n, &why), 0);
	/* A question that cannot be ends it, though it waits for the answer. */
	assert_int_equal(run_asking(asks, refuses, &n, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "asked what cannot be"));
	if (!is_bare())
		assert_int_equal(run_asking(opens, answers, &n, &why), -EIO);
	close(other_fd);
}

static void may(void **state)
{
	struct why why;
	int number;

	(void)state;
	assert_int_equal(run(NULL, uses_what_is_open, &number, &why), 42);
	assert_int_equal(number, 0);
	assert_int_equal(run(scratch, reads_below, &number, &why), 45);
	assert_int_equal(run(scratch, uses_what_is_open, &number, &why), 42);
}

static void without_rights(void **state)
{
	const struct reading_options bare = {.bare = true};
	struct why why;
	int number;

	(void)state;
	assert_int_equal(reading_process_run(&bare, keeps_no_right, NULL, &number, &why), 0);
}

static void may_not(void **state)
{
	static int (*const DEADLY[])(void *) = {connects, connects_here, executes, forks, traces, kills, makes_code, becomes_root};
	struct why why;
	int number;

	(void)state;
	if (is_bare())
		skip();
	for (size_t i = 0; i < 2 * sizeof(DEADLY) / sizeof(DEADLY[0]); i++) {
		assert_int_equal(run(i & 1 ? scratch : NULL, DEADLY[i / 2], &number, &why), -EIO);
		assert_non_null(strstr(why.text, "it did what it may not do"));
	}
	assert_int_equal(run(NULL, opens, &number, &why), -EIO);
	assert_int_equal(run(NULL, removes, &number, &why), -EIO);
	assert_int_equal(run(scratch, removes, &number, &why), 0);
	assert_int_equal(run(NULL, creates, &number, &why), -EIO);
	assert_int_equal(run(scratch, creates, &number, &why), -EIO);
	assert_int_equal(run(scratch, writes_below, &number, &why), 0);
	assert_int_equal(access(file_path, F_OK), 0);
}

static void other_files(void **state)
{
	struct why why;
	int number;

	(void)state;
	if (is_bare() || !folders_only_has_landlock())
		skip();
	assert_int_equal(run(scratch, reads_elsewhere, &number, &why), 0);
}

static void ends_that_are_told(void **state)
{
	int pipe_ends[2] = {ends[0], ends[1]};
	struct why why;
	int number;

	(void)state;
	if (!RUNNING_ON_VALGRIND) { /* which would tell of it */
		assert_int_equal(run(NULL, crashes, &number, &why), -EIO);
		assert_non_null(strstr(why.text, "Illegal instruction"));
		assert_int_equal(number, 0);
	}
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(run(NULL, writes_to_nobody, &number, &why), 0);
	assert_int_equal(number, SIGPIPE);
	close(ends[1]);
	memcpy(ends, pipe_ends, sizeof(ends));
	if (!is_bare())
		assert_int_equal(run("/no/where", uses_what_is_open, &number, &why), 1);
}

/* We are told to end while it runs: it goes, and we get to know. */
static void told_to_end(void **state)
{
	int status;
	char byte;

	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		struct why why;
		int number = 0;
		int result = run(NULL, lasts, &number, &why);
		_exit(result == 0 && number == SIGTERM ? 7 : 1);
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static int set_up(void **state)
{
	sqlite3 *base;

	(void)state;
	snprintf(scratch, sizeof(scratch), "/tmp/hearth-reading-XXXXXX");
	if (!mkdtemp(scratch) || pipe(ends) < 0)
		return -1;
	snprintf(file_path, sizeof(file_path), "%s/file", scratch);
	snprintf(base_path, sizeof(base_path), "%s/base.db", scratch);
	AUTO_FCLOSE FILE *file = fopen(file_path, "we");
	if (!file || fputs("text", file) < 0 || sqlite3_open(base_path, &base) != SQLITE_OK)
		return -1;
	int rc = sqlite3_exec(base, "CREATE TABLE t(x); INSERT INTO t VALUES(40),(5);", NULL, NULL, NULL);
	sqlite3_close(base);
	/* As root the process becomes whose the folder is. */
	return rc != SQLITE_OK || (geteuid() == 0 && (chown(scratch, 4242, 4242) < 0 || chown(file_path, 4242, 4242) < 0 || chown(base_path, 4242, 4242) < 0));
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
		cmocka_unit_test(may),	       cmocka_unit_test(without_rights),     cmocka_unit_test(may_not),
		cmocka_unit_test(other_files), cmocka_unit_test(ends_that_are_told), cmocka_unit_test(told_to_end),
		cmocka_unit_test(questions),
	};

	return cmocka_run_group_tests_name("agent/reading_process", tests, set_up, tear_down);
}
