#include "web/query_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"

#define LIST_MAX (QUERIES_WAITING_MAX + QUERIES_AT_ONCE)

struct entry {
	uint64_t serial, begin_ns;
	uint8_t *payload; /* NULL: it runs */
	size_t n;
	int fd; /* of the body */
	void *asker;
	bool is_cancelled;
};

struct query_queue {
	struct channel channel;
	query_result_fn *fn;
	void *context;
	uint64_t serial;
	struct entry list[LIST_MAX]; /* by serial: those that run come first */
	size_t n;
	struct query_queue_stats stats;
};

int query_queue_create(int socket, query_result_fn *fn, void *context, struct query_queue **queue_out)
{
	struct query_queue *q = calloc(1, sizeof(*q));

	if (!q) {
		close(socket);
		return -ENOMEM;
	}
	int err = channel_init(&q->channel, socket, &QUERY_RULES, QUERY_PAYLOAD_MAX);
	if (err < 0) {
		free(q);
		return err;
	}
	q->fn = fn;
	q->context = context;
	*queue_out = q;
	return 0;
}

static void remove_entry(struct query_queue *q, size_t i)
{
	free(q->list[i].payload);
	if (q->list[i].fd >= 0)
		close(q->list[i].fd);
	memmove(&q->list[i], &q->list[i + 1], (q->n - i - 1) * sizeof(q->list[0]));
	q->n--;
}

static size_t count_running(const struct query_queue *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->n; i++)
		n += !q->list[i].payload;
	return n;
}

/* Hand over those whose turn it is. */
static int start_some(struct query_queue *q)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < q->n && count_running(q) < QUERIES_AT_ONCE; i++) {
		struct entry *e = &q->list[i];
		struct message_head head = {.kind = QUERY_RUN, .serial = e->serial};
		if (!e->payload)
			continue;
		err = channel_send(&q->channel, &head, &(struct iovec){e->payload, e->n}, 1, &e->fd, 1, true);
		free(e->payload);
		e->payload = NULL;
	}
	return err;
}

int query_queue_add(struct query_queue *q, const struct web_request *request, bool wants_gzip, void *asker, uint64_t *serial_out)
{
	AUTO_CLOSE int fd = -1;
	struct entry e = {.begin_ns = clock_ns(CLOCK_MONOTONIC), .asker = asker};

	if (q->n == LIST_MAX) {
		q->stats.refused++;
		return -EBUSY;
	}
	fd = memfd_create("answer", MFD_CLOEXEC);
	int err = fd < 0 ? -errno : query_encode(request, wants_gzip, &e.payload, &e.n);
	if (err < 0)
		return err;
	e.serial = ++q->serial;
	e.fd = take_fd(&fd);
	q->list[q->n++] = e;
	*serial_out = e.serial;
	return start_some(q);
}

void query_queue_cancel(struct query_queue *q, uint64_t serial)
{
	struct message_head head = {.kind = QUERY_CANCEL, .serial = serial};

	for (size_t i = 0; i < q->n; i++) {
		struct entry *e = &q->list[i];
		if (e->serial != serial)
			continue;
		if (e->payload) {
			q->stats.outcomes[QUERY_CANCELLED]++;
			remove_entry(q, i);
			return;
		}
		e->is_cancelled = true;
		channel_send(&q->channel, &head, NULL, 0, NULL, 0, true);
		return;
	}
}

void query_queue_state(struct query_queue *q, const char *text, size_t n)
{
	struct message_head head = {.kind = QUERY_STATE};

	channel_send(&q->channel, &head, &(struct iovec){(void *)(uintptr_t)text, n}, 1, NULL, 0, true);
}

int query_queue_fd(const struct query_queue *q)
{
	return q->channel.fd;
}

uint64_t query_queue_due_ns(const struct query_queue *q)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->list[i].payload)
			return q->list[i].begin_ns + QUERY_PATIENCE_NS;
	return UINT64_MAX;
}

static int take_done(struct query_queue *q, const struct message *m)
{
	struct query_done done;
	struct stat status;
	size_t i = 0;

	if (m->head.kind != QUERY_DONE || m->n_fds || query_done_check(m->payload, m->head.payload_bytes, &done) < 0)
		return -EBADMSG;
	while (i < q->n && q->list[i].serial != m->head.serial)
		i++;
	if (i == q->n || q->list[i].payload)
		return -EBADMSG;
	struct entry *e = &q->list[i];
	q->stats.outcomes[e->is_cancelled ? QUERY_CANCELLED : done.outcome]++;
	q->stats.cpu_ns = done.cpu_ns;
	q->stats.peak_bytes = done.peak_bytes;
	if (!e->is_cancelled) {
		struct query_result result = {.done = &done, .fd = -1};
		if (fstat(e->fd, &status) == 0 && status.st_size >= 0 && (uint64_t)status.st_size <= QUERY_ANSWER_MAX) {
			result.bytes = (uint64_t)status.st_size;
			result.fd = take_fd(&e->fd);
		}
		void *asker = e->asker;
		remove_entry(q, i);
		q->fn(q->context, asker, &result);
	} else {
		remove_entry(q, i);
	}
	return 0;
}

static void end_late(struct query_queue *q)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	const struct query_result late = {.is_late = true, .fd = -1};

	for (size_t i = 0; i < q->n;) {
		struct entry *e = &q->list[i];
		if (!e->payload || e->begin_ns + QUERY_PATIENCE_NS > now_ns) {
			i++;
			continue;
		}
		void *asker = e->asker;
		q->stats.late++;
		remove_entry(q, i);
		q->fn(q->context, asker, &late);
	}
}

int query_queue_work(struct query_queue *q)
{
	struct message m;
	int err;

	while ((err = channel_receive(&q->channel, 1, &m)) == 0) {
		err = take_done(q, &m);
		message_close(&m);
		if (err < 0)
			break;
	}
	if (err != -ETIME)
		return -EPIPE;
	end_late(q);
	return start_some(q) < 0 ? -EPIPE : 0;
}

void query_queue_stats(const struct query_queue *q, struct query_queue_stats *stats_out)
{
	*stats_out = q->stats;
	stats_out->running = (unsigned)count_running(q);
	stats_out->waiting = (unsigned)(q->n - stats_out->running);
}

void query_queue_destroy(struct query_queue *q)
{
	if (!q)
		return;
	while (q->n)
		remove_entry(q, q->n - 1);
	channel_deinit(&q->channel);
	free(q);
}
