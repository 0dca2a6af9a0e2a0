#include "agent/sample_options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/arguments.h"
#include "agent/rate_limit.h"
#include "agent/session.h"
#include "agent/unwinder.h"
#include "base/scope.h"

#define RATE_DEFAULT 99

void sample_options_init(struct sample_options *o)
{
	*o = (struct sample_options){.rate_hz = RATE_DEFAULT, .period = 1, .unwind_budget_bytes = UNWIND_BUDGET_DEFAULT};
	name_options_init(&o->naming);
}

bool sample_options_take(struct sample_options *o, const char *command, int option)
{
	switch (option) {
	case 'a':
		o->is_all = true;
		return true;
	case 'p':
		return argument_pids("-p", optarg, o->pids, SAMPLE_PIDS_MAX, &o->n_pids);
	case 'F':
		o->has_rate = true;
		return argument_uint("-F", optarg, 1, 1000000, &o->rate_hz);
	case 'c':
		o->has_period = true;
		return argument_uint("-c", optarg, 1, INT64_MAX, &o->period);
	case 'e':
		o->event_name = optarg;
		return true;
	case SAMPLE_OPTION_INHERIT:
		o->inherit = true;
		return true;
	case SAMPLE_OPTION_CGROUP:
		o->cgroup = optarg;
		return true;
	case SAMPLE_OPTION_IDLE:
		o->idle = true;
		return true;
	case SAMPLE_OPTION_HOST_ROOT:
		return argument_folder("--host-root", optarg, &o->host_root);
	case SAMPLE_OPTION_UNWIND_BUDGET:
		return argument_bytes("--unwind-budget", optarg, UNWIND_BUDGET_MIN, UNWIND_BUDGET_MAX, &o->unwind_budget_bytes);
	default:
		if (option >= NAME_OPTION_DEMANGLE)
			return name_options_take(&o->naming, command, option);
		fprintf(stderr, "hearth: see 'hearth %s --help'\n", command);
		return false;
	}
}

static int choose_event(struct sample_options *o, const char *command)
{
	const char *name = o->event_name ? o->event_name : "cycles or cpu-clock";

	int err = event_find(o->event_name, &o->event);
	if (err == -ENOENT)
		return usage_error(command, "there is no event '%s' here; perf's software events, cycles and tracepoints "
					    "(subsystem:name) are known", name);
	if (err == -EOPNOTSUPP) {
		fprintf(stderr, "hearth: this machine has no '%s' counter; use -e cpu-clock\n", name);
		return STATUS_FAILED;
	}
	if (err < 0) {
		fprintf(stderr, "hearth: looking up the event '%s': %s; run as root\n", name, strerror(-err));
		return STATUS_FAILED;
	}
	if (o->event.is_time && o->has_period)
		return usage_error(command, "-c is for events that are not clocks; use -F with '%s'", o->event.name);
	if (!o->event.is_time && o->has_rate)
		return usage_error(command, "-F is for clocks; use -c with '%s'", o->event.name);
	return STATUS_OK;
}

static int check_rate(const struct sample_options *o)
{
	uint64_t limit = rate_limit_hz();

	if (!o->event.is_time || o->rate_hz <= limit)
		return STATUS_OK;
	fprintf(stderr,
		"hearth: -F %" PRIu64 " is above this machine's limit of %" PRIu64
		" Hz; use -F %" PRIu64 ", or raise it: sysctl kernel.perf_event_max_sample_rate=%" PRIu64 "\n",
		o->rate_hz, limit, limit, o->rate_hz);
	return STATUS_FAILED;
}

int sample_options_check(struct sample_options *o, const char *command, bool is_command)
{
	if (o->is_all && (o->n_pids || is_command || o->cgroup))
		return usage_error(command, "-a contradicts -p, --cgroup and a command");
	if (o->inherit && !o->n_pids && !is_command)
		return usage_error(command, "--inherit goes with -p");
	if (o->idle && (o->n_pids || is_command || o->cgroup))
		return usage_error(command, "--idle is for the whole machine");
	int status = choose_event(o, command);
	return status ? status : check_rate(o);
}

/* --- targets --------------------------------------------------------------------------------------------------- */

void sample_targets_init(struct sample_targets *t)
{
	t->n_pids = 0;
	t->cgroup_fd = -1;
}

/* -p takes processes. The id of a thread is told apart, because it would sample nothing. */
static int check_pid(pid_t pid)
{
	char path[64], line[256];
	int tgid = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	if (!file) {
		fprintf(stderr, "hearth: there is no process %d; 'ps -e' lists them\n", pid);
		return -ESRCH;
	}
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Tgid: %d", &tgid) == 1)
			break;
	if (tgid == pid)
		return 0;
	fprintf(stderr, "hearth: %d is a thread of process %d; use -p %d, which samples all its threads\n", pid, tgid, tgid);
	return -ESRCH;
}

static int open_pids(struct sample_targets *t, const struct sample_options *o)
{
	for (size_t i = 0; i < o->n_pids; i++)
		t->pidfds[i] = -1;
	t->n_pids = o->n_pids;
	for (size_t i = 0; i < o->n_pids; i++) {
		pid_t pid = o->pids[i];
		int err = check_pid(pid);
		if (err < 0)
			return err;
		t->pidfds[i] = (int)syscall(SYS_pidfd_open, pid, 0);
		if (t->pidfds[i] < 0) {
			fprintf(stderr, "hearth: watching process %d: %s\n", pid, strerror(errno));
			return -errno;
		}
	}
	return 0;
}

static int open_cgroup(struct sample_targets *t, const char *name)
{
	static const char *const ROOTS[] = {"", "/sys/fs/cgroup/", "/sys/fs/cgroup/unified/"};
	char path[4096];

	if (!name)
		return 0;
	for (size_t i = 0; i < sizeof(ROOTS) / sizeof(ROOTS[0]); i++) {
		snprintf(path, sizeof(path), "%s%s/cgroup.procs", ROOTS[i], name);
		/* The file tells a cgroup from any other folder. */
		if (access(path, F_OK) < 0)
			continue;
		*strrchr(path, '/') = '\0';
		t->cgroup_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (t->cgroup_fd >= 0)
			return 0;
	}
	fprintf(stderr, "hearth: there is no cgroup (v2) '%s'; 'systemd-cgls' or 'ls /sys/fs/cgroup' lists them\n", name);
	return -ENOENT;
}

int sample_targets_open(struct sample_targets *t, const struct sample_options *o)
{
	int err = open_pids(t, o);

	return err < 0 ? err : open_cgroup(t, o->cgroup);
}

bool sample_targets_ended(struct sample_targets *t)
{
	bool any = false;

	for (size_t i = 0; i < t->n_pids; i++) {
		struct pollfd ended = {.fd = t->pidfds[i], .events = POLLIN};
		if (t->pidfds[i] >= 0 && poll(&ended, 1, 0) > 0) {
			close(t->pidfds[i]);
			t->pidfds[i] = -1;
		}
		any = any || t->pidfds[i] >= 0;
	}
	return t->n_pids && !any;
}

void sample_targets_close(struct sample_targets *t)
{
	for (size_t i = 0; i < t->n_pids; i++)
		if (t->pidfds[i] >= 0)
			close(t->pidfds[i]);
	if (t->cgroup_fd >= 0)
		close(t->cgroup_fd);
	sample_targets_init(t);
}

void sample_options_session(const struct sample_options *o, const struct sample_targets *t, struct zygote *zygote, struct session_options *options_out)
{
	*options_out = (struct session_options){
		.sampler = {.event = o->event,
			    .rate_hz = o->rate_hz,
			    .period = o->period,
			    .sample_idle = o->idle,
			    .only_targets = o->n_pids > 0,
			    .inherit = o->inherit,
			    .unwind_budget_bytes = o->unwind_budget_bytes,
			    .cgroup_fd = t->cgroup_fd},
		.zygote = zygote,
		.demangle = o->naming.demangle,
		.name_cache = o->naming.cache,
		.name_cache_bytes = o->naming.cache_bytes,
		.host_root = o->host_root,
		.debuginfod_urls = o->naming.debuginfod_urls,
	};
}
