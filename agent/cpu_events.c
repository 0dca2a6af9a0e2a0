#include "agent/cpu_events.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/cpu_list.h"
#include "base/clock.h"
#include "base/scope.h"


struct cpu_event {
	int fd; /* -1: not sampled */
	/* Ticks expected up to the last change of rate or descriptor, and the event's reading then. */
	uint64_t expected_base;
	uint64_t reading_base;
	uint64_t last_enabled_ns; /* for cpu_events_is_dead() */
};

struct cpu_events {
	struct event event;
	uint64_t rate_hz;
	uint64_t period;
	int program_fd;
	int n_cpus;
	bool is_paused;
	struct cpu_event cpus[];
};

/* With PERF_FORMAT_TOTAL_TIME_ENABLED. Source: perf_event_open(2). */
struct reading {
	uint64_t value;
	uint64_t enabled_ns;
};

int cpu_events_create(const struct event *event, uint64_t rate_hz, uint64_t period, int program_fd, int n_cpus,
		      struct cpu_events **events_out)
{
	struct cpu_events *e = calloc(1, sizeof(*e) + (size_t)n_cpus * sizeof(e->cpus[0]));
	if (!e)
		return -ENOMEM;
	e->event = *event;
	e->rate_hz = rate_hz;
	e->period = period;
	e->program_fd = program_fd;
	e->n_cpus = n_cpus;
	for (int cpu = 0; cpu < n_cpus; cpu++)
		e->cpus[cpu].fd = -1;
	*events_out = e;
	return 0;
}

static int open_event(struct cpu_events *e, int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = e->event.type,
		.config = e->event.config,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED,
		.disabled = e->is_paused,
	};
	if (e->event.is_time) {
		attr.freq = 1;
		attr.sample_freq = e->rate_hz;
	} else {
		attr.sample_period = e->period;
	}
	AUTO_CLOSE int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, e->program_fd) < 0)
		return -errno;
	return take_fd(&fd);
}

static bool take_reading(const struct cpu_event *c, struct reading *reading_out)
{
	return c->fd >= 0 && read(c->fd, reading_out, sizeof(*reading_out)) == (ssize_t)sizeof(*reading_out);
}

uint64_t cpu_events_expected(struct cpu_events *e, int cpu)
{
	struct cpu_event *c = &e->cpus[cpu];
	struct reading now;

	if (e->event.is_time && !e->event.is_clock)
		return 0;
	if (!take_reading(c, &now))
		return c->expected_base;
	if (e->event.is_clock)
		/* As the kernel's swevent hrtimer: whole periods of 1e9 / freq ns. */
		return c->expected_base + (now.enabled_ns - c->reading_base) / (NS_PER_S / e->rate_hz);
	return c->expected_base + (now.value - c->reading_base) / e->period;
}

/* Carry what was expected so far over a change of rate or descriptor. */
static void rebase(struct cpu_events *e, int cpu)
{
	struct cpu_event *c = &e->cpus[cpu];
	struct reading now;

	c->expected_base = cpu_events_expected(e, cpu);
	c->reading_base = 0;
	if (take_reading(c, &now))
		c->reading_base = e->event.is_clock ? now.enabled_ns : now.value;
}

static void close_event(struct cpu_events *e, int cpu)
{
	struct cpu_event *c = &e->cpus[cpu];

	if (c->fd < 0)
		return;
	c->expected_base = cpu_events_expected(e, cpu);
	c->reading_base = 0;
	close(c->fd);
	c->fd = -1;
}

static int explain_open(const struct cpu_events *e, int err, struct why *why)
{
	switch (err) {
	case -EPERM:
	case -EACCES:
		return why_set(why, err,
			       "opening the event '%s' was refused: run as root, or give hearth CAP_PERFMON and set "
			       "kernel.perf_event_paranoid to 2 or less (CAP_SYS_ADMIN otherwise)",
			       e->event.name);
	case -ENOENT:
	case -EOPNOTSUPP:
	case -ENODEV:
		return why_set(why, err, "this machine cannot sample on '%s'; try -e cpu-clock", e->event.name);
	case -EINVAL:
		return why_set(why, err,
			       "the kernel refuses '%s' at this rate; lower -F, or raise kernel.perf_event_max_sample_rate",
			       e->event.name);
	case -EMFILE:
		return why_set(why, err, "too many open files for one event on each CPU; raise ulimit -n");
	default:
		return why_set(why, err, "opening the event '%s': %s", e->event.name, strerror(-err));
	}
}

int cpu_events_follow(struct cpu_events *e, struct why *why)
{
	AUTO_FREE bool *online = calloc((size_t)e->n_cpus, sizeof(*online));
	int opened = 0, last_err = -ENODEV;

	if (!online)
		return why_set(why, -ENOMEM, "out of memory");
	int err = cpu_list_online(online, e->n_cpus);
	if (err < 0)
		return why_set(why, err, "reading /sys/devices/system/cpu/online: %s; is /sys mounted?", strerror(-err));
	for (int cpu = 0; cpu < e->n_cpus; cpu++) {
		if (!online[cpu]) {
			close_event(e, cpu);
			continue;
		}
		if (e->cpus[cpu].fd >= 0)
			continue;
		int fd = open_event(e, cpu);
		if (fd < 0) {
			last_err = fd;
			continue;
		}
		e->cpus[cpu].fd = fd;
		e->cpus[cpu].last_enabled_ns = UINT64_MAX;
		opened++;
	}
	if (cpu_events_open_count(e) == 0)
		return explain_open(e, last_err, why);
	return opened;
}

int cpu_events_reopen(struct cpu_events *e, int cpu)
{
	close_event(e, cpu);
	int fd = open_event(e, cpu);
	if (fd < 0)
		return fd;
	e->cpus[cpu].fd = fd;
	e->cpus[cpu].last_enabled_ns = UINT64_MAX;
	return 0;
}

int cpu_events_set_rate(struct cpu_events *e, uint64_t rate_hz)
{
	int result = 0;

	if (!e->event.is_time || rate_hz == e->rate_hz)
		return 0;
	for (int cpu = 0; cpu < e->n_cpus; cpu++)
		rebase(e, cpu);
	e->rate_hz = rate_hz;
	/* PERF_EVENT_IOC_PERIOD would keep the running hrtimer's phase wrong for one old period; a new event is as cheap. */
	for (int cpu = 0; cpu < e->n_cpus; cpu++) {
		if (e->cpus[cpu].fd < 0)
			continue;
		close(e->cpus[cpu].fd);
		e->cpus[cpu].reading_base = 0;
		e->cpus[cpu].fd = open_event(e, cpu);
		if (e->cpus[cpu].fd < 0) {
			result = e->cpus[cpu].fd;
			e->cpus[cpu].fd = -1;
		}
	}
	return result;
}

void cpu_events_disable(struct cpu_events *e)
{
	for (int cpu = 0; cpu < e->n_cpus; cpu++)
		if (e->cpus[cpu].fd >= 0)
			ioctl(e->cpus[cpu].fd, PERF_EVENT_IOC_DISABLE, 0);
}

void cpu_events_pause(struct cpu_events *e, bool is_paused)
{
	e->is_paused = is_paused;
	for (int cpu = 0; cpu < e->n_cpus; cpu++)
		if (e->cpus[cpu].fd >= 0)
			ioctl(e->cpus[cpu].fd, is_paused ? PERF_EVENT_IOC_DISABLE : PERF_EVENT_IOC_ENABLE, 0);
}

bool cpu_events_is_dead(struct cpu_events *e, int cpu)
{
	struct cpu_event *c = &e->cpus[cpu];
	struct reading now;

	if (e->is_paused || !take_reading(c, &now))
		return false;
	bool dead = now.enabled_ns == c->last_enabled_ns;
	c->last_enabled_ns = now.enabled_ns;
	return dead;
}

int cpu_events_open_count(const struct cpu_events *e)
{
	int count = 0;

	for (int cpu = 0; cpu < e->n_cpus; cpu++)
		count += e->cpus[cpu].fd >= 0;
	return count;
}

void cpu_events_close(struct cpu_events *e)
{
	if (!e)
		return;
	for (int cpu = 0; cpu < e->n_cpus; cpu++)
		if (e->cpus[cpu].fd >= 0)
			close(e->cpus[cpu].fd);
	free(e);
}
