#include "agent/folders_only.h"

#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/rights.h"
#include "symbolizer/confine.h"

#define NICE	      10
#define ADDRESS_BYTES (1ull << 30)
#define FILES_MAX     256

bool folders_only_has_landlock(void)
{
	return rights_landlock_version() > 0;
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

int folders_only_enter(const char *const *folders, size_t n, bool bare)
{
	bare = bare || confine_is_partial();
	rights_give_way(NICE);
	int err = rights_drop(0, 0);
	if (err == 0)
		err = rights_limit(RLIMIT_CORE, 0, 0);
	if (err < 0 || bare)
		return err;
	err = rights_limit(RLIMIT_AS, ADDRESS_BYTES, ADDRESS_BYTES);
	if (err == 0)
		err = rights_limit(RLIMIT_NOFILE, FILES_MAX, FILES_MAX);
	if (err == 0)
		err = rights_restrict_files(folders, n, RIGHTS_READ_WRITE, false);
	return err < 0 ? err : load_filter();
}
