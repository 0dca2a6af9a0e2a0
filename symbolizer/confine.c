#include "symbolizer/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/rights.h"
#include "base/scope.h"

#define SOCKET_AT   3
#define FILTER_MAX  (64u << 10) /* bytes; ours has some 100 instructions of 8 */
#define NICE_LOWEST 19

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

struct confine_filter {
	struct sock_fprog program;
};

bool confine_is_partial(void)
{
	return UNDER_SANITIZER;
}

/* --- what the zygote gives up ----------------------------------------------------------------------------------- */

/* Something harmless for 0 to 2, the socket at 3, and nothing else. Under a sanitizer, its reports still find standard error. */
static int keep_only(int *socket)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null_fd < 0)
		null_fd = memfd_create("null", MFD_CLOEXEC);
	if (null_fd < 0)
		return -errno;
	int high = fcntl(*socket, F_DUPFD_CLOEXEC, 16), high_null = fcntl(null_fd, F_DUPFD_CLOEXEC, 16);
	if (high < 0 || high_null < 0)
		return -errno;
	for (int fd = 0; fd < 3; fd++)
		if ((!UNDER_SANITIZER || fd < 2) && dup2(high_null, fd) < 0)
			return -errno;
	if (dup3(high, SOCKET_AT, O_CLOEXEC) < 0)
		return -errno;
	if (close_range(SOCKET_AT + 1, ~0u, 0) < 0)
		return -errno;
	*socket = SOCKET_AT;
	return 0;
}

int confine_give_up(int *socket_inout)
{
	static const int IGNORED[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGXFSZ, SIGUSR1, SIGUSR2};

	/* Ctrl-C and the end of a service go to all processes of a group: we end when the agent does, which still needs names. */
	for (size_t i = 0; i < sizeof(IGNORED) / sizeof(IGNORED[0]); i++)
		signal(IGNORED[i], SIG_IGN);
	setsid();
	int err = keep_only(socket_inout);
	if (err < 0)
		return err;
	unshare(CLONE_NEWIPC);
	unshare(CLONE_NEWNET);
	rights_leave_files();
	err = rights_drop(RIGHTS_NOBODY, RIGHTS_NOBODY);
	/* The second line: the first is that the socket closes. */
	return err < 0 ? err : rights_end_with_parent();
}

/* --- the list of system calls ------------------------------------------------------------------------------------ */

static int allow_plain(scmp_filter_ctx filter)
{
	static const int CALLS[] = {
		/* files that were handed over */
		SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(pwrite64), SCMP_SYS(writev), SCMP_SYS(lseek), SCMP_SYS(fstat),
		SCMP_SYS(close), SCMP_SYS(memfd_create), SCMP_SYS(ftruncate),
		/* the socket */
		SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
		/* memory */
		SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(getrandom),
		SCMP_SYS(sysinfo), /* glibc's qsort() */
		/* clocks, where the vDSO cannot tell */
		SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
		/* signals and the end; libunwind blocks signals around its locks */
		SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(restart_syscall),
	};
	int err = 0;

	for (size_t i = 0; err == 0 && i < sizeof(CALLS) / sizeof(CALLS[0]); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALLS[i], 0);
	return err;
}

static int allow_with_arguments(scmp_filter_ctx filter)
{
	static const unsigned COMMANDS[] = {F_GET_SEALS, F_ADD_SEALS, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL};

	/* Nothing becomes executable. */
	int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* glibc's fstat(). */
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1, SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH, 0));
	for (size_t i = 0; err == 0 && i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, COMMANDS[i], 0));
	return err;
}

/* libseccomp writes its programs to a descriptor. */
static int export_filter(scmp_filter_ctx filter, struct confine_filter *to)
{
	AUTO_CLOSE int fd = memfd_create("filter", MFD_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return -errno;
	int err = seccomp_export_bpf(filter, fd);
	if (err < 0)
		return err;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size <= 0 || (size_t)status.st_size > FILTER_MAX || (size_t)status.st_size % sizeof(struct sock_filter))
		return -EINVAL;
	to->program.filter = malloc((size_t)status.st_size);
	if (!to->program.filter)
		return -ENOMEM;
	to->program.len = (unsigned short)((size_t)status.st_size / sizeof(struct sock_filter));
	return pread(fd, to->program.filter, (size_t)status.st_size, 0) == status.st_size ? 0 : -EIO;
}

int confine_filter_create(struct confine_filter **filter_out)
{
	struct confine_filter *own = calloc(1, sizeof(*own));
	scmp_filter_ctx filter = own ? seccomp_init(SCMP_ACT_KILL_PROCESS) : NULL;

	int err = filter ? seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) : -ENOMEM;
	if (err == 0)
		err = allow_plain(filter);
	if (err == 0)
		err = allow_with_arguments(filter);
	if (err == 0)
		err = export_filter(filter, own);
	if (filter)
		seccomp_release(filter);
	if (err < 0) {
		confine_filter_destroy(own);
		return err;
	}
	*filter_out = own;
	return 0;
}

void confine_filter_destroy(struct confine_filter *filter)
{
	if (!filter)
		return;
	free(filter->program.filter);
	free(filter);
}

/* --- the process that was forked -------------------------------------------------------------------------------- */

static int set_limits(const struct confine_limits *limits, bool bare)
{
	int err = bare ? 0 : rights_limit(RLIMIT_AS, limits->address_bytes, limits->address_bytes);

	if (err == 0)
		err = rights_limit(RLIMIT_FSIZE, limits->file_bytes, limits->file_bytes);
	if (err == 0)
		err = rights_limit(RLIMIT_CPU, limits->cpu_s, RLIM_INFINITY);
	if (err == 0)
		err = rights_limit(RLIMIT_NPROC, 0, 0);
	if (err == 0)
		err = rights_limit(RLIMIT_CORE, 0, 0);
	if (err == 0)
		err = rights_limit(RLIMIT_MEMLOCK, 0, 0);
	return err == 0 && !bare ? rights_limit(RLIMIT_NOFILE, limits->files, limits->files) : err;
}

int confine_enter(const struct confine_filter *filter, const struct confine_limits *limits, bool background, bool bare)
{
	struct sched_param priority = {0};

	bare = bare || UNDER_SANITIZER;
	if (background)
		setsid(); /* a scheduling group of its own: see give_way() in symbolizer/zygote.c */
	if (background && (sched_setscheduler(0, SCHED_BATCH, &priority) < 0 || setpriority(PRIO_PROCESS, 0, NICE_LOWEST) < 0))
		return -errno;
	/* What fork() takes away, or may have been changed. */
	int err = rights_end_with_parent();
	if (err == 0)
		err = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
	if (err == 0)
		err = set_limits(limits, bare);
	if (err < 0 || bare)
		return err;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter->program) < 0 ? -errno : 0;
}

int confine_renew_cpu(int pid, uint32_t cpu_s)
{
	struct timespec used;
	clockid_t clock;

	int err = clock_getcpuclockid(pid, &clock);
	if (err)
		return -err;
	if (clock_gettime(clock, &used) < 0)
		return -errno;
	struct rlimit limit;
	if (prlimit(pid, RLIMIT_CPU, NULL, &limit) < 0)
		return -errno;
	limit.rlim_cur = (rlim_t)used.tv_sec + cpu_s + 1;
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	return prlimit(pid, RLIMIT_CPU, &limit, NULL) < 0 ? -errno : 0;
}
