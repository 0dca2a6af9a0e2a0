/* web/web_confine.c: what the page's processes can do, and what ends them. */
#include "web/web_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "base/scope.h"
#include "store/segment.h"
#include "tests/unit/cmocka_prelude.h"

#if defined(__SANITIZE_ADDRESS__)
#define IS_BARE true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_BARE true
#endif
#endif
#ifndef IS_BARE
#define IS_BARE (RUNNING_ON_VALGRIND != 0)
#endif

static char scratch[64];
static int listen_fd;
static struct segment *writer; /* of the store: the journal is there as long as it lives */

enum who { SERVER, RUNNER, WORKER };

/* --- attempts: 0 is success -------------------------------------------------------------------------------------------- */

static int talks(void)
{
	struct sockaddr_in address;
	socklen_t n = sizeof(address);
	AUTO_CLOSE int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};

	/* A client was connected before; it is in the queue of the socket, though this is another network by now. */
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listen_fd, &event) < 0 || epoll_wait(epoll, &event, 1, 60000) != 1)
		return 1;
	AUTO_CLOSE int fd = accept4(listen_fd, (struct sockaddr *)&address, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return fd >= 0 && send(fd, "x", 1, MSG_NOSIGNAL) == 1 ? 0 : 2;
}

static int reads_the_store(void)
{
	struct segment *segment;
	struct why why;
	char path[128];

	snprintf(path, sizeof(path), "%s/store/windows-000001.db", scratch);
	if (segment_open(path, false, &segment, &why) < 0 || segment_begin_read(segment) < 0)
		return 1;
	segment_close(segment);
	return 0;
}

/* Landlock: Linux 5.13, and not everywhere. hearth-web has no file system either way. */
static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

static int reads_elsewhere(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/other", scratch);
	return open(path, O_RDONLY | O_CLOEXEC) < 0 && open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && open("/proc/self/status", O_RDONLY | O_CLOEXEC) < 0 ? 0 : 1;
}

static int writes(void)
{
	static const int FLAGS[] = {O_WRONLY, O_RDWR, O_RDONLY | O_CREAT, O_RDONLY | O_TRUNC, O_WRONLY | O_APPEND};
	char path[128], other[128];

	snprintf(path, sizeof(path), "%s/store/windows-000001.db", scratch);
	snprintf(other, sizeof(other), "%s/store/new", scratch);
	for (size_t i = 0; i < sizeof(FLAGS) / sizeof(FLAGS[0]); i++)
		if (open(path, FLAGS[i] | O_CLOEXEC, 0600) >= 0 || errno != EACCES)
			return 1;
	return open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600) < 0 && unlink(path) < 0 && rename(path, other) < 0 && mkdir(other, 0700) < 0 ? 0 : 2;
}

static int makes_sockets(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static int connects(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};

	return connect(listen_fd, (struct sockaddr *)&address, sizeof(address));
}

static int accepts(void)
{
	return accept4(listen_fd, NULL, NULL, 0) < 0;
}

static int forks(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0 && waitpid(pid, NULL, 0) == pid ? 0 : 1;
}

static int executes(void)
{
	return execl("/bin/true", "true", NULL);
}

static int kills(void)
{
	return kill(getppid(), 0);
}

static int traces(void)
{
	return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int makes_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int takes_memory(void)
{
	return malloc(256 << 20) ? 1 : 0;
}

static int writes_much(void)
{
	AUTO_CLOSE int fd = memfd_create("x", MFD_CLOEXEC);

	signal(SIGXFSZ, SIG_IGN);
	return ftruncate(fd, 1 << 20) == 0 && ftruncate(fd, (1 << 20) + 1) < 0 && errno == EFBIG ? 0 : 1;
}

static int spins(void)
{
	for (volatile unsigned long i = 0; i + 1 > 0; i++)
		;
	return 0;
}

static int is_nobody(void)
{
	return geteuid() == 65534 && getegid() == 65534 ? 0 : 1;
}

/* --- who tries --------------------------------------------------------------------------------------------------------- */

/* The status of a process that is confined and tries. */
static int run(enum who who, int (*attempt)(void))
{
	/* Where a hypervisor takes CPUs away, that is counted as CPU time, too: little only for what shall use it up. */
	const struct web_confine_limits limits = {.address_bytes = 200 << 20, .file_bytes = 1 << 20, .cpu_s = attempt == spins ? 1 : 60};
	char store[128];
	int status = 0;

	snprintf(store, sizeof(store), "%s/store", scratch);
	pid_t pid = fork();
	if (pid == 0) {
		int err = who == SERVER ? web_confine_server(IS_BARE) : web_confine_runner(store, IS_BARE);
		if (err == 0 && who == WORKER)
			err = web_confine_worker(&limits, IS_BARE);
		if (err < 0)
			_exit(99);
		_exit(attempt());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void can(enum who who, int (*attempt)(void))
{
	assert_int_equal(run(who, attempt), 0);
}

static void dies(enum who who, int (*attempt)(void))
{
	int status = run(who, attempt);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void skip_when_bare(void)
{
	if (IS_BARE)
		skip();
}

static void the_server(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(address);

	(void)state;
	skip_when_bare();
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listen_fd, 8), 0);
	assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&address, &n), 0);
	AUTO_CLOSE int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	can(SERVER, talks);
	can(SERVER, reads_elsewhere);
	if (geteuid() == 0)
		can(SERVER, is_nobody);
	dies(SERVER, makes_sockets);
	dies(SERVER, connects);
	dies(SERVER, forks);
	dies(SERVER, executes);
	dies(SERVER, kills);
	dies(SERVER, traces);
	dies(SERVER, makes_code);
	close(listen_fd);
}

static void the_runner(void **state)
{
	(void)state;
	skip_when_bare();
	can(RUNNER, reads_the_store);
	if (has_landlock())
		can(RUNNER, reads_elsewhere);
	can(RUNNER, writes);
	can(RUNNER, forks);
	dies(RUNNER, makes_sockets);
	dies(RUNNER, accepts);
	dies(RUNNER, executes);
	dies(RUNNER, traces);
	dies(RUNNER, makes_code);
}

static void a_worker(void **state)
{
	(void)state;
	skip_when_bare();
	can(WORKER, reads_the_store);
	if (has_landlock())
		can(WORKER, reads_elsewhere);
	can(WORKER, writes);
	can(WORKER, takes_memory);
	can(WORKER, writes_much);
	dies(WORKER, makes_sockets);
	dies(WORKER, accepts);
	dies(WORKER, forks);
	dies(WORKER, executes);
	dies(WORKER, kills);
	dies(WORKER, traces);
	dies(WORKER, makes_code);
}

static void limits(void **state)
{
	(void)state;
	/* valgrind has signals and leaks of its own in processes that are forked. */
	if (RUNNING_ON_VALGRIND)
		skip();
	can(WORKER, writes_much);
	int status = run(WORKER, spins);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
}

static int make_store(void **state)
{
	struct why why;
	char path[128];

	(void)state;
	snprintf(scratch, sizeof(scratch), "/tmp/hearth-web-confine-XXXXXX");
	if (!mkdtemp(scratch))
		return -1;
	snprintf(path, sizeof(path), "%s/store", scratch);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/other", scratch);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	snprintf(path, sizeof(path), "%s/store/windows-000001.db", scratch);
	return segment_create(path, &writer, &why);
}

static int remove_store(void **state)
{
	char command[128];

	(void)state;
	segment_close(writer);
	snprintf(command, sizeof(command), "rm -rf %s", scratch);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_server),
		cmocka_unit_test(the_runner),
		cmocka_unit_test(a_worker),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, make_store, remove_store);
}
