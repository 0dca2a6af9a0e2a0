#include "base/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"

#define DATAGRAM_MAX (sizeof(struct message_head) + CHANNEL_INLINE_MAX)
#define KERNEL_FDS_MAX 253 /* SCM_MAX_FD: no message brings more */

int channel_init(struct channel *c, int fd, const struct channel_rules *rules, uint64_t payload_max)
{
	*c = (struct channel){.fd = fd, .rules = *rules, .payload_max = payload_max};
	c->buffer = malloc(DATAGRAM_MAX);
	if (c->buffer)
		return 0;
	channel_deinit(c);
	return -ENOMEM;
}

void channel_deinit(struct channel *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	free(c->buffer);
	c->buffer = NULL;
}

int64_t sealed_bytes(int fd, uint64_t max)
{
	struct stat status;

	/* Of what is not a memfd F_GET_SEALS fails, and a file of tmpfs has F_SEAL_SEAL alone. */
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & CHANNEL_SEALS) != CHANNEL_SEALS || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size < 0)
		return -EBADMSG;
	return (uint64_t)status.st_size > max ? -E2BIG : (int64_t)status.st_size;
}

int message_head_check(const struct message_head *head, const struct channel_rules *rules, size_t n_bytes, size_t n_fds, uint64_t payload_max)
{
	if (n_bytes < sizeof(*head) || head->version != rules->version || !head->kind || head->kind >= rules->kinds || head->by_fd > 1 ||
	    head->detail > rules->detail_max || head->n_fds > n_fds || head->n_fds > rules->fds_max || head->n_fds > CHANNEL_FDS_MAX ||
	    head->by_fd > head->n_fds || head->payload_bytes > payload_max)
		return -EBADMSG;
	if (head->by_fd)
		return n_bytes == sizeof(*head) ? 0 : -EBADMSG;
	return n_bytes - sizeof(*head) == head->payload_bytes ? 0 : -EBADMSG;
}

int sealed_map(int fd, uint64_t max, void **bytes_out, size_t *n_out)
{
	int64_t bytes = sealed_bytes(fd, max);

	if (bytes <= 0)
		return bytes < 0 ? (int)bytes : -EBADMSG;
	void *mapped = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (mapped == MAP_FAILED)
		return -errno;
	*bytes_out = mapped;
	*n_out = (size_t)bytes;
	return 0;
}

/* --- sending ---------------------------------------------------------------------------------------------------- */

int sealed_create(const struct iovec *parts, size_t n, int *fd_out)
{
	AUTO_CLOSE int fd = memfd_create("hearth", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < n; i++) {
		for (size_t at = 0; at < parts[i].iov_len;) {
			ssize_t written = write(fd, (const uint8_t *)parts[i].iov_base + at, parts[i].iov_len - at);
			if (written <= 0)
				return written < 0 ? -errno : -EIO;
			at += (size_t)written;
		}
	}
	if (fcntl(fd, F_ADD_SEALS, CHANNEL_SEALS) < 0)
		return -errno;
	*fd_out = take_fd(&fd);
	return 0;
}

static int send_datagram(int fd, struct iovec *parts, size_t n_parts, const int *fds, size_t n_fds, bool wait)
{
	char control[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)] __attribute__((aligned(8))) = {0};
	struct msghdr header = {.msg_iov = parts, .msg_iovlen = n_parts};

	if (n_fds) {
		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *message = CMSG_FIRSTHDR(&header);
		message->cmsg_level = SOL_SOCKET;
		message->cmsg_type = SCM_RIGHTS;
		message->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(message), fds, sizeof(int) * n_fds);
	}
	ssize_t sent;
	do
		sent = sendmsg(fd, &header, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
	return 0;
}

int channel_send(const struct channel *c, struct message_head *head, const struct iovec *parts, size_t n_parts, const int *fds,
		 size_t n_fds, bool wait)
{
	struct iovec datagram[CHANNEL_PARTS_MAX + 1] = {{head, sizeof(*head)}};
	int with[CHANNEL_FDS_MAX];
	AUTO_CLOSE int payload_fd = -1;
	size_t bytes = 0;

	if (n_parts > CHANNEL_PARTS_MAX || n_fds > CHANNEL_FDS_MAX - 1)
		return -E2BIG;
	for (size_t i = 0; i < n_parts; i++)
		bytes += parts[i].iov_len;
	if (n_fds)
		memcpy(with, fds, n_fds * sizeof(with[0]));
	head->version = c->rules.version;
	head->payload_bytes = bytes;
	head->by_fd = bytes > CHANNEL_INLINE_MAX;
	head->n_fds = (uint16_t)(n_fds + head->by_fd);
	if (!head->by_fd) {
		if (n_parts)
			memcpy(datagram + 1, parts, n_parts * sizeof(parts[0]));
		return send_datagram(c->fd, datagram, n_parts + 1, with, n_fds, wait);
	}
	int err = sealed_create(parts, n_parts, &payload_fd);
	if (err < 0)
		return err;
	with[n_fds] = payload_fd;
	return send_datagram(c->fd, datagram, 1, with, n_fds + 1, wait);
}

/* --- receiving -------------------------------------------------------------------------------------------------- */

static int wait_readable(int fd, uint64_t deadline_ns)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	for (;;) {
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
		struct timespec left = {(time_t)(left_ns / NS_PER_S), (long)(left_ns % NS_PER_S)};
		int n = ppoll(&ready, 1, &left, NULL);
		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIME;
		if (errno != EINTR)
			return -errno;
	}
}

/* All descriptors that came, whatever was announced. */
static size_t take_descriptors(struct msghdr *header, int fds[KERNEL_FDS_MAX])
{
	size_t n = 0;

	for (struct cmsghdr *message = CMSG_FIRSTHDR(header); message; message = CMSG_NXTHDR(header, message)) {
		if (message->cmsg_level != SOL_SOCKET || message->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (message->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count && n < KERNEL_FDS_MAX; i++)
			memcpy(&fds[n++], CMSG_DATA(message) + i * sizeof(int), sizeof(int));
	}
	return n;
}

static int map_payload(struct message *m, int fd, uint64_t max)
{
	size_t bytes;
	void *mapped;

	int err = sealed_map(fd, max, &mapped, &bytes);
	if (err < 0)
		return err == -E2BIG ? -EBADMSG : err;
	m->mapped = mapped;
	m->mapped_bytes = bytes;
	m->payload = mapped;
	return bytes == m->head.payload_bytes ? 0 : -EBADMSG;
}

/* The descriptors and the payload of a datagram of n bytes. fds: taken over. */
static int open_message(struct channel *c, size_t n, int *fds, size_t n_fds, struct message *m)
{
	int err = 0;

	memcpy(&m->head, c->buffer, n < sizeof(m->head) ? n : sizeof(m->head));
	err = message_head_check(&m->head, &c->rules, n, n_fds, c->payload_max);
	size_t announced = err < 0 ? 0 : m->head.n_fds;
	for (size_t i = announced; i < n_fds; i++)
		close(fds[i]);
	c->descriptors_extra += n_fds - announced;
	if (err < 0)
		return err;
	m->n_fds = announced - m->head.by_fd;
	memcpy(m->fds, fds, m->n_fds * sizeof(m->fds[0]));
	m->payload = c->buffer + sizeof(m->head) / sizeof(c->buffer[0]);
	if (!m->head.by_fd)
		return 0;
	err = map_payload(m, fds[m->n_fds], c->payload_max);
	close(fds[m->n_fds]);
	return err;
}

int channel_receive(struct channel *c, uint64_t deadline_ns, struct message *message_out)
{
	char control[CMSG_SPACE(sizeof(int) * KERNEL_FDS_MAX)] __attribute__((aligned(8)));
	struct iovec part = {c->buffer, DATAGRAM_MAX};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct message message = {0};
	int fds[KERNEL_FDS_MAX];
	ssize_t n;

	int err = deadline_ns ? wait_readable(c->fd, deadline_ns) : 0;
	if (err < 0)
		return err;
	do
		n = recvmsg(c->fd, &header, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	size_t n_fds = take_descriptors(&header, fds);
	if (n == 0 && !n_fds)
		return -EPIPE;
	err = open_message(c, (size_t)n, fds, n_fds, &message);
	if (err == 0 && header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		err = -EBADMSG;
	if (err < 0) {
		message_close(&message);
		return err;
	}
	*message_out = message;
	return 0;
}

void message_close(struct message *m)
{
	for (size_t i = 0; i < m->n_fds; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	m->n_fds = 0;
	if (m->mapped)
		munmap(m->mapped, m->mapped_bytes);
	m->mapped = NULL;
}

int channel_take_all(struct channel *c, int (*take)(void *context, const struct message *m), void *context)
{
	struct message m;
	int err = 0;

	while (c->fd >= 0 && (err = channel_receive(c, 1, &m)) == 0) { /* a deadline that is over */
		err = take(context, &m);
		message_close(&m);
		if (err < 0)
			break;
	}
	if (err == 0 || err == -ETIME)
		return 0;
	channel_deinit(c);
	return err;
}
