#include "agent/name_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "symbolizer/name_table.h"
#include "tests/unit/cmocka_prelude.h"

#define BUDGET	    (1u << 20)
#define TEXT_OF(x)  #x
#define TEXT(x)	    TEXT_OF(x)
#define VERSION	    TEXT(NAME_TABLE_VERSION)

static char base[PATH_MAX], folder[PATH_MAX + 8];

static int set_up(void **state)
{
	(void)state;
	strcpy(base, "/tmp/hearth-name-cache-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(folder, sizeof(folder), "%s/cache", base);
	return 0;
}

static int tear_down(void **state)
{
	char command[PATH_MAX + 16];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command) == 0 ? 0 : -1;
}

static const char *in_folder(const char *name)
{
	static char path[2 * PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static struct name_cache *open_cache(uint64_t budget)
{
	struct name_cache *c = NULL;
	struct why why = {""};

	int err = name_cache_open(folder, budget, &c, &why);
	if (err < 0)
		print_message("%s\n", why.text);
	assert_int_equal(err, 0);
	return c;
}

static struct name_cache_stats stats_of(const struct name_cache *c)
{
	struct name_cache_stats stats;

	name_cache_stats(c, &stats);
	return stats;
}

static struct name_key key_of(uint8_t first)
{
	uint8_t build_id[20] = {first, 0xab};
	struct name_key key;

	assert_int_equal(name_key_make(build_id, sizeof(build_id), -1, &key), 0);
	return key;
}

static int make_table(size_t bytes, char fill)
{
	AUTO_FREE char *content = malloc(bytes + 1);
	int fd = memfd_create("table", MFD_CLOEXEC);

	assert_true(fd >= 0 && content);
	memset(content, fill, bytes);
	assert_int_equal(write(fd, content, bytes), (ssize_t)bytes);
	return fd;
}

static int store(struct name_cache *c, const struct name_key *key, size_t bytes, char fill, bool lacking)
{
	AUTO_CLOSE int fd = make_table(bytes, fill);

	int err = name_cache_put(c, key, fd, lacking);
	for (int more = 1; err == 0 && more;) {
		more = name_cache_step(c);
		err = more < 0 ? more : 0;
	}
	assert_false(name_cache_is_storing(c));
	return err;
}

/* The table's first byte; 0: none. */
static char look_up(struct name_cache *c, const struct name_key *key, size_t bytes, struct name_cache_found *found)
{
	struct stat status;
	char first = 0;

	if (name_cache_get(c, key, found) < 0)
		return 0;
	assert_int_equal(fstat(found->fd, &status), 0);
	assert_int_equal(status.st_size, bytes);
	assert_int_equal(pread(found->fd, &first, 1, (off_t)bytes - 1), 1);
	close(found->fd);
	return first;
}

static void keep_and_find(void **state)
{
	struct name_cache *c = open_cache(16 << 20);
	struct name_key key = key_of(1), other = key_of(2);
	struct name_cache_found found = {.fd = -77};
	struct stat status;

	(void)state;
	assert_int_equal(name_cache_get(c, &key, &found), -ENOENT);
	assert_int_equal(found.fd, -77);
	mode_t before = umask(0);
	assert_int_equal(store(c, &key, 3000000, 'x', false), 0);
	umask(before);
	assert_int_equal(look_up(c, &key, 3000000, &found), 'x');
	assert_false(found.lacking || found.stale);
	assert_int_equal(store(c, &key, 10, 'y', false), 0);
	assert_int_equal(look_up(c, &key, 10, &found), 'y');
	assert_int_equal(name_cache_get(c, &other, &found), -ENOENT);
	assert_int_equal(store(c, &other, 0, 'e', false), 0);
	assert_int_equal(stats_of(c).files, 2);
	assert_int_equal(stats_of(c).bytes, 4096);
	assert_int_equal(stats_of(c).stored, 3);
	assert_int_equal(stats_of(c).hits, 2);
	assert_int_equal(stats_of(c).misses, 2);
	name_cache_close(c);
	/* SAFETY 28. */
	assert_int_equal(stat(folder, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	assert_int_equal(stat(in_folder("01ab000000000000000000000000000000000000.v" VERSION ".names"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	c = open_cache(16 << 20);
	assert_int_equal(look_up(c, &key, 10, &found), 'y');
	name_cache_drop(c, &key);
	assert_int_equal(stats_of(c).damaged, 1);
	assert_int_equal(name_cache_get(c, &key, &found), -ENOENT);
	name_cache_drop(c, &key);
	assert_int_equal(stats_of(c).damaged, 1);
	name_cache_close(c);
	name_cache_close(NULL);
}

static void keys(void **state)
{
	uint8_t build_id[65] = {0};
	struct name_key a, b;
	char path[PATH_MAX + 8];

	(void)state;
	assert_int_equal(name_key_make(build_id, 65, -1, &a), -EINVAL);
	assert_int_equal(name_key_make(build_id, 64, -1, &a), 0);
	assert_int_equal(strlen(a.text), 128 + 3);
	assert_int_equal(name_key_make(build_id, 0, -1, &a), -EBADF);
	snprintf(path, sizeof(path), "%s/image", base);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(name_key_make(NULL, 0, fd, &a), 0);
	assert_int_equal(name_key_make(NULL, 0, fd, &b), 0);
	assert_string_equal(a.text, b.text);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(name_key_make(NULL, 0, fd, &b), 0);
	assert_string_not_equal(a.text, b.text);
	close(fd);
}

static void set_mtime(const char *name, time_t ago)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - ago}};

	assert_int_equal(utimensat(AT_FDCWD, in_folder(name), times, 0), 0);
}

static void set_atime(const char *name, time_t ago)
{
	struct timespec times[2] = {{.tv_sec = time(NULL) - ago}, {.tv_nsec = UTIME_OMIT}};

	assert_int_equal(utimensat(AT_FDCWD, in_folder(name), times, 0), 0);
}

#define LACKING_1 "01ab000000000000000000000000000000000000.v" VERSION ".lacking"

/* An image without debug information is not compiled again, but looked at again: its debug package may have come. */
static void lacking_tables(void **state)
{
	struct name_cache *c = open_cache(BUDGET);
	struct name_key key = key_of(1);
	struct name_cache_found found;

	(void)state;
	assert_int_equal(store(c, &key, 5, 'l', true), 0);
	assert_int_equal(look_up(c, &key, 5, &found), 'l');
	assert_true(found.lacking && !found.stale);
	set_mtime(LACKING_1, NAME_CACHE_LOOK_AGAIN_S + 1);
	assert_int_equal(look_up(c, &key, 5, &found), 'l');
	assert_true(found.lacking && found.stale);
	/* A clock that was set back. */
	set_mtime(LACKING_1, -1000);
	assert_int_equal(look_up(c, &key, 5, &found), 'l');
	assert_true(found.stale);
	assert_int_equal(store(c, &key, 6, 'n', false), 0);
	assert_int_equal(look_up(c, &key, 6, &found), 'n');
	assert_false(found.lacking || found.stale);
	assert_int_equal(access(in_folder(LACKING_1), F_OK), -1);
	name_cache_close(c);
}

static void the_oldest_go(void **state)
{
	struct name_cache *c = open_cache(BUDGET);
	struct name_cache_found found;
	char name[64];

	(void)state;
	for (uint8_t i = 0; i < 8; i++) {
		struct name_key key = key_of(i);
		assert_int_equal(store(c, &key, 100000, 'a', false), 0);
		snprintf(name, sizeof(name), "%02xab000000000000000000000000000000000000.v" VERSION ".names", i);
		set_atime(name, 1000 - i);
	}
	assert_int_equal(stats_of(c).evicted, 0);
	struct name_key first = key_of(0), second = key_of(1), last = key_of(99);
	assert_int_equal(look_up(c, &first, 100000, &found), 'a');
	assert_int_equal(store(c, &last, 250000, 'b', false), 0);
	assert_true(stats_of(c).evicted >= 1);
	assert_true(stats_of(c).bytes <= BUDGET);
	assert_int_equal(look_up(c, &first, 100000, &found), 'a');
	assert_int_equal(look_up(c, &second, 100000, &found), 0);
	assert_int_equal(look_up(c, &last, 250000, &found), 'b');
	/* One table does not push out all others. */
	assert_int_equal(store(c, &second, BUDGET / 4 + 1, 'c', false), -E2BIG);
	assert_int_equal(stats_of(c).too_large, 1);
	name_cache_close(c);
	/* A smaller budget holds from the beginning. */
	c = open_cache(BUDGET / 2);
	assert_true(stats_of(c).evicted >= 1);
	assert_true(stats_of(c).bytes <= BUDGET / 2);
	name_cache_close(c);
}

static void half_written(void **state)
{
	struct name_cache *c = open_cache(16 << 20);
	struct name_key key = key_of(1);
	struct name_cache_found found;
	AUTO_CLOSE int table = make_table(2500000, 'x');

	(void)state;
	/* A crash between two steps, of a process that is gone; another one is writing still. */
	assert_int_equal(name_cache_put(c, &key, table, false), 0);
	assert_int_equal(name_cache_put(c, &key, table, false), -EBUSY);
	assert_int_equal(name_cache_step(c), 1);
	assert_true(name_cache_is_storing(c));
	int left = open(in_folder(".new-1-1"), O_WRONLY | O_CREAT, 0600);
	assert_true(left >= 0);
	close(left);
	struct name_cache *second = open_cache(16 << 20);
	assert_int_equal(stats_of(second).leftovers, 1);
	assert_int_equal(name_cache_get(second, &key, &found), -ENOENT);
	assert_int_equal(name_cache_step(c), 1);
	assert_int_equal(name_cache_step(c), 0);
	assert_int_equal(name_cache_step(c), 0);
	assert_int_equal(look_up(second, &key, 2500000, &found), 'x');
	name_cache_close(second);
	/* Closing in between leaves nothing. */
	assert_int_equal(name_cache_put(c, &key, table, false), 0);
	assert_int_equal(name_cache_step(c), 1);
	name_cache_close(c);
	second = open_cache(16 << 20);
	assert_int_equal(stats_of(second).leftovers, 0);
	assert_int_equal(stats_of(second).files, 1);
	name_cache_close(second);
}

/* A table that becomes shorter while it is copied: a descriptor that was not sealed. */
static void shrinking_source(void **state)
{
	struct name_cache *c = open_cache(16 << 20);
	struct name_key key = key_of(1);
	struct name_cache_found found;
	AUTO_CLOSE int table = make_table(2500000, 'x');

	(void)state;
	assert_int_equal(name_cache_put(c, &key, table, false), 0);
	assert_int_equal(name_cache_step(c), 1);
	assert_int_equal(ftruncate(table, 100), 0);
	assert_int_equal(name_cache_step(c), -EIO);
	assert_int_equal(stats_of(c).store_failed, 1);
	assert_int_equal(name_cache_get(c, &key, &found), -ENOENT);
	name_cache_close(c);
}

static void refused_folders(void **state)
{
	struct name_cache *c = NULL;
	struct why why = {""};

	(void)state;
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(chmod(folder, 0770), 0);
	assert_int_equal(name_cache_open(folder, BUDGET, &c, &why), -EPERM);
	assert_non_null(strstr(why.text, "others may write"));
	assert_int_equal(chmod(folder, 0702), 0);
	assert_int_equal(name_cache_open(folder, BUDGET, &c, &why), -EPERM);
	assert_int_equal(chmod(folder, 0755), 0);
	c = open_cache(BUDGET);
	name_cache_close(c);
	c = NULL;
	if (geteuid() == 0) {
		assert_int_equal(chown(folder, 1000, 1000), 0);
		assert_int_equal(name_cache_open(folder, BUDGET, &c, &why), -EPERM);
		assert_non_null(strstr(why.text, "another user"));
	}
	assert_int_equal(name_cache_open("/dev/null", BUDGET, &c, &why), -ENOTDIR);
	assert_int_equal(name_cache_open("/nowhere/at/all", BUDGET, &c, &why), -ENOENT);
	assert_null(c);
}

/* Whoever could write into the folder once may have left something that is no table of ours. */
static void foreign_files(void **state)
{
	struct name_cache *c = open_cache(BUDGET);
	struct name_key key = key_of(1);
	struct name_cache_found found;
	const char *path = in_folder("01ab000000000000000000000000000000000000.v" VERSION ".names");

	(void)state;
	assert_int_equal(store(c, &key, 10, 'x', false), 0);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(name_cache_get(c, &key, &found), -EPERM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(name_cache_get(c, &key, &found), -ELOOP);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(60);
	assert_int_equal(name_cache_get(c, &key, &found), -EPERM);
	alarm(0);
	name_cache_close(c);
}

static void default_folders(void **state)
{
	char path[PATH_MAX], long_home[PATH_MAX + 8];

	(void)state;
	setenv("CACHE_DIRECTORY", "/a/b:/c", 1);
	assert_int_equal(name_cache_folder(path, sizeof(path)), 0);
	assert_string_equal(path, "/a/b");
	assert_int_equal(name_cache_folder(path, 4), -ENAMETOOLONG);
	unsetenv("CACHE_DIRECTORY");
	if (geteuid() == 0) {
		assert_int_equal(name_cache_folder(path, sizeof(path)), 0);
		assert_string_equal(path, "/var/cache/hearth");
	}
	pid_t child = fork();
	if (child == 0) {
		if (geteuid() == 0 && seteuid(1000) < 0)
			_exit(9);
		setenv("XDG_CACHE_HOME", "/x", 1);
		setenv("HOME", "/home/u", 1);
		if (name_cache_folder(path, sizeof(path)) < 0 || strcmp(path, "/x/hearth") != 0)
			_exit(1);
		unsetenv("XDG_CACHE_HOME");
		if (name_cache_folder(path, sizeof(path)) < 0 || strcmp(path, "/home/u/.cache/hearth") != 0)
			_exit(2);
		memset(long_home, '/', sizeof(long_home) - 1);
		long_home[sizeof(long_home) - 1] = '\0';
		setenv("HOME", long_home, 1);
		if (name_cache_folder(path, sizeof(path)) != -ENAMETOOLONG)
			_exit(3);
		unsetenv("HOME");
		_exit(name_cache_folder(path, sizeof(path)) == -ENOENT ? 0 : 4);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* The folder above it is made too. */
	snprintf(path, sizeof(path), "%.3000s/new/hearth", base);
	setenv("CACHE_DIRECTORY", path, 1);
	struct name_cache *c = NULL;
	struct why why;
	assert_int_equal(name_cache_open(NULL, BUDGET, &c, &why), 0);
	name_cache_close(c);
	unsetenv("CACHE_DIRECTORY");
}

/* A disk that is full or read-only costs the table, not more. */
static void disks_that_fail(void **state)
{
	struct name_key key = key_of(1), small = key_of(2);
	struct name_cache_found found;

	(void)state;
	mkdir(folder, 0700);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, "") < 0 ||
	    mount("none", folder, "tmpfs", 0, "size=256k,mode=0700") < 0) {
		print_message("mounting needs CAP_SYS_ADMIN\n");
		skip();
	}
	struct name_cache *c = open_cache(64 << 20);
	assert_int_equal(store(c, &key, 4 << 20, 'x', false), -ENOSPC);
	assert_int_equal(name_cache_get(c, &key, &found), -ENOENT);
	assert_int_equal(store(c, &small, 5000, 's', false), 0);
	assert_int_equal(mount("none", folder, "", MS_REMOUNT | MS_RDONLY, "mode=0700"), 0);
	assert_int_equal(store(c, &key, 10, 'x', false), -EROFS);
	assert_int_equal(look_up(c, &small, 5000, &found), 's');
	assert_int_equal(stats_of(c).store_failed, 2);
	name_cache_close(c);
	umount(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keep_and_find, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keys, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lacking_tables, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_oldest_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(half_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(shrinking_source, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refused_folders, set_up, tear_down),
		cmocka_unit_test_setup_teardown(foreign_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(default_folders, set_up, tear_down),
		cmocka_unit_test_setup_teardown(disks_that_fail, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
