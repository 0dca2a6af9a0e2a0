#include "symbolizer/name_service.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/protocol.h"
#include "symbolizer/worker_link.h"

#define WALL_S		60
#define TABLE_MAX_BYTES (512ull << 20)
#define QUESTION_MAX	(sizeof(struct ask_request) + 2 * DEBUG_ASK_TEXT_MAX)

struct name_service {
	struct name_service_callbacks callbacks;
	struct worker_link link;
	int epoll_fd, timer_fd;
	bool is_busy;
	enum message_kind kind; /* of what it is busy with: MESSAGE_COMPILE, MESSAGE_DEBUG_ONLY */
	uint64_t image_id;
	uint64_t serial;
	unsigned asks;
};

static int set_timer(struct name_service *s, time_t seconds)
{
	struct itimerspec when = {.it_value = {.tv_sec = seconds}};

	return timerfd_settime(s->timer_fd, 0, &when, NULL) < 0 ? -errno : 0;
}

static int watch(struct name_service *s, int fd)
{
	struct epoll_event interest = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &interest) < 0 ? -errno : 0;
}

int name_service_create(struct zygote *zygote, const struct name_service_callbacks *callbacks, struct name_service **service_out)
{
	struct name_service *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->callbacks = *callbacks;
	worker_link_init(&s->link, zygote, ZYGOTE_COMPILER, QUESTION_MAX + sizeof(struct name_compile_stats));
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int err = s->epoll_fd < 0 || s->timer_fd < 0 ? -errno : watch(s, s->timer_fd);
	if (err < 0) {
		name_service_destroy(s);
		return err;
	}
	*service_out = s;
	return 0;
}

void name_service_hurry(struct name_service *s)
{
	s->link.job = ZYGOTE_COMPILER_NOW;
}

bool name_service_is_busy(const struct name_service *s)
{
	return s->is_busy;
}

int name_service_fd(const struct name_service *s)
{
	return s->epoll_fd;
}

/* The process has no work any more, whether it knows or not. Closing its socket takes it out of the epoll set. */
static void end_work(struct name_service *s, bool failed)
{
	s->is_busy = false;
	set_timer(s, 0);
	if (failed)
		worker_link_fail(&s->link);
	else
		worker_link_close(&s->link);
}

static int start(struct name_service *s, enum message_kind kind, uint64_t image_id, int fd, const struct iovec *parts, size_t n_parts)
{
	struct message_head head = {.kind = (uint16_t)kind};
	bool is_new;

	if (s->is_busy)
		return -EBUSY;
	head.serial = ++s->serial;
	int err = worker_link_open(&s->link, &is_new);
	if (err < 0)
		return err;
	err = watch(s, s->link.channel.fd);
	if (err == 0)
		err = channel_send(&s->link.channel, &head, parts, n_parts, &fd, 1, false);
	if (err == 0)
		err = set_timer(s, WALL_S);
	if (err < 0) {
		end_work(s, false);
		return err;
	}
	s->is_busy = true;
	s->kind = kind;
	s->image_id = image_id;
	s->asks = 0;
	return 0;
}

int name_service_start(struct name_service *s, uint64_t image_id, int fd, const uint64_t *wanted, size_t n_wanted)
{
	struct compile_request request = {.image_id = image_id, .has_wanted = wanted != NULL};
	const struct iovec parts[] = {{&request, sizeof(request)}, {(void *)(uintptr_t)wanted, wanted ? n_wanted * sizeof(*wanted) : 0}};

	return start(s, MESSAGE_COMPILE, image_id, fd, parts, 2);
}

int name_service_start_debug(struct name_service *s, uint64_t image_id, int fd, uint64_t bytes_max)
{
	struct debug_only_request request = {.image_id = image_id, .bytes_max = bytes_max < TABLE_MAX_BYTES ? bytes_max : TABLE_MAX_BYTES};
	const struct iovec part = {&request, sizeof(request)};

	return start(s, MESSAGE_DEBUG_ONLY, image_id, fd, &part, 1);
}

/* --- work ------------------------------------------------------------------------------------------------------- */

static void call_back(struct name_service *s, int err, int fd, const struct name_compile_stats *stats, const struct debug_only *debug)
{
	if (s->kind == MESSAGE_COMPILE)
		s->callbacks.done(s->callbacks.context, s->image_id, err, fd, stats);
	else
		s->callbacks.debug_done(s->callbacks.context, s->image_id, err, fd, debug);
}

/* It died, or says what cannot be. */
static void fail(struct name_service *s, int err)
{
	end_work(s, true);
	int status = s->link.last_status;
	bool over_time = err == -ETIME || (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
	call_back(s, over_time ? -ETIME : -ECHILD, -1, &(struct name_compile_stats){0}, &(struct debug_only){0});
}

static int answer_question(struct name_service *s, const struct message *m)
{
	struct message_head head = {.serial = m->head.serial, .kind = MESSAGE_ASK};
	struct asked_file asked;
	AUTO_CLOSE int fd = -1;

	if (m->n_fds || asked_file_decode(m->payload, m->head.payload_bytes, &asked) < 0 || s->asks++ == DEBUG_ASKS_MAX)
		return -EBADMSG;
	head.result = s->callbacks.open ? s->callbacks.open(s->callbacks.context, s->image_id, &asked.ask, asked.nth, &fd) : -ENOENT;
	if (head.result == 0 && fd < 0)
		head.result = -ENOENT;
	return channel_send(&s->link.channel, &head, NULL, 0, &fd, head.result == 0, false);
}

/* What was written by somebody else may be no bool at all. */
static bool are_bools(const struct name_compile_stats *stats)
{
	static const size_t BOOLS[] = {
		offsetof(struct name_compile_stats, has_debug_file), offsetof(struct name_compile_stats, has_dwarf),
		offsetof(struct name_compile_stats, has_go),	     offsetof(struct name_compile_stats, has_minidebug),
		offsetof(struct name_compile_stats, lacks_debug_file),
	};

	for (size_t i = 0; i < sizeof(BOOLS) / sizeof(BOOLS[0]); i++)
		if (((const uint8_t *)stats)[BOOLS[i]] > 1)
			return false;
	return true;
}

static bool read_stats(const struct message *m, struct name_compile_stats *stats_out)
{
	if (m->head.payload_bytes != sizeof(*stats_out))
		return false;
	memcpy(stats_out, m->payload, sizeof(*stats_out));
	return are_bools(stats_out);
}

/* The hash becomes text in a message. */
static bool read_debug_only(const struct message *m, struct debug_only *debug_out)
{
	const uint8_t *bytes = m->payload;

	if (m->head.payload_bytes != sizeof(*debug_out) || bytes[offsetof(struct debug_only, has_dwarf)] > 1 ||
	    bytes[offsetof(struct debug_only, has_symbols)] > 1)
		return false;
	memcpy(debug_out, bytes, sizeof(*debug_out));
	if (m->head.result)
		return true;
	return strnlen(debug_out->hash, sizeof(debug_out->hash)) == sizeof(debug_out->hash) - 1 &&
	       strspn(debug_out->hash, "0123456789abcdef") == sizeof(debug_out->hash) - 1 &&
	       sealed_bytes(m->fds[0], TABLE_MAX_BYTES) == (int64_t)debug_out->bytes;
}

/* The process's last word. */
static int take_result(struct name_service *s, struct message *m)
{
	struct name_compile_stats stats = {0};
	struct debug_only debug = {0};

	if (m->head.result > 0 || m->head.result < -4095 || m->n_fds != (m->head.result == 0) ||
	    (m->n_fds && sealed_bytes(m->fds[0], TABLE_MAX_BYTES) < 0))
		return -EBADMSG;
	if (s->kind == MESSAGE_COMPILE ? !read_stats(m, &stats) : !read_debug_only(m, &debug))
		return -EBADMSG;
	/* These two are ours to say. */
	int result = m->head.result == -ETIME || m->head.result == -ECHILD ? -EBADMSG : m->head.result;
	end_work(s, false);
	call_back(s, result, m->n_fds ? take_fd(&m->fds[0]) : -1, &stats, &debug);
	return 0;
}

static void read_message(struct name_service *s)
{
	struct message m;

	int err = channel_receive(&s->link.channel, 0, &m);
	if (err == 0) {
		if (m.head.serial != s->serial)
			err = -EBADMSG;
		else if (m.head.kind == MESSAGE_ASK)
			err = answer_question(s, &m);
		else
			err = m.head.kind == s->kind ? take_result(s, &m) : -EBADMSG;
		message_close(&m);
	}
	if (err < 0)
		fail(s, err);
}

void name_service_work(struct name_service *s)
{
	struct epoll_event ready[2];

	int n = epoll_wait(s->epoll_fd, ready, 2, 0);
	for (int i = 0; i < n && s->is_busy; i++) {
		if (ready[i].data.fd == s->timer_fd)
			fail(s, -ETIME);
		else if (ready[i].data.fd == s->link.channel.fd)
			read_message(s);
	}
}

uint64_t name_service_cpu_ns(const struct name_service *s)
{
	return worker_link_cpu_ns(&s->link);
}

void name_service_destroy(struct name_service *s)
{
	if (!s)
		return;
	worker_link_deinit(&s->link);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->timer_fd >= 0)
		close(s->timer_fd);
	free(s);
}
