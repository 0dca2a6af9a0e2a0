#include "agent/cgroup_names.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text_clean.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/fake_tree.h"

#define ID     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define UID    "12345678-9abc-def0-1234-56789abcdef0"
#define MS     1000000ull
#define BUDGET (1u << 20)

static int set_up(void **state)
{
	struct fake_tree *t = fake_tree_create();

	*state = t;
	if (!t)
		return -1;
	fake_folder(t, "/cg");
	fake_file(t, "/proc/self/cgroup", "0::/\n");
	return 0;
}

static int tear_down(void **state)
{
	fake_tree_destroy(*state);
	return 0;
}

static struct cgroup_names *open_with(const struct fake_tree *t, uint64_t budget)
{
	char v2[128], proc[128];
	struct cgroup_names *n;

	snprintf(v2, sizeof(v2), "%s/cg", t->root);
	snprintf(proc, sizeof(proc), "%s/proc", t->root);
	struct cgroup_names_options options = {.host_root = t->root, .v2_folder = v2, .proc = proc, .budget_bytes = budget};
	assert_int_equal(cgroup_names_create(&options, &n), 0);
	return n;
}

static struct cgroup_names *open_names(const struct fake_tree *t)
{
	return open_with(t, BUDGET);
}

static struct cgroup_names_stats stats_of(const struct cgroup_names *n)
{
	struct cgroup_names_stats stats;

	cgroup_names_stats(n, &stats);
	return stats;
}

/* What only has a folder's number is found by walking: no other file system knows the kernel's handles of cgroups. */
static void ids_are_found_in_the_tree(void **state)
{
	const struct fake_tree *t = *state;
	struct cgroup_names *n = open_names(t);
	uint64_t ssh = fake_folder(t, "/cg/system.slice/ssh.service");
	uint64_t docker = fake_folder(t, "/cg/system.slice/docker-" ID ".scope");

	const struct cgroup *cgroup = cgroup_names_find(n, ssh);
	assert_non_null(cgroup);
	assert_string_equal(cgroup->path, "/system.slice/ssh.service");
	assert_string_equal(cgroup->unit, "ssh.service");
	assert_string_equal(cgroup->container_id, "");
	cgroup = cgroup_names_find(n, docker);
	assert_non_null(cgroup);
	assert_string_equal(cgroup->container_id, ID);
	assert_string_equal(cgroup->unit, "");
	assert_string_equal(cgroup->pod, "");
	assert_int_equal(cgroup_tells(cgroup), 3);
	assert_int_equal(cgroup_tells(cgroup_names_find(n, ssh)), 2);
	assert_int_equal(cgroup_tells(NULL), 0);
	assert_true(stats_of(n).by_walking);
	assert_false(stats_of(n).by_process);
	assert_int_equal(stats_of(n).unknown, 0);
	cgroup_names_destroy(n);
	cgroup_names_destroy(NULL);
}

static void the_root_has_no_name(void **state)
{
	const struct fake_tree *t = *state;
	struct cgroup_names *n = open_names(t);

	cgroup_names_scan(n);
	const struct cgroup *cgroup = cgroup_names_find(n, fake_folder(t, "/cg"));
	assert_non_null(cgroup);
	assert_string_equal(cgroup->path, "");
	cgroup_names_destroy(n);
}

static void what_is_gone_is_remembered(void **state)
{
	const struct fake_tree *t = *state;
	struct cgroup_names *n = open_names(t);
	uint64_t id = fake_folder(t, "/cg/a/b.service");
	char path[128];

	cgroup_names_scan(n);
	for (const char *const *name = (const char *const[]){"/cg/a/b.service", "/cg/a", NULL}; *name; name++) {
		snprintf(path, sizeof(path), "%s%s", t->root, *name);
		assert_int_equal(rmdir(path), 0);
	}
	cgroup_names_begin(n, 60000 * MS);
	const struct cgroup *cgroup = cgroup_names_find(n, id);
	assert_non_null(cgroup);
	assert_string_equal(cgroup->unit, "b.service");
	cgroup_names_destroy(n);
}

/* The kernel program tells each cgroup when it is made. */
static void what_was_never_seen_is_learned(void **state)
{
	struct cgroup_names *n = open_names(*state);
	static const char PATH[] = "/system.slice/short.service";

	cgroup_names_learn(n, 1ull << 40, PATH, sizeof(PATH));
	cgroup_names_learn(n, (1ull << 40) + 1, PATH, 13);
	cgroup_names_learn(n, (1ull << 40) + 2, PATH + 1, sizeof(PATH) - 1);
	cgroup_names_learn(n, (1ull << 40) + 3, "", 0);
	const struct cgroup *cgroup = cgroup_names_find(n, 1ull << 40);
	assert_non_null(cgroup);
	assert_string_equal(cgroup->unit, "short.service");
	cgroup = cgroup_names_find(n, (1ull << 40) + 1);
	assert_non_null(cgroup);
	assert_string_equal(cgroup->path, "/system.slice");
	assert_null(cgroup_names_find(n, (1ull << 40) + 2));
	assert_null(cgroup_names_find(n, (1ull << 40) + 3));
	assert_int_equal(stats_of(n).learned, 2);
	cgroup_names_destroy(n);
}

/* An id that is not there is looked for once in a step, and is found when it comes. */
static void unknown_ids(void **state)
{
	const struct fake_tree *t = *state;
	struct cgroup_names *n = open_names(t);

	assert_null(cgroup_names_find(n, 1ull << 41));
	assert_null(cgroup_names_find(n, 1ull << 41));
	assert_int_equal(stats_of(n).looked_up, 1);
	assert_int_equal(stats_of(n).unknown, 1);
	cgroup_names_begin(n, MS);
	assert_null(cgroup_names_find(n, 1ull << 41));
	assert_int_equal(stats_of(n).looked_up, 2);
	uint64_t id = fake_folder(t, "/cg/new");
	assert_null(cgroup_names_find(n, id)); /* the tree was walked in this step */
	cgroup_names_begin(n, 2 * MS);
	assert_non_null(cgroup_names_find(n, id));
	cgroup_names_destroy(n);
}

static void where_v2_is_not_mounted(void **state)
{
	const struct fake_tree *t = *state;
	char proc[128];
	struct cgroup_names *n;

	snprintf(proc, sizeof(proc), "%s/proc", t->root);
	struct cgroup_names_options options = {.host_root = t->root, .proc = proc, .budget_bytes = BUDGET};
	assert_int_equal(cgroup_names_create(&options, &n), 0);
	cgroup_names_scan(n);
	assert_null(cgroup_names_find(n, 1));
	assert_null(cgroup_names_find(n, 0));
	assert_null(cgroup_names_find(n, UINT64_MAX));
	assert_false(stats_of(n).by_walking);
	cgroup_names_destroy(n);
}

static void a_pod(void **state)
{
	const struct fake_tree *t = *state;
	struct cgroup_names *n = open_names(t);
	uint64_t id = fake_folder(t, "/cg/kubepods/burstable/pod" UID "/" ID);

	/* Nothing of kubelet is there yet; it is looked for after a while. */
	const struct cgroup *cgroup = cgroup_names_find(n, id);
	assert_string_equal(cgroup->pod, "");
	assert_string_equal(cgroup->container_id, ID);
	fake_folder(t, "/var/log/pods/shop_web-1_" UID);
	assert_string_equal(cgroup_names_find(n, id)->pod, "");
	cgroup_names_begin(n, 11000 * MS);
	cgroup = cgroup_names_find(n, id);
	assert_string_equal(cgroup->pod, "web-1");
	assert_string_equal(cgroup->namespace, "shop");
	assert_string_equal(cgroup->container, "");
	fake_link(t, "/var/log/containers/web-1_shop_nginx-" ID ".log");
	cgroup_names_begin(n, 60000 * MS);
	cgroup = cgroup_names_find(n, id);
	assert_string_equal(cgroup->pod, "web-1");
	assert_string_equal(cgroup->container, "nginx");
	assert_int_equal(stats_of(n).pods.scans, 3);
	cgroup_names_destroy(n);
}

/* A container that has no files is looked for less and less often. */
static void a_pod_without_files(void **state)
{
	const struct fake_tree *t = *state;
	struct cgroup_names *n = open_names(t);
	uint64_t id = fake_folder(t, "/cg/kubepods/pod" UID "/" ID);

	for (uint64_t window = 0; window < 8640; window++) {
		cgroup_names_begin(n, window * 10000 * MS);
		assert_non_null(cgroup_names_find(n, id));
	}
	assert_true(stats_of(n).pods.scans <= 8);
	cgroup_names_destroy(n);
}

static uint64_t read_process(const struct fake_tree *t, struct cgroup_names *n, const char *text)
{
	fake_file(t, "/proc/77/cgroup", text);
	return cgroup_names_read(n, 77);
}

static const struct cgroup *of_process(const struct fake_tree *t, struct cgroup_names *n, const char *text)
{
	uint64_t id = read_process(t, n, text);

	assert_true(id != 0);
	return cgroup_names_find(n, id);
}

static void hierarchies_of_v1(void **state)
{
	const struct fake_tree *t = *state;
	fake_file(t, "/proc/self/cgroup", "2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n");
	struct cgroup_names *n = open_names(t);

	assert_true(cgroup_names_by_process(n));
	const struct cgroup *cgroup = of_process(t, n, "3:cpu,cpuacct:/docker/" ID "\n2:pids:/docker/" ID "\n1:name=systemd:/\n0::/\n");
	assert_string_equal(cgroup->container_id, ID);
	assert_string_equal(cgroup->path, "/docker/" ID);
	cgroup = of_process(t, n, "3:cpu:/system.slice\n1:name=systemd:/system.slice/ssh.service\n0::/system.slice/ssh.service\n");
	assert_string_equal(cgroup->unit, "ssh.service");
	cgroup = of_process(t, n, "3:memory:/jobs/4711\n1:name=systemd:/\n");
	assert_string_equal(cgroup->path, "/jobs/4711");
	cgroup = of_process(t, n, "3:memory:/\n0::/\n");
	assert_string_equal(cgroup->path, "");
	/* Relative to the root of our namespace. */
	cgroup = of_process(t, n, "0::/../../system.slice/cron.service\n");
	assert_string_equal(cgroup->path, "/system.slice/cron.service");
	/* The same text, the same id. */
	assert_true(read_process(t, n, "3:memory:/jobs/1\n") == read_process(t, n, "3:memory:/jobs/1\n"));
	assert_true(read_process(t, n, "3:memory:/jobs/1\n") != read_process(t, n, "3:memory:/jobs/2\n"));
	assert_int_equal(cgroup_names_read(n, 78), 0);
	cgroup_names_destroy(n);
}

static void damaged_texts_of_processes(void **state)
{
	static const char *const TEXTS[] = {"\n", ":\n", "::\n", "1:a:b\n", "1:a:/b", "::::::\n\n\n", "1:name=a:b:/x\n", "/../\n", "0::/..\n", "0::/../\n"};
	const struct fake_tree *t = *state;
	struct cgroup_names *n = open_names(t);
	char text[32768];

	for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
		const struct cgroup *cgroup = of_process(t, n, TEXTS[i]);
		assert_non_null(cgroup);
		assert_string_equal(cgroup->container_id, "");
	}
	assert_int_equal(read_process(t, n, ""), 0);
	memset(text, 'a', sizeof(text) - 1);
	memcpy(text, "0::/", 4);
	text[sizeof(text) - 1] = '\0';
	assert_string_equal(of_process(t, n, text)->path, "");
	text[9000] = '\n';
	assert_true(strlen(of_process(t, n, text)->path) == CGROUP_LABEL_MAX - 1);
	cgroup_names_destroy(n);
}

static void reads_are_limited(void **state)
{
	const struct fake_tree *t = *state;
	struct cgroup_names *n = open_names(t);

	fake_file(t, "/proc/77/cgroup", "0::/a\n");
	for (int i = 0; i < CGROUP_READS_A_STEP; i++)
		assert_true(cgroup_names_read(n, 77) != 0);
	assert_int_equal(cgroup_names_read(n, 77), 0);
	assert_int_equal(stats_of(n).over_limit, 1);
	cgroup_names_begin(n, MS);
	assert_true(cgroup_names_read(n, 77) != 0);
	cgroup_names_destroy(n);
}

static void hostile_names(void **state)
{
	static const char *const NAMES[] = {"\033[31mred", "a\nb", "\xff\xfe", "\342\200\256gnp", "a b;c", "\"'<>&", "..x", " (deleted)", "-"};
	const struct fake_tree *t = *state;
	struct cgroup_names *n = open_names(t);
	char path[8192];

	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		snprintf(path, sizeof(path), "/cg/u/%s/docker-" ID ".scope", NAMES[i]);
		uint64_t id = fake_folder(t, path);
		cgroup_names_begin(n, (i + 1) * MS);
		const struct cgroup *cgroup = cgroup_names_find(n, id);
		assert_non_null(cgroup);
		assert_true(text_is_clean(cgroup->path, strlen(cgroup->path)));
		assert_string_equal(cgroup->container_id, ID);
	}
	/* As long as a path can be: shown in part, and understood as a whole. */
	int length = snprintf(path, sizeof(path), "/cg");
	for (int i = 0; i < 12; i++)
		length += snprintf(path + length, sizeof(path) - (size_t)length, "/%0250d", i);
	snprintf(path + length, sizeof(path) - (size_t)length, "/docker-" ID ".scope");
	uint64_t id = fake_folder(t, path);
	cgroup_names_begin(n, 100 * MS);
	const struct cgroup *cgroup = cgroup_names_find(n, id);
	assert_non_null(cgroup);
	assert_true(strlen(cgroup->path) == CGROUP_LABEL_MAX - 1);
	assert_string_equal(cgroup->container_id, ID);
	assert_int_equal(stats_of(n).cut, 11); /* ten of those above it, too */
	cgroup_names_destroy(n);
}

/* Deeper than a path can be long: what is too deep has no name, and nothing else happens. */
static void a_bottomless_tree(void **state)
{
	const struct fake_tree *t = *state;
	struct cgroup_names *n = open_names(t);
	char name[256], path[128];
	uint64_t last = 0;

	memset(name, 'd', 255);
	name[255] = '\0';
	snprintf(path, sizeof(path), "%s/cg", t->root);
	int fd = open(path, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 40; i++) {
		struct stat stat;
		assert_int_equal(mkdirat(fd, name, 0755), 0);
		int below = openat(fd, name, O_RDONLY | O_DIRECTORY);
		assert_true(below >= 0);
		close(fd);
		fd = below;
		assert_int_equal(fstat(fd, &stat), 0);
		last = stat.st_ino;
	}
	close(fd);
	assert_null(cgroup_names_find(n, last));
	cgroup_names_destroy(n);
	/* nftw() cannot reach it either. */
	char command[256];
	snprintf(command, sizeof(command), "rm -rf %s/cg", t->root);
	assert_int_equal(system(command), 0);
}

/* Walks go on where the limit ended them, and the budget holds. */
static void more_cgroups_than_a_step_reads(void **state)
{
	const struct fake_tree *t = *state;
	struct cgroup_names *n = open_names(t);
	uint64_t last = 0;
	char path[64];
	int step = 0;

	for (int i = 0; i < 2 * CGROUP_DIRS_A_STEP; i++) {
		snprintf(path, sizeof(path), "/cg/%d/x.service", i);
		last = fake_folder(t, path);
	}
	while (step < 10 && !cgroup_names_find(n, last))
		cgroup_names_begin(n, (unsigned)++step * MS);
	assert_true(step <= 4);
	cgroup_names_destroy(n);
}

static void the_budget(void **state)
{
	struct cgroup_names *n = open_with(*state, 64 << 10);
	static const char KEPT[] = "/kept.service";
	char path[64];

	cgroup_names_learn(n, 1ull << 40, KEPT, sizeof(KEPT));
	for (uint64_t i = 0; i < 100000; i++) {
		if (i % 1000 == 0) {
			cgroup_names_begin(n, (i + 1) * MS);
			assert_non_null(cgroup_names_find(n, 1ull << 40));
		}
		snprintf(path, sizeof(path), "/storm/%d", (int)i);
		cgroup_names_learn(n, (1ull << 41) + i, path, sizeof(path));
		assert_true(stats_of(n).bytes <= 2 * (64u << 10) + 1024);
	}
	cgroup_names_begin(n, 1);
	assert_true(stats_of(n).bytes <= 64 << 10);
	assert_true(stats_of(n).evicted > 10000);
	assert_true(stats_of(n).evicted + stats_of(n).over_limit > 99000);
	cgroup_names_destroy(n);
}

static void namespaces(void **state)
{
	const struct fake_tree *t = *state;
	int status;

	assert_false(cgroup_names_is_inside(t->root)); /* there is nothing that tells */
	bool before = cgroup_names_is_inside(NULL);
	pid_t child = fork();
	if (child == 0)
		_exit(unshare(CLONE_NEWCGROUP) < 0 ? 2 : cgroup_names_is_inside(NULL) ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
	assert_true(cgroup_names_is_inside(NULL) == before);
	if (WEXITSTATUS(status) == 2) {
		print_message("no cgroup namespace can be made here\n");
		skip();
	}
}

/* On this machine, with the kernel's handles, where that is allowed. */
static void real_cgroups(void **state)
{
	struct cgroup_names_options options = {.host_root = "", .budget_bytes = BUDGET};
	static const char *const PLACES[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
	char path[128] = "";
	struct cgroup_names *n;
	struct stat stat_of;

	(void)state;
	assert_int_equal(cgroup_names_create(&options, &n), 0);
	cgroup_names_scan(n);
	for (size_t i = 0; i < 2 && !path[0]; i++) {
		snprintf(path, sizeof(path), "%s/cgroup.procs", PLACES[i]);
		if (access(path, F_OK) < 0) {
			path[0] = '\0';
			continue;
		}
		snprintf(path, sizeof(path), "%s/hearth-unit-%d.service", PLACES[i], getpid());
	}
	if (!path[0] || mkdir(path, 0755) < 0) {
		cgroup_names_destroy(n);
		print_message("no cgroup can be made here: %s\n", strerror(errno));
		skip();
	}
	assert_int_equal(stat(path, &stat_of), 0);
	const struct cgroup *cgroup = cgroup_names_find(n, stat_of.st_ino);
	assert_non_null(cgroup);
	assert_string_equal(cgroup->path, strrchr(path, '/'));
	assert_string_equal(cgroup->unit, strrchr(path, '/') + 1);
	assert_int_equal(rmdir(path), 0);
	cgroup_names_begin(n, MS);
	assert_non_null(cgroup_names_find(n, stat_of.st_ino));
	assert_true(cgroup_names_read(n, getpid()) != 0);
	cgroup_names_destroy(n);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(ids_are_found_in_the_tree),
		TEST(the_root_has_no_name),
		TEST(what_is_gone_is_remembered),
		TEST(what_was_never_seen_is_learned),
		TEST(unknown_ids),
		TEST(where_v2_is_not_mounted),
		TEST(a_pod),
		TEST(a_pod_without_files),
		TEST(hierarchies_of_v1),
		TEST(damaged_texts_of_processes),
		TEST(reads_are_limited),
		TEST(hostile_names),
		TEST(a_bottomless_tree),
		TEST(more_cgroups_than_a_step_reads),
		TEST(the_budget),
		TEST(namespaces),
		TEST(real_cgroups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
