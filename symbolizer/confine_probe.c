#include "symbolizer/confine_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "symbolizer/zygote.h"

#define DEATH_MS 30000 /* at once, but for a machine that is without its CPUs for a while */

static const struct {
	const char *name;
	long call, arguments[6];
} PROBED[PROBES] = {
	[PROBE_NOTHING] = {"does nothing", SYS_brk, {0}},
	[PROBE_OPEN] = {"opens a file", SYS_openat, {AT_FDCWD, 0, O_RDONLY}}, /* the path is filled in */
	[PROBE_SOCKET] = {"opens a socket", SYS_socket, {AF_INET, SOCK_STREAM}},
	[PROBE_EXECUTE] = {"executes a program", SYS_execve, {0}},
	[PROBE_FORK] = {"forks", SYS_clone, {SIGCHLD}},
	[PROBE_TRACE] = {"traces a process", SYS_ptrace, {0}},
	[PROBE_MAP_CODE] = {"makes code", SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
	[PROBE_KILL] = {"sends a signal", SYS_kill, {1, 0}},
};

const char *confine_probe_name(enum confine_probe probe)
{
	return PROBED[probe].name;
}

int confine_probe_run(int socket)
{
	uint32_t probe;
	struct iovec part = {&probe, sizeof(probe)};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (recvmsg(socket, &header, 0) != (ssize_t)sizeof(probe) || probe >= PROBES)
		return 2;
	const long *a = PROBED[probe].arguments;
	long first = probe == PROBE_EXECUTE ? (long)(intptr_t) "/bin/true" : a[0];
	long second = probe == PROBE_OPEN ? (long)(intptr_t) "/" : a[1];
	syscall(PROBED[probe].call, first, second, a[2], a[3], a[4], a[5]);
	return 0;
}

int confine_probe(struct zygote *zygote, enum confine_probe probe)
{
	uint32_t number = probe;
	int status = 0;
	AUTO_CLOSE int socket = -1;
	pid_t pid;

	int err = zygote_fork(zygote, ZYGOTE_PROBE, &socket, &pid);
	if (err < 0)
		return err;
	if (send(socket, &number, sizeof(number), MSG_NOSIGNAL) < 0)
		err = -errno;
	/* Its end closes when it dies. */
	struct pollfd ready = {.fd = socket, .events = POLLIN};
	if (err == 0 && poll(&ready, 1, DEATH_MS) <= 0)
		err = -ETIME;
	int end_err = zygote_end(zygote, pid, &status);
	if (err < 0 || end_err < 0)
		return err < 0 ? err : end_err;
	if (probe == PROBE_NOTHING)
		return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? 0 : -EPERM;
}
