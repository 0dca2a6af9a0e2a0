#include "agent/task_events.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/cpu_list.h"
#include "base/scope.h"

#define RECORD_MAX_BYTES 65536 /* perf_event_header.size is 16 bits */

/* Behind every record: sample_id_all with PERF_SAMPLE_TID | PERF_SAMPLE_TIME. */
struct sample_id {
	uint32_t pid, tid;
	uint64_t time_ns;
};

/* The buffer of one CPU, and the record at its front. */
struct ring {
	int fd; /* -1: none */
	struct perf_event_mmap_page *page;
	uint64_t tail;		   /* first byte not consumed */
	uint64_t head;		   /* first byte not written, as last seen */
	uint64_t time_ns;	   /* of the record at the front */
	uint32_t bytes;		   /* of the record at the front; 0: none is loaded */
};

struct task_events {
	uint64_t buffer_bytes;
	bool build_ids;
	int epoll_fd;
	int n_cpus;
	struct task_events_stats stats;
	uint8_t *copy; /* the record at hand, in one piece and aligned */
	struct ring rings[];
};

static size_t mapped_bytes(const struct task_events *t)
{
	return (size_t)t->buffer_bytes + (size_t)sysconf(_SC_PAGESIZE);
}

static int open_dummy(const struct task_events *t, int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.sample_id_all = 1,
		.mmap = 1,
		.mmap2 = 1,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.build_id = t->build_ids,
		/* A file must be opened before its process is gone: wake for each record; the reader paces itself.
		 * (wakeup_events counts PERF_RECORD_SAMPLE only.) */
		.watermark = 1,
		.wakeup_watermark = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void close_ring(struct task_events *t, struct ring *ring)
{
	if (ring->page)
		munmap(ring->page, mapped_bytes(t));
	if (ring->fd >= 0)
		close(ring->fd);
	*ring = (struct ring){.fd = -1};
}

static int open_ring(struct task_events *t, int cpu)
{
	struct ring *ring = &t->rings[cpu];
	struct epoll_event interest = {.events = EPOLLIN, .data.u32 = (uint32_t)cpu};

	AUTO_CLOSE int fd = open_dummy(t, cpu);
	if (fd == -EINVAL && t->build_ids) {
		t->build_ids = false; /* before 5.12 */
		fd = open_dummy(t, cpu);
	}
	if (fd < 0)
		return fd;
	void *page = mmap(NULL, mapped_bytes(t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	ring->page = page;
	ring->fd = take_fd(&fd);
	if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, ring->fd, &interest) < 0) {
		int err = -errno;
		close_ring(t, ring);
		return err;
	}
	return 0;
}

static int explain(int err, struct why *why)
{
	if (err == -EPERM || err == -EACCES)
		return why_set(why, err,
			       "watching processes was refused: run as root, or give hearth CAP_PERFMON and set "
			       "kernel.perf_event_paranoid to 2 or less");
	if (err == -EMFILE)
		return why_set(why, err, "too many open files for one event on each CPU; raise ulimit -n");
	if (err == -ENOMEM)
		return why_set(why, err, "no memory for the process event buffers; raise kernel.perf_event_mlock_kb");
	return why_set(why, err, "watching processes: %s", strerror(-err));
}

int task_events_open(uint64_t buffer_bytes, struct task_events **events_out, struct why *why)
{
	int n_cpus = libbpf_num_possible_cpus();
	if (n_cpus < 0)
		return why_set(why, n_cpus, "reading the number of CPUs: %s; is /sys mounted?", strerror(-n_cpus));
	struct task_events *t = calloc(1, sizeof(*t) + (size_t)n_cpus * sizeof(t->rings[0]));
	if (!t)
		return why_set(why, -ENOMEM, "out of memory");
	t->buffer_bytes = buffer_bytes;
	t->build_ids = true;
	t->n_cpus = n_cpus;
	for (int cpu = 0; cpu < n_cpus; cpu++)
		t->rings[cpu].fd = -1;
	t->copy = malloc(RECORD_MAX_BYTES);
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	AUTO_FREE bool *online = calloc((size_t)n_cpus, sizeof(*online));
	int err = !t->copy || !online ? -ENOMEM : t->epoll_fd < 0 ? -errno : cpu_list_online(online, n_cpus);
	int opened = 0;
	for (int cpu = 0; err == 0 && cpu < n_cpus; cpu++) {
		if (!online[cpu])
			continue;
		int ring_err = open_ring(t, cpu);
		if (ring_err == 0)
			opened++;
		else if (ring_err != -ENODEV) /* went offline just now */
			err = ring_err;
	}
	if (err == 0 && !opened)
		err = -ENODEV;
	if (err < 0) {
		task_events_close(t);
		return explain(err, why);
	}
	*events_out = t;
	return 0;
}

int task_events_fd(const struct task_events *t)
{
	return t->epoll_fd;
}

static void copy_out(const struct task_events *t, const struct ring *ring, uint64_t from, void *to, size_t bytes)
{
	const uint8_t *data = (const uint8_t *)ring->page + ring->page->data_offset;
	size_t at = from & (t->buffer_bytes - 1), first = t->buffer_bytes - at;

	if (first > bytes)
		first = bytes;
	memcpy(to, data + at, first);
	memcpy((uint8_t *)to + first, data, bytes - first);
}

/* Look at the record at the front of a ring: its size and time. */
static bool load_front(struct task_events *t, struct ring *ring)
{
	struct perf_event_header header;
	struct sample_id id;

	while (!ring->bytes) {
		if (ring->tail == ring->head) {
			ring->head = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
			if (ring->tail == ring->head)
				return false;
		}
		copy_out(t, ring, ring->tail, &header, sizeof(header));
		if (header.size < sizeof(header) || header.size > ring->head - ring->tail) {
			t->stats.malformed++;
			ring->tail = ring->head; /* no way to find the next record */
			__atomic_store_n(&ring->page->data_tail, ring->tail, __ATOMIC_RELEASE);
			continue;
		}
		ring->bytes = header.size;
		ring->time_ns = 0;
		if (header.size >= sizeof(header) + sizeof(id)) {
			copy_out(t, ring, ring->tail + header.size - sizeof(id), &id, sizeof(id));
			ring->time_ns = id.time_ns;
		}
	}
	return true;
}




struct mmap2_record {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t addr, len, pgoff;
	union {
		struct {
			uint32_t maj, min;
			uint64_t ino, ino_generation;
		};
		struct {
			uint8_t build_id_bytes, reserved1;
			uint16_t reserved2;
			uint8_t build_id[20];
		};
	};
	uint32_t prot, flags;
	char filename[];
};

struct comm_record {
	struct perf_event_header header;
	uint32_t pid, tid;
	char comm[];
};

struct task_record_raw { /* FORK and EXIT */
	struct perf_event_header header;
	uint32_t pid, ppid, tid, ptid;
	uint64_t time_ns;
};

struct lost_record {
	struct perf_event_header header;
	uint64_t id, lost;
};

/* Text inside a record ends in a NUL before the trailer. */
static bool text_ends(const char *text, const uint8_t *end)
{
	return (const uint8_t *)text < end && memchr(text, '\0', (size_t)(end - (const uint8_t *)text));
}

static bool decode_mmap(const struct mmap2_record *raw, const uint8_t *end, struct task_record *record)
{
	if (!text_ends(raw->filename, end) || raw->addr + raw->len <= raw->addr)
		return false;
	record->type = TASK_MMAP;
	record->pid = (int32_t)raw->pid;
	record->start = raw->addr;
	record->end = raw->addr + raw->len;
	record->file_offset = raw->pgoff;
	record->text = raw->filename;
	if (raw->header.misc & PERF_RECORD_MISC_MMAP_BUILD_ID) {
		if (raw->build_id_bytes > sizeof(raw->build_id))
			return false;
		record->has_build_id = true;
		record->build_id_bytes = raw->build_id_bytes;
		memcpy(record->build_id, raw->build_id, sizeof(raw->build_id));
	} else {
		record->dev_major = raw->maj;
		record->dev_minor = raw->min;
		record->inode = raw->ino;
		record->inode_generation = raw->ino_generation;
	}
	return true;
}

/* Turn the bytes at hand into a record. Returns 1: hand it over, 0: of no interest, -EBADMSG. */
static int decode(struct task_events *t, uint32_t bytes, struct task_record *record)
{
	const struct perf_event_header *header = (const void *)t->copy;
	const uint8_t *end = t->copy + bytes - sizeof(struct sample_id);
	const struct task_record_raw *task = (const void *)t->copy;
	const struct comm_record *comm = (const void *)t->copy;
	const struct lost_record *lost = (const void *)t->copy;

	if (bytes < sizeof(*header) + sizeof(struct sample_id))
		return -EBADMSG;
	switch (header->type) {
	case PERF_RECORD_LOST:
		if (end < t->copy + sizeof(*lost))
			return -EBADMSG;
		t->stats.lost += lost->lost;
		return 0;
	case PERF_RECORD_FORK:
	case PERF_RECORD_EXIT:
		if (end < t->copy + sizeof(*task))
			return -EBADMSG;
		record->type = header->type == PERF_RECORD_FORK ? TASK_FORK : TASK_EXIT;
		record->pid = (int32_t)task->pid;
		record->parent = (int32_t)task->ppid;
		return task->pid == task->tid && !(header->type == PERF_RECORD_FORK && task->pid == task->ppid);
	case PERF_RECORD_COMM:
		if (end < t->copy + sizeof(*comm) || !text_ends(comm->comm, end))
			return -EBADMSG;
		record->type = TASK_COMM;
		record->pid = (int32_t)comm->pid;
		record->is_exec = header->misc & PERF_RECORD_MISC_COMM_EXEC;
		record->text = comm->comm;
		return comm->pid == comm->tid;
	case PERF_RECORD_MMAP2:
		if (end < t->copy + sizeof(struct mmap2_record) ||
		    !decode_mmap((const void *)t->copy, end, record))
			return -EBADMSG;
		return 1;
	default:
		return 0;
	}
}

static void consume_front(struct task_events *t, struct ring *ring, task_record_fn fn, void *context)
{
	struct task_record record = {.time_ns = ring->time_ns};

	copy_out(t, ring, ring->tail, t->copy, ring->bytes);
	int wanted = decode(t, ring->bytes, &record);
	ring->tail += ring->bytes;
	ring->bytes = 0;
	/* What was copied may be overwritten. */
	__atomic_store_n(&ring->page->data_tail, ring->tail, __ATOMIC_RELEASE);
	t->stats.records++;
	if (wanted < 0)
		t->stats.malformed++;
	if (wanted > 0)
		fn(context, &record);
}

bool task_events_read(struct task_events *t, uint64_t until_ns, task_record_fn fn, void *context)
{
	struct epoll_event ready[16];

	/* Clear the wake-ups first: a record that comes from now on wakes again. */
	while (epoll_wait(t->epoll_fd, ready, 16, 0) == 16)
		;
	for (;;) {
		struct ring *first = NULL;
		for (int cpu = 0; cpu < t->n_cpus; cpu++) {
			struct ring *ring = &t->rings[cpu];
			if (ring->fd < 0 || !load_front(t, ring))
				continue;
			if (!first || ring->time_ns < first->time_ns)
				first = ring;
		}
		if (!first)
			return false;
		if (first->time_ns > until_ns)
			return true;
		consume_front(t, first, fn, context);
	}
}

void task_events_follow(struct task_events *t, bool again)
{
	AUTO_FREE bool *online = calloc((size_t)t->n_cpus, sizeof(*online));

	if (!online || cpu_list_online(online, t->n_cpus) < 0)
		return;
	for (int cpu = 0; cpu < t->n_cpus; cpu++) {
		bool open = t->rings[cpu].fd >= 0;
		if (open && (!online[cpu] || again)) {
			close_ring(t, &t->rings[cpu]);
			/* What happened while nobody looked is read from /proc when it is needed. */
			t->stats.lost++;
			open = false;
		}
		if (!open && online[cpu])
			open_ring(t, cpu);
	}
}

void task_events_stats(const struct task_events *t, struct task_events_stats *stats_out)
{
	*stats_out = t->stats;
}

void task_events_close(struct task_events *t)
{
	if (!t)
		return;
	for (int cpu = 0; cpu < t->n_cpus; cpu++)
		close_ring(t, &t->rings[cpu]);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	free(t->copy);
	free(t);
}
