/* symbolizer/zygote.c with confine.c and confine_probe.c: what is forked has no right, its limits hold, and it ends when it must. */
#include "symbolizer/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/confine_probe.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/zygote_fixture.h"

#define MIB ((uint64_t)1 << 20)

static bool is_bare(void)
{
	return RUNNING_ON_VALGRIND || confine_is_partial();
}

static void forbidden_calls_kill(void **state)
{
	(void)state;
	if (is_bare())
		skip();
	for (int probe = 0; probe < PROBES; probe++) {
		print_message("# a confined process %s\n", confine_probe_name((enum confine_probe)probe));
		assert_int_equal(confine_probe(test_zygote(), (enum confine_probe)probe), 0);
	}
}

/* --- jobs -------------------------------------------------------------------------------------------------------- */

enum { QUIET, BUSY, LIMITS, GREEDY, TEST_JOBS };

static int wait_for_end(int socket)
{
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	return recvmsg(socket, &header, 0) == 0 ? 0 : 7;
}

static int spin(int socket)
{
	(void)socket;
	for (volatile unsigned i = 0; i < UINT32_MAX; i = i + 1 == UINT32_MAX ? 0 : i + 1)
		;
	return 0;
}

struct found {
	int write_errno, truncate_errno, n_fds, max_fd;
	uint64_t as, nofile, nproc, core, cpu;
	unsigned uid, gid;
	int niceness;
};

static uint64_t limit_of(__rlimit_resource_t resource)
{
	struct rlimit limit;

	return getrlimit(resource, &limit) < 0 ? 0 : limit.rlim_cur;
}

/* Bare: it looks around, which a confined process may not. */
static int look_around(int socket)
{
	struct found f = {.as = limit_of(RLIMIT_AS), .nofile = limit_of(RLIMIT_NOFILE), .nproc = limit_of(RLIMIT_NPROC),
			  .core = limit_of(RLIMIT_CORE), .cpu = limit_of(RLIMIT_CPU), .uid = geteuid(), .gid = getegid()};
	static char bytes[1 << 16];

	for (int fd = 0; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		f.n_fds++;
		f.max_fd = fd;
	}
	int fd = memfd_create("file", MFD_CLOEXEC);
	for (int i = 0; i < 64 && !f.write_errno; i++)
		f.write_errno = write(fd, bytes, sizeof(bytes)) < 0 ? errno : 0;
	f.truncate_errno = ftruncate(fd, 4 * (off_t)MIB) < 0 ? errno : 0;
	f.niceness = getpriority(PRIO_PROCESS, 0);
	return send(socket, &f, sizeof(f), 0) < 0;
}

static int take_memory(int socket)
{
	void *memory = mmap(NULL, 256 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)socket;
	return memory == MAP_FAILED ? 11 : 12;
}

static struct zygote *start(bool bare)
{
	static const struct zygote_job JOBS[TEST_JOBS] = {
		[QUIET] = {"quiet", wait_for_end, {128 * MIB, MIB, 10, 16}, false},
		[BUSY] = {"busy", spin, {128 * MIB, MIB, 1, 16}, false},
		[LIMITS] = {"limits", look_around, {128 * MIB, MIB, 10, 16}, true},
		[GREEDY] = {"greedy", take_memory, {128 * MIB, MIB, 10, 16}, false},
	};
	struct zygote_options options = {.jobs = JOBS, .n_jobs = TEST_JOBS, .bare = bare || RUNNING_ON_VALGRIND};
	struct zygote *zygote;

	assert_int_equal(zygote_start_with(&options, &zygote), 0);
	return zygote;
}

static bool waits(int socket, int ms)
{
	struct pollfd ready = {.fd = socket, .events = POLLIN};

	return poll(&ready, 1, ms) == 0;
}

static void limits(void **state)
{
	struct zygote *zygote = start(true);
	struct found f;
	int socket, status;
	pid_t pid;

	(void)state;
	assert_int_equal(zygote_fork(zygote, LIMITS, &socket, &pid), 0);
	assert_int_equal(recv(socket, &f, sizeof(f), 0), sizeof(f));
	close(socket);
	assert_int_equal(zygote_end(zygote, pid, &status), 0);
	assert_int_equal(f.write_errno, EFBIG);
	assert_int_equal(f.truncate_errno, EFBIG);
	assert_int_equal(f.nproc, 0);
	assert_int_equal(f.core, 0);
	assert_int_equal(f.cpu, 10);
	if (!is_bare()) {
		assert_int_equal(f.n_fds, 4); /* three times /dev/null, and its socket */
		assert_int_equal(f.max_fd, 3);
	}
	assert_int_equal(f.niceness, 19);
	if (geteuid() == 0 && !RUNNING_ON_VALGRIND) {
		assert_int_equal(f.uid, 65534);
		assert_int_equal(f.gid, 65534);
	}
	zygote_stop(zygote);
}

/* What /proc tells of a process. */
static uint64_t status_of(pid_t pid, const char *name, int base)
{
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			return strtoull(line + strlen(name), NULL, base);
	return UINT64_MAX;
}

static void no_right_is_left(void **state)
{
	struct zygote *zygote = start(false);
	char path[64], target[64] = "";
	int socket;
	pid_t pid;

	(void)state;
	if (is_bare()) {
		zygote_stop(zygote);
		skip();
	}
	assert_int_equal(zygote_fork(zygote, QUIET, &socket, &pid), 0);
	/* The list of system calls is the last of it. */
	for (int i = 0; i < 6000 && status_of(pid, "Seccomp:", 10) != 2; i++)
		assert_true(waits(socket, 10));
	for (int i = 0; i < 2; i++) {
		pid_t of = i ? pid : zygote_pid(zygote);
		assert_int_equal(status_of(of, "CapEff:", 16), 0);
		assert_int_equal(status_of(of, "CapPrm:", 16), 0);
		assert_int_equal(status_of(of, "CapInh:", 16), 0);
		assert_int_equal(status_of(of, "CapAmb:", 16), 0);
		assert_int_equal(status_of(of, "NoNewPrivs:", 10), 1);
	}
	assert_int_equal(status_of(pid, "Seccomp:", 10), 2);
	if (geteuid() == 0) {
		assert_int_equal(status_of(pid, "CapBnd:", 16), 0);
		assert_int_equal(status_of(pid, "Uid:", 10), 65534);
		snprintf(path, sizeof(path), "/proc/%d/root", pid);
		assert_true(readlink(path, target, sizeof(target) - 1) > 0);
		/* A mount that is nowhere: nothing of ours is below it. */
		snprintf(path, sizeof(path), "/proc/%d/root/proc", pid);
		assert_int_equal(access(path, F_OK), -1);
		snprintf(path, sizeof(path), "/proc/%d/root/etc", pid);
		assert_int_equal(access(path, F_OK), -1);
	}
	close(socket);
	zygote_stop(zygote);
}

static void memory_has_a_limit(void **state)
{
	struct zygote *zygote = start(false);
	int socket, status;
	pid_t pid;

	(void)state;
	if (is_bare()) {
		zygote_stop(zygote);
		skip();
	}
	assert_int_equal(zygote_fork(zygote, GREEDY, &socket, &pid), 0);
	assert_false(waits(socket, 60000));
	assert_int_equal(zygote_end(zygote, pid, &status), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 11);
	close(socket);
	zygote_stop(zygote);
}

/* That it has waited for. Source: proc(5), /proc/PID/stat, cutime and cstime. */
static uint64_t children_cpu_ns(pid_t pid)
{
	unsigned long user, system;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
	return (user + system) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* One second of CPU; with more time given, more. */
static void cpu_time_has_a_limit(void **state)
{
	struct zygote *zygote = start(false);
	int socket, status;
	pid_t pid;

	(void)state;
	assert_int_equal(zygote_fork(zygote, BUSY, &socket, &pid), 0);
	clockid_t clock;
	assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
	while (clock_ns(clock) < 100 * NS_PER_MS) /* it runs: its own limit is set */
		usleep(1000);
	assert_int_equal(zygote_renew(zygote, pid, 2), 0);
	assert_false(waits(socket, 110000));
	assert_int_equal(zygote_end(zygote, pid, &status), 0);
	uint64_t used_ns = children_cpu_ns(zygote_pid(zygote));
	print_message("# ended after %.2f s of CPU\n", (double)used_ns / 1e9);
	assert_true(used_ns > 1050 * NS_PER_MS && used_ns < 30 * NS_PER_S);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGXCPU);
	close(socket);
	zygote_stop(zygote);
}

static void each_is_ended_once(void **state)
{
	struct zygote *zygote = start(false);
	int sockets[ZYGOTE_PROCESSES_MAX], socket, status;
	pid_t pids[ZYGOTE_PROCESSES_MAX], pid;

	(void)state;
	for (int i = 0; i < ZYGOTE_PROCESSES_MAX; i++)
		assert_int_equal(zygote_fork(zygote, QUIET, &sockets[i], &pids[i]), 0);
	assert_int_equal(zygote_fork(zygote, QUIET, &socket, &pid), -EAGAIN);
	assert_int_equal(zygote_fork(zygote, TEST_JOBS, &socket, &pid), -EAGAIN);
	for (int i = 0; i < ZYGOTE_PROCESSES_MAX; i++) {
		assert_int_equal(zygote_end(zygote, pids[i], &status), 0);
		assert_true(WIFSIGNALED(status));
		close(sockets[i]);
		assert_int_equal(zygote_end(zygote, pids[i], NULL), -ESRCH);
	}
	assert_int_equal(zygote_end(zygote, 1, NULL), -ESRCH);
	assert_int_equal(zygote_fork(zygote, TEST_JOBS, &socket, &pid), -EINVAL);
	zygote_stop(zygote);
	zygote_stop(NULL);
}

/* One that is killed and is not gone for a while has no status, keeps its place, and leaves no zombie. What holds it is a debugger, who is told of its end before. */
static void one_that_dies_slowly(void **state)
{
	struct zygote *zygote = start(true);
	int sockets[ZYGOTE_PROCESSES_MAX], socket, status;
	pid_t pids[ZYGOTE_PROCESSES_MAX], pid;
	char path[64];

	(void)state;
	assert_int_equal(zygote_fork(zygote, QUIET, &socket, &pid), 0);
	for (int i = 1; i < ZYGOTE_PROCESSES_MAX; i++)
		assert_int_equal(zygote_fork(zygote, QUIET, &sockets[i], &pids[i]), 0);
	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT) < 0) {
		print_message("ptrace: %s\n", strerror(errno));
		zygote_stop(zygote);
		skip();
	}
	assert_int_equal(zygote_end(zygote, pid, &status), 0);
	assert_int_equal(status, -1);
	assert_int_equal(zygote_end(zygote, pid, NULL), -ESRCH);
	assert_int_equal(zygote_fork(zygote, QUIET, &sockets[0], &pids[0]), -EAGAIN);
	assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
	assert_false(waits(socket, 60000)); /* it is gone */
	close(socket);
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	int err = -EAGAIN;
	for (int i = 0; i < 6000 && err == -EAGAIN; i++) {
		err = zygote_fork(zygote, QUIET, &sockets[0], &pids[0]);
		usleep(10000);
	}
	assert_int_equal(err, 0);
	assert_int_equal(access(path, F_OK), -1);
	for (int i = 0; i < ZYGOTE_PROCESSES_MAX; i++)
		close(sockets[i]);
	zygote_stop(zygote);
}

/* Whatever happens to us. */
static void all_end_with_their_parent(void **state)
{
	struct zygote *zygote = start(false);
	int socket;
	pid_t pid;

	(void)state;
	assert_int_equal(zygote_fork(zygote, QUIET, &socket, &pid), 0);
	zygote_stop(zygote);
	assert_false(waits(socket, 60000));
	close(socket);
	zygote = start(false);
	assert_int_equal(zygote_fork(zygote, QUIET, &socket, &pid), 0);
	kill(zygote_pid(zygote), SIGKILL);
	assert_false(waits(socket, 60000));
	int other;
	assert_int_equal(zygote_fork(zygote, QUIET, &other, &pid), -ECHILD);
	assert_int_equal(zygote_end(zygote, pid, NULL), -ECHILD);
	assert_int_equal(zygote_renew(zygote, pid, 1), -ECHILD);
	close(socket);
	zygote_stop(zygote);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden_calls_kill),
		cmocka_unit_test(limits),
		cmocka_unit_test(no_right_is_left),
		cmocka_unit_test(memory_has_a_limit),
		cmocka_unit_test(cpu_time_has_a_limit),
		cmocka_unit_test(each_is_ended_once),
		cmocka_unit_test(one_that_dies_slowly),
		cmocka_unit_test(all_end_with_their_parent),
	};

	return cmocka_run_group_tests_name("symbolizer/zygote", tests, NULL, NULL);
}
