#include "symbolizer/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "symbolizer/confine_probe.h"
#include "symbolizer/worker.h"

#define MIB		 ((uint64_t)1 << 20)
#define ANSWER_MS	 30000 /* forking takes less than one; but a machine may be without its CPUs for seconds */
#define DEATH_MS	 2000  /* that a killed process may take to be gone: it needs a CPU for that, and the background's gets it late on a busy machine */
#define ANSWER_BUFFERS	 (256 << 10) /* a message of 64 KiB and its overhead fits */
#define JOB_SOCKET	 3
#define GROUP_TRIES	 10 /* until a process has its group */
#define GROUP_WAIT_US	 100
#define STATUS_CONFINING 125 /* exit status of a process that could not be confined */

static const struct zygote_job JOBS[ZYGOTE_JOBS] = {
	[ZYGOTE_NAMES] = {"hearth-names", worker_run, {512 * MIB, 128 * MIB, 10, 448}, false},
	[ZYGOTE_COMPILER] = {"hearth-compile", name_worker_run, {512 * MIB, 512 * MIB, 10, 448}, true},
	[ZYGOTE_COMPILER_NOW] = {"hearth-compile", name_worker_run, {512 * MIB, 512 * MIB, 10, 448}, false},
	[ZYGOTE_PROBE] = {"hearth-probe", confine_probe_run, {512 * MIB, 128 * MIB, 10, 16}, false},
};

struct zygote {
	int socket;
	pid_t pid;
	bool greeted;
	int err; /* why it cannot work */
	const struct zygote_job *jobs; /* borrowed */
};

enum order_kind { ORDER_FORK, ORDER_RENEW, ORDER_END };

/* To the zygote. FORK comes with the process's socket. */
struct order {
	uint32_t kind;
	uint32_t job;
	int32_t pid;
	uint32_t cpu_s;
};

/* From it: one when it is ready, one for each FORK and END. */
struct answer {
	int32_t err;
	int32_t pid;
	int32_t status;
};

/* --- in the zygote ---------------------------------------------------------------------------------------------- */

struct nursery {
	int socket;
	pid_t pid; /* the zygote's own */
	const struct zygote_options *options;
	struct confine_filter *filter;
	pid_t pids[ZYGOTE_PROCESSES_MAX]; /* 0: free; -pid: killed, but not gone yet */
};

/* fd_out: -1 when none came. Returns false at the end. */
static bool receive_order(int socket, struct order *order, int *fd_out)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec part = {order, sizeof(*order)};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t n;

	do
		n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	*fd_out = -1;
	const struct cmsghdr *message = n > 0 ? CMSG_FIRSTHDR(&header) : NULL;
	if (message && message->cmsg_type == SCM_RIGHTS)
		memcpy(fd_out, CMSG_DATA(message), sizeof(*fd_out));
	return n == (ssize_t)sizeof(*order);
}

static void answer(const struct nursery *n, int err, pid_t pid, int status)
{
	struct answer answer = {err, pid, status};

	(void)!send(n->socket, &answer, sizeof(answer), MSG_NOSIGNAL);
}

/* The rest of the life of a process that was forked. */
__attribute__((noreturn)) static void live(const struct nursery *n, const struct zygote_job *job, int fd)
{
	prctl(PR_SET_NAME, job->name, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	/* It may have died before it could take us along. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != n->pid)
		_exit(STATUS_CONFINING);
	/* In the place of the zygote's own. */
	if (dup3(fd, JOB_SOCKET, O_CLOEXEC) < 0 || close_range(JOB_SOCKET + 1, ~0u, 0) < 0)
		_exit(STATUS_CONFINING);
	if (confine_enter(n->filter, &job->limits, job->background, n->options->bare) < 0)
		_exit(STATUS_CONFINING);
	_exit(job->run(JOB_SOCKET));
}

/* Those that took longer to die. */
static void reap(struct nursery *n)
{
	for (size_t i = 0; i < ZYGOTE_PROCESSES_MAX; i++)
		if (n->pids[i] < 0 && waitpid(-n->pids[i], NULL, WNOHANG) != 0)
			n->pids[i] = 0;
}

static void fork_job(struct nursery *n, const struct order *order, int fd)
{
	size_t place = 0;

	reap(n);
	while (place < ZYGOTE_PROCESSES_MAX && n->pids[place])
		place++;
	if (order->job >= n->options->n_jobs || fd < 0 || place == ZYGOTE_PROCESSES_MAX) {
		answer(n, place == ZYGOTE_PROCESSES_MAX ? -EAGAIN : -EINVAL, 0, 0);
		return;
	}
	pid_t pid = fork();
	if (pid == 0)
		live(n, &n->options->jobs[order->job], fd);
	if (pid > 0)
		n->pids[place] = pid;
	answer(n, pid < 0 ? -errno : 0, pid, 0);
}

static pid_t *find_pid(struct nursery *n, pid_t pid)
{
	for (size_t i = 0; pid > 0 && i < ZYGOTE_PROCESSES_MAX; i++)
		if (n->pids[i] == pid)
			return &n->pids[i];
	return NULL;
}

/* One that hangs in the kernel is looked at again later, and keeps its place until then: status -1. */
static bool end_process(pid_t pid, int *status_out)
{
	*status_out = -1;
	kill(pid, SIGKILL);
	for (int waited = 0; waited < DEATH_MS; waited++) {
		if (waitpid(pid, status_out, WNOHANG) == pid)
			return true;
		poll(NULL, 0, 1);
	}
	return false;
}

static void end_job(struct nursery *n, const struct order *order)
{
	pid_t *place = find_pid(n, order->pid);

	if (!place) {
		answer(n, -ESRCH, order->pid, 0);
		return;
	}
	int status;
	*place = end_process(order->pid, &status) ? 0 : -order->pid;
	answer(n, 0, order->pid, status);
}

__attribute__((noreturn)) static void nurse(int socket, const struct zygote_options *options)
{
	struct nursery n = {.socket = socket, .pid = getpid(), .options = options};
	struct order order;
	int fd;

	prctl(PR_SET_NAME, "hearth-zygote", 0, 0, 0);
	worker_warm_up();
	int err = options->bare ? 0 : confine_filter_create(&n.filter);
	if (err == 0)
		err = confine_give_up(&n.socket);
	answer(&n, err, getpid(), 0);
	while (err == 0 && receive_order(n.socket, &order, &fd)) {
		if (order.kind == ORDER_FORK)
			fork_job(&n, &order, fd);
		else if (order.kind == ORDER_RENEW && find_pid(&n, order.pid))
			confine_renew_cpu(order.pid, order.cpu_s);
		else if (order.kind == ORDER_END)
			end_job(&n, &order);
		if (fd >= 0)
			close(fd);
	}
	for (size_t i = 0; i < ZYGOTE_PROCESSES_MAX; i++)
		if (n.pids[i] > 0)
			kill(n.pids[i], SIGKILL);
	_exit(err < 0);
}

/* --- in the agent ----------------------------------------------------------------------------------------------- */

int zygote_start(struct zygote **zygote_out)
{
	static const struct zygote_options DEFAULTS = {.jobs = JOBS, .n_jobs = ZYGOTE_JOBS};

	return zygote_start_with(&DEFAULTS, zygote_out);
}

int zygote_start_with(const struct zygote_options *options, struct zygote **zygote_out)
{
	struct zygote_options own = *options;
	int pair[2];

	if (!own.jobs) {
		own.jobs = JOBS;
		own.n_jobs = ZYGOTE_JOBS;
	}
	struct zygote *z = calloc(1, sizeof(*z));
	if (!z)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(z);
		return -errno;
	}
	z->socket = pair[0];
	z->jobs = own.jobs;
	z->pid = fork();
	if (z->pid == 0) {
		close(pair[0]);
		free(z);
		nurse(pair[1], &own);
	}
	int err = z->pid < 0 ? -errno : 0;
	close(pair[1]);
	if (err < 0) {
		close(pair[0]);
		free(z);
		return err;
	}
	*zygote_out = z;
	return 0;
}

static int receive_answer(struct zygote *z, struct answer *answer_out)
{
	struct pollfd ready = {.fd = z->socket, .events = POLLIN};
	struct answer answer;
	ssize_t n;
	int polled;

	do
		polled = poll(&ready, 1, ANSWER_MS);
	while (polled < 0 && errno == EINTR);
	do
		n = polled > 0 ? recv(z->socket, &answer, sizeof(answer), MSG_DONTWAIT) : -1;
	while (n < 0 && polled > 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(answer))
		return z->err = -ECHILD; /* out of step, or gone: nothing that it says can be told apart any more */
	*answer_out = answer;
	return 0;
}

/* fd: goes along, unless -1. */
static int send_order(struct zygote *z, const struct order *order, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec part = {(void *)(uintptr_t)order, sizeof(*order)};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	if (z->err < 0)
		return z->err;
	if (fd >= 0) {
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		struct cmsghdr *message = CMSG_FIRSTHDR(&header);
		message->cmsg_level = SOL_SOCKET;
		message->cmsg_type = SCM_RIGHTS;
		message->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(message), &fd, sizeof(fd));
	}
	do
		n = sendmsg(z->socket, &header, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? z->err = -ECHILD : 0;
}

/* Its first word says whether it could give up its rights. */
static int greet(struct zygote *z)
{
	struct answer hello;

	if (z->err < 0 || z->greeted)
		return z->err;
	int err = receive_answer(z, &hello);
	if (err < 0)
		return err;
	z->greeted = true;
	if (hello.err < 0)
		z->err = -ECHILD;
	return z->err;
}

/* Where the kernel makes a scheduling group of each session (sched_autogroup_enabled), nice values count inside of it only: the group needs
 * one too. The process itself has no /proc to write to. Source: sched(7), "The autogroup feature". */
static void give_way(pid_t pid)
{
	char path[64];

	for (int i = 0; getsid(pid) != pid; i++) {
		if (i == GROUP_TRIES)
			return; /* not on a CPU yet: its nice value must do */
		usleep(GROUP_WAIT_US);
	}
	snprintf(path, sizeof(path), "/proc/%d/autogroup", pid);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, "19", 2);
}

int zygote_fork(struct zygote *z, unsigned job, int *socket_out, pid_t *pid_out)
{
	struct order order = {.kind = ORDER_FORK, .job = job};
	AUTO_CLOSE int mine = -1;
	AUTO_CLOSE int its = -1;
	struct answer forked;
	int pair[2], bytes = ANSWER_BUFFERS;

	int err = greet(z);
	if (err < 0)
		return err;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	mine = pair[0];
	its = pair[1];
	setsockopt(mine, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	setsockopt(its, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	err = send_order(z, &order, its);
	if (err == 0)
		err = receive_answer(z, &forked);
	if (err < 0)
		return err;
	if (forked.err < 0)
		return forked.err;
	if (z->jobs[job].background)
		give_way(forked.pid);
	*pid_out = forked.pid;
	*socket_out = take_fd(&mine);
	return 0;
}

int zygote_renew(struct zygote *z, pid_t pid, unsigned cpu_s)
{
	struct order order = {.kind = ORDER_RENEW, .pid = pid, .cpu_s = cpu_s};

	return send_order(z, &order, -1);
}

int zygote_end(struct zygote *z, pid_t pid, int *status_out)
{
	struct order order = {.kind = ORDER_END, .pid = pid};
	struct answer ended;

	int err = send_order(z, &order, -1);
	if (err == 0)
		err = receive_answer(z, &ended);
	if (err == 0)
		err = ended.err;
	if (err == 0 && status_out)
		*status_out = ended.status;
	return err;
}

pid_t zygote_pid(const struct zygote *z)
{
	return z->pid;
}

void zygote_stop(struct zygote *z)
{
	if (!z)
		return;
	close(z->socket);
	while (waitpid(z->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(z);
}
