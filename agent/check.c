#include "agent/check.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent_options.h"
#include "agent/arguments.h"
#include "agent/cgroup_names.h"
#include "agent/event.h"
#include "agent/folders_only.h"
#include "agent/store_folder.h"
#include "base/json_writer.h"
#include "base/scope.h"
#include "symbolizer/confine_probe.h"
#include "symbolizer/zygote.h"

#define RESULTS_MAX	   24
#define STORE_SPACE	   (1ull << 30) /* --store-bytes, unless somebody says less */
#define PID_NS_INITIAL	   0xEFFFFFFCu /* PROC_PID_INIT_INO, include/linux/proc_ns.h */

struct checks {
	struct check_result *results;
	size_t n;
};

__attribute__((format(printf, 4, 5))) static struct check_result *add(struct checks *c, const char *topic,
								       enum check_state state, const char *format, ...)
{
	static struct check_result overflow;
	struct check_result *r = c->n < RESULTS_MAX ? &c->results[c->n++] : &overflow;
	va_list arguments;

	r->topic = topic;
	r->state = state;
	r->remedy[0] = '\0';
	va_start(arguments, format);
	vsnprintf(r->found, sizeof(r->found), format, arguments);
	va_end(arguments);
	return r;
}

static void remedy(struct check_result *r, const char *text)
{
	snprintf(r->remedy, sizeof(r->remedy), "%s", text);
}

/* A number in a file of /proc or /sys; fallback when it cannot be read. */
static long long number_in(const char *path, long long fallback)
{
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	long long value;

	return file && fscanf(file, "%lld", &value) == 1 ? value : fallback;
}

static uint64_t effective_capabilities(void)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	uint64_t bits = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "CapEff: %" SCNx64, &bits) == 1)
			break;
	return bits;
}

static bool has(uint64_t bits, int capability)
{
	return bits >> capability & 1;
}

static void check_kernel(struct checks *c)
{
	struct utsname name;

	uname(&name);
	struct check_result *r = add(c, "kernel", CHECK_OK, "Linux %.60s, %.20s", name.release, name.machine);
	if (strcmp(name.machine, "x86_64") != 0) {
		r->state = CHECK_LACK;
		remedy(r, "this version samples x86-64 only");
	}
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		add(c, "type information", CHECK_OK, "/sys/kernel/btf/vmlinux");
	else
		remedy(add(c, "type information", CHECK_LACK, "no /sys/kernel/btf/vmlinux"),
		       "use a kernel with CONFIG_DEBUG_INFO_BTF=y; all of Debian's have it");
}

/* What each capability is for: SAFETY.md, "Capabilities". */
static void check_capabilities(struct checks *c)
{
	static const struct {
		int capability;
		const char *name, *without;
	} WANTED[] = {
		{CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "other users' processes have no names"},
		{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "other users' files have no names"},
		{CAP_SYSLOG, "CAP_SYSLOG", "kernel functions have no names"},
		{CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE", "deleted files have no names"},
	};
	uint64_t bits = effective_capabilities();
	bool admin = has(bits, CAP_SYS_ADMIN);
	bool sample = admin || (has(bits, CAP_BPF) && has(bits, CAP_PERFMON));

	if (sample)
		add(c, "capabilities", CHECK_OK, "%s", admin ? "CAP_SYS_ADMIN" : "CAP_BPF, CAP_PERFMON");
	else
		remedy(add(c, "capabilities", CHECK_LACK, "neither CAP_BPF and CAP_PERFMON nor CAP_SYS_ADMIN"),
		       "run as root: sudo hearth check");
	for (size_t i = 0; i < sizeof(WANTED) / sizeof(WANTED[0]); i++) {
		bool there = has(bits, WANTED[i].capability) ||
			     (WANTED[i].capability == CAP_CHECKPOINT_RESTORE && admin);
		if (there)
			continue;
		struct check_result *r = add(c, "capabilities", CHECK_NOTE, "no %s", WANTED[i].name);
		snprintf(r->remedy, sizeof(r->remedy), "%s; run as root, or add the capability", WANTED[i].without);
	}
}

static void check_perf(struct checks *c)
{
	long long paranoid = number_in("/proc/sys/kernel/perf_event_paranoid", -2);
	uint64_t bits = effective_capabilities();
	struct perf_event_attr attr = {
		.size = sizeof(attr), .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK, .disabled = 1};

	AUTO_CLOSE int fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	int err = fd < 0 ? errno : 0;
	if (!err)
		add(c, "perf events", CHECK_OK, "allowed (kernel.perf_event_paranoid = %lld)", paranoid);
	else if (err == ENOSYS)
		remedy(add(c, "perf events", CHECK_LACK, "not in this kernel"), "use a kernel with CONFIG_PERF_EVENTS=y");
	else
		remedy(add(c, "perf events", CHECK_LACK, "refused: %s (kernel.perf_event_paranoid = %lld)", strerror(err),
			   paranoid),
		       has(bits, CAP_PERFMON) ? "sysctl kernel.perf_event_paranoid=2, or run as root" : "run as root");
	if (event_has_cycles())
		add(c, "sampling event", CHECK_OK, "cycles");
	else
		add(c, "sampling event", CHECK_OK, "cpu-clock (no hardware counter here)");
	long long rate = number_in("/proc/sys/kernel/perf_event_max_sample_rate", -1);
	struct check_result *r = add(c, "highest rate", rate >= 0 && rate < 997 ? CHECK_NOTE : CHECK_OK, "%lld Hz", rate);
	if (r->state == CHECK_NOTE)
		remedy(r, "the kernel lowered it; sysctl kernel.perf_event_max_sample_rate=100000 raises it");
	attr.build_id = 1;
	attr.config = PERF_COUNT_SW_DUMMY;
	attr.mmap = attr.mmap2 = 1;
	AUTO_CLOSE int build_ids = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (build_ids >= 0 || errno == EINVAL)
		add(c, "build ids", CHECK_OK, "%s", build_ids >= 0 ? "told by the kernel" : "read from files (kernel before 5.12)");
}

static void check_bpf(struct checks *c)
{
	static const struct {
		enum bpf_func_id id;
		const char *name, *without;
	} HELPERS[] = {
		{BPF_FUNC_loop, "bpf_loop", "user stacks end at 192 frames (kernel before 5.17)"},
		{BPF_FUNC_task_pt_regs, "bpf_task_pt_regs", "user registers are found by address (kernel before 5.15)"},
		{BPF_FUNC_get_current_task_btf, "bpf_get_current_task_btf", "samples cost some ns more (kernel before 5.11)"},
	};
	AUTO_CLOSE int map = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "probe", 0, 0, 4096, NULL);
	int err = map < 0 ? errno : 0;

	if (err == ENOSYS)
		remedy(add(c, "BPF", CHECK_LACK, "not in this kernel"), "use a kernel with CONFIG_BPF_SYSCALL=y");
	else if (err == EPERM)
		remedy(add(c, "BPF", CHECK_LACK, "refused"), "run as root, or give hearth CAP_BPF and CAP_PERFMON");
	else if (err == EINVAL)
		remedy(add(c, "BPF", CHECK_LACK, "no ring buffers"), "use Linux 5.10 or later");
	else if (err)
		remedy(add(c, "BPF", CHECK_LACK, "%s", strerror(err)), "raise ulimit -l if it is low");
	else
		add(c, "BPF", CHECK_OK, "programs and ring buffers");
	for (size_t i = 0; !err && i < sizeof(HELPERS) / sizeof(HELPERS[0]); i++)
		if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_PERF_EVENT, HELPERS[i].id, NULL) != 1)
			add(c, "BPF", CHECK_NOTE, "no %s: %s", HELPERS[i].name, HELPERS[i].without);
}

static void check_names(struct checks *c)
{
	AUTO_FCLOSE FILE *kallsyms = fopen("/proc/kallsyms", "re");
	uint64_t address = 0;
	char type, name[256];
	bool shown = false;

	for (int i = 0; kallsyms && i < 2000 && fscanf(kallsyms, "%" SCNx64 " %c %255s%*[^\n]", &address, &type, name) >= 3; i++)
		shown = shown || (address && strchr("tTwW", type));
	if (shown)
		add(c, "kernel symbols", CHECK_OK, "/proc/kallsyms");
	else
		remedy(add(c, "kernel symbols", CHECK_NOTE, "not readable (kernel.kptr_restrict = %lld)",
			   number_in("/proc/sys/kernel/kptr_restrict", -1)),
		       "kernel frames are [kernel+0x...]; run as root, and sysctl kernel.kptr_restrict=1 if it is 2");
	AUTO_CLOSE int map_files = open("/proc/self/map_files", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (map_files < 0)
		add(c, "deleted files", CHECK_NOTE, "no /proc/PID/map_files: programs that were deleted have no names");
	struct stat pid_ns;
	if (stat("/proc/self/ns/pid", &pid_ns) == 0 && pid_ns.st_ino != PID_NS_INITIAL)
		remedy(add(c, "pid namespace", CHECK_NOTE, "not the host's: other processes have no names"),
		       "run hearth on the host, or its container with the host's pid namespace");
}

static void check_limits(struct checks *c)
{
	struct rlimit files;
	struct event event;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < 1024)
		remedy(add(c, "open files", CHECK_NOTE, "%llu at most", (unsigned long long)files.rlim_max),
		       "files of fewer programs stay open; ulimit -Hn 4096");
	bool unified = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
	bool hybrid = access("/sys/fs/cgroup/unified/cgroup.controllers", F_OK) == 0 ||
		      access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0;
	if (unified || hybrid)
		add(c, "cgroup v2", CHECK_OK, "/sys/fs/cgroup%s", unified ? "" : "/unified");
	else
		remedy(add(c, "cgroup v2", CHECK_NOTE, "not mounted: --cgroup does not work"),
		       "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified");
	if (cgroup_names_is_inside(NULL))
		remedy(add(c, "cgroup namespace", CHECK_NOTE, "not the host's: labels know containers and units below it only"),
		       "run hearth on the host, or its container with the host's cgroup namespace (docker: --cgroupns=host)");
	int err = event_find("sched:sched_switch", &event);
	if (err == 0)
		add(c, "tracepoints", CHECK_OK, "readable");
	else
		remedy(add(c, "tracepoints", CHECK_NOTE, "not readable: %s", strerror(-err)), "-e SUBSYSTEM:NAME needs root");
}

/* Does a confined process die of what it must not do? */
static void check_confinement(struct checks *c, struct zygote *zygote)
{
	int err = confine_probe(zygote, PROBE_NOTHING);

	if (err < 0) {
		remedy(add(c, "confinement", CHECK_LACK, "what reads binaries cannot be confined: %s", strerror(-err)),
		       "hearth needs seccomp filters in the kernel (CONFIG_SECCOMP_FILTER) and in what starts it");
		return;
	}
	for (int probe = PROBE_NOTHING + 1; probe < PROBES; probe++) {
		err = confine_probe(zygote, (enum confine_probe)probe);
		if (err == 0)
			continue;
		remedy(add(c, "confinement", confine_is_partial() ? CHECK_NOTE : CHECK_LACK, "a confined process %s and lives",
			   confine_probe_name((enum confine_probe)probe)),
		       confine_is_partial() ? "this is a build with sanitizers" : "please report this");
		return;
	}
	add(c, "confinement", CHECK_OK, "what reads binaries dies when it opens, connects, executes, forks, traces or makes code");
}

/* Where the agent keeps its windows. The folder above tells, as long as it is not there. */
static void check_store(struct checks *c)
{
	char folder[PATH_MAX], place[PATH_MAX];
	struct statvfs space;
	struct stat status;

	if (store_folder_default(folder, sizeof(folder)) < 0) {
		remedy(add(c, "store", CHECK_NOTE, "no place for it: neither $STATE_DIRECTORY nor $HOME is set"), "name one: hearth agent --store DIR");
		return;
	}
	snprintf(place, sizeof(place), "%s", folder);
	bool is_there = stat(place, &status) == 0;
	for (char *slash; !is_there && (slash = strrchr(place, '/')) && slash != place; is_there = stat(place, &status) == 0)
		*slash = '\0';
	bool is_new = strcmp(place, folder) != 0;
	if (access(place, W_OK | X_OK) < 0)
		remedy(add(c, "store", CHECK_NOTE, "%.150s: %s", folder, strerror(errno)), "name another: hearth agent --store DIR");
	else if (!is_new && (status.st_uid != geteuid() || status.st_mode & (S_IWGRP | S_IWOTH)))
		remedy(add(c, "store", CHECK_NOTE, "%.150s: others may write to it", folder), "it must be yours, with mode 0700");
	else if (statvfs(place, &space) == 0 && (uint64_t)space.f_bavail * space.f_frsize < STORE_SPACE)
		remedy(add(c, "store", CHECK_NOTE, "%.150s: %" PRIu64 " MiB are free", folder, (uint64_t)space.f_bavail * space.f_frsize >> 20),
		       "a lower --store-bytes (1G), or another --store DIR");
	else
		add(c, "store", CHECK_OK, "%.150s%s", folder, is_new ? " (will be created)" : "");
	if (!folders_only_has_landlock())
		remedy(add(c, "store", CHECK_NOTE, "no Landlock in this kernel: hearth-store could write to other files of its user"),
		       "Linux 5.13 or later, with landlock in the list of CONFIG_LSM or lsm=");
}

/* Loaded by another process: a library's beginnings are code too. */
static bool can_load(const char *library)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(dlopen(library, RTLD_NOW) ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void check_network(struct checks *c)
{
	static const struct {
		const char *topic, *library, *remedy, *without;
	} LIBRARIES[] = {
		{"page", "libmicrohttpd.so.12", "apt-get install libmicrohttpd12", "there is no page"},
		{"uploading", "libcurl.so.4", "apt-get install libcurl4", "nothing goes to servers"},
	};

	for (size_t i = 0; i < sizeof(LIBRARIES) / sizeof(LIBRARIES[0]); i++) {
		if (can_load(LIBRARIES[i].library))
			add(c, LIBRARIES[i].topic, CHECK_OK, "%s", LIBRARIES[i].library);
		else
			remedy(add(c, LIBRARIES[i].topic, CHECK_NOTE, "%s is not there: %s", LIBRARIES[i].library, LIBRARIES[i].without),
			       LIBRARIES[i].remedy);
	}
}

int check_machine(struct zygote *zygote, struct check_result **results_out, size_t *n_results_out)
{
	struct checks c = {.results = calloc(RESULTS_MAX, sizeof(*c.results))};

	if (!c.results)
		return -ENOMEM;
	check_kernel(&c);
	check_capabilities(&c);
	check_perf(&c);
	check_bpf(&c);
	check_names(&c);
	check_limits(&c);
	check_store(&c);
	check_network(&c);
	check_confinement(&c, zygote);
	*results_out = c.results;
	*n_results_out = c.n;
	return 0;
}

static const char HELP[] = "Usage: hearth check [--json]\n"
			   "       hearth check --config FILE\n"
			   "\n"
			   "Tell what this machine allows, and the remedy for each lack; or all that is wrong in a configuration file.\n"
			   "\n"
			   "      --config FILE         check this file only; prints ok, or a line for each error\n"
			   "      --json                one JSON object on standard output\n"
			   "  -h, --help                this text\n"
			   "\n"
			   "Exit status: 0 when hearth can sample here (the file is good), 1 when something that it needs lacks (is wrong), 2 for wrong usage.\n";

static const char *state_name(enum check_state state)
{
	static const char *const NAMES[] = {"ok", "note", "lack"};

	return NAMES[state];
}

static void print_text(const struct check_result *results, size_t n, bool works)
{
	for (size_t i = 0; i < n; i++) {
		const struct check_result *r = &results[i];
		printf("%-4s  %-17s %s\n", state_name(r->state), r->topic, r->found);
		if (r->remedy[0])
			printf("%25s-> %s\n", "", r->remedy);
	}
	puts(works ? "\nhearth can sample this machine." : "\nhearth cannot sample this machine as it is.");
}

static void print_json(const struct check_result *results, size_t n, bool works)
{
	struct json_writer writer, *w = &writer;

	json_writer_init(w, stdout);
	json_object_begin(w, NULL);
	json_bool(w, "works", works);
	json_array_begin(w, "checks");
	for (size_t i = 0; i < n; i++) {
		json_object_begin(w, NULL);
		json_string(w, "topic", results[i].topic);
		json_string(w, "state", state_name(results[i].state));
		json_string(w, "found", results[i].found);
		json_string(w, "remedy", results[i].remedy);
		json_object_end(w);
	}
	json_array_end(w);
	json_object_end(w);
	putchar('\n');
}

static int check_config(const char *path)
{
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	char text[1024];

	int err = problems ? agent_options_check_file(path, problems) : -ENOMEM;
	if (err == -ENOMEM) {
		fprintf(stderr, "hearth: out of memory\n");
		return STATUS_FAILED;
	}
	for (size_t i = 0; i < problems->n; i++) {
		config_problem_describe(&problems->list[i], path, text, sizeof(text));
		fprintf(stderr, "%s\n", text);
	}
	if (problems->more)
		fprintf(stderr, "and %zu more\n", problems->more);
	if (err == 0)
		puts("ok");
	return err < 0 ? STATUS_FAILED : STATUS_OK;
}

int cmd_check(int argc, char **argv, struct zygote *zygote)
{
	static const struct option OPTIONS[] = {{"json", no_argument, NULL, 'j'}, {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
	AUTO_FREE struct check_result *results = NULL;
	bool json = false, works = true;
	const char *config = NULL;
	size_t n = 0;

	optind = 1;
	for (int option; (option = getopt_long(argc, argv, "h", OPTIONS, NULL)) >= 0;) {
		if (option == 'h') {
			fputs(HELP, stdout);
			return STATUS_OK;
		}
		if (option != 'j' && option != 'c')
			return usage_error("check", "that option is not known");
		if (option == 'c')
			config = optarg;
		json = json || option == 'j';
	}
	if (optind < argc)
		return usage_error("check", "what is '%s'?", argv[optind]);
	if (config && json)
		return usage_error("check", "--json goes without --config");
	if (config)
		return check_config(config);
	if (check_machine(zygote, &results, &n) < 0) {
		fprintf(stderr, "hearth: out of memory\n");
		return STATUS_FAILED;
	}
	for (size_t i = 0; i < n; i++)
		works = works && results[i].state != CHECK_LACK;
	if (json)
		print_json(results, n, works);
	else
		print_text(results, n, works);
	return works ? STATUS_OK : STATUS_FAILED;
}
