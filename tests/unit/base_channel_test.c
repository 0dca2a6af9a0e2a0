/* base/channel.c: what goes through, and what it refuses. */
#include "base/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"

#define KIND 2

static const struct channel_rules RULES = {.version = 7, .kinds = 4, .fds_max = 3, .detail_max = 5};

static void heads(void **state)
{
	const struct message_head good = {.version = 7, .kind = KIND, .payload_bytes = 8, .n_fds = 1, .detail = 5};
	struct message_head bad;

	(void)state;
	assert_int_equal(message_head_check(&good, &RULES, sizeof(good) + 8, 1, 100), 0);
	assert_int_equal(message_head_check(&good, &RULES, sizeof(good) + 8, 2, 100), 0); /* what was not announced is closed */
	assert_int_equal(message_head_check(&good, &RULES, sizeof(good) + 8, 0, 100), -EBADMSG);
	assert_int_equal(message_head_check(&good, &RULES, sizeof(good) + 7, 1, 100), -EBADMSG);
	assert_int_equal(message_head_check(&good, &RULES, sizeof(good) + 8, 1, 7), -EBADMSG);
	assert_int_equal(message_head_check(&good, &RULES, sizeof(good) - 1, 1, 100), -EBADMSG);
#define BAD(...)                                                                                          \
	do {                                                                                              \
		bad = good;                                                                               \
		__VA_ARGS__;                                                                              \
		assert_int_equal(message_head_check(&bad, &RULES, sizeof(bad) + 8, 200, 100), -EBADMSG); \
	} while (0)
	BAD(bad.version++);
	BAD(bad.kind = 0);
	BAD(bad.kind = 4);
	BAD(bad.detail = 6);
	BAD(bad.by_fd = 2);
	BAD(bad.by_fd = 1); /* with a payload in the datagram as well */
	BAD(bad.n_fds = 4);
	bad = good;
	bad.by_fd = 1;
	assert_int_equal(message_head_check(&bad, &RULES, sizeof(bad), 1, 100), 0);
	bad.n_fds = 0;
	assert_int_equal(message_head_check(&bad, &RULES, sizeof(bad), 1, 100), -EBADMSG);
}

static void open_pair(struct channel *a, struct channel *b)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(channel_init(a, pair[0], &RULES, 1 << 20), 0);
	assert_int_equal(channel_init(b, pair[1], &RULES, 1 << 20), 0);
}

static void payloads(void **state)
{
	static const size_t SIZES[] = {0, 1, CHANNEL_INLINE_MAX, CHANNEL_INLINE_MAX + 1, 1 << 20};
	AUTO_FREE uint8_t *bytes = malloc(1 << 20);
	struct channel a, b;
	struct message m;

	(void)state;
	open_pair(&a, &b);
	for (size_t i = 0; i < 1 << 20; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 257);
	for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
		struct message_head head = {.kind = KIND, .serial = i};
		const struct iovec part = {bytes, SIZES[i]};
		assert_int_equal(channel_send(&a, &head, &part, 1, (int[]){a.fd}, 1, true), 0);
		assert_int_equal(channel_receive(&b, clock_ns(CLOCK_MONOTONIC) + 60 * NS_PER_S, &m), 0);
		assert_int_equal(m.head.serial, i);
		assert_int_equal(m.n_fds, 1);
		assert_true(fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC);
		assert_int_equal(m.head.payload_bytes, SIZES[i]);
		assert_int_equal(m.mapped != NULL, SIZES[i] > CHANNEL_INLINE_MAX);
		if (SIZES[i])
			assert_memory_equal(m.payload, bytes, SIZES[i]);
		message_close(&m);
	}
	assert_int_equal(channel_receive(&b, clock_ns(CLOCK_MONOTONIC) + NS_PER_MS, &m), -ETIME);
	assert_int_equal(send(a.fd, "short", 5, 0), 5);
	assert_int_equal(channel_receive(&b, 0, &m), -EBADMSG);
	struct message_head head = {.kind = KIND};
	assert_int_equal(channel_send(&a, &head, NULL, 0, (int[]){-1}, 1, true), -EBADF);
	/* Over what the receiver takes. */
	b.payload_max = 10;
	assert_int_equal(channel_send(&a, &head, &(struct iovec){bytes, 11}, 1, NULL, 0, true), 0);
	assert_int_equal(channel_receive(&b, 0, &m), -EBADMSG);
	assert_int_equal(b.descriptors_extra, 0);
	channel_deinit(&a);
	assert_int_equal(channel_receive(&b, 0, &m), -EPIPE);
	assert_int_equal(channel_send(&b, &head, NULL, 0, NULL, 0, true), -EPIPE);
	channel_deinit(&b);
}

static void seals(void **state)
{
	static const unsigned EACH[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_SEAL};
	AUTO_CLOSE int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(sealed_bytes(file, UINT64_MAX), -EBADMSG);
	assert_int_equal(sealed_bytes(-1, UINT64_MAX), -EBADMSG);
	for (size_t i = 0; i < 4; i++) {
		AUTO_CLOSE int fd = memfd_create("memfd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(ftruncate(fd, 100), 0);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, CHANNEL_SEALS & ~EACH[i]), 0);
		assert_int_equal(sealed_bytes(fd, UINT64_MAX), -EBADMSG);
	}
	AUTO_CLOSE int fd = memfd_create("memfd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, CHANNEL_SEALS), 0);
	assert_int_equal(sealed_bytes(fd, 100), 100);
	assert_int_equal(sealed_bytes(fd, 99), -E2BIG);
	void *mapped = NULL;
	size_t n = 0;
	assert_int_equal(sealed_map(fd, 99, &mapped, &n), -E2BIG);
	assert_int_equal(sealed_map(file, 99, &mapped, &n), -EBADMSG);
	assert_null(mapped);
	assert_int_equal(sealed_map(fd, 100, &mapped, &n), 0);
	assert_int_equal(n, 100);
	assert_int_equal(munmap(mapped, n), 0);
}

static unsigned count_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A datagram as somebody else would make it. */
static void send_raw(int fd, const struct message_head *head, const int *fds, size_t n_fds)
{
	char control[CMSG_SPACE(sizeof(int) * 8)] __attribute__((aligned(8))) = {0};
	struct iovec part = {(void *)(uintptr_t)head, sizeof(*head)};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (n_fds) {
		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(rights), fds, sizeof(int) * n_fds);
	}
	assert_int_equal(sendmsg(fd, &header, 0), sizeof(*head));
}

/* What was not announced is closed and counted; a payload that is not sealed, or not as large as it says, is none. */
static void foreign(void **state)
{
	struct message_head head = {.version = 7, .kind = KIND, .n_fds = 1};
	AUTO_CLOSE int unsealed = memfd_create("memfd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct channel a, b;
	struct message m;

	(void)state;
	open_pair(&a, &b);
	assert_int_equal(ftruncate(unsealed, 100), 0);
	unsigned before = count_descriptors();
	send_raw(a.fd, &head, (int[]){0, 1, 2}, 3);
	assert_int_equal(channel_receive(&b, 0, &m), 0);
	assert_int_equal(m.n_fds, 1);
	assert_int_equal(b.descriptors_extra, 2);
	message_close(&m);
	head.by_fd = 1;
	head.payload_bytes = 100;
	send_raw(a.fd, &head, &unsealed, 1);
	assert_int_equal(channel_receive(&b, 0, &m), -EBADMSG);
	assert_int_equal(fcntl(unsealed, F_ADD_SEALS, CHANNEL_SEALS), 0);
	head.payload_bytes = 99;
	send_raw(a.fd, &head, &unsealed, 1);
	assert_int_equal(channel_receive(&b, 0, &m), -EBADMSG);
	head.payload_bytes = 100;
	head.kind = 9;
	send_raw(a.fd, &head, &unsealed, 1);
	assert_int_equal(channel_receive(&b, 0, &m), -EBADMSG);
	head.kind = KIND;
	send_raw(a.fd, &head, &unsealed, 1);
	assert_int_equal(channel_receive(&b, 0, &m), 0);
	assert_int_equal(m.n_fds, 0);
	message_close(&m);
	assert_int_equal(count_descriptors(), before);
	channel_deinit(&a);
	channel_deinit(&b);
}

/* A reader that is slow: nobody waits who does not want to. */
static void full(void **state)
{
	static uint8_t bytes[1000];
	const struct iovec part = {bytes, sizeof(bytes)};
	struct iovec many[CHANNEL_PARTS_MAX + 1] = {{0}};
	struct message_head head = {.kind = KIND};
	struct channel a, b;
	struct message m;
	int err, fds[CHANNEL_FDS_MAX] = {0};

	(void)state;
	open_pair(&a, &b);
	assert_int_equal(channel_send(&a, &head, many, CHANNEL_PARTS_MAX + 1, NULL, 0, false), -E2BIG);
	assert_int_equal(channel_send(&a, &head, NULL, 0, fds, CHANNEL_FDS_MAX, false), -E2BIG);
	while ((err = channel_send(&a, &head, &part, 1, NULL, 0, false)) == 0)
		;
	assert_int_equal(err, -EAGAIN);
	assert_int_equal(channel_receive(&b, 1, &m), 0);
	message_close(&m);
	while (channel_receive(&b, 1, &m) == 0)
		message_close(&m);
	assert_int_equal(channel_send(&a, &head, &part, 1, NULL, 0, false), 0);
	channel_deinit(&a);
	channel_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads), cmocka_unit_test(payloads), cmocka_unit_test(seals), cmocka_unit_test(foreign), cmocka_unit_test(full),
	};

	return cmocka_run_group_tests_name("base/channel", tests, NULL, NULL);
}
