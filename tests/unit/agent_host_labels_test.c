#include "agent/host_labels.h"

#include <sys/utsname.h>

#include "base/text_clean.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/fake_tree.h"

static void this_machine(void **state)
{
	struct host_labels labels;
	struct utsname name;

	(void)state;
	uname(&name);
	host_labels_read("", &labels);
	assert_string_equal(labels.host, name.nodename);
	assert_string_equal(labels.kernel, name.release);
	assert_string_equal(labels.arch, name.machine);
	host_labels_read(NULL, &labels);
	assert_string_equal(labels.host, name.nodename);
}

static void from_the_hosts_files(void **state)
{
	static const struct {
		const char *text, *host; /* NULL: the node's own */
	} FILES[] = {
		{"node-7\n", "node-7"}, {"# a comment\n\nnode-8.example  \n", "node-8.example"}, {"node-9", "node-9"},
		{"", NULL},		{"\n\n#only\n", NULL},				  {"a\033[2Jb\n", "a?[2Jb"},
	};
	struct fake_tree *t = fake_tree_create();
	struct host_labels own, labels;

	(void)state;
	assert_non_null(t);
	host_labels_read("", &own);
	host_labels_read(t->root, &labels);
	assert_string_equal(labels.host, own.host);
	for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
		fake_file(t, "/etc/hostname", FILES[i].text);
		host_labels_read(t->root, &labels);
		assert_string_equal(labels.host, FILES[i].host ? FILES[i].host : own.host);
	}
	/* A name that does not end is cut; what is no file is not waited for. */
	char text[5000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	fake_file(t, "/etc/hostname", text);
	host_labels_read(t->root, &labels);
	assert_int_equal(strlen(labels.host), HOST_LABEL_MAX - 1);
	char path[128];
	snprintf(path, sizeof(path), "%s/etc/hostname", t->root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	host_labels_read(t->root, &labels);
	assert_string_equal(labels.host, own.host);
	fake_tree_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(this_machine),
		cmocka_unit_test(from_the_hosts_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
