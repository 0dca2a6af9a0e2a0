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

int name_service_start(struct name_service *s, uint64_t image_id, int fd, const uint64_t *wanted, size_t n_wanted)
{
	struct compile_request request = {.image_id = image_id, .has_wanted = wanted != NULL};
	struct message_head head = {.kind = MESSAGE_COMPILE};
	const struct iovec parts[] = {{&request, sizeof(request)}, {(void *)(uintptr_t)wanted, wanted ? n_wanted * sizeof(*wanted) : 0}};
	bool is_new;

	if (s->is_busy)
		return -EBUSY;
	head.serial = ++s->serial;
	int err = worker_link_open(&s->link, &is_new);
	if (err < 0)
		return err;
	err = watch(s, s->link.channel.fd);
	if (err == 0)
		err = channel_send(&s->link.channel, &head, parts, 2, &fd, 1, false);
	if (err == 0)
		err = set_timer(s, WALL_S);
	if (err < 0) {
		end_work(s, false);
		return err;
	}
	s->is_busy = true;
	s->image_id = image_id;
	s->asks = 0;
	return 0;
}

/* --- work ------------------------------------------------------------------------------------------------------- */

/* It died, or says what cannot be. */
static void fail(struct name_service *s, int err)
{
	end_work(s, true);
	int status = s->link.last_status;
	bool over_time = err == -ETIME || (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
	s->callbacks.done(s->callbacks.context, s->image_id, over_time ? -ETIME : -ECHILD, -1, &(struct name_compile_stats){0});
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

/* The process's last word. */
static int take_table(struct name_service *s, struct message *m)
{
	struct name_compile_stats stats;

	if (m->head.payload_bytes != sizeof(stats) || m->head.result > 0 || m->head.result < -4095 || m->n_fds != (m->head.result == 0) ||
	    (m->n_fds && sealed_bytes(m->fds[0], TABLE_MAX_BYTES) < 0))
		return -EBADMSG;
	memcpy(&stats, m->payload, sizeof(stats));
	if (!are_bools(&stats))
		return -EBADMSG;
	/* These two are ours to say. */
	int result = m->head.result == -ETIME || m->head.result == -ECHILD ? -EBADMSG : m->head.result;
	end_work(s, false);
	s->callbacks.done(s->callbacks.context, s->image_id, result, m->n_fds ? take_fd(&m->fds[0]) : -1, &stats);
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
			err = m.head.kind == MESSAGE_COMPILE ? take_table(s, &m) : -EBADMSG;
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
