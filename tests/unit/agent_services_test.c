/* agent/services.c: services that live, die, are started again, and end with the one who wanted them. */
#include "agent/services.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"

enum { ECHO, STUBBORN };

/* What it was given, for each byte that comes. 'x': die; 'e': end. */
static int echo(const int *fds, size_t n_fds, const void *argument, size_t n_bytes)
{
	char byte, text[200], name[32] = "";
	unsigned open_fds = 0;

	for (int fd = 0; fd < 64; fd++)
		open_fds += fcntl(fd, F_GETFD) >= 0;
	AUTO_FCLOSE FILE *file = fopen("/proc/self/comm", "re");
	if (!file || !fgets(name, sizeof(name), file))
		return 9;
	name[strcspn(name, "\n")] = '\0';
	while (read(fds[0], &byte, 1) == 1) {
		if (byte == 'x')
			raise(SIGKILL);
		if (byte == 'e')
			return 7;
		int n = snprintf(text, sizeof(text), "%s %zu %d %u %zu %.10s", name, n_fds, fds[0], open_fds, n_bytes, (const char *)argument);
		if (write(fds[0], text, (size_t)n) != n)
			return 8;
	}
	return 0;
}

/* Does not look at its socket. */
static int stubborn(const int *fds, size_t n_fds, const void *argument, size_t n_bytes)
{
	(void)fds, (void)n_fds, (void)argument, (void)n_bytes;
	while (pause() < 0)
		;
	return 0;
}

static const struct service TABLE[] = {[ECHO] = {"echo", echo}, [STUBBORN] = {"stubborn", stubborn}};

static struct services *create(void)
{
	struct services *s;

	assert_int_equal(services_create(TABLE, 2, &s), 0);
	return s;
}

static void next(struct services *s, struct service_event *event)
{
	struct pollfd ready = {.fd = services_fd(s), .events = POLLIN};

	assert_int_equal(poll(&ready, 1, 60000), 1);
	assert_int_equal(services_take(s, event), 0);
}

/* A running service and the other end of its socket. */
static int start(struct services *s, unsigned which, const void *argument, size_t n)
{
	struct service_event event;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(services_start(s, which, (int[]){pair[1], pair[1]}, 2, argument, n), 0);
	close(pair[1]);
	assert_true(services_runs(s, which));
	next(s, &event);
	assert_true(event.started);
	assert_int_equal(event.service, which);
	assert_true(event.pid > 0);
	assert_int_equal(services_pid(s, which), event.pid);
	return pair[0];
}

static void lives(void **state)
{
	static char large[SERVICE_ARGUMENT_MAX];
	struct services *s = create();
	struct service_event event;
	char text[200];

	(void)state;
	assert_int_equal(services_take(s, &event), -EAGAIN);
	assert_int_equal(services_pid(s, ECHO), 0);
	AUTO_CLOSE int fd = start(s, ECHO, "argument", 9);
	assert_int_equal(write(fd, "?", 1), 1);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	/* Standard streams, two sockets, and nothing of the agent's or the keeper's. */
	assert_string_equal(text, "echo 2 3 5 9 argument");
	assert_int_equal(services_start(s, ECHO, NULL, 0, NULL, 0), -EBUSY);
	assert_int_equal(services_start(s, STUBBORN, NULL, SERVICE_FDS_MAX + 1, NULL, 0), -E2BIG);
	assert_int_equal(services_start(s, STUBBORN, NULL, 0, large, sizeof(large) + 1), -E2BIG);
	assert_int_equal(services_start(s, 2, NULL, 0, NULL, 0), -E2BIG);
	assert_int_equal(write(fd, "e", 1), 1);
	next(s, &event);
	assert_false(event.started);
	assert_false(event.expected);
	assert_true(WIFEXITED(event.status) && WEXITSTATUS(event.status) == 7);
	assert_false(services_runs(s, ECHO));
	services_destroy(s);
}

static void dies_and_comes_again(void **state)
{
	struct services *s = create();
	struct service_event event;
	uint64_t pause_ns = SERVICE_PAUSE_FIRST_NS;

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		AUTO_CLOSE int fd = start(s, ECHO, NULL, 0);
		uint64_t before_ns = clock_ns(CLOCK_MONOTONIC);
		assert_int_equal(write(fd, "x", 1), 1);
		next(s, &event);
		uint64_t after_ns = clock_ns(CLOCK_MONOTONIC);
		assert_true(WIFSIGNALED(event.status) && WTERMSIG(event.status) == SIGKILL);
		assert_false(event.expected);
		assert_int_equal(services_deaths(s, ECHO), i);
		uint64_t again_ns = services_again_ns(s, ECHO);
		assert_true(again_ns >= before_ns + pause_ns && again_ns <= after_ns + pause_ns);
		pause_ns *= 2;
	}
	/* What is wanted is no death. */
	AUTO_CLOSE int fd = start(s, STUBBORN, NULL, 0);
	assert_true(fd >= 0);
	services_let_go(s, STUBBORN);
	services_end(s, STUBBORN);
	services_end(s, ECHO);
	next(s, &event);
	assert_int_equal(event.service, STUBBORN);
	assert_true(event.expected && WIFSIGNALED(event.status));
	assert_int_equal(services_deaths(s, STUBBORN), 0);
	assert_int_equal(services_again_ns(s, STUBBORN), 0);
	int again = start(s, ECHO, NULL, 0);
	services_let_go(s, ECHO);
	close(again);
	next(s, &event);
	assert_true(event.expected && WIFEXITED(event.status) && WEXITSTATUS(event.status) == 0);
	assert_int_equal(services_deaths(s, ECHO), 3);
	assert_true(services_cpu_ns(s, ECHO) > 0);
	services_destroy(s);
}

static bool is_gone(pid_t pid)
{
	for (int i = 0; i < 6000; i++) {
		if (kill(pid, 0) < 0 && errno == ESRCH)
			return true;
		poll(NULL, 0, 5);
	}
	return false;
}

/* Who looks at his socket ends at once, who does not is killed. */
static void all_end(void **state)
{
	struct services *s = create();

	(void)state;
	AUTO_CLOSE int a = start(s, ECHO, NULL, 0);
	AUTO_CLOSE int b = start(s, STUBBORN, NULL, 0);
	assert_true(b >= 0);
	pid_t echo_pid = services_pid(s, ECHO), stubborn_pid = services_pid(s, STUBBORN);
	close(a);
	a = -1;
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
	services_destroy(s);
	uint64_t took_ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
	assert_true(took_ns >= (SERVICES_GRACE_MS - 100) * NS_PER_MS && took_ns < (SERVICES_GRACE_MS + 20000) * NS_PER_MS);
	assert_true(is_gone(echo_pid) && is_gone(stubborn_pid));
	services_destroy(NULL);
}

/* The one who wanted them is killed; nothing is left over. */
static void the_agent_is_killed(void **state)
{
	pid_t pids[2];
	int pipe_fds[2];

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid_t agent = fork();
	if (agent == 0) {
		struct services *s = create();
		start(s, ECHO, NULL, 0);
		start(s, STUBBORN, NULL, 0);
		pids[0] = services_pid(s, ECHO);
		pids[1] = services_pid(s, STUBBORN);
		if (write(pipe_fds[1], pids, sizeof(pids)) == (ssize_t)sizeof(pids))
			raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(read(pipe_fds[0], pids, sizeof(pids)), sizeof(pids));
	assert_int_equal(waitpid(agent, NULL, 0), agent);
	assert_true(is_gone(pids[0]) && is_gone(pids[1]));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static pid_t parent_of(pid_t pid)
{
	char path[64];
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	return file && fscanf(file, "%*d (%*[^)]) %*c %d", &parent) == 1 ? parent : 0;
}

static void the_keeper_is_killed(void **state)
{
	struct services *s = create();
	struct service_event event;

	(void)state;
	AUTO_CLOSE int fd = start(s, STUBBORN, NULL, 0);
	assert_true(fd >= 0);
	pid_t pid = services_pid(s, STUBBORN);
	assert_int_equal(kill(parent_of(pid), SIGKILL), 0);
	assert_true(is_gone(pid));
	struct pollfd ready = {.fd = services_fd(s), .events = POLLIN};
	assert_int_equal(poll(&ready, 1, 60000), 1);
	assert_int_equal(services_take(s, &event), -EPIPE);
	assert_int_equal(services_start(s, ECHO, NULL, 0, NULL, 0), -EPIPE);
	assert_false(services_runs(s, ECHO));
	services_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lives),	       cmocka_unit_test(dies_and_comes_again), cmocka_unit_test(all_end),
		cmocka_unit_test(the_agent_is_killed), cmocka_unit_test(the_keeper_is_killed),
	};

	return cmocka_run_group_tests_name("agent/services", tests, NULL, NULL);
}
