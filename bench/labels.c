/* What labels cost: bench/labels [CGROUPS] (500), as root with cgroup v2.
 *
 * Makes cgroups of that number below the root of v2, as a node's pods have them, with kubelet's folders to match, asks for all of them as a window does, and removes them.
 * CPU of this process, the kernel's part included; medians of rounds. No verdict. */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/sample_labels.h"
#include "base/clock.h"

#define ROUNDS	    21
#define STACKS	    10000 /* of a window */
#define CGROUPS_MAX 100000

static char mount[64], root[64];
static uint64_t ids[CGROUPS_MAX];
static size_t n_cgroups = 500;

static void path_of(size_t i, char path[512])
{
	snprintf(path, 512, "%s/hearth-bench-pod%08zx_0000_0000_0000_000000000000.slice/cri-containerd-%064zx.scope", mount, i, i);
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *at)
{
	(void)stat;
	(void)type;
	(void)at;
	return remove(path);
}

static void clean_up(void)
{
	char path[512];

	for (size_t i = 0; i < n_cgroups; i++) {
		path_of(i, path);
		rmdir(path);
		*strrchr(path, '/') = '\0';
		rmdir(path);
	}
	nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void make(void)
{
	char path[512];
	struct stat stat_of;

	for (size_t i = 0; i < n_cgroups; i++) {
		path_of(i, path);
		char *slash = strrchr(path, '/');
		*slash = '\0';
		int err = mkdir(path, 0755);
		*slash = '/';
		if (err < 0 || mkdir(path, 0755) < 0 || stat(path, &stat_of) < 0) {
			fprintf(stderr, "bench/labels: %s: %s\n", path, strerror(errno));
			exit(1);
		}
		ids[i] = stat_of.st_ino;
	}
	for (const char *const *name = (const char *const[]){"/var", "/var/log", "/var/log/containers", "/var/log/pods", NULL}; *name; name++) {
		snprintf(path, sizeof(path), "%s%s", root, *name);
		mkdir(path, 0755);
	}
	for (size_t i = 0; i < n_cgroups; i++) {
		snprintf(path, sizeof(path), "%s/var/log/containers/web-%zu_shop_nginx-%064zx.log", root, i, i);
		if (symlink("/nowhere", path) < 0)
			exit(1);
		snprintf(path, sizeof(path), "%s/var/log/pods/shop_web-%zu_%08zx-0000-0000-0000-000000000000", root, i, i);
		mkdir(path, 0755);
	}
}

static int by_value(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

static void say(const char *what, uint64_t *ns, size_t per)
{
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	printf("%-58s %9.3f ms %9.3f us each\n", what, (double)ns[ROUNDS / 2] / 1e6, (double)ns[ROUNDS / 2] / 1e3 / (double)per);
}

static struct cgroup_names *open_names(void)
{
	struct cgroup_names_options options = {.host_root = root, .v2_folder = mount, .budget_bytes = 64u << 20};
	struct cgroup_names *names;

	if (cgroup_names_create(&options, &names) < 0)
		exit(1);
	return names;
}

static uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static void ask_all(struct cgroup_names *names)
{
	for (size_t i = 0; i < n_cgroups; i++) {
		const struct cgroup *cgroup = cgroup_names_find(names, ids[i]);
		if (!cgroup || strcmp(cgroup->namespace, "shop") != 0) {
			fprintf(stderr, "bench/labels: a cgroup has no name\n");
			clean_up();
			exit(1);
		}
	}
}

/* A window's stacks: each of some cgroup, and of one of two threads in it. */
static void label_all(struct cgroup_names *names, struct sample_labels *labels)
{
	struct process process = {.name = "nginx", .executable = "nginx"};
	struct profile_builder *b;

	if (profile_builder_create(&b) < 0)
		exit(1);
	for (size_t i = 0; i < STACKS; i++) {
		size_t at = i * 7919 % n_cgroups;
		struct sample_owner owner = {.process = &process, .tgid = (int32_t)at + 1, .cgroup_id = ids[at]};
		process.serial = at + 1;
		snprintf(owner.comm, sizeof(owner.comm), "%s", i & 1 ? "nginx" : "pool");
		owner.cgroup = cgroup_names_find(names, ids[at]);
		if (sample_labels_find(labels, b, &owner) < 0)
			exit(1);
	}
	profile_builder_destroy(b);
	sample_labels_clear(labels);
}

static void measure(void)
{
	uint64_t scan[ROUNDS], cold[ROUNDS], warm[ROUNDS], label[ROUNDS], read[ROUNDS], learn[ROUNDS];
	static const char PATH[] = "/kubepods.slice/kubepods-burstable.slice/x.slice/cri-containerd-0123456789abcdef.scope";
	struct cgroup_names_stats stats = {0};
	struct sample_labels *labels;

	if (sample_labels_create(&labels) < 0)
		exit(1);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t begin = cpu_ns();
		struct cgroup_names *names = open_names();
		cgroup_names_scan(names);
		scan[round] = cpu_ns() - begin;
		cgroup_names_destroy(names);

		names = open_names();
		begin = cpu_ns();
		ask_all(names);
		cold[round] = cpu_ns() - begin;
		cgroup_names_begin(names, NS_PER_S);
		begin = cpu_ns();
		ask_all(names);
		warm[round] = cpu_ns() - begin;
		begin = cpu_ns();
		label_all(names, labels);
		label[round] = cpu_ns() - begin;
		begin = cpu_ns();
		for (int i = 0; i < CGROUP_READS_A_STEP; i++)
			cgroup_names_read(names, getpid());
		read[round] = cpu_ns() - begin;
		cgroup_names_stats(names, &stats);
		begin = cpu_ns();
		for (uint64_t i = 0; i < 1000; i++)
			cgroup_names_learn(names, (1ull << 40) + i, PATH, sizeof(PATH));
		learn[round] = cpu_ns() - begin;
		cgroup_names_destroy(names);
	}
	say("scan: the tree at the start", scan, n_cgroups);
	say("cold: each cgroup for the first time, with its pod", cold, n_cgroups);
	say("warm: each cgroup again", warm, n_cgroups);
	say("label: a window of 10,000 stacks", label, STACKS);
	say("read: /proc/PID/cgroup (where there is v1), the most a step", read, CGROUP_READS_A_STEP);
	say("learn: 1,000 cgroups told by the kernel program", learn, 1000);
	printf("%" PRIu64 " cgroups held, %" PRIu64 " bytes\n", stats.known, stats.bytes);
	sample_labels_destroy(labels);
}

int main(int argc, char **argv)
{
	static const char *const PLACES[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
	char path[128];

	if (argc > 1)
		n_cgroups = strtoul(argv[1], NULL, 10);
	for (size_t i = 0; i < 2 && !mount[0]; i++) {
		snprintf(path, sizeof(path), "%s/cgroup.procs", PLACES[i]);
		if (access(path, F_OK) == 0)
			strcpy(mount, PLACES[i]);
	}
	strcpy(root, "/tmp/hearth-bench-XXXXXX");
	if (!mount[0] || !n_cgroups || n_cgroups > CGROUPS_MAX || !mkdtemp(root)) {
		fprintf(stderr, "usage: bench/labels [CGROUPS], with cgroup v2 mounted\n");
		return 1;
	}
	make();
	measure();
	clean_up();
	return 0;
}
