#include "web/web_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scope.h"

#define NOBODY	     65534
#define LAST_CAP     63
#define NICE	     5 /* of queries: someone waits for them, often because the machine is busy */
#define SERVER_BYTES (512ull << 20)
#define SERVER_FILES 1024
#define RUNNER_FILES 256
#define NAMESPACES   (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ull << 14) /* ABI 3, Linux 6.2 */
#endif

void web_confine_apart(void)
{
	unshare(CLONE_NEWIPC);
	unshare(CLONE_NEWNET);
	unshare(CLONE_NEWPID);
}

/* Where the kernel makes a scheduling group of each session, nice values count inside of it only. Source: sched(7), "The autogroup feature". */
static void give_way(void)
{
	AUTO_CLOSE int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);

	setpriority(PRIO_PROCESS, 0, NICE);
	if (fd >= 0)
		(void)!write(fd, "5", 1);
}

static int set_limit(__rlimit_resource_t resource, uint64_t value)
{
	struct rlimit limit = {value, value}, now;

	/* A lower hard limit may have come from outside. */
	if (getrlimit(resource, &now) == 0 && now.rlim_max < value)
		limit.rlim_cur = limit.rlim_max = now.rlim_max;
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

/* An empty file system that lies nowhere: a detached mount of a new tmpfs. */
static void leave_file_system(void)
{
	AUTO_CLOSE int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (context < 0)
		return;
	syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "size", "4096", 0);
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return;
	AUTO_CLOSE int mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
					    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (mount >= 0 && fchdir(mount) == 0 && chroot(".") == 0)
		return;
	(void)!chdir("/");
}

static int give_up_rights(bool user_too)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	for (unsigned long cap = 0; cap <= LAST_CAP; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* needs CAP_SETPCAP; no_new_privs does the same for who has none */
	/* A user namespace may not have nobody. */
	if (user_too && geteuid() == 0 && setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0)
		(void)!setresuid(NOBODY, NOBODY, NOBODY);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	/* A change of the user takes it away, so it comes last. */
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;
}

/* --- files ------------------------------------------------------------------------------------------------------ */

/* For reading, below one folder; none: nowhere. A kernel without Landlock (5.13) leaves it at what the list of system calls refuses: opening for writing. */
static int restrict_files(const char *folder)
{
	struct landlock_ruleset_attr attributes = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
	struct landlock_path_beneath_attr below = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR};
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (version <= 0)
		return 0;
	if (version >= 3)
		attributes.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	AUTO_CLOSE int rules = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	if (rules < 0)
		return -errno;
	AUTO_CLOSE int at = *folder ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	below.parent_fd = at;
	if (at >= 0 && syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0) < 0)
		return -errno;
	return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
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
		leave_file_system();
	int err = give_up_rights(!bare);
	if (err == 0)
		err = set_limit(RLIMIT_CORE, 0);
	if (err == 0 && !bare)
		err = set_limit(RLIMIT_NOFILE, SERVER_FILES);
	if (err == 0 && !bare)
		err = set_limit(RLIMIT_NPROC, 0);
	if (err == 0 && !bare)
		err = set_limit(RLIMIT_AS, SERVER_BYTES);
	return err < 0 || bare ? err : load_server_filter();
}

int web_confine_runner(const char *store, bool bare)
{
	give_way();
	int err = give_up_rights(false);
	if (err == 0)
		err = set_limit(RLIMIT_CORE, 0);
	if (err < 0 || bare)
		return err;
	err = set_limit(RLIMIT_NOFILE, RUNNER_FILES);
	if (err == 0)
		err = restrict_files(store);
	return err < 0 ? err : load_runner_filter();
}

int web_confine_worker(const struct web_confine_limits *limits, bool bare)
{
	/* First a signal that tells what it was. */
	const struct rlimit cpu = {limits->cpu_s, limits->cpu_s + 1};
	int err = setrlimit(RLIMIT_CPU, &cpu) < 0 ? -errno : 0;

	if (err == 0)
		err = set_limit(RLIMIT_FSIZE, limits->file_bytes);
	if (err < 0 || bare)
		return err;
	err = set_limit(RLIMIT_AS, limits->address_bytes);
	return err < 0 ? err : load_worker_filter();
}
