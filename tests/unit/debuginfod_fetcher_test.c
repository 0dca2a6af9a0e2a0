#include "debuginfod/fetcher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "base/clock.h"
#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"

#define ANSWER	"the debug file of buildid/fedcba98/debuginfo"
#define NO_PORT 9 /* nothing listens there */

/* Neither sanitizers nor valgrind live with a list of system calls. */
#if defined(__SANITIZE_ADDRESS__)
#define BARE true
#else
#define BARE (RUNNING_ON_VALGRIND != 0)
#endif

#define SLOWER (RUNNING_ON_VALGRIND ? 10u : 1u)

static const uint8_t ID[65] = {0xfe, 0xdc, 0xba, 0x98};

struct server {
	pid_t pid;
	int port;
};

static struct server plain, tls;
static char folder[64];

static bool start_server(struct server *server, const char *certificate, const char *key)
{
	char text[16] = "";
	int out[2];

	if (pipe(out) < 0)
		return false;
	server->pid = fork();
	if (server->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		dup2(out[1], 1);
		execl("tests/debuginfod/server", "server", certificate, key, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	for (size_t n = 0; n < sizeof(text) - 1 && !strchr(text, '\n');) {
		ssize_t got = read(out[0], text + n, sizeof(text) - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(out[0]);
	server->port = atoi(text);
	return server->port > 0;
}

static int start_servers(void **state)
{
	char command[512], certificate[128], key[128];

	(void)state;
	strcpy(folder, "/tmp/hearth-debuginfod-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(certificate, sizeof(certificate), "%s/certificate", folder);
	snprintf(key, sizeof(key), "%s/key", folder);
	snprintf(command, sizeof(command),
		 "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hearth-test -addext subjectAltName=IP:127.0.0.1 -out %s -keyout %s "
		 "2>/dev/null", certificate, key);
	if (!start_server(&plain, NULL, NULL))
		return -1;
	if (system(command) != 0 || !start_server(&tls, certificate, key))
		tls.port = 0;
	return 0;
}

static void end_server(const struct server *server)
{
	if (server->pid > 0) {
		kill(server->pid, SIGKILL);
		waitpid(server->pid, NULL, 0);
	}
}

static int end_servers(void **state)
{
	char command[128];

	(void)state;
	end_server(&plain);
	end_server(&tls);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) == 0 ? 0 : -1;
}

static struct debuginfod_fetcher *start(const char *urls, const struct debuginfod_options *more)
{
	struct debuginfod_options options = more ? *more : (struct debuginfod_options){0};
	struct debuginfod_fetcher *f = NULL;

	options.urls = urls;
	options.bare = BARE;
	assert_int_equal(debuginfod_start(&options, &f), 0);
	return f;
}

static struct debuginfod_result await(struct debuginfod_fetcher *f)
{
	struct pollfd ready = {.fd = debuginfod_fd(f), .events = POLLIN};
	struct debuginfod_result result = {.err = 77};

	assert_int_equal(poll(&ready, 1, 60000), 1);
	assert_true(debuginfod_take(f, &result));
	assert_false(debuginfod_take(f, &result));
	return result;
}

static struct debuginfod_result fetch(struct debuginfod_fetcher *f, char *content, size_t bytes)
{
	AUTO_CLOSE int fd = memfd_create("download", MFD_CLOEXEC);

	assert_int_equal(debuginfod_fetch(f, 5, ID, 4, fd), 0);
	struct debuginfod_result result = await(f);
	assert_int_equal(result.id, 5);
	ssize_t n = pread(fd, content, bytes - 1, 0);
	content[n < 0 ? 0 : n] = '\0';
	if (result.err == 0)
		assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)result.bytes);
	else
		assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	return result;
}

static struct debuginfod_result fetch_once(const char *urls, const struct debuginfod_options *more, char *content, size_t bytes)
{
	struct debuginfod_fetcher *f = start(urls, more);
	struct debuginfod_result result = fetch(f, content, bytes);

	debuginfod_stop(f);
	return result;
}

static const char *url(const char *kind)
{
	static char text[128];

	snprintf(text, sizeof(text), "http://127.0.0.1:%d/%s/", plain.port, kind);
	return text;
}

static void fetches(void **state)
{
	char content[256];
	struct debuginfod_fetcher *f = start(url("ok"), NULL);

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct debuginfod_result result = fetch(f, content, sizeof(content));
		assert_int_equal(result.err, 0);
		assert_int_equal(result.bytes, strlen(ANSWER));
		assert_string_equal(content, ANSWER);
	}
	debuginfod_stop(f);
	debuginfod_stop(NULL);
	assert_int_equal(fetch_once(url("moved"), NULL, content, sizeof(content)).err, 0);
	assert_string_equal(content, ANSWER);
}

static void servers_that_have_nothing(void **state)
{
	static const struct {
		const char *kind;
		int err;
		uint32_t retry_after_s;
	} KINDS[] = {{"none", -ENOENT, 0},  {"forbidden", -ENOENT, 0}, {"busy", -EAGAIN, 7}, {"limited", -EAGAIN, 3600},
		     {"loop", -EPROTO, 0}, {"file", -EPROTO, 0},      {"cut", -EAGAIN, 0}};
	char content[256], urls[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
		struct debuginfod_result result = fetch_once(url(KINDS[i].kind), NULL, content, sizeof(content));
		assert_int_equal(result.err, KINDS[i].err);
		assert_int_equal(result.retry_after_s, KINDS[i].retry_after_s);
	}
	/* The next server may have it; one that was not reached may have what the others have not. */
	snprintf(urls, sizeof(urls), "http://127.0.0.1:%d http://127.0.0.1:%d/none file:///etc http://127.0.0.1:%d/ok", NO_PORT, plain.port, plain.port);
	assert_int_equal(fetch_once(urls, NULL, content, sizeof(content)).err, 0);
	assert_string_equal(content, ANSWER);
	snprintf(urls, sizeof(urls), "http://127.0.0.1:%d http://127.0.0.1:%d/none", NO_PORT, plain.port);
	assert_int_equal(fetch_once(urls, NULL, content, sizeof(content)).err, -EAGAIN);
}

static void slow_and_endless_servers(void **state)
{
	struct debuginfod_options too_large = {.max_bytes = 1 << 20, .stall_s = 60, .total_s = 120}, too_slow = {.max_bytes = 1 << 20, .stall_s = 1, .total_s = 3};
	char content[256];

	(void)state;
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
	assert_int_equal(fetch_once(url("endless"), &too_large, content, sizeof(content)).err, -EFBIG);
	assert_int_equal(fetch_once(url("huge"), &too_large, content, sizeof(content)).err, -EFBIG);
	assert_true(clock_ns(CLOCK_MONOTONIC) - start_ns < 30 * SLOWER * NS_PER_S);
	start_ns = clock_ns(CLOCK_MONOTONIC);
	assert_int_equal(fetch_once(url("slow"), &too_slow, content, sizeof(content)).err, -EAGAIN);
	assert_int_equal(fetch_once(url("mute"), &too_slow, content, sizeof(content)).err, -EAGAIN);
	assert_true(clock_ns(CLOCK_MONOTONIC) - start_ns < 40 * SLOWER * NS_PER_S);
}

static void certificates(void **state)
{
	struct debuginfod_options trusting = {0};
	char content[256], text[128], certificate[128];

	(void)state;
	if (!tls.port) {
		print_message("no openssl here\n");
		skip();
	}
	snprintf(certificate, sizeof(certificate), "%s/certificate", folder);
	snprintf(text, sizeof(text), "https://127.0.0.1:%d/ok", tls.port);
	assert_int_equal(fetch_once(text, NULL, content, sizeof(content)).err, -EPROTO);
	trusting.ca_file = certificate;
	assert_int_equal(fetch_once(text, &trusting, content, sizeof(content)).err, 0);
	assert_string_equal(content, ANSWER);
	/* Another name than the certificate's. */
	snprintf(text, sizeof(text), "https://localhost:%d/ok", tls.port);
	assert_int_equal(fetch_once(text, &trusting, content, sizeof(content)).err, -EPROTO);
	/* From https to http. */
	snprintf(text, sizeof(text), "https://127.0.0.1:%d/plain", tls.port);
	assert_int_equal(fetch_once(text, &trusting, content, sizeof(content)).err, -EPROTO);
	snprintf(text, sizeof(text), "https://127.0.0.1:%d/moved", tls.port);
	assert_int_equal(fetch_once(text, &trusting, content, sizeof(content)).err, 0);
}

static void orders_that_are_none(void **state)
{
	struct debuginfod_options options = {.urls = "ftp://a file:///b  "};
	struct debuginfod_fetcher *f = NULL;
	AUTO_CLOSE int fd = memfd_create("download", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(debuginfod_start(&options, &f), -EINVAL);
	options.urls = "";
	assert_int_equal(debuginfod_start(&options, &f), -EINVAL);
	f = start(url("mute"), NULL);
	assert_int_equal(debuginfod_fetch(f, 1, ID, 3, fd), -EINVAL);
	assert_int_equal(debuginfod_fetch(f, 1, ID, 65, fd), -EINVAL);
	assert_int_equal(debuginfod_fetch(f, 1, ID, 4, -1), -EINVAL);
	assert_int_equal(debuginfod_fetch(f, 1, ID, 4, fd), 0);
	assert_int_equal(debuginfod_fetch(f, 2, ID, 4, fd), -EBUSY);
	/* Stopping ends what runs. */
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
	debuginfod_stop(f);
	assert_true(clock_ns(CLOCK_MONOTONIC) - start_ns < 20 * SLOWER * NS_PER_S);
}

/* What the process may not do any more is in its status. */
static void it_has_no_rights(void **state)
{
	AUTO_CLOSE int fd = memfd_create("download", MFD_CLOEXEC);
	char command[1024];

	(void)state;
	if (BARE)
		skip();
	struct debuginfod_fetcher *f = start(url("mute"), NULL);
	assert_int_equal(debuginfod_fetch(f, 1, ID, 4, fd), 0);
	/* Our children's children: the one that downloads, as soon as it has confined itself. */
	snprintf(command, sizeof(command),
		 "for i in $(seq 600); do for p in $(cat /proc/%d/task/*/children); do for q in $(cat /proc/$p/task/*/children 2>/dev/null); do "
		 "grep -E '^(Uid|CapPrm|CapEff|NoNewPrivs|Seccomp):' /proc/$q/status 2>/dev/null; done; done > %s/status; "
		 "grep -q 'Seccomp:.2' %s/status && break; sleep 0.1; done; true", getpid(), folder, folder);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "%s/status", folder);
	FILE *file = fopen(command, "r");
	assert_non_null(file);
	char text[4096] = "";
	size_t n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	debuginfod_stop(f);
	assert_true(n > 0);
	assert_non_null(strstr(text, "CapEff:\t0000000000000000"));
	assert_non_null(strstr(text, "NoNewPrivs:\t1"));
	assert_non_null(strstr(text, "Seccomp:\t2"));
	if (geteuid() == 0)
		assert_non_null(strstr(text, "Uid:\t65534\t65534"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fetches),
		cmocka_unit_test(servers_that_have_nothing),
		cmocka_unit_test(slow_and_endless_servers),
		cmocka_unit_test(certificates),
		cmocka_unit_test(orders_that_are_none),
		cmocka_unit_test(it_has_no_rights),
	};

	return cmocka_run_group_tests(tests, start_servers, end_servers);
}
