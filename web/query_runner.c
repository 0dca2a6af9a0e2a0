#include "web/query_runner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "web/gzip_copy.h"
#include "web/query_protocol.h"
#include "web/web_confine.h"

#define GZIP_LEAST 1024 /* bytes of an answer below which it is not compressed */

/* A query that runs. */
struct running {
	pid_t pid; /* 0: none */
	uint64_t serial, deadline_ns;
	enum query_outcome outcome; /* why it was killed; QUERY_ANSWERED: it was not */
	struct query_done *said;    /* shared with its process: what it has to say. outcome: QUERY_OUTCOMES as long as it has not */
};

struct runner {
	struct channel web;
	struct query_runner_options options;
	struct running list[QUERIES_AT_ONCE];
	char *state; /* NULL: none yet */
	size_t state_bytes;
	int signal_fd;
	pid_t pid;
};

/* --- in the process of a query ----------------------------------------------------------------------------------- */

static bool is_compressible(const char *type)
{
	return strncmp(type, "text/", 5) == 0 || strncmp(type, "application/json", 16) == 0 || strncmp(type, "image/svg", 9) == 0;
}

static int copy_text(char *to, size_t bytes, const char *text)
{
	size_t n = strlen(text);

	if (n >= bytes)
		return -E2BIG;
	memcpy(to, text, n + 1);
	return 0;
}

/* The answer's body into out, compressed where that is wanted and worth it. */
static int write_body(const struct query *query, const struct web_answer *answer, int raw, int out, bool *is_gzip_out)
{
	off_t bytes = lseek(raw, 0, SEEK_END);

	if (raw == out)
		return 0;
	*is_gzip_out = query->wants_gzip && bytes >= GZIP_LEAST && is_compressible(answer->content_type);
	return *is_gzip_out ? gzip_copy(raw, out) : plain_copy(raw, out);
}

static int answer(const struct runner *r, const struct query *query, int out, struct query_done *done)
{
	const struct web_context context = {.store = r->options.store, .host = r->options.host, .version = r->options.version,
					    .now_ns = (int64_t)clock_ns(CLOCK_REALTIME), .state = r->state ? r->state : "{}",
					    .state_bytes = r->state ? r->state_bytes : 2};
	struct web_answer a = {.status = 200, .content_type = "application/json"};
	int raw = query->wants_gzip ? memfd_create("answer", MFD_CLOEXEC) : out;
	bool is_gzip = false;

	a.body = raw < 0 ? NULL : fdopen(raw, "w");
	if (!a.body)
		return -errno;
	int err = r->options.handlers->answer(&context, &query->request, &a);
	if (err < 0)
		return err;
	if (fflush(a.body) != 0 || ferror(a.body))
		return errno ? -errno : -EIO;
	err = write_body(query, &a, raw, out, &is_gzip);
	if (err == 0)
		err = copy_text(done->content_type, sizeof(done->content_type), a.content_type);
	if (err == 0)
		err = copy_text(done->filename, sizeof(done->filename), a.filename);
	done->status = a.status;
	done->is_final = a.is_final;
	done->is_gzip = is_gzip;
	return err;
}

__attribute__((noreturn)) static void work(struct runner *r, struct running *slot, const struct message *m)
{
	const struct web_confine_limits limits = {.address_bytes = r->options.address_bytes, .file_bytes = QUERY_ANSWER_MAX, .cpu_s = r->options.cpu_s};
	struct query query;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGXFSZ, SIG_IGN); /* an answer that is too large is an error, not the end */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != r->pid)
		_exit(1);
	close(r->web.fd);
	close(r->signal_fd);
	prctl(PR_SET_NAME, "hearth-query-1", 0, 0, 0);
	int err = web_confine_worker(&limits, r->options.bare);
	if (err == 0)
		err = query_decode(m->payload, m->head.payload_bytes, &query);
	if (err == 0)
		err = answer(r, &query, m->fds[0], slot->said);
	slot->said->outcome = err < 0 ? (uint32_t)QUERY_FAILED : (uint32_t)QUERY_ANSWERED;
	if (err < 0)
		slot->said->status = err;
	_exit(0);
}

/* --- in hearth-query ---------------------------------------------------------------------------------------------- */

static void tell_done(struct runner *r, uint64_t serial, struct query_done *done)
{
	struct message_head head = {.kind = QUERY_DONE, .serial = serial};
	struct rusage own, children;

	getrusage(RUSAGE_SELF, &own);
	getrusage(RUSAGE_CHILDREN, &children);
	const struct timeval times[] = {own.ru_utime, own.ru_stime, children.ru_utime, children.ru_stime};
	done->cpu_ns = 0;
	for (size_t i = 0; i < 4; i++)
		done->cpu_ns += (uint64_t)times[i].tv_sec * NS_PER_S + (uint64_t)times[i].tv_usec * 1000;
	done->peak_bytes = (uint64_t)children.ru_maxrss << 10;
	channel_send(&r->web, &head, &(struct iovec){done, sizeof(*done)}, 1, NULL, 0, true);
}

static void start(struct runner *r, const struct message *m)
{
	struct query_done failed = {.outcome = QUERY_FAILED};
	struct running *slot = NULL;

	for (size_t i = 0; i < QUERIES_AT_ONCE; i++)
		if (!r->list[i].pid)
			slot = &r->list[i];
	if (!slot || m->n_fds != 1) {
		failed.status = -EBUSY;
		tell_done(r, m->head.serial, &failed);
		return;
	}
	*slot->said = (struct query_done){.outcome = QUERY_OUTCOMES};
	pid_t pid = fork();
	if (pid == 0)
		work(r, slot, m);
	if (pid < 0) {
		failed.status = -errno;
		tell_done(r, m->head.serial, &failed);
		return;
	}
	slot->pid = pid;
	slot->serial = m->head.serial;
	slot->deadline_ns = clock_ns(CLOCK_MONOTONIC) + r->options.wall_ns;
	slot->outcome = QUERY_ANSWERED;
}

static void end(struct running *slot, enum query_outcome outcome)
{
	if (slot->outcome != QUERY_ANSWERED)
		return;
	slot->outcome = outcome;
	kill(slot->pid, SIGKILL);
}

/* What its end means. What it said counts only when it ended by itself. */
static void finish(struct runner *r, struct running *slot, int status)
{
	struct query_done done = *slot->said, checked;

	slot->pid = 0;
	if (slot->outcome != QUERY_ANSWERED)
		done = (struct query_done){.outcome = slot->outcome};
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		done = (struct query_done){.outcome = QUERY_OVER_CPU};
	else if (!WIFEXITED(status) || WEXITSTATUS(status) || (done.outcome != QUERY_ANSWERED && done.outcome != QUERY_FAILED) ||
		 query_done_check(&done, sizeof(done), &checked) < 0)
		done = (struct query_done){.outcome = QUERY_CRASHED};
	tell_done(r, slot->serial, &done);
}

static void reap(struct runner *r)
{
	int status;

	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		for (size_t i = 0; i < QUERIES_AT_ONCE; i++)
			if (r->list[i].pid == pid)
				finish(r, &r->list[i], status);
}

static void take_state(struct runner *r, const struct message *m)
{
	char *text = m->head.payload_bytes <= QUERY_STATE_MAX ? malloc(m->head.payload_bytes + 1) : NULL;

	if (!text)
		return;
	memcpy(text, m->payload, m->head.payload_bytes);
	text[m->head.payload_bytes] = '\0';
	free(r->state);
	r->state = text;
	r->state_bytes = m->head.payload_bytes;
}

static int take_message(struct runner *r)
{
	struct message m;

	int err = channel_receive(&r->web, 0, &m);
	if (err < 0)
		return err;
	if (m.head.kind == QUERY_RUN)
		start(r, &m);
	else if (m.head.kind == QUERY_STATE)
		take_state(r, &m);
	else if (m.head.kind == QUERY_CANCEL)
		for (size_t i = 0; i < QUERIES_AT_ONCE; i++)
			if (r->list[i].pid && r->list[i].serial == m.head.serial)
				end(&r->list[i], QUERY_CANCELLED);
	message_close(&m);
	return 0;
}

static int end_late(struct runner *r)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), due_ns = UINT64_MAX;

	for (size_t i = 0; i < QUERIES_AT_ONCE; i++) {
		struct running *slot = &r->list[i];
		if (!slot->pid || slot->outcome != QUERY_ANSWERED)
			continue;
		if (slot->deadline_ns <= now_ns)
			end(slot, QUERY_OVER_TIME);
		else if (slot->deadline_ns < due_ns)
			due_ns = slot->deadline_ns;
	}
	return due_ns == UINT64_MAX ? -1 : (int)((due_ns - now_ns) / NS_PER_MS + 1);
}

static int serve(struct runner *r)
{
	for (int err = 0; err == 0;) {
		struct pollfd fds[] = {{.fd = r->web.fd, .events = POLLIN}, {.fd = r->signal_fd, .events = POLLIN}};
		struct signalfd_siginfo info;
		if (poll(fds, 2, end_late(r)) < 0 && errno != EINTR)
			return -errno;
		if (read(r->signal_fd, &info, sizeof(info)) > 0)
			reap(r);
		if (fds[0].revents)
			err = take_message(r);
		if (err < 0)
			return err;
	}
	return 0;
}

static int prepare(struct runner *r, int socket)
{
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_SETMASK, &child, NULL);
	r->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	struct query_done *said = mmap(NULL, sizeof(*said) * QUERIES_AT_ONCE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int err = channel_init(&r->web, socket, &QUERY_RULES, QUERY_PAYLOAD_MAX);
	if (err < 0 || said == MAP_FAILED || r->signal_fd < 0)
		return err < 0 ? err : -errno;
	for (size_t i = 0; i < QUERIES_AT_ONCE; i++)
		r->list[i].said = &said[i];
	tzset(); /* local times are read by the library's file of zones, which cannot be read later */
	return web_confine_runner(r->options.store, r->options.bare);
}

int query_runner_run(int socket, const struct query_runner_options *options)
{
	struct runner r = {.options = *options, .pid = getpid(), .signal_fd = -1, .web = {.fd = -1}};

	r.options.address_bytes = options->address_bytes ? options->address_bytes : QUERY_ADDRESS_BYTES;
	r.options.wall_ns = options->wall_ns ? options->wall_ns : QUERY_WALL_NS;
	r.options.cpu_s = options->cpu_s ? options->cpu_s : QUERY_CPU_S;
	prctl(PR_SET_NAME, "hearth-query", 0, 0, 0);
	int err = prepare(&r, socket);
	if (err == 0)
		err = serve(&r);
	for (size_t i = 0; i < QUERIES_AT_ONCE; i++)
		if (r.list[i].pid)
			kill(r.list[i].pid, SIGKILL);
	channel_deinit(&r.web);
	free(r.state);
	return err == -EPIPE ? 0 : 1;
}
