/* agent/folders_only.c: what hearth-store can do, and what ends it. */
#include "agent/folders_only.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "base/scope.h"
#include "symbolizer/confine.h"
#include "tests/unit/cmocka_prelude.h"

static char scratch[64];
static bool has_landlock;

/* In its folder: what SQLite and the writing of files need. */
static int works(void)
{
	char path[128], other[128];

	snprintf(path, sizeof(path), "%s/mine/a", scratch);
	snprintf(other, sizeof(other), "%s/mine/b", scratch);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct flock lock = {.l_type = F_WRLCK};
	if (fd < 0 || write(fd, "x", 1) != 1 || ftruncate(fd, 4096) < 0 || fsync(fd) < 0 || fcntl(fd, F_SETLK, &lock) < 0)
		return 1;
	void *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED || rename(path, other) < 0 || unlink(other) < 0)
		return 2;
	int memfd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return memfd >= 0 && fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE) == 0 ? 0 : 3;
}

static int has_no_capability(void)
{
	AUTO_FCLOSE FILE *file = NULL;
	char line[256];
	unsigned long long bits = 1;

	file = fopen("/proc/self/status", "re");
	if (!file)
		return has_landlock && errno == EACCES ? 0 : 1;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "CapPrm: %llx", &bits) == 1)
			break;
	return bits != 0;
}

static int opens_elsewhere(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/other/file", scratch);
	return open(path, O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES && open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 &&
			       open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 && unlink(path) < 0 && errno == EACCES
		       ? 0
		       : 1;
}

static int connects(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int connects_here(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int executes(void)
{
	return execl("/bin/true", "true", NULL);
}

static int forks(void)
{
	return fork();
}

static int traces(void)
{
	return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int kills(void)
{
	return kill(getppid(), 0);
}

static int makes_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

/* The status of a process that is confined and tries. */
static int run(int (*attempt)(void))
{
	char folder[128];
	int status = 0;

	pid_t pid = fork();
	if (pid == 0) {
		snprintf(folder, sizeof(folder), "%s/mine", scratch);
		const char *const folders[] = {folder};
		if (folders_only_enter(folders, 1, RUNNING_ON_VALGRIND != 0) < 0)
			_exit(99);
		_exit(attempt());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void may(void **state)
{
	(void)state;
	assert_int_equal(run(works), 0);
	assert_int_equal(run(has_no_capability), 0);
}

static void may_not(void **state)
{
	static int (*const DEADLY[])(void) = {connects, connects_here, executes, forks, traces, kills, makes_code};

	(void)state;
	if (RUNNING_ON_VALGRIND || confine_is_partial())
		skip();
	for (size_t i = 0; i < sizeof(DEADLY) / sizeof(DEADLY[0]); i++) {
		int status = run(DEADLY[i]);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

static void other_folders(void **state)
{
	(void)state;
	if (RUNNING_ON_VALGRIND || confine_is_partial() || !has_landlock)
		skip();
	assert_int_equal(run(opens_elsewhere), 0);
}

static void no_folder(void **state)
{
	static const char *const FOLDERS[] = {"/no/where"};

	(void)state;
	if (RUNNING_ON_VALGRIND || confine_is_partial() || !has_landlock)
		skip();
	pid_t pid = fork();
	int status = 0;
	if (pid == 0)
		_exit(folders_only_enter(FOLDERS, 1, false) == -ENOENT ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int set_up(void **state)
{
	char path[128];

	(void)state;
	has_landlock = !RUNNING_ON_VALGRIND && folders_only_has_landlock();
	snprintf(scratch, sizeof(scratch), "/tmp/hearth-folders-XXXXXX");
	if (!mkdtemp(scratch))
		return -1;
	snprintf(path, sizeof(path), "%s/mine", scratch);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/other", scratch);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/other/file", scratch);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : 0;
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
		cmocka_unit_test(may), cmocka_unit_test(may_not), cmocka_unit_test(other_folders), cmocka_unit_test(no_folder),
	};

	return cmocka_run_group_tests_name("agent/folders_only", tests, set_up, tear_down);
}
