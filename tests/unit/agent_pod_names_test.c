#include "agent/pod_names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/fake_tree.h"

#define ID    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define UID   "12345678-9abc-def0-1234-56789abcdef0"
#define LATER (POD_NAMES_PAUSE_NS + 1)

static int set_up(void **state)
{
	struct fake_tree *t = fake_tree_create();

	*state = t;
	return t ? 0 : -1;
}

static int tear_down(void **state)
{
	fake_tree_destroy(*state);
	return 0;
}

static struct pod_names *open_names(const struct fake_tree *t)
{
	struct pod_names *p;

	assert_int_equal(pod_names_create(t->root, &p), 0);
	return p;
}

static void nothing_there(void **state)
{
	struct pod_names *p = open_names(*state);
	struct pod_name name = {0};

	assert_int_equal(pod_names_find(p, ID, UID, 1, &name), -ENOENT);
	assert_string_equal(name.pod, "");
	assert_string_equal(name.namespace, "");
	assert_string_equal(name.container, "");
	pod_names_destroy(p);
	pod_names_destroy(NULL);
}

static void a_container(void **state)
{
	const struct fake_tree *t = *state;
	struct pod_names *p = open_names(t);
	struct pod_name name;

	fake_link(t, "/var/log/containers/web-7d4b9c-x2x1_shop_nginx-main-" ID ".log");
	assert_int_equal(pod_names_find(p, ID, "", 1, &name), 0);
	assert_string_equal(name.pod, "web-7d4b9c-x2x1");
	assert_string_equal(name.namespace, "shop");
	assert_string_equal(name.container, "nginx-main");
	assert_int_equal(pod_names_find(p, OTHER, "", 1, &name), -ENOENT);
	pod_names_destroy(p);
}

/* A pause container has no log of its own, and a container's comes later than its cgroup. */
static void a_pod_before_its_container(void **state)
{
	const struct fake_tree *t = *state;
	struct pod_names *p = open_names(t);
	struct pod_name name;

	fake_folder(t, "/var/log/pods/kube-system_etcd-node.a_" UID);
	assert_int_equal(pod_names_find(p, ID, UID, 1, &name), -ENOENT);
	assert_string_equal(name.pod, "etcd-node.a");
	assert_string_equal(name.namespace, "kube-system");
	assert_string_equal(name.container, "");
	assert_int_equal(pod_names_find(p, "", UID, 1, &name), 0);
	fake_link(t, "/var/log/containers/etcd-node.a_kube-system_etcd-" ID ".log");
	assert_int_equal(pod_names_find(p, ID, UID, 1, &name), -ENOENT);
	assert_int_equal(pod_names_find(p, ID, UID, LATER, &name), 0);
	assert_string_equal(name.container, "etcd");
	pod_names_destroy(p);
}

static void asking_often_reads_seldom(void **state)
{
	struct pod_names *p = open_names(*state);
	struct pod_names_stats stats;
	struct pod_name name;

	for (uint64_t now = 1; now < POD_NAMES_PAUSE_NS; now += POD_NAMES_PAUSE_NS / 100)
		pod_names_find(p, ID, UID, now, &name);
	pod_names_stats(p, &stats);
	assert_int_equal(stats.scans, 1);
	pod_names_find(p, ID, UID, LATER, &name);
	pod_names_stats(p, &stats);
	assert_int_equal(stats.scans, 2);
	pod_names_destroy(p);
}

static void names_that_are_none_of_kubelets(void **state)
{
	static const char *const CONTAINERS[] = {
		"readme.txt", "a_b_c.log", "a_b_c-" ID, "a_b_c" ID ".log", "a_b_-" ID ".log", "_b_c-" ID ".log", "a__c-" ID ".log",
		"a_b_c-" ID "0.log", "A_b_c-" ID ".log", "a\n_b_c-" ID ".log", "a_b_c\033[2J-" ID ".log", "a_b_-c-" ID ".log",
		"a_b_c_d-" ID ".log", ID ".log", "a_b_c-0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef.log",
	};
	static const char *const PODS[] = {"a", "a_b", "a_b_", "a_b_x", "_b_1", "a__1", "a_b_" ID "0", "a_b\n_1", "a_b_12 4", "..a_b_1"};
	const struct fake_tree *t = *state;
	struct pod_names *p = open_names(t);
	struct pod_names_stats stats;
	struct pod_name name;
	char path[600];

	for (size_t i = 0; i < sizeof(CONTAINERS) / sizeof(CONTAINERS[0]); i++) {
		snprintf(path, sizeof(path), "/var/log/containers/%s", CONTAINERS[i]);
		fake_link(t, path);
	}
	/* Longer than Kubernetes allows. */
	snprintf(path, sizeof(path), "/var/log/containers/a_%064d_c-%s.log", 0, ID);
	fake_link(t, path);
	for (size_t i = 0; i < sizeof(PODS) / sizeof(PODS[0]); i++) {
		snprintf(path, sizeof(path), "/var/log/pods/%s", PODS[i]);
		fake_folder(t, path);
	}
	assert_int_equal(pod_names_find(p, ID, UID, 1, &name), -ENOENT);
	pod_names_stats(p, &stats);
	assert_int_equal(stats.containers, 0);
	assert_int_equal(stats.pods, 0);
	/* Hidden names are passed over. */
	assert_int_equal(stats.malformed, sizeof(CONTAINERS) / sizeof(CONTAINERS[0]) + 1 + sizeof(PODS) / sizeof(PODS[0]) - 1);
	pod_names_destroy(p);
}

static void more_than_the_limit(void **state)
{
	const struct fake_tree *t = *state;
	struct pod_names *p = open_names(t);
	struct pod_names_stats stats;
	struct pod_name name;
	char path[256];

	for (int i = 0; i < POD_NAMES_MAX + 10; i++) {
		snprintf(path, sizeof(path), "/var/log/containers/p%d_ns_c-%064x.log", i, i);
		fake_link(t, path);
	}
	assert_int_equal(pod_names_find(p, ID, UID, 1, &name), -ENOENT);
	pod_names_stats(p, &stats);
	assert_int_equal(stats.containers, POD_NAMES_MAX);
	assert_int_equal(stats.left_out, 10);
	pod_names_destroy(p);
}

/* What is in its place is no folder: not even opened. */
static void a_pipe_in_its_place(void **state)
{
	const struct fake_tree *t = *state;
	struct pod_names *p = open_names(t);
	struct pod_name name;
	char path[512];

	fake_folder(t, "/var/log/x");
	snprintf(path, sizeof(path), "%s/var/log/containers", t->root);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(pod_names_find(p, ID, UID, 1, &name), -ENOENT);
	pod_names_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_container, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_pod_before_its_container, set_up, tear_down),
		cmocka_unit_test_setup_teardown(asking_often_reads_seldom, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_that_are_none_of_kubelets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(more_than_the_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_pipe_in_its_place, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
