#include "agent/services.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "symbolizer/confine.h"

#define STATUS_SETUP	125 /* exit status of a service that could not be set up */
#define DEATH_MS	300 /* that a killed process may take to be gone */
#define DESTROY_MS	(SERVICES_GRACE_MS + DEATH_MS + 500)

/* message_head.detail is the service. START: result 0, the argument, the descriptors. STARTED: result is the pid, or an errno. */
enum order { ORDER_START = 1, ORDER_END, ORDER_STARTED, ORDER_ENDED, ORDERS };

static const struct channel_rules RULES = {.version = 1, .kinds = ORDERS, .fds_max = SERVICE_FDS_MAX + 1, .detail_max = SERVICES_MAX - 1};

struct end {
	uint64_t cpu_ns;
	int32_t pid, status;
};

struct service_state {
	bool runs, let_go;
	pid_t pid;
	uint64_t started_ns, pause_ns, again_ns;
	uint64_t deaths, ended_cpu_ns;
};

struct services {
	struct channel channel;
	pid_t pid; /* the keeper's */
	size_t n;
	struct service_state states[SERVICES_MAX];
};

/* --- in the keeper ---------------------------------------------------------------------------------------------- */

struct keeper {
	struct channel channel;
	int signal_fd;
	pid_t pid; /* its own */
	const struct service *table;
	size_t n;
	pid_t pids[SERVICES_MAX]; /* 0: does not run */
	bool killed[SERVICES_MAX];
};

static void ignore_signals(void)
{
	/* Ctrl-C and the end of a unit go to all its processes: the services end when the agent has handed over its last window. */
	static const int IGNORED[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGXFSZ, SIGUSR1, SIGUSR2};

	for (size_t i = 0; i < sizeof(IGNORED) / sizeof(IGNORED[0]); i++)
		signal(IGNORED[i], SIG_IGN);
}

/* 0 to 2 become /dev/null, but where a sanitizer reports to standard error; the n descriptors become 3, 4, ...; all others go. */
static int keep_only(int *fds, size_t n)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null_fd < 0)
		return -errno;
	for (int fd = 0; fd < (confine_is_partial() ? 2 : 3); fd++)
		if (fd != null_fd && dup2(null_fd, fd) < 0)
			return -errno;
	for (size_t i = 0; i < n; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
		if (fds[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < n; i++) {
		int at = SERVICE_FD_FIRST + (int)i;
		if (dup3(fds[i], at, O_CLOEXEC) < 0)
			return -errno;
		fds[i] = at;
	}
	return close_range(SERVICE_FD_FIRST + (unsigned)n, ~0u, 0) < 0 ? -errno : 0;
}

/* The rest of the life of a service. */
__attribute__((noreturn)) static void live(const struct keeper *k, unsigned which, const struct message *m)
{
	int fds[SERVICE_FDS_MAX];
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	prctl(PR_SET_NAME, k->table[which].name, 0, 0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != k->pid)
		_exit(STATUS_SETUP);
	memcpy(fds, m->fds, m->n_fds * sizeof(fds[0]));
	/* The argument stays in memory of the keeper's that nobody else will change. */
	if (keep_only(fds, m->n_fds) < 0)
		_exit(STATUS_SETUP);
	_exit(k->table[which].run(fds, m->n_fds, m->payload, m->head.payload_bytes));
}

static void tell_started(const struct keeper *k, unsigned which, int result)
{
	struct message_head head = {.kind = ORDER_STARTED, .detail = which, .result = result};

	channel_send(&k->channel, &head, NULL, 0, NULL, 0, true);
}

static void fork_service(struct keeper *k, unsigned which, const struct message *m)
{
	if (k->pids[which]) {
		tell_started(k, which, -EBUSY);
		return;
	}
	pid_t pid = fork();
	if (pid == 0)
		live(k, which, m);
	int err = pid < 0 ? -errno : 0;
	if (pid > 0) {
		k->pids[which] = pid;
		k->killed[which] = false;
	}
	tell_started(k, which, err < 0 ? err : pid);
}

static void end_service(struct keeper *k, unsigned which)
{
	if (k->pids[which])
		kill(k->pids[which], SIGKILL);
	k->killed[which] = true;
}

static bool take_order(struct keeper *k)
{
	struct message m;

	if (channel_receive(&k->channel, 0, &m) < 0)
		return false;
	unsigned which = m.head.detail;
	bool known = which < k->n && m.n_fds <= SERVICE_FDS_MAX;
	if (known && m.head.kind == ORDER_START)
		fork_service(k, which, &m);
	else if (known && m.head.kind == ORDER_END)
		end_service(k, which);
	message_close(&m);
	return known;
}

/* Returns how many still run. */
static size_t reap(struct keeper *k)
{
	struct rusage usage;
	size_t running = 0;
	int status;

	for (pid_t pid; (pid = wait4(-1, &status, WNOHANG, &usage)) > 0;) {
		for (unsigned i = 0; i < k->n; i++) {
			if (k->pids[i] != pid)
				continue;
			struct end end = {.pid = pid, .status = status};
			struct message_head head = {.kind = ORDER_ENDED, .detail = i};
			end.cpu_ns = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
				     (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
			k->pids[i] = 0;
			channel_send(&k->channel, &head, &(struct iovec){&end, sizeof(end)}, 1, NULL, 0, true);
		}
	}
	for (unsigned i = 0; i < k->n; i++)
		running += k->pids[i] != 0;
	return running;
}

/* The agent is gone: so are the other ends of their sockets. */
static void end_all(struct keeper *k)
{
	uint64_t limit_ns = clock_ns(CLOCK_MONOTONIC);
	bool all_killed = true;

	for (unsigned i = 0; i < k->n; i++)
		all_killed = all_killed && (!k->pids[i] || k->killed[i]);
	if (!all_killed)
		limit_ns += SERVICES_GRACE_MS * NS_PER_MS;
	while (reap(k)) {
		struct pollfd ready = {.fd = k->signal_fd, .events = POLLIN};
		struct signalfd_siginfo info;
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
		if (now_ns >= limit_ns + DEATH_MS * NS_PER_MS)
			return; /* it hangs in the kernel; it dies when it comes out */
		for (unsigned i = 0; now_ns >= limit_ns && i < k->n; i++)
			if (k->pids[i] && !k->killed[i])
				end_service(k, i);
		poll(&ready, 1, 20);
		(void)!read(k->signal_fd, &info, sizeof(info));
	}
}

__attribute__((noreturn)) static void keep(int socket, const struct service *table, size_t n)
{
	struct keeper k = {.pid = getpid(), .table = table, .n = n};
	sigset_t child;

	prctl(PR_SET_NAME, "hearth-keeper", 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	ignore_signals();
	setsid();
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_SETMASK, &child, NULL);
	if (keep_only(&socket, 1) < 0 || channel_init(&k.channel, socket, &RULES, SERVICE_ARGUMENT_MAX) < 0)
		_exit(STATUS_SETUP);
	k.signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	for (bool goes_on = k.signal_fd >= 0; goes_on;) {
		struct pollfd fds[] = {{.fd = k.channel.fd, .events = POLLIN}, {.fd = k.signal_fd, .events = POLLIN}};
		struct signalfd_siginfo info;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (read(k.signal_fd, &info, sizeof(info)) > 0)
			reap(&k);
		if (fds[0].revents)
			goes_on = take_order(&k);
	}
	end_all(&k);
	_exit(0);
}

/* --- in the agent ----------------------------------------------------------------------------------------------- */

int services_create(const struct service *table, size_t n, struct services **services_out)
{
	int pair[2];

	if (!n || n > SERVICES_MAX)
		return -EINVAL;
	struct services *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->n = n;
	s->channel.fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(s);
		return -errno;
	}
	int err = channel_init(&s->channel, pair[0], &RULES, CHANNEL_INLINE_MAX);
	if (err == 0) {
		s->pid = fork();
		if (s->pid == 0)
			keep(pair[1], table, n);
		err = s->pid < 0 ? -errno : 0;
	}
	close(pair[1]);
	if (err < 0) {
		channel_deinit(&s->channel);
		free(s);
		return err;
	}
	*services_out = s;
	return 0;
}

int services_start(struct services *s, unsigned service, const int *fds, size_t n_fds, const void *argument, size_t n_bytes)
{
	struct message_head head = {.kind = ORDER_START, .detail = service};
	struct service_state *state = &s->states[service];

	if (service >= s->n || n_fds > SERVICE_FDS_MAX || n_bytes > SERVICE_ARGUMENT_MAX)
		return -E2BIG;
	if (state->runs)
		return -EBUSY;
	int err = channel_send(&s->channel, &head, &(struct iovec){(void *)(uintptr_t)argument, n_bytes}, 1, fds, n_fds, false);
	if (err < 0)
		return err;
	state->runs = true;
	state->let_go = false;
	state->pid = 0;
	state->started_ns = clock_ns(CLOCK_MONOTONIC);
	return 0;
}

bool services_runs(const struct services *s, unsigned service)
{
	return s->states[service].runs;
}

uint64_t services_again_ns(const struct services *s, unsigned service)
{
	return s->states[service].again_ns;
}

uint64_t services_deaths(const struct services *s, unsigned service)
{
	return s->states[service].deaths;
}

void services_end(struct services *s, unsigned service)
{
	struct message_head head = {.kind = ORDER_END, .detail = service};

	if (s->states[service].runs)
		channel_send(&s->channel, &head, NULL, 0, NULL, 0, false);
}

void services_let_go(struct services *s, unsigned service)
{
	s->states[service].let_go = true;
}

int services_fd(const struct services *s)
{
	return s->channel.fd;
}

/* It has ended: when may it be there again? */
static void count_end(struct service_state *state)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	state->runs = false;
	state->pid = 0;
	if (state->let_go) {
		state->again_ns = state->pause_ns = 0;
		return;
	}
	state->deaths++;
	if (now_ns - state->started_ns >= SERVICE_LONG_LIFE_NS) {
		state->again_ns = state->pause_ns = 0;
		return;
	}
	state->pause_ns = state->pause_ns ? 2 * state->pause_ns : SERVICE_PAUSE_FIRST_NS;
	if (state->pause_ns > SERVICE_PAUSE_LONGEST_NS)
		state->pause_ns = SERVICE_PAUSE_LONGEST_NS;
	state->again_ns = now_ns + state->pause_ns;
}

int services_take(struct services *s, struct service_event *event_out)
{
	struct service_event event;
	struct message m;
	struct end end = {0};

	int err = channel_receive(&s->channel, 1, &m);
	if (err < 0)
		return err == -ETIME ? -EAGAIN : -EPIPE;
	bool started = m.head.kind == ORDER_STARTED, known = m.head.detail < s->n;
	if (known && !started && m.head.kind == ORDER_ENDED && m.head.payload_bytes == sizeof(end))
		memcpy(&end, m.payload, sizeof(end));
	else
		known = known && started;
	event = (struct service_event){.service = m.head.detail, .started = started && m.head.result > 0};
	int result = m.head.result;
	message_close(&m);
	if (!known)
		return -EPIPE; /* not what was forked here */
	struct service_state *state = &s->states[event.service];
	event.expected = state->let_go;
	if (event.started) {
		event.pid = state->pid = result;
	} else {
		event.pid = end.pid;
		event.status = started ? result : end.status;
		state->ended_cpu_ns += end.cpu_ns;
		count_end(state);
	}
	*event_out = event;
	return 0;
}

pid_t services_pid(const struct services *s, unsigned service)
{
	return s->states[service].pid;
}

uint64_t services_cpu_ns(const struct services *s, unsigned service)
{
	const struct service_state *state = &s->states[service];
	clockid_t clock;

	return state->ended_cpu_ns + (state->pid && clock_getcpuclockid(state->pid, &clock) == 0 ? clock_ns(clock) : 0);
}

void services_destroy(struct services *s)
{
	if (!s)
		return;
	channel_deinit(&s->channel);
	for (int waited = 0;; waited += 5) {
		if (waitpid(s->pid, NULL, WNOHANG) != 0)
			break;
		if (waited == DESTROY_MS)
			kill(s->pid, SIGKILL);
		poll(NULL, 0, 5);
	}
	free(s);
}
