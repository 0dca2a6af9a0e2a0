#include "agent/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/cmocka_prelude.h"

static char folder[] = "/tmp/hearth-control-XXXXXX", path[64];

static void lines(void **state)
{
	static const char *const BAD[] = {"", " ", "stat", "status now", "rate", "rate 99", "rate 99 60 1", "rate 0 60", "rate x 60", "rate 99 0", "rate 99 2h",
					  "rate 1000001 5", "pause 0", "pause x", "pause 1 2", "resume 5", "RATE 99 60"};
	struct control_request request;
	char longer[CONTROL_LINE_MAX + 2];
	struct why why;

	(void)state;
	assert_int_equal(control_parse("status", &request, &why), 0);
	assert_int_equal(request.verb, CONTROL_STATUS);
	assert_int_equal(control_parse(" rate  99 1m", &request, &why), 0);
	assert_int_equal(request.verb, CONTROL_RATE);
	assert_int_equal(request.rate_hz, 99);
	assert_int_equal(request.for_ns, 60 * NS_PER_S);
	assert_int_equal(control_parse("pause", &request, &why), 0);
	assert_int_equal(request.for_ns, 0);
	assert_int_equal(control_parse("pause 1.5", &request, &why), 0);
	assert_int_equal(request.for_ns, 1500000000);
	assert_int_equal(control_parse("resume", &request, &why), 0);
	assert_int_equal(request.verb, CONTROL_RESUME);
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		if (control_parse(BAD[i], &request, &why) != -EINVAL)
			fail_msg("'%s'", BAD[i]);
	}
	assert_int_equal(request.verb, CONTROL_RESUME);
	memset(longer, 'x', sizeof(longer));
	longer[CONTROL_LINE_MAX + 1] = '\0';
	assert_int_equal(control_parse(longer, &request, &why), -EINVAL);
}

static void replies(void **state)
{
	struct control_reply reply = {.n = 0};

	(void)state;
	control_reply_add(&reply, "a", "%d", 1);
	control_reply_add(&reply, "b", "x\ny");
	assert_string_equal(reply.text, "ok\na 1\nb x y\n");
	for (int i = 0; i < 2000; i++)
		control_reply_add(&reply, "name", "%d", i);
	assert_true(reply.n < sizeof(reply.text) && reply.text[reply.n - 1] == '\n');
	for (int i = 0; i < 2; i++) {
		control_reply_fail(&reply, "%s%4000s%4000s", "no", "", "");
		assert_int_equal(reply.n, CONTROL_REPLY_MAX - 2);
		assert_memory_equal(reply.text, "error no", 8);
	}
	control_reply_fail(&reply, "no");
	assert_memory_equal(reply.text, "error no\n", reply.n);
}

/* --- over a socket: the test serves, a child asks ------------------------------------------------------------ */

struct asking {
	const char *line;
	char reply[CONTROL_REPLY_MAX];
	struct why why;
	int err;
};

static void ask(struct asking *a)
{
	a->err = control_ask(path, a->line, a->reply, &a->why);
}

static void serve_rate(void *context, const struct control_request *request, struct control_reply *reply)
{
	uint64_t *rate_hz = context;

	if (request->verb == CONTROL_STATUS)
		control_reply_add(reply, "rate_hz", "%lu", (unsigned long)*rate_hz);
	else if (request->verb == CONTROL_RATE)
		*rate_hz = request->rate_hz;
	else
		control_reply_fail(reply, "not now");
}

static void asks(struct control *c, const char *line, struct asking *a, uint64_t *rate_hz)
{
	struct asking *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(shared != MAP_FAILED);
	*shared = (struct asking){.line = line};
	pid_t pid = fork();
	if (pid == 0) {
		ask(shared);
		_exit(0);
	}
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (c)
			control_work(c, clock_ns(CLOCK_MONOTONIC), serve_rate, rate_hz);
		usleep(200);
	}
	*a = *shared;
	munmap(shared, sizeof(*shared));
}

/* Linked with --wrap: for an asker who has no CPU from when he asked until long after he was answered. */
static _Atomic bool *answered; /* shared with him; NULL: everybody has the real clock */

int __real_clock_gettime(clockid_t clock, struct timespec *time_out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time_out);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time_out)
{
	static bool has_asked;

	int err = __real_clock_gettime(clock, time_out);
	if (!answered)
		return err;
	if (has_asked) {
		while (!atomic_load(answered))
			usleep(1000);
		time_out->tv_sec += 3600;
	}
	has_asked = true;
	return err;
}

static struct control *open_good(void)
{
	struct control *c = NULL;
	struct why why;

	if (control_open(path, &c, &why) != 0)
		fail_msg("%s", why.text);
	return c;
}

static void conversation(void **state)
{
	struct control *c = open_good(), *second = NULL;
	uint64_t rate_hz = 19;
	struct asking a;
	struct stat stat;
	struct why why;

	(void)state;
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_mode & 07777, 0600);
	asks(c, "status", &a, &rate_hz);
	assert_int_equal(a.err, 0);
	assert_string_equal(a.reply, "rate_hz 19\n");
	asks(c, "rate 99 5", &a, &rate_hz);
	assert_int_equal(a.err, 0);
	assert_string_equal(a.reply, "");
	assert_int_equal(rate_hz, 99);
	asks(c, "pause", &a, &rate_hz);
	assert_int_equal(a.err, -EREMOTEIO);
	assert_string_equal(a.why.text, "not now");
	asks(c, "nonsense", &a, &rate_hz);
	assert_int_equal(a.err, -EREMOTEIO);
	assert_non_null(strstr(a.why.text, "none of status"));
	assert_int_equal(control_open(path, &second, &why), -EADDRINUSE);
	control_close(c);
	assert_int_equal(lstat(path, &stat), -1);
	asks(NULL, "status", &a, &rate_hz);
	assert_int_equal(a.err, -ENOENT);
	control_close(NULL);
}

static void an_asker_without_a_cpu(void **state)
{
	_Atomic bool *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct control *c = open_good();
	uint64_t rate_hz = 19;
	int status;

	(void)state;
	assert_true(shared != MAP_FAILED);
	pid_t pid = fork();
	if (pid == 0) {
		struct asking a = {.line = "rate 99 5"};
		answered = shared;
		ask(&a);
		_exit(a.err == 0 ? 0 : 1);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		control_work(c, clock_ns(CLOCK_MONOTONIC), serve_rate, &rate_hz);
		atomic_store(shared, rate_hz == 99);
		usleep(200);
	}
	assert_int_equal(status, 0);
	control_close(c);
	munmap((void *)shared, sizeof(*shared));
}

static int connect_raw(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void hear(int fd, const char *expected)
{
	char text[256];

	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[n < 0 ? 0 : n] = '\0';
	if (!strstr(text, expected) || n <= 0)
		fail_msg("'%s', not '%s'", text, expected);
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 0); /* and that is all */
	close(fd);
}

static void bad_clients(void **state)
{
	struct control *c = open_good();
	uint64_t rate_hz = 19, now_ns = 1000 * NS_PER_S;
	int fds[CONTROL_CLIENTS_MAX + 2], i;
	char junk[300];

	(void)state;
	/* In pieces. */
	int fd = connect_raw();
	control_work(c, now_ns, serve_rate, &rate_hz);
	assert_int_equal(send(fd, "sta", 3, 0), 3);
	control_work(c, now_ns, serve_rate, &rate_hz);
	assert_int_equal(send(fd, "tus\nmore", 8, 0), 8);
	control_work(c, now_ns, serve_rate, &rate_hz);
	hear(fd, "ok\nrate_hz 19\n");
	/* Too long, and with a NUL. */
	memset(junk, 'x', sizeof(junk));
	fd = connect_raw();
	control_work(c, now_ns, serve_rate, &rate_hz);
	assert_int_equal(send(fd, junk, CONTROL_LINE_MAX + 1, 0), CONTROL_LINE_MAX + 1);
	control_work(c, now_ns, serve_rate, &rate_hz);
	hear(fd, "error longer than 128 bytes\n");
	fd = connect_raw();
	control_work(c, now_ns, serve_rate, &rate_hz);
	assert_int_equal(send(fd, "status\0x\n", 9, 0), 9);
	control_work(c, now_ns, serve_rate, &rate_hz);
	hear(fd, "error a NUL in it\n");
	/* Gone before it is answered. */
	fd = connect_raw();
	control_work(c, now_ns, serve_rate, &rate_hz);
	assert_int_equal(send(fd, "status\n", 7, 0), 7);
	close(fd);
	control_work(c, now_ns, serve_rate, &rate_hz);
	/* Who says nothing has a place for a while; then the next gets it. */
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[i] = connect_raw();
		control_work(c, now_ns, serve_rate, &rate_hz);
	}
	fds[i] = connect_raw();
	control_work(c, now_ns + CONTROL_PATIENCE_NS - 1, serve_rate, &rate_hz);
	hear(fds[i], "too many");
	fds[i] = connect_raw();
	control_work(c, now_ns + CONTROL_PATIENCE_NS, serve_rate, &rate_hz);
	assert_int_equal(send(fds[i], "status\n", 7, 0), 7);
	control_work(c, now_ns + CONTROL_PATIENCE_NS, serve_rate, &rate_hz);
	hear(fds[i], "ok\n");
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
	control_work(c, now_ns, serve_rate, &rate_hz);
	control_close(c);
}

/* Without descriptors nobody is accepted; that must not be asked in a circle. */
static void no_descriptors(void **state)
{
	struct control *c = open_good();
	struct rlimit before, few;
	uint64_t rate_hz = 19;
	int taken[64], n = 0;

	(void)state;
	int fd = connect_raw();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){.rlim_cur = 64, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (n < 64 && (taken[n] = dup(fd)) >= 0)
		n++;
	assert_true(n < 64);
	control_work(c, NS_PER_S, serve_rate, &rate_hz);
	while (n > 0)
		close(taken[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	control_work(c, 2 * NS_PER_S, serve_rate, &rate_hz); /* deaf */
	close(fd); /* valgrind accepts it and closes it again */
	fd = connect_raw();
	assert_int_equal(send(fd, "status\n", 7, 0), 7);
	for (int i = 0; i < 4; i++)
		control_work(c, 4 * NS_PER_S, serve_rate, &rate_hz);
	hear(fd, "ok\n");
	control_close(c);
}

/* Another user may not even connect, and is not answered where he can (the folder or the mode was changed). */
static void strangers(void **state)
{
	uint64_t rate_hz = 19;
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	struct control *c = open_good();
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(folder, 0755), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct asking a = {.line = "status"};
		_exit(setuid(65534) == 0 && (ask(&a), a.err == -EREMOTEIO) && strstr(a.why.text, "only root") ? 0 : 1);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		control_work(c, clock_ns(CLOCK_MONOTONIC), serve_rate, &rate_hz);
		usleep(200);
	}
	assert_int_equal(status, 0);
	assert_int_equal(chmod(folder, 0700), 0);
	control_close(c);
}

static void places(void **state)
{
	char longer[200] = "/tmp/", other[96];
	struct control *c = NULL;
	struct why why;
	struct stat stat;

	(void)state;
	assert_int_equal(control_open("relative", &c, &why), -EINVAL);
	assert_int_equal(control_open("/x.sock", &c, &why), -EPERM);
	memset(longer + 5, 'x', 150);
	assert_int_equal(control_open(longer, &c, &why), -ENAMETOOLONG);
	assert_int_equal(control_open("/nonexistent/a/b.sock", &c, &why), -ENOENT);
	assert_int_equal(control_open("/tmp/b.sock", &c, &why), -EPERM); /* all may write there */
	/* The folder is made. */
	snprintf(other, sizeof(other), "%s/new/c.sock", folder);
	assert_int_equal(control_open(other, &c, &why), 0);
	control_close(c);
	snprintf(other, sizeof(other), "%s/new", folder);
	assert_int_equal(lstat(other, &stat), 0);
	assert_int_equal(stat.st_mode & 07777, 0700);
	rmdir(other);
	/* What a crash left is taken over; what is no socket stays. */
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	c = open_good();
	/* Another's socket in its place is not removed. */
	assert_int_equal(unlink(path), 0);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	control_close(c);
	assert_int_equal(control_open(path, &c, &why), -EADDRINUSE);
	assert_int_equal(unlink(path), 0);

	setenv("RUNTIME_DIRECTORY", "/run/x", 1);
	assert_int_equal(control_path(longer, sizeof(longer)), 0);
	assert_string_equal(longer, "/run/x/control.sock");
	assert_int_equal(control_path(longer, 10), -ENOENT);
	unsetenv("RUNTIME_DIRECTORY");
	if (geteuid() == 0) {
		assert_int_equal(control_path(longer, sizeof(longer)), 0);
		assert_string_equal(longer, "/run/hearth/control.sock");
	}
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/c.sock", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),	  cmocka_unit_test(replies),   cmocka_unit_test(conversation), cmocka_unit_test(an_asker_without_a_cpu), cmocka_unit_test(bad_clients),
		cmocka_unit_test(no_descriptors), cmocka_unit_test(strangers), cmocka_unit_test(places),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
