#include "symbolizer/worker_link.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/protocol.h"

#define MINUTE_NS (60 * NS_PER_S)

void worker_link_init(struct worker_link *l, struct zygote *zygote, unsigned job, uint64_t payload_max)
{
	*l = (struct worker_link){.zygote = zygote, .job = job, .payload_max = payload_max, .channel.fd = -1};
}

static void end_process(struct worker_link *l)
{
	l->ended_cpu_ns += worker_link_used_ns(l);
	l->descriptors_extra += l->channel.descriptors_extra;
	channel_deinit(&l->channel);
	if (zygote_end(l->zygote, l->pid, &l->last_status) < 0)
		l->last_status = -1;
	l->pid = 0;
}

int worker_link_open(struct worker_link *l, bool *is_new_out)
{
	int socket;

	*is_new_out = false;
	if (l->pid)
		return 0;
	if (clock_ns(CLOCK_MONOTONIC) < l->pause_end_ns) {
		l->pauses++;
		return -ECHILD;
	}
	int err = zygote_fork(l->zygote, l->job, &socket, &l->pid);
	if (err < 0) {
		l->pauses++;
		return -ECHILD;
	}
	err = channel_init(&l->channel, socket, &PROTOCOL_RULES, l->payload_max);
	if (err < 0) {
		end_process(l);
		return -ECHILD;
	}
	*is_new_out = true;
	return 0;
}

static void count_death(struct worker_link *l, uint64_t now_ns)
{
	if (now_ns - l->minute_ns > MINUTE_NS) {
		if (l->deaths <= WORKER_DEATHS_MAX)
			l->pause_ns = 0;
		l->minute_ns = now_ns;
		l->deaths = 0;
	}
	if (++l->deaths <= WORKER_DEATHS_MAX && !l->pause_ns)
		return;
	l->pause_ns = l->pause_ns ? 2 * l->pause_ns : WORKER_PAUSE_FIRST_NS;
	if (l->pause_ns > WORKER_PAUSE_LONGEST_NS)
		l->pause_ns = WORKER_PAUSE_LONGEST_NS;
	l->pause_end_ns = now_ns + l->pause_ns;
}

void worker_link_fail(struct worker_link *l)
{
	if (!l->pid)
		return;
	end_process(l);
	l->restarts++;
	count_death(l, clock_ns(CLOCK_MONOTONIC));
}

uint64_t worker_link_used_ns(const struct worker_link *l)
{
	clockid_t clock;

	return l->pid && clock_getcpuclockid(l->pid, &clock) == 0 ? clock_ns(clock) : 0;
}

uint64_t worker_link_cpu_ns(const struct worker_link *l)
{
	return l->ended_cpu_ns + worker_link_used_ns(l);
}

/* Source: proc(5), /proc/PID/stat: the state is behind the name, which is in brackets and may have some itself; ours has none. */
bool worker_link_is_runnable(const struct worker_link *l)
{
	char path[64], state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", l->pid);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	return file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && state == 'R';
}

/* Source: Documentation/scheduler/sched-stats.rst, "/proc/<pid>/schedstat": time on the CPU, time waiting for it, times run. */
uint64_t worker_link_starved_ns(const struct worker_link *l)
{
	uint64_t ran_ns, waited_ns;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/schedstat", l->pid);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	if (!file || fscanf(file, "%" SCNu64 " %" SCNu64, &ran_ns, &waited_ns) != 2)
		return 0;
	return waited_ns;
}

void worker_link_close(struct worker_link *l)
{
	if (l->pid)
		end_process(l);
}

void worker_link_deinit(struct worker_link *l)
{
	worker_link_close(l);
}
