#include "web/web_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/rights.h"

#define NICE	     5 /* of queries: someone waits for them, often because the machine is busy */
#define SERVER_BYTES (512ull << 20)
#define SERVER_FILES 1024
#define RUNNER_FILES 256
#define NAMESPACES   (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

void web_confine_apart(void)
{
	unshare(CLONE_NEWIPC);
	unshare(CLONE_NEWNET);
	unshare(CLONE_NEWPID);
}

static int give_up_rights(uid_t user)
{
	int err = rights_drop(user, user);

	return err < 0 ? err : rights_end_with_parent();
}

/* --- lists of system calls --------------------------------------------------------------------------------------- */

/* All of them. */
static const int CALLS[] = {
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64), SCMP_SYS(lseek), SCMP_SYS(fstat),
	SCMP_SYS(close), SCMP_SYS(fcntl), SCMP_SYS(memfd_create), SCMP_SYS(ftruncate), SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap),
	SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(getrandom), SCMP_SYS(sysinfo), SCMP_SYS(rseq), SCMP_SYS(set_robust_list), SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(getrusage), SCMP_SYS(uname), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(restart_syscall), SCMP_SYS(ppoll), SCMP_SYS(poll), SCMP_SYS(dup),
};

/* Sockets that are there, or come to the one that listens. */
static const int SERVER_CALLS[] = {
	SCMP_SYS(accept4), SCMP_SYS(accept), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(sendfile), SCMP_SYS(shutdown),
	SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_create1), SCMP_SYS(eventfd2), SCMP_SYS(ioctl),
};

/* What SQLite reads with. */
static const int FILE_CALLS[] = {
	SCMP_SYS(preadv), SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(statfs), SCMP_SYS(access),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(getcwd), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(fadvise64),
	SCMP_SYS(flock), SCMP_SYS(sendfile), SCMP_SYS(copy_file_range), SCMP_SYS(umask),
};

/* What a library may try that thinks it could write: it is told that it cannot. */
static const int REFUSED_CALLS[] = {
	SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(fchmod),
	SCMP_SYS(fchown), SCMP_SYS(utimensat), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
};

static const int RUNNER_CALLS[] = {
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(wait4), SCMP_SYS(kill), SCMP_SYS(prlimit64), SCMP_SYS(getrlimit), SCMP_SYS(setrlimit), SCMP_SYS(seccomp),
};

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t n)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < n; i++)
		err = seccomp_rule_add(filter, action, calls[i], 0);
	return err;
}
#define ADD_ALL(filter, action, calls) add_all(filter, action, calls, sizeof(calls) / sizeof((calls)[0]))

static int create_filter(scmp_filter_ctx *filter_out)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err = filter ? seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) : -ENOMEM;

	if (err == 0)
		err = ADD_ALL(filter, SCMP_ACT_ALLOW, CALLS);
	/* Nothing becomes executable. */
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (err < 0 && filter)
		seccomp_release(filter);
	if (err == 0)
		*filter_out = filter;
	return err;
}

/* Files are opened for reading; what would write hears that it may not. */
static int allow_files(scmp_filter_ctx filter)
{
	const unsigned long writes = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
	int err = ADD_ALL(filter, SCMP_ACT_ALLOW, FILE_CALLS);

	if (err == 0)
		err = ADD_ALL(filter, SCMP_ACT_ERRNO(EACCES), REFUSED_CALLS);
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, writes, 0));
	for (unsigned bit = 0; err == 0 && bit < 32; bit++)
		if (writes & 1ul << bit)
			err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 1,
					       SCMP_A2(SCMP_CMP_MASKED_EQ, 1ul << bit, 1ul << bit));
	return err;
}

static int finish_filter(scmp_filter_ctx filter, int err)
{
	if (err == 0)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

static int load_server_filter(void)
{
	static const int OPENING[] = {SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(access), SCMP_SYS(faccessat2), SCMP_SYS(stat), SCMP_SYS(readlink)};
	scmp_filter_ctx filter;

	int err = create_filter(&filter);
	if (err < 0)
		return err;
	err = ADD_ALL(filter, SCMP_ACT_ALLOW, SERVER_CALLS);
	/* A library that looks for a file of its own finds none, and goes on. */
	if (err == 0)
		err = ADD_ALL(filter, SCMP_ACT_ERRNO(ENOENT), OPENING);
	/* glibc's fstat(). */
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1, SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH, 0));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), SCMP_SYS(newfstatat), 1, SCMP_A3(SCMP_CMP_NE, AT_EMPTY_PATH, 0));
	return finish_filter(filter, err);
}

static int load_runner_filter(void)
{
	static const int PRCTLS[] = {PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_SET_SECCOMP};
	scmp_filter_ctx filter;

	int err = create_filter(&filter);
	if (err < 0)
		return err;
	err = allow_files(filter);
	if (err == 0)
		err = ADD_ALL(filter, SCMP_ACT_ALLOW, RUNNER_CALLS);
	/* Processes in the namespaces that it is in, no threads. The argument of clone3() cannot be looked at: glibc falls back to clone(). */
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACES | CLONE_THREAD, 0));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	for (size_t i = 0; err == 0 && i < sizeof(PRCTLS) / sizeof(PRCTLS[0]); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)PRCTLS[i], 0));
	return finish_filter(filter, err);
}

static int load_worker_filter(void)
{
	scmp_filter_ctx filter;

	int err = create_filter(&filter);
	if (err < 0)
		return err;
	return finish_filter(filter, allow_files(filter));
}

/* --- who gives up what ------------------------------------------------------------------------------------------- */

int web_confine_server(bool bare)
{
	if (!bare)
		rights_leave_files();
	int err = give_up_rights(bare ? 0 : RIGHTS_NOBODY);
	if (err == 0)
		err = rights_limit(RLIMIT_CORE, 0, 0);
	if (err == 0 && !bare)
		err = rights_limit(RLIMIT_NOFILE, SERVER_FILES, SERVER_FILES);
	if (err == 0 && !bare)
		err = rights_limit(RLIMIT_NPROC, 0, 0);
	if (err == 0 && !bare)
		err = rights_limit(RLIMIT_AS, SERVER_BYTES, SERVER_BYTES);
	return err < 0 || bare ? err : load_server_filter();
}

int web_confine_runner(const char *store, bool bare)
{
	rights_give_way(NICE);
	int err = give_up_rights(0);
	if (err == 0)
		err = rights_limit(RLIMIT_CORE, 0, 0);
	if (err < 0 || bare)
		return err;
	err = rights_limit(RLIMIT_NOFILE, RUNNER_FILES, RUNNER_FILES);
	if (err == 0)
		err = rights_restrict_files(&store, *store ? 1 : 0, RIGHTS_READ, true);
	return err < 0 ? err : load_runner_filter();
}

int web_confine_worker(const struct web_confine_limits *limits, bool bare)
{
	/* First a signal that tells what it was. */
	const struct rlimit cpu = {limits->cpu_s, limits->cpu_s + 1};
	int err = setrlimit(RLIMIT_CPU, &cpu) < 0 ? -errno : 0;

	if (err == 0)
		err = rights_limit(RLIMIT_FSIZE, limits->file_bytes, limits->file_bytes);
	if (err < 0 || bare)
		return err;
	err = rights_limit(RLIMIT_AS, limits->address_bytes, limits->address_bytes);
	return err < 0 ? err : load_worker_filter();
}
