#include "debuginfod/network_only.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rights.h"

#define SOCKET_AT  3
#define FILE_AT	   4
#define CPU_S	   60
#define ADDRESS_BYTES (1ull << 30) /* a thread of the resolver, TLS */

static int move_to(int *fd, int at)
{
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, 16);

	if (high < 0 || dup3(high, at, O_CLOEXEC) < 0)
		return -errno;
	*fd = at;
	return 0;
}

/* They may stand where others of them go: first all go up. */
static int move_sockets(int *const sockets[], size_t n)
{
	int err = n <= NETWORK_ONLY_SOCKETS_MAX ? 0 : -E2BIG;

	for (size_t i = 0; err == 0 && i < n; i++) {
		*sockets[i] = fcntl(*sockets[i], F_DUPFD_CLOEXEC, 16);
		err = *sockets[i] < 0 ? -errno : 0;
	}
	for (size_t i = 0; err == 0 && i < n; i++)
		err = move_to(sockets[i], SOCKET_AT + (int)i);
	return err;
}

int network_only_give_up(int *const sockets[], size_t n)
{
	static const int IGNORED[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGXFSZ, SIGUSR1, SIGUSR2};

	for (size_t i = 0; i < sizeof(IGNORED) / sizeof(IGNORED[0]); i++)
		signal(IGNORED[i], SIG_IGN);
	setsid();
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int err = null_fd < 0 ? -errno : move_sockets(sockets, n);
	for (int fd = 0; err == 0 && fd < 3; fd++)
		if (fd != null_fd && dup2(null_fd, fd) < 0)
			err = -errno;
	if (err == 0 && close_range(SOCKET_AT + (unsigned)n, ~0u, 0) < 0)
		err = -errno;
	if (err < 0)
		return err;
	err = rights_drop(RIGHTS_NOBODY, RIGHTS_NOBODY);
	return err < 0 ? err : rights_end_with_parent();
}

/* Only what names are resolved by, and certificates, can be read. A kernel without Landlock leaves it at what nobody may read, and nothing to write. */
static void restrict_files(void)
{
	static const char *const FOLDERS[] = {"/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/mnt/wsl",
					      /* certificates, where /etc has links to them */
					      "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/var/lib/ca-certificates"};

	(void)rights_restrict_files(FOLDERS, sizeof(FOLDERS) / sizeof(FOLDERS[0]), RIGHTS_READ, true);
}

static int allow_plain(scmp_filter_ctx filter)
{
	static const int CALLS[] = {
		/* the network */
		SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname),
		SCMP_SYS(getpeername), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg),
		SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(shutdown), SCMP_SYS(socketpair), SCMP_SYS(poll),
		SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(ioctl), SCMP_SYS(uname), SCMP_SYS(eventfd2),
		SCMP_SYS(pipe2), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
		/* files */
		SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64),
		SCMP_SYS(ftruncate), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(access),
		SCMP_SYS(close), SCMP_SYS(fcntl), SCMP_SYS(getdents64), SCMP_SYS(readlink),
		SCMP_SYS(readlinkat), SCMP_SYS(statx), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
		/* memory, threads of this process, clocks, the end */
		SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(getrandom),
		SCMP_SYS(sysinfo), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield),
		SCMP_SYS(sched_getaffinity), SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
		SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
		SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time),
		SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(restart_syscall),
	};
	int err = 0;

	for (size_t i = 0; err == 0 && i < sizeof(CALLS) / sizeof(CALLS[0]); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALLS[i], 0);
	return err;
}

static int allow_with_arguments(scmp_filter_ctx filter)
{
	static const int FAMILIES[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};
	/* Files are opened for reading. */
	const unsigned long writes = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
	int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, writes, 0));

	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(open), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, writes, 0));
	/* Nothing becomes executable: what a resolver would load is refused, and the resolver goes on without. */
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mmap), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* Threads, not processes. The argument of clone3() cannot be looked at: glibc falls back to clone(). */
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
	for (size_t i = 0; err == 0 && i < sizeof(FAMILIES) / sizeof(FAMILIES[0]); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)FAMILIES[i], 0));
	return err;
}

static int load_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err = filter ? allow_plain(filter) : -ENOMEM;

	if (err == 0)
		err = allow_with_arguments(filter);
	if (err == 0)
		err = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return err;
}

int network_only_confine(const struct network_only_limits *limits)
{
	int err = rights_limit(RLIMIT_FSIZE, limits->file_bytes, limits->file_bytes);

	if (err == 0 && limits->cpu_s)
		err = rights_limit(RLIMIT_CPU, limits->cpu_s, limits->cpu_s);
	if (err == 0)
		err = rights_limit(RLIMIT_CORE, 0, 0);
	if (err < 0 || limits->bare)
		return err;
	err = rights_limit(RLIMIT_AS, ADDRESS_BYTES, ADDRESS_BYTES);
	restrict_files();
	return err < 0 ? err : load_filter();
}

int network_only_enter(int *fd_inout, uint64_t file_bytes, bool bare)
{
	const struct network_only_limits limits = {.file_bytes = file_bytes, .cpu_s = CPU_S, .bare = bare};
	int err = move_to(fd_inout, FILE_AT);

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* fork() took it away */
	if (err == 0 && close_range(FILE_AT + 1, ~0u, 0) < 0)
		err = -errno;
	return err < 0 ? err : network_only_confine(&limits);
}
