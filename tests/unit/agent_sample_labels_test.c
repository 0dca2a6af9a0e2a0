#include "agent/sample_labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_clean.h"
#include "tests/unit/cmocka_prelude.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct fixture {
	struct sample_labels *labels;
	struct profile_builder *builder;
	char text[4096];
};

static int set_up(void **state)
{
	static struct fixture f;

	*state = &f;
	return sample_labels_create(&f.labels) < 0 || profile_builder_create(&f.builder) < 0 ||
	       profile_builder_sample_type(f.builder, "samples", "count") < 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	sample_labels_destroy(f->labels);
	sample_labels_destroy(NULL);
	profile_builder_destroy(f->builder);
	return 0;
}

/* The set as a profile has it: "key=value " each. */
static const char *shown(struct fixture *f, const struct sample_owner *owner)
{
	struct profile *profile;
	size_t n, length = 0;

	int64_t set = sample_labels_find(f->labels, f->builder, owner);
	assert_true(set >= 0);
	const struct profile_label *labels = sample_labels_get(f->labels, (uint32_t)set, &n);
	assert_true(n <= SAMPLE_LABELS_MAX);
	assert_true(profile_builder_sample(f->builder, NULL, 0, labels, n, (int64_t[]){1}) >= 0);
	assert_int_equal(profile_builder_finish(f->builder, &profile), 0);
	f->text[0] = '\0';
	for (size_t i = 0; i < profile->n_labels; i++) {
		const struct profile_label *label = &profile->labels[i];
		length += (size_t)snprintf(f->text + length, sizeof(f->text) - length, "%s=", profile_string(profile, label->key));
		if (label->str)
			length += (size_t)snprintf(f->text + length, sizeof(f->text) - length, "%s ", profile_string(profile, label->str));
		else
			length += (size_t)snprintf(f->text + length, sizeof(f->text) - length, "%d ", (int)label->num);
		assert_true(length < sizeof(f->text));
	}
	profile_free(profile);
	profile_builder_destroy(f->builder);
	assert_int_equal(profile_builder_create(&f->builder), 0);
	assert_int_equal(profile_builder_sample_type(f->builder, "samples", "count"), 0);
	sample_labels_clear(f->labels);
	return f->text;
}

static struct process process_of(const char *name, const char *executable)
{
	static uint64_t serial;
	struct process process = {.tgid = 7, .serial = ++serial};

	snprintf(process.name, sizeof(process.name), "%s", name);
	snprintf(process.executable, sizeof(process.executable), "%s", executable);
	return process;
}

static const struct cgroup NONE = {"", "", "", "", "", ""};

static void all_labels(void **state)
{
	struct process process = process_of("nginx: worker", "nginx");
	struct cgroup cgroup = {"/kubepods/x", ID, "web", "a.service", "web-1", "shop"};
	struct sample_owner owner = {.process = &process, .cgroup = &cgroup, .tgid = 7, .tid = 9, .comm = "pool-1", .cgroup_id = 3};

	assert_string_equal(shown(*state, &owner), "pid=7 tid=9 process=nginx: worker thread=pool-1 executable=nginx cgroup=/kubepods/x container_id=" ID
						   " container=web unit=a.service pod=web-1 namespace=shop service=web ");
	owner.tid = 0;
	owner.cgroup = &NONE;
	assert_string_equal(shown(*state, &owner), "pid=7 process=nginx: worker thread=pool-1 executable=nginx service=nginx ");
}

static void services(void **state)
{
	struct process process = process_of("a name", "python3"), kernel = process_of("kworker/0:1", "");
	struct cgroup cgroup = {.path = "/x", .container_id = ID, .container = "", .unit = "ssh.service", .pod = "", .namespace = ""};
	struct sample_owner owner = {.process = &process, .cgroup = &cgroup, .tgid = 7, .comm = "t"};

	kernel.is_kernel_thread = true;
	assert_non_null(strstr(shown(*state, &owner), " service=ssh "));
	cgroup.unit = "session-3.scope";
	assert_non_null(strstr(shown(*state, &owner), " unit=session-3.scope service=python3 "));
	process.executable[0] = '\0';
	assert_non_null(strstr(shown(*state, &owner), " service=a name "));
	/* A process that was gone before it was known. */
	owner.process = NULL;
	owner.cgroup = NULL;
	assert_string_equal(shown(*state, &owner), "pid=7 process=t thread=t service=t ");
	/* One whose parent was gone before it was known, and then the process itself. */
	struct process nameless = process_of("", "");
	owner.process = &nameless;
	assert_string_equal(shown(*state, &owner), "pid=7 process=t thread=t service=t ");
	owner = (struct sample_owner){.process = &kernel, .tgid = 7, .comm = "kworker/0:1"};
	assert_string_equal(shown(*state, &owner), "pid=7 process=kworker/0:1 thread=kworker/0:1 service=kernel ");
	owner = (struct sample_owner){.comm = "swapper/0"};
	assert_string_equal(shown(*state, &owner), "pid=0 process=[idle] thread=swapper/0 service=idle ");
}

static void hostile_names(void **state)
{
	struct process process = process_of("a\nb\033[2J", "\xff\xfe;x");
	struct cgroup cgroup = NONE;
	struct sample_owner owner = {.process = &process, .cgroup = &cgroup, .tgid = 7, .comm = "\342\200\256abc"};

	const char *text = shown(*state, &owner);
	assert_true(text_is_clean(text, strlen(text)));
	assert_non_null(strstr(text, "process=a?b?[2J "));
	/* Names of nothing: no label, and above all none that reads as the number 0. */
	process = process_of("", "");
	owner.comm[0] = '\0';
	assert_string_equal(shown(*state, &owner), "pid=7 ");
	memset(owner.comm, 'x', 16);
	owner.comm[16] = '\0';
	assert_string_equal(shown(*state, &owner), "pid=7 process=xxxxxxxxxxxxxxxx thread=xxxxxxxxxxxxxxxx service=xxxxxxxxxxxxxxxx ");
}

/* Each set once, and another one when anything of it is another. */
static void distinct_sets(void **state)
{
	struct fixture *f = *state;
	struct process a = process_of("a", "a"), b = process_of("a", "a");
	struct cgroup cgroup = NONE, named = NONE;
	struct sample_owner owner = {.process = &a, .cgroup = &cgroup, .tgid = 7, .comm = "t", .cgroup_id = 1};
	int64_t set = sample_labels_find(f->labels, f->builder, &owner);

	named.pod = "web-1";
	assert_int_equal(set, 0);
	assert_int_equal(sample_labels_find(f->labels, f->builder, &owner), 0);
	struct sample_owner others[7];
	for (int i = 0; i < 7; i++)
		others[i] = owner;
	others[0].process = &b;
	others[1].cgroup_id = 2;
	others[2].tid = 8;
	others[3].tgid = 8;
	strcpy(others[4].comm, "u");
	others[5].cgroup = &named;
	others[6].process = NULL;
	for (int i = 0; i < 7; i++)
		assert_int_equal(sample_labels_find(f->labels, f->builder, &others[i]), i + 1);
	/* A process may change its name in the middle of a window. */
	strcpy(a.name, "c");
	assert_int_equal(sample_labels_find(f->labels, f->builder, &owner), 8);
	strcpy(a.executable, "c");
	assert_int_equal(sample_labels_find(f->labels, f->builder, &owner), 9);
	for (int i = 0; i < 7; i++)
		if (i != 1 && i != 2 && i != 3 && i != 4 && i != 5)
			assert_int_equal(sample_labels_find(f->labels, f->builder, &others[i]), i + 1);
}

static void many_sets(void **state)
{
	struct fixture *f = *state;
	struct process process = process_of("a", "a");

	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 20000; i++) {
			struct sample_owner owner = {.process = &process, .tgid = 7, .tid = 1 + i % 10000, .comm = "t"};
			assert_int_equal(sample_labels_find(f->labels, f->builder, &owner), i % 10000);
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(all_labels), TEST(services), TEST(hostile_names), TEST(distinct_sets), TEST(many_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
