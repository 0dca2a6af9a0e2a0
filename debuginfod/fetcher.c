#include "debuginfod/fetcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "debuginfod/download.h"
#include "debuginfod/network_only.h"

#define MAGIC		  0x68666431 /* "hfd1": this version of the messages */
#define MAX_BYTES	  (1ull << 30)
#define CERTIFICATE_BYTES (4u << 20)
#define BUILD_ID_BYTES	  64
#define LOOK_MS		  20
#define GRACE_S		  5 /* behind total_s for each server: then the download is killed */

static const char *const CA_FILES[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

struct order {
	uint32_t magic;
	uint8_t build_id_bytes;
	uint8_t build_id[BUILD_ID_BYTES];
	uint64_t id;
};

struct answer {
	uint32_t magic;
	uint32_t retry_after_s;
	int32_t err;
	uint64_t id, bytes;
};

struct debuginfod_fetcher {
	int socket;
	pid_t pid;
	bool busy;
	uint64_t id;
	uint64_t max_bytes;
};

/* The process that forks one for each download. */
struct server {
	struct download download;
	struct debuginfod_result *result; /* shared with the process of the download */
	int socket;
};

/* --- the process ---------------------------------------------------------------------------------------------------------- */

static void read_certificates(struct server *s)
{
	size_t n = s->download.options.ca_file ? 1 : sizeof(CA_FILES) / sizeof(CA_FILES[0]);

	for (size_t i = 0; i < n && !s->download.servers.certificates; i++) {
		struct stat status;
		AUTO_CLOSE int fd = open(s->download.options.ca_file ? s->download.options.ca_file : CA_FILES[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &status) < 0 || status.st_size <= 0 || status.st_size > CERTIFICATE_BYTES)
			continue;
		char *text = malloc((size_t)status.st_size);
		if (!text || read(fd, text, (size_t)status.st_size) != status.st_size) {
			free(text);
			continue;
		}
		s->download.servers.certificates = text;
		s->download.servers.certificate_bytes = (size_t)status.st_size;
	}
}

/* Returns 1, 0 (the other end is closed), or a negative errno. fd_out: -1 when none came along. */
static int receive_order(int socket, struct order *order_out, int *fd_out)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {order_out, sizeof(*order_out)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	*fd_out = -1;
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd_out, CMSG_DATA(header), sizeof(int));
	return n == (ssize_t)sizeof(*order_out) && order_out->magic == MAGIC ? 1 : -EBADMSG;
}

static void download(struct server *s, const struct order *order, int fd)
{
	struct debuginfod_result result = {.err = -ECHILD};
	char hex[2 * BUILD_ID_BYTES + 1] = "";

	for (uint8_t i = 0; i < order->build_id_bytes; i++)
		snprintf(hex + 2 * i, 3, "%02x", order->build_id[i]);
	if (network_only_enter(&fd, s->download.options.max_bytes, s->download.options.bare) == 0)
		download_run(&s->download, hex, fd, &result);
	*s->result = result;
}

/* Wait for a download's end, or its time-out, or ours: the agent went. Returns 0, -EAGAIN (it took too long), or -ECHILD. */
static int await(struct server *s, pid_t pid)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + (s->download.options.total_s + GRACE_S) * s->download.servers.n * NS_PER_S;
	AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int status, err = -ECHILD;

	for (bool left = true; left;) {
		struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = s->socket, .events = POLLRDHUP}};
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? 0 : -ECHILD;
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
		uint64_t left_ms = now_ns < end_ns ? (end_ns - now_ns) / NS_PER_MS + 1 : 0;
		err = left_ms ? -ECHILD : -EAGAIN;
		/* valgrind knows no pidfd. */
		if (pidfd < 0 && left_ms > LOOK_MS)
			left_ms = LOOK_MS;
		left = left_ms && (poll(fds, 2, (int)left_ms) >= 0 || errno == EINTR) && !fds[1].revents;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return err;
}

static void serve(struct server *s)
{
	struct order order;
	int got;

	for (int fd = -1; (got = receive_order(s->socket, &order, &fd)) != 0; fd = -1) {
		AUTO_CLOSE int file = fd;
		if (got < 0 || file < 0 || order.build_id_bytes > BUILD_ID_BYTES)
			return;
		*s->result = (struct debuginfod_result){.err = -ECHILD};
		pid_t pid = fork();
		if (pid == 0) {
			download(s, &order, take_fd(&file));
			_exit(0);
		}
		int err = pid < 0 ? -EAGAIN : await(s, pid);
		struct answer answer = {.magic = MAGIC, .id = order.id, .err = err, .bytes = 0};
		if (err == 0) {
			answer.err = s->result->err;
			answer.bytes = s->result->bytes;
			answer.retry_after_s = s->result->retry_after_s;
		}
		if (send(s->socket, &answer, sizeof(answer), MSG_NOSIGNAL) != (ssize_t)sizeof(answer))
			return;
	}
}

static int run(struct server *s)
{
	read_certificates(s);
	int err = download_prepare(&s->download.library);
	if (err == 0)
		err = network_only_give_up((int *const[]){&s->socket}, 1);
	s->result = mmap(NULL, sizeof(*s->result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (err == 0 && s->result != MAP_FAILED)
		serve(s);
	return 1;
}

/* --- the caller's side ---------------------------------------------------------------------------------------------------- */

int debuginfod_start(const struct debuginfod_options *options, struct debuginfod_fetcher **fetcher_out)
{
	struct server server = {.download.options = *options};
	struct debuginfod_options *o = &server.download.options;
	int sockets[2];

	o->max_bytes = o->max_bytes ? o->max_bytes : MAX_BYTES;
	o->connect_s = o->connect_s ? o->connect_s : 5;
	o->stall_s = o->stall_s ? o->stall_s : 20;
	o->total_s = o->total_s ? o->total_s : 180;
	download_servers_parse(o->urls, &server.download.servers);
	if (!server.download.servers.n)
		return -EINVAL;
	struct debuginfod_fetcher *f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
		free(f);
		return -errno;
	}
	f->socket = sockets[0];
	f->max_bytes = o->max_bytes;
	f->pid = fork();
	if (f->pid == 0) {
		server.socket = sockets[1];
		_exit(run(&server));
	}
	int err = f->pid < 0 ? -errno : 0;
	close(sockets[1]);
	if (err < 0) {
		close(f->socket);
		free(f);
		return err;
	}
	*fetcher_out = f;
	return 0;
}

int debuginfod_fetch(struct debuginfod_fetcher *f, uint64_t id, const uint8_t *build_id, uint8_t build_id_bytes, int fd)
{
	struct order order = {.magic = MAGIC, .build_id_bytes = build_id_bytes, .id = id};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = {0}};
	struct iovec part = {&order, sizeof(order)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	if (build_id_bytes < 4 || build_id_bytes > BUILD_ID_BYTES || fd < 0)
		return -EINVAL;
	if (f->busy)
		return -EBUSY;
	memcpy(order.build_id, build_id, build_id_bytes);
	control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (sendmsg(f->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(order))
		return errno == EPIPE || errno == ECONNRESET ? -ECHILD : -errno;
	f->busy = true;
	f->id = id;
	return 0;
}

int debuginfod_fd(const struct debuginfod_fetcher *f)
{
	return f->socket;
}

/* What it says is a stranger's word: it talks to the network. */
static bool is_credible(const struct debuginfod_fetcher *f, const struct answer *answer, ssize_t n)
{
	return n == (ssize_t)sizeof(*answer) && answer->magic == MAGIC && answer->id == f->id && answer->bytes <= f->max_bytes &&
	       (answer->err == 0 || answer->err == -ENOENT || answer->err == -EFBIG || answer->err == -EAGAIN || answer->err == -EPROTO ||
		answer->err == -ECHILD);
}

bool debuginfod_take(struct debuginfod_fetcher *f, struct debuginfod_result *result_out)
{
	struct debuginfod_result result = {.id = f->id, .err = -ECHILD};
	struct answer answer;

	ssize_t n = recv(f->socket, &answer, sizeof(answer), MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (!f->busy)
		return false;
	if (is_credible(f, &answer, n)) {
		result.err = answer.err;
		result.bytes = answer.err == 0 ? answer.bytes : 0;
		result.retry_after_s = answer.retry_after_s;
	}
	f->busy = false;
	*result_out = result;
	return true;
}

bool debuginfod_is_dead(const struct debuginfod_fetcher *f)
{
	char byte;

	return recv(f->socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

void debuginfod_stop(struct debuginfod_fetcher *f)
{
	if (!f)
		return;
	close(f->socket);
	/* It ends by itself when its socket closes; one that does not is killed. */
	for (int i = 0; i < 200; i++) {
		if (waitpid(f->pid, NULL, WNOHANG) == f->pid) {
			free(f);
			return;
		}
		struct timespec pause = {.tv_nsec = 5 * (long)NS_PER_MS};
		nanosleep(&pause, NULL);
	}
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	free(f);
}
