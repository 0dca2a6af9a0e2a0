#include "agent/reading_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/rights.h"
#include "base/scope.h"
#include "symbolizer/confine.h"

#define ADDRESS_BYTES (8ull << 30) /* a profile of 512 MiB, several times over as tables */
#define FILES_MAX     256
#define NOT_CONFINED  125 /* exit status: nothing was read */

/* --- rights ---------------------------------------------------------------------------------------------------------- */

/* Root without capabilities is still who owns root's files. A folder's owner may read it without being root. */
static int give_up_rights(const char *folder)
{
	struct stat status = {.st_uid = RIGHTS_NOBODY, .st_gid = RIGHTS_NOBODY};

	if (folder && stat(folder, &status) < 0)
		return -errno;
	int err = rights_drop(status.st_uid, status.st_gid);
	return err < 0 ? err : rights_end_with_parent();
}

/* --- the list of system calls ---------------------------------------------------------------------------------------- */

static int allow(scmp_filter_ctx filter, const int *calls, size_t n)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < n; i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return err;
}

static int allow_plain(scmp_filter_ctx filter)
{
	static const int CALLS[] = {
		/* what is open */
		SCMP_SYS(close), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(lseek), SCMP_SYS(fstat),
		SCMP_SYS(fadvise64),
		/* memory */
		SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(getrandom), SCMP_SYS(sysinfo), SCMP_SYS(rseq),
		SCMP_SYS(sched_yield),
		/* who we are; signals of this process; clocks; the end */
		SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(rt_sigaction),
		SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
		SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(restart_syscall),
	};

	int err = allow(filter, CALLS, sizeof(CALLS) / sizeof(CALLS[0]));
	/* Nothing becomes executable. */
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return err;
}

/* Without names of files but with glibc's fstat(). */
static int allow_no_names(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1, SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH, 0));
}

/* What SQLite needs of a folder. It tries to open for writing first, and is content with less. */
static int allow_reading_names(scmp_filter_ctx filter)
{
	static const int CALLS[] = {
		SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat),
		SCMP_SYS(faccessat2), SCMP_SYS(getcwd), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(fcntl),
	};
	/* As root it gives a journal to whose the file is; and it would mend what a writer left. */
	static const int REFUSED[] = {SCMP_SYS(fchown),	   SCMP_SYS(fchmod), SCMP_SYS(unlink),	SCMP_SYS(unlinkat), SCMP_SYS(ftruncate),
				      SCMP_SYS(fdatasync), SCMP_SYS(fsync),  SCMP_SYS(pwrite64)};
	const unsigned long long writing = O_ACCMODE | O_CREAT | O_TRUNC;

	int err = allow(filter, CALLS, sizeof(CALLS) / sizeof(CALLS[0]));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, writing, O_RDONLY));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE, O_RDWR));
	for (size_t i = 0; err == 0 && i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), REFUSED[i], 0);
	return err;
}

/* What a channel needs (base/channel.h): one socket there is, and large messages are in sealed memory. */
static int allow_asking(scmp_filter_ctx filter)
{
	static const int CALLS[] = {SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(memfd_create)};

	int err = allow(filter, CALLS, sizeof(CALLS) / sizeof(CALLS[0]));
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GET_SEALS, 0));
	return err < 0 ? err : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS, 0));
}

static int load_filter(bool reads_names, bool asks)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err = filter ? seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) : -ENOMEM;

	if (err == 0)
		err = allow_plain(filter);
	if (err == 0)
		err = reads_names ? allow_reading_names(filter) : allow_no_names(filter);
	if (err == 0 && asks)
		err = allow_asking(filter);
	if (err == 0)
		err = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return err;
}

int reading_process_enter(const struct reading_options *options)
{
	bool bare = options->bare || confine_is_partial();

	int err = give_up_rights(options->folder);
	if (err == 0)
		err = rights_limit(RLIMIT_CORE, 0, 0);
	if (err < 0 || bare)
		return err;
	err = rights_limit(RLIMIT_AS, ADDRESS_BYTES, ADDRESS_BYTES);
	if (err == 0)
		err = rights_limit(RLIMIT_NOFILE, FILES_MAX, FILES_MAX);
	if (err == 0)
		err = rights_restrict_files(&options->folder, options->folder ? 1 : 0, RIGHTS_READ, false);
	return err < 0 ? err : load_filter(options->folder != NULL, options->answer != NULL);
}

/* --- the process ----------------------------------------------------------------------------------------------------- */

static const int ENDING[] = {SIGINT, SIGTERM, SIGHUP};
#define N_ENDING (sizeof(ENDING) / sizeof(ENDING[0]))

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* A command that answers has more open than its process may have: the zygote's socket, caches. */
static int close_others(const struct reading_options *options)
{
	int keep[FILES_MAX];
	unsigned next = STDERR_FILENO + 1;

	if (options->n_fds >= FILES_MAX)
		return -E2BIG;
	if (options->n_fds)
		memcpy(keep, options->fds, options->n_fds * sizeof(keep[0]));
	keep[options->n_fds] = options->sockets[0];
	qsort(keep, options->n_fds + 1, sizeof(keep[0]), by_number);
	for (size_t i = 0; i <= options->n_fds; i++) {
		unsigned fd = (unsigned)keep[i];
		if (fd > next && close_range(next, fd - 1, 0) < 0)
			return -errno;
		next = fd >= next ? fd + 1 : next;
	}
	return close_range(next, ~0u, 0) < 0 ? -errno : 0;
}

static void run_child(const struct reading_options *options, int (*run)(void *context), void *context, const sigset_t *mask)
{
	/* stdio would ask whether it is a terminal: no call of the list. */
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	sigprocmask(SIG_SETMASK, mask, NULL);
	int err = options->answer ? close_others(options) : 0;
	if (err == 0)
		err = reading_process_enter(options);
	if (err < 0) {
		fprintf(stderr, "hearth: giving up rights before reading: %s\n", strerror(-err));
		_exit(NOT_CONFINED);
	}
	int status = run(context);
	fflush(stdout);
	_exit(status);
}

/* A signal that is meant for us ends it too. */
static void take_signals(int signals_fd, pid_t pid, int *signal_out)
{
	struct signalfd_siginfo info;

	while (read(signals_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		*signal_out = (int)info.ssi_signo;
		kill(pid, SIGKILL);
	}
}

/* Until it ended; its questions are answered meanwhile. refused_out: its last one could not be. */
static int wait_for(pid_t pid, int signals_fd, const struct reading_options *options, int *signal_out, bool *refused_out)
{
	struct pollfd sources[] = {{.fd = signals_fd, .events = POLLIN}, {.fd = options->answer ? options->sockets[1] : -1, .events = POLLIN}};
	int status;

	for (;;) {
		pid_t ended = waitpid(pid, &status, WNOHANG);
		if (ended == pid)
			return status;
		if ((ended < 0 && errno != EINTR) || (poll(sources, 2, -1) < 0 && errno != EINTR))
			return -1;
		take_signals(signals_fd, pid, signal_out);
		if (sources[1].fd < 0 || !sources[1].revents)
			continue;
		int err = options->answer(options->answer_context);
		if (err < 0)
			sources[1].fd = -1;
		if (err < 0 && err != -EPIPE) {
			*refused_out = true;
			kill(pid, SIGKILL);
		}
	}
}

/* One that came to both of us must not end us before the caller has cleaned up. */
static void take_pending(const sigset_t *signals, int *signal_inout)
{
	static const struct timespec NOW = {0};

	for (int got; (got = sigtimedwait(signals, NULL, &NOW)) > 0;)
		*signal_inout = got == SIGCHLD ? *signal_inout : got;
}

static int explain_end(int status, int *signal_inout, struct why *why)
{
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (*signal_inout)
		return 0;
	if (!number)
		return WEXITSTATUS(status) == NOT_CONFINED ? 1 : WEXITSTATUS(status);
	if (number == SIGPIPE || number == SIGINT || number == SIGTERM || number == SIGHUP) {
		*signal_inout = number;
		return 0;
	}
	if (number == SIGSYS)
		return why_set(why, -EIO, "the process that reads profiles was ended: it did what it may not do; please report this, with the file");
	return why_set(why, -EIO, "the process that reads profiles died (%s); please report this, with the file", strsignal(number));
}

int reading_process_run(const struct reading_options *options, int (*run)(void *context), void *context, int *signal_out, struct why *why)
{
	sigset_t signals, before;
	bool refused = false;

	*signal_out = 0;
	sigemptyset(&signals);
	for (size_t i = 0; i < N_ENDING; i++)
		sigaddset(&signals, ENDING[i]);
	sigaddset(&signals, SIGCHLD);
	signal(SIGCHLD, SIG_DFL); /* who started us may have ignored it: then nobody could be waited for */
	sigprocmask(SIG_BLOCK, &signals, &before);
	fflush(NULL);
	AUTO_CLOSE int signals_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	pid_t pid = signals_fd < 0 ? -1 : fork();
	if (pid == 0)
		run_child(options, run, context, &before);
	int err = pid < 0 ? -errno : 0;
	if (options->answer)
		close(options->sockets[0]);
	int status = pid < 0 ? -1 : wait_for(pid, signals_fd, options, signal_out, &refused);
	take_pending(&signals, signal_out);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (err < 0)
		return why_set(why, err, "starting the process that reads profiles: %s", strerror(-err));
	if (refused && !*signal_out)
		return why_set(why, -EBADMSG, "the process that reads profiles asked what cannot be; please report this, with the file");
	return status < 0 ? why_set(why, -EIO, "the process that reads profiles was lost") : explain_end(status, signal_out, why);
}
