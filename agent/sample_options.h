/* The options that say what is sampled and how, of commands with a session of their own: `hearth record`, `hearth top`. */
#ifndef HEARTH_AGENT_SAMPLE_OPTIONS_H
#define HEARTH_AGENT_SAMPLE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/event.h"
#include "agent/name_options.h"

#define SAMPLE_PIDS_MAX 1024

struct sample_options {
	pid_t pids[SAMPLE_PIDS_MAX];
	size_t n_pids;
	struct event event;
	uint64_t rate_hz, period;
	uint64_t unwind_budget_bytes;
	struct name_options naming;
	const char *cgroup;    /* NULL: any */
	const char *host_root; /* NULL: none */
	bool inherit, idle;
	/* What was written, before it is checked as a whole. */
	const char *event_name;
	bool is_all, has_rate, has_period;
};

/* Behind a command's own numbers, before those of name_options.h. */
enum sample_option {
	SAMPLE_OPTION_INHERIT = 512,
	SAMPLE_OPTION_CGROUP,
	SAMPLE_OPTION_IDLE,
	SAMPLE_OPTION_HOST_ROOT,
	SAMPLE_OPTION_UNWIND_BUDGET,
};

/* Entries for getopt_long(), and their letters. */
#define SAMPLE_OPTIONS                                                        \
	{"all", no_argument, NULL, 'a'},                                      \
	{"pid", required_argument, NULL, 'p'},                                \
	{"inherit", no_argument, NULL, SAMPLE_OPTION_INHERIT},                \
	{"cgroup", required_argument, NULL, SAMPLE_OPTION_CGROUP},            \
	{"idle", no_argument, NULL, SAMPLE_OPTION_IDLE},                      \
	{"host-root", required_argument, NULL, SAMPLE_OPTION_HOST_ROOT},      \
	{"freq", required_argument, NULL, 'F'},                               \
	{"event", required_argument, NULL, 'e'},                              \
	{"count", required_argument, NULL, 'c'},                              \
	{"unwind-budget", required_argument, NULL, SAMPLE_OPTION_UNWIND_BUDGET}, \
	NAME_OPTIONS_DEMANGLE,                                                \
	NAME_OPTIONS_CACHE,                                                   \
	NAME_OPTIONS_DEBUGINFOD
#define SAMPLE_LETTERS "ap:F:e:c:"

/* Their lines of --help. */
#define SAMPLE_HELP_WHAT                                                                                                 \
	"  -a, --all                 the whole machine (the default)\n"                                                  \
	"  -p, --pid PID[,PID...]    these processes, with all their threads\n"                                          \
	"      --inherit             ... and the children that they start\n"                                             \
	"      --cgroup PATH         what runs below this cgroup (v2), for example system.slice/ssh.service\n"
#define SAMPLE_HELP_IDLE                                                                                                 \
	"      --idle                also the idle task\n"
#define SAMPLE_HELP_FREQ                                                                                                 \
	"  -F, --freq HZ             samples a second on each CPU (99)\n"
#define SAMPLE_HELP_HOW                                                                                                  \
	"  -e, --event EVENT         cycles, cpu-clock, task-clock, page-faults, context-switches, ... or a tracepoint such as\n" \
	"                            sched:sched_switch (cycles where there is a PMU, else cpu-clock)\n"                 \
	"  -c, --count N             with an event that is not a clock: a sample every N occurrences (1)\n"              \
	"      --unwind-budget BYTES memory in the kernel for the unwind tables of code without frame pointers (64M)\n"  \
	"      --demangle STYLE      names in full, short (without parameters and template arguments), or none: as the linker saw them (full)\n" \
	"      --name-cache DIR      where what debug information says is kept (/var/cache/hearth for root, else ~/.cache/hearth)\n" \
	"      --name-cache-budget BYTES\n"                                                                              \
	"                            of that folder, such as 1G: the least recently used goes first (256M; 0: none is kept)\n" \
	"      --debuginfod URLS     servers of debug files that are not here (DEBUGINFOD_URLS); '' asks none\n"         \
	"      --host-root DIR       where the host's files are, for hearth in a container: /sys/fs/cgroup and /var/log below it\n"

/* With what the environment says. */
void sample_options_init(struct sample_options *o);

/* One of the options above, with its argument in optarg. command: for messages. Returns false after a message, also for what is none of them. */
bool sample_options_take(struct sample_options *o, const char *command, int option);

/* All together, when all were taken: chooses the event. is_command: a command is run and sampled. Returns STATUS_OK, or another status after a message. */
int sample_options_check(struct sample_options *o, const char *command, bool is_command);

/* The processes that -p names, and the cgroup, while they are sampled. */
struct sample_targets {
	int pidfds[SAMPLE_PIDS_MAX]; /* -1: ended */
	size_t n_pids;
	int cgroup_fd; /* -1: none */
};

/* Returns 0 or a negative errno, after a message. */
int sample_targets_open(struct sample_targets *t, const struct sample_options *o);

/* Whether there were processes, and all of them have ended. */
bool sample_targets_ended(struct sample_targets *t);

/* One that was never opened must have pidfds as sample_targets_init() leaves it. */
void sample_targets_init(struct sample_targets *t);
void sample_targets_close(struct sample_targets *t);

struct session_options;
struct zygote;

/* What a session needs to know of them; window and threads are the caller's. All is borrowed. */
void sample_options_session(const struct sample_options *o, const struct sample_targets *t, struct zygote *zygote, struct session_options *options_out);

#endif
