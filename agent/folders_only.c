#include "agent/folders_only.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scope.h"
#include "symbolizer/confine.h"

#define LAST_CAP      63
#define NICE	      10
#define ADDRESS_BYTES (1ull << 30)
#define FILES_MAX     256

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ull << 14) /* ABI 3, Linux 6.2 */
#endif

static int give_up_rights(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	for (unsigned long cap = 0; cap <= LAST_CAP; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* needs CAP_SETPCAP; no_new_privs does the same for who has none */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/* Where the kernel makes a scheduling group of each session, nice values count inside of it only. Source: sched(7), "The autogroup feature". */
static void give_way(void)
{
	AUTO_CLOSE int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);

	setpriority(PRIO_PROCESS, 0, NICE);
	if (fd >= 0)
		(void)!write(fd, "10", 2);
}

static int landlock_version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

bool folders_only_has_landlock(void)
{
	return landlock_version() > 0;
}

static int restrict_files(const char *const *folders, size_t n)
{
	/* A rename from folder to folder (REFER, ABI 2) is refused when nothing is said about it. */
	struct landlock_ruleset_attr attributes = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
	const uint64_t refused = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
				 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM;
	int version = landlock_version();

	if (version <= 0)
		return 0;
	if (version >= 3)
		attributes.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	AUTO_CLOSE int rules = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	if (rules < 0)
		return -errno;
	for (size_t i = 0; i < n; i++) {
		struct landlock_path_beneath_attr below = {.allowed_access = attributes.handled_access_fs & ~refused};
		AUTO_CLOSE int folder = open(folders[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		below.parent_fd = folder;
		if (folder < 0 || syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0) < 0)
			return -errno;
	}
	return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}

/* --- the list of system calls ------------------------------------------------------------------------------------ */

static int allow_plain(scmp_filter_ctx filter)
{
	static const int CALLS[] = {
		/* files */
		SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(close), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(preadv),
		SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(lseek), SCMP_SYS(ftruncate),
		SCMP_SYS(fallocate), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range), SCMP_SYS(fadvise64), SCMP_SYS(flock),
		SCMP_SYS(fcntl), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(fstatfs),
		SCMP_SYS(statfs), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(getcwd), SCMP_SYS(readlink),
		SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
		SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(fchmod), SCMP_SYS(fchown), SCMP_SYS(umask),
		SCMP_SYS(utimensat), SCMP_SYS(memfd_create), SCMP_SYS(dup), SCMP_SYS(dup3),
		/* the sockets that are there; epoll and poll */
		SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(shutdown),
		/* memory */
		SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(msync), SCMP_SYS(futex), SCMP_SYS(getrandom),
		SCMP_SYS(sysinfo), SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
		/* who we are; signals of this process; clocks; the end */
		SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(uname),
		SCMP_SYS(getrusage), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(clock_gettime),
		SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(exit),
		SCMP_SYS(exit_group), SCMP_SYS(restart_syscall),
	};
	int err = 0;

	for (size_t i = 0; err == 0 && i < sizeof(CALLS) / sizeof(CALLS[0]); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALLS[i], 0);
	return err;
}

static int load_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err = filter ? seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) : -ENOMEM;

	if (err == 0)
		err = allow_plain(filter);
	/* Nothing becomes executable. */
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
	if (err == 0)
		err = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return err;
}

static int set_limit(__rlimit_resource_t resource, uint64_t value)
{
	struct rlimit limit = {value, value}, now;

	/* A lower hard limit may have come from outside. */
	if (getrlimit(resource, &now) == 0 && now.rlim_max < value)
		limit.rlim_cur = limit.rlim_max = now.rlim_max;
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

int folders_only_enter(const char *const *folders, size_t n, bool bare)
{
	bare = bare || confine_is_partial();
	give_way();
	int err = give_up_rights();
	if (err == 0)
		err = set_limit(RLIMIT_CORE, 0);
	if (err < 0 || bare)
		return err;
	err = set_limit(RLIMIT_AS, ADDRESS_BYTES);
	if (err == 0)
		err = set_limit(RLIMIT_NOFILE, FILES_MAX);
	if (err == 0)
		err = restrict_files(folders, n);
	return err < 0 ? err : load_filter();
}
