/* agent/store_folder.c */
#include "agent/store_folder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"

static void by_default(void **state)
{
	char path[PATH_MAX] = "untouched";

	(void)state;
	unsetenv("XDG_STATE_HOME");
	setenv("HOME", "/home/me", 1);
	setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
	assert_int_equal(store_folder_default(path, sizeof(path)), 0);
	assert_string_equal(path, "/var/lib/one");
	assert_int_equal(store_folder_default(path, 12), -ENAMETOOLONG);
	unsetenv("STATE_DIRECTORY");
	assert_int_equal(store_folder_default(path, sizeof(path)), 0);
	assert_string_equal(path, geteuid() == 0 ? "/var/lib/hearth" : "/home/me/.local/state/hearth");
	if (geteuid() != 0) {
		setenv("XDG_STATE_HOME", "/state", 1);
		assert_int_equal(store_folder_default(path, sizeof(path)), 0);
		assert_string_equal(path, "/state/hearth");
		unsetenv("XDG_STATE_HOME");
		unsetenv("HOME");
		assert_int_equal(store_folder_default(path, sizeof(path)), -ENOENT);
	}
}

static void absolute(void **state)
{
	char here[PATH_MAX], path[PATH_MAX], expected[2 * PATH_MAX];

	(void)state;
	assert_int_equal(store_folder_absolute("/a/b", path, sizeof(path)), 0);
	assert_string_equal(path, "/a/b");
	assert_non_null(getcwd(here, sizeof(here)));
	snprintf(expected, sizeof(expected), "%s/a", here);
	assert_int_equal(store_folder_absolute("a", path, sizeof(path)), 0);
	assert_string_equal(path, expected);
	assert_int_equal(store_folder_absolute("/a/b", path, 4), -ENAMETOOLONG);
}

static void above(void **state)
{
	char scratch[] = "/tmp/hearth-store-folder-XXXXXX", path[128];

	(void)state;
	assert_non_null(mkdtemp(scratch));
	snprintf(path, sizeof(path), "%s/a/b/c", scratch);
	store_folder_make_above(path);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/a/b", scratch);
	assert_int_equal(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/a", scratch);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(scratch), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(by_default), cmocka_unit_test(absolute), cmocka_unit_test(above)};

	return cmocka_run_group_tests_name("agent/store_folder", tests, NULL, NULL);
}
