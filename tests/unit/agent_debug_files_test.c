#include "agent/debug_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/image_open.h"
#include "tests/unit/cmocka_prelude.h"

#define GONE 5000000 /* no process has this pid */
#define ID_FILE "/usr/lib/debug/.build-id/fe/dcba98.debug"

static char folder[PATH_MAX];
static pid_t child; /* a process whose root is the folder */

static bool may_run(void)
{
	struct open_how how = {.flags = O_PATH};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

	if (fd < 0)
		print_message("openat2: %s\n", strerror(errno)); /* valgrind 3.19 */
	else
		close(fd);
	if (geteuid() != 0)
		print_message("chroot needs root\n");
	return fd >= 0 && geteuid() == 0;
}

static const char *in_folder(const char *name)
{
	static char path[2 * PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", folder, name);
	return path;
}

/* A file whose content is its name, with the folders above it. */
static void make_file(const char *name)
{
	char *path = strdup(in_folder(name));

	for (char *at = path + strlen(folder) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		mkdir(path, 0755);
		*at = '/';
	}
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(name, file);
	fclose(file);
	assert_int_equal(chmod(path, 0644), 0);
	free(path);
}

static int set_up(void **state)
{
	int ready[2];
	char byte;

	(void)state;
	strcpy(folder, "/tmp/hearth-debug-files-XXXXXX");
	if (!mkdtemp(folder) || pipe(ready) < 0)
		return -1;
	child = fork();
	if (child == 0) {
		if (chroot(folder) < 0 || chdir("/") < 0)
			_exit(1);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	ssize_t n = read(ready[0], &byte, 1);
	close(ready[0]);
	return n == 1 || geteuid() != 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[PATH_MAX + 16];

	(void)state;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) == 0 ? 0 : -1;
}

static struct debug_where in_child(const char *path)
{
	return (struct debug_where){.tgid = child, .start_ticks = image_process_start(child), .path = path};
}

static struct debug_files *create(const struct debug_where *where)
{
	struct debug_files *f = NULL;

	assert_int_equal(debug_files_create(where, &f), 0);
	return f;
}

static const struct debug_ask BY_ID = {
	.kind = DEBUG_ASK_BUILD_ID, .directory = "", .name = "", .build_id = {0xfe, 0xdc, 0xba, 0x98}, .build_id_bytes = 4};

static struct debug_ask asking(enum debug_ask_kind kind, const char *directory, const char *name)
{
	return (struct debug_ask){.kind = kind, .directory = directory, .name = name};
}

/* The nth candidate is the file of this name; NULL: there is none. */
static void expect_nth(struct debug_files *f, const struct debug_ask *ask, unsigned nth, const char *name)
{
	char content[PATH_MAX] = "";
	int fd = -77;

	alarm(60);
	int err = debug_files_open(f, ask, nth, &fd);
	alarm(0);
	if (!name) {
		assert_int_equal(err, -ENOENT);
		assert_int_equal(fd, -77);
		return;
	}
	assert_int_equal(err, 0);
	ssize_t n = read(fd, content, sizeof(content) - 1);
	close(fd);
	assert_true(n >= 0);
	content[n] = '\0';
	assert_string_equal(content, name);
}

static uint64_t refused(const struct debug_files *f)
{
	struct debug_files_stats stats;

	debug_files_stats(f, &stats);
	return stats.refused;
}

static void by_build_id(void **state)
{
	struct debug_where where = in_child("/bin/prog");

	(void)state;
	if (!may_run())
		skip();
	make_file("/downloads/fedcba98.debug");
	char cache[PATH_MAX + 16];
	snprintf(cache, sizeof(cache), "%s/downloads", folder);
	where.downloads = cache;
	struct debug_files *f = create(&where);
	struct debug_ask ask = BY_ID;
	/* The cache is in our root, not in the process's. */
	expect_nth(f, &ask, 0, "/downloads/fedcba98.debug");
	make_file(ID_FILE);
	expect_nth(f, &ask, 0, ID_FILE);
	expect_nth(f, &ask, 1, "/downloads/fedcba98.debug");
	expect_nth(f, &ask, 2, NULL);
	assert_int_equal(refused(f), 0);
	/* SAFETY 11. */
	ask.build_id_bytes = 3;
	expect_nth(f, &ask, 0, NULL);
	ask.build_id_bytes = 65;
	expect_nth(f, &ask, 0, NULL);
	ask.build_id_bytes = 64;
	expect_nth(f, &ask, 0, NULL);
	assert_int_equal(refused(f), 2);
	debug_files_destroy(f);
}

static void by_link(void **state)
{
	struct debug_where where = in_child("/usr/bin/prog (deleted)");
	static const char *const WAYS[] = {"../link.debug", "/etc/link.debug", "sub/link.debug", "..", ".", ""};

	(void)state;
	if (!may_run())
		skip();
	struct debug_files *f = create(&where);
	struct debug_ask ask = asking(DEBUG_ASK_LINK, "", "link.debug");
	expect_nth(f, &ask, 0, NULL);
	make_file("/usr/lib/debug/bin/link.debug");
	expect_nth(f, &ask, 0, "/usr/lib/debug/bin/link.debug");
	make_file("/usr/lib/debug/usr/bin/link.debug");
	make_file("/usr/bin/.debug/link.debug");
	make_file("/usr/bin/link.debug");
	expect_nth(f, &ask, 0, "/usr/bin/link.debug");
	expect_nth(f, &ask, 1, "/usr/bin/.debug/link.debug");
	expect_nth(f, &ask, 2, "/usr/lib/debug/usr/bin/link.debug");
	expect_nth(f, &ask, 3, "/usr/lib/debug/bin/link.debug");
	expect_nth(f, &ask, 4, NULL);
	make_file("/usr/link.debug");
	make_file("/etc/link.debug");
	make_file("/usr/bin/sub/link.debug");
	for (size_t i = 0; i < sizeof(WAYS) / sizeof(WAYS[0]); i++) {
		ask.name = WAYS[i];
		expect_nth(f, &ask, 0, NULL);
	}
	assert_int_equal(refused(f), 6);
	debug_files_destroy(f);
}

static void by_alt(void **state)
{
	struct debug_where where = in_child("/opt/prog");
	struct debug_ask link = asking(DEBUG_ASK_LINK, "", "prog.debug"), ask = asking(DEBUG_ASK_ALT, "", "../.dwz/common");

	(void)state;
	if (!may_run())
		skip();
	struct debug_files *f = create(&where);
	make_file("/usr/lib/debug/opt/prog.debug");
	expect_nth(f, &link, 0, "/usr/lib/debug/opt/prog.debug");
	make_file("/usr/lib/debug/.dwz/common");
	expect_nth(f, &ask, 0, "/usr/lib/debug/.dwz/common");
	make_file("/.dwz/common");
	ask.name = "/.dwz/common";
	expect_nth(f, &ask, 0, "/.dwz/common");
	/* By its build id, when its name leads nowhere. */
	make_file(ID_FILE);
	ask = BY_ID;
	ask.kind = DEBUG_ASK_ALT;
	ask.name = "nowhere";
	expect_nth(f, &ask, 0, ID_FILE);
	expect_nth(f, &ask, 1, NULL);
	debug_files_destroy(f);
}

/* Folders by build id may hold links to where the debug files are. */
static void beside_a_linked_debug_file(void **state)
{
	struct debug_where where = in_child("/opt/prog");
	struct debug_ask alt = asking(DEBUG_ASK_ALT, "", "../../dwz-of-a-package");

	(void)state;
	if (!may_run())
		skip();
	struct debug_files *f = create(&where);
	make_file(ID_FILE);
	unlink(in_folder(ID_FILE));
	make_file("/usr/lib/debug/opt/bin/prog.debug");
	make_file("/usr/lib/debug/dwz-of-a-package");
	assert_int_equal(symlink("../../opt/bin/prog.debug", in_folder(ID_FILE)), 0);
	expect_nth(f, &BY_ID, 0, "/usr/lib/debug/opt/bin/prog.debug");
	expect_nth(f, &alt, 0, "/usr/lib/debug/dwz-of-a-package");
	debug_files_destroy(f);
}

static void split_dwarf(void **state)
{
	struct debug_where where = in_child("/opt/prog");
	struct debug_ask dwp = asking(DEBUG_ASK_DWP, "", ""), dwo = asking(DEBUG_ASK_DWO, "/src", "obj/a.dwo");

	(void)state;
	if (!may_run())
		skip();
	struct debug_files *f = create(&where);
	expect_nth(f, &dwp, 0, NULL);
	make_file("/opt/prog.dwp");
	expect_nth(f, &dwp, 0, "/opt/prog.dwp");
	struct debug_ask link = asking(DEBUG_ASK_LINK, "", "prog.debug");
	make_file("/opt/.debug/prog.debug");
	make_file("/opt/.debug/prog.debug.dwp");
	expect_nth(f, &link, 0, "/opt/.debug/prog.debug");
	expect_nth(f, &dwp, 1, "/opt/.debug/prog.debug.dwp");
	make_file("/opt/a.dwo");
	expect_nth(f, &dwo, 0, "/opt/a.dwo");
	make_file("/opt/obj/a.dwo");
	expect_nth(f, &dwo, 0, "/opt/obj/a.dwo");
	make_file("/src/obj/a.dwo");
	expect_nth(f, &dwo, 0, "/src/obj/a.dwo");
	make_file("/abs/a.dwo");
	dwo.name = "/abs/a.dwo";
	expect_nth(f, &dwo, 0, "/abs/a.dwo");
	expect_nth(f, &dwo, 1, "/opt/a.dwo");
	expect_nth(f, &dwo, 2, NULL);
	debug_files_destroy(f);
}

/* A program names what it likes: FIFOs, devices, the kernel's files, links and ways out of its root, others' secrets. */
static void hostile_names(void **state)
{
	static const char *const NAMES[] = {"/fifo", "/tty", "/out", "/../../../../../../etc/passwd", "/folder", "/secret", "/proc/self/mem",
					    "/proc/kmsg", "/magic"};
	struct debug_where where = in_child("/opt/prog");
	char longest[DEBUG_ASK_TEXT_MAX + 1], directory[DEBUG_ASK_TEXT_MAX];

	(void)state;
	if (!may_run())
		skip();
	where.by_owner = true;
	where.owner = 1000;
	struct debug_files *f = create(&where);
	assert_int_equal(mkfifo(in_folder("/fifo"), 0644), 0);
	assert_int_equal(mknod(in_folder("/tty"), S_IFCHR | 0644, 5 << 8), 0);
	assert_int_equal(symlink("/etc/passwd", in_folder("/out")), 0);
	assert_int_equal(symlink("/proc/self/root/etc/passwd", in_folder("/magic")), 0);
	make_file("/folder/file");
	make_file("/secret");
	assert_int_equal(chmod(in_folder("/secret"), 0600), 0);
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		struct debug_ask ask = asking(DEBUG_ASK_DWO, "", NAMES[i]);
		expect_nth(f, &ask, 0, NULL);
	}
	/* Its own secrets it may name. */
	assert_int_equal(chown(in_folder("/secret"), 1000, 1000), 0);
	struct debug_ask own = asking(DEBUG_ASK_DWO, "", "/secret");
	expect_nth(f, &own, 0, "/secret");
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	struct debug_ask ask = asking(DEBUG_ASK_DWO, "", longest);
	expect_nth(f, &ask, 0, NULL);
	memset(directory, 'b', sizeof(directory) - 1);
	directory[sizeof(directory) - 1] = directory[0] = '/';
	directory[sizeof(directory) - 1] = '\0';
	ask = asking(DEBUG_ASK_DWO, directory, "a.dwo");
	expect_nth(f, &ask, 0, NULL);
	struct debug_ask none = {.kind = DEBUG_ASK_KINDS, .directory = "", .name = "/secret"};
	expect_nth(f, &none, 0, NULL);
	debug_files_destroy(f);
}

/* Our own /proc, by a process that lives in our root. */
static void files_of_the_kernel(void **state)
{
	struct debug_where where = {.tgid = getpid(), .start_ticks = image_process_start(getpid()), .path = "/opt/prog"};
	static const char *const NAMES[] = {"/proc/kmsg", "/proc/1/mem", "/proc/version", "/proc/self/exe", "/sys/kernel/notes",
					    "/sys/kernel/mm/ksm/run"};

	(void)state;
	if (!may_run())
		skip();
	struct debug_files *f = create(&where);
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		struct debug_ask ask = asking(DEBUG_ASK_DWO, "", NAMES[i]);
		expect_nth(f, &ask, 0, NULL);
	}
	debug_files_destroy(f);
}

static void limit_of_questions(void **state)
{
	struct debug_where where = in_child("/opt/prog");
	struct debug_ask ask = asking(DEBUG_ASK_DWO, "", "/file");

	(void)state;
	if (!may_run())
		skip();
	make_file("/file");
	struct debug_files *f = create(&where);
	for (int i = 0; i < DEBUG_ASKS_MAX; i++)
		expect_nth(f, &ask, 0, "/file");
	expect_nth(f, &ask, 0, NULL);
	assert_int_equal(refused(f), 1);
	debug_files_destroy(f);
}

/* Another process with its pid is not it; its parent's root counts then, and ours behind it. */
static void processes_that_are_gone(void **state)
{
	struct debug_where where = in_child("/opt/prog");
	struct debug_ask ask = asking(DEBUG_ASK_DWO, "", "/file");
	char path[PATH_MAX + 16];

	(void)state;
	if (!may_run())
		skip();
	make_file("/file");
	where.start_ticks++;
	struct debug_files *f = create(&where);
	expect_nth(f, &ask, 0, NULL);
	snprintf(path, sizeof(path), "%s/file", folder);
	ask.name = path;
	expect_nth(f, &ask, 0, "/file");
	debug_files_destroy(f);
	where.tgid = GONE;
	where.parent = child;
	f = create(&where);
	ask.name = "/file";
	expect_nth(f, &ask, 0, "/file");
	ask.name = path;
	expect_nth(f, &ask, 0, "/file");
	debug_files_destroy(f);
	/* While the process lives, paths lead into its root only. */
	where = in_child("/opt/prog");
	f = create(&where);
	expect_nth(f, &ask, 0, NULL);
	debug_files_destroy(f);
	assert_int_equal(image_process_start(GONE), 0);
}

/* hearth addr2line: a file that the user names. */
static void without_a_process(void **state)
{
	struct debug_where where = {.path = "prog"};
	char before[PATH_MAX], long_path[PATH_MAX + 8];
	struct debug_files *f = NULL;

	(void)state;
	if (!may_run())
		skip();
	make_file("/prog");
	make_file("/prog.dwp");
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(folder), 0);
	f = create(&where);
	assert_int_equal(chdir(before), 0);
	struct debug_ask ask = asking(DEBUG_ASK_DWP, "", "");
	expect_nth(f, &ask, 0, "/prog.dwp");
	debug_files_destroy(f);
	/* What is no path has no neighbours. */
	where.path = "[vdso]";
	f = create(&where);
	expect_nth(f, &ask, 0, NULL);
	ask = asking(DEBUG_ASK_LINK, "", "tmp");
	expect_nth(f, &ask, 0, NULL);
	debug_files_destroy(f);
	memset(long_path, '/', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	where = (struct debug_where){.tgid = getpid(), .path = long_path};
	assert_int_equal(debug_files_create(&where, &f), -ENAMETOOLONG);
	debug_files_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(by_build_id, set_up, tear_down),
		cmocka_unit_test_setup_teardown(by_link, set_up, tear_down),
		cmocka_unit_test_setup_teardown(by_alt, set_up, tear_down),
		cmocka_unit_test_setup_teardown(beside_a_linked_debug_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(split_dwarf, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hostile_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(files_of_the_kernel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(limit_of_questions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(processes_that_are_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_a_process, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
