#include "agent/event.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scope.h"

static const struct {
	const char *name;
	uint64_t config;
	bool is_time, is_clock;
} SOFTWARE[] = {
	{"cpu-clock", PERF_COUNT_SW_CPU_CLOCK, true, true},
	{"task-clock", PERF_COUNT_SW_TASK_CLOCK, true, false},
	{"page-faults", PERF_COUNT_SW_PAGE_FAULTS, false, false},
	{"faults", PERF_COUNT_SW_PAGE_FAULTS, false, false},
	{"minor-faults", PERF_COUNT_SW_PAGE_FAULTS_MIN, false, false},
	{"major-faults", PERF_COUNT_SW_PAGE_FAULTS_MAJ, false, false},
	{"context-switches", PERF_COUNT_SW_CONTEXT_SWITCHES, false, false},
	{"cs", PERF_COUNT_SW_CONTEXT_SWITCHES, false, false},
	{"cpu-migrations", PERF_COUNT_SW_CPU_MIGRATIONS, false, false},
	{"migrations", PERF_COUNT_SW_CPU_MIGRATIONS, false, false},
	{"alignment-faults", PERF_COUNT_SW_ALIGNMENT_FAULTS, false, false},
	{"emulation-faults", PERF_COUNT_SW_EMULATION_FAULTS, false, false},
};

static const char *const NAMES[] = {"cycles",	    "cpu-clock",	"task-clock",	  "page-faults",
				    "minor-faults", "major-faults",	"context-switches", "cpu-migrations",
				    "alignment-faults", "emulation-faults", NULL};

const char *const *event_names(void)
{
	return NAMES;
}

static int probe_open(uint32_t type, uint64_t config)
{
	struct perf_event_attr attr = {.size = sizeof(attr), .type = type, .config = config, .disabled = 1};
	/* Our own process on any CPU: needs no privilege where the counter exists. */
	AUTO_CLOSE int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

bool event_has_cycles(void)
{
	return probe_open(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES) == 0;
}

/* A tracefs of our own that no mount namespace sees: works where nobody mounted it, and leaves nothing behind. */
static int detached_tracefs(void)
{
	AUTO_CLOSE int fs = fsopen("tracefs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int mount_fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return mount_fd < 0 ? -errno : mount_fd;
}

static int read_id(int tracefs, const char *path, uint64_t *id_out)
{
	char text[32];
	AUTO_CLOSE int fd = openat(tracefs, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	text[n] = '\0';
	*id_out = strtoull(text, NULL, 10);
	return 0;
}

static int find_tracepoint(const char *name, struct event *event)
{
	const char *colon = strchr(name, ':');
	char path[2 * EVENT_NAME_MAX];

	/* The name becomes a path: nothing that could leave the folder. */
	if (strchr(name, '/') || strstr(name, "..") || strchr(colon + 1, ':'))
		return -ENOENT;
	snprintf(path, sizeof(path), "events/%.*s/%s/id", (int)(colon - name), name, colon + 1);
	AUTO_CLOSE int tracefs = open("/sys/kernel/tracing", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (tracefs < 0 || faccessat(tracefs, "events", F_OK, 0) < 0) {
		if (tracefs >= 0)
			close(tracefs);
		tracefs = detached_tracefs();
		if (tracefs < 0)
			return tracefs;
	}
	event->type = PERF_TYPE_TRACEPOINT;
	return read_id(tracefs, path, &event->config);
}

int event_find(const char *name, struct event *event_out)
{
	struct event event = {0};

	if (!name)
		name = event_has_cycles() ? "cycles" : "cpu-clock";
	if (strlen(name) >= sizeof(event.name))
		return -ENOENT;
	strcpy(event.name, name);
	if (strcmp(name, "cycles") == 0) {
		event.type = PERF_TYPE_HARDWARE;
		event.config = PERF_COUNT_HW_CPU_CYCLES;
		event.is_time = true;
		int err = probe_open(event.type, event.config);
		if (err == -ENOENT || err == -EOPNOTSUPP || err == -ENODEV)
			return -EOPNOTSUPP;
		*event_out = event;
		return 0;
	}
	for (size_t i = 0; i < sizeof(SOFTWARE) / sizeof(SOFTWARE[0]); i++) {
		if (strcmp(name, SOFTWARE[i].name) != 0)
			continue;
		event.type = PERF_TYPE_SOFTWARE;
		event.config = SOFTWARE[i].config;
		event.is_time = SOFTWARE[i].is_time;
		event.is_clock = SOFTWARE[i].is_clock;
		*event_out = event;
		return 0;
	}
	if (!strchr(name, ':'))
		return -ENOENT;
	int err = find_tracepoint(name, &event);
	if (err < 0)
		return err;
	*event_out = event;
	return 0;
}
