/* agent/jit_files.c, jit_report.c, jit_runtime.c and proc_status.c: which files tell of a process, and which are not taken. */
#include "agent/jit_files.h"
#include "agent/jit_report.h"
#include "agent/proc_status.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/zygote_fixture.h"

#define GONE 5000000 /* no process has this pid */

struct fixture {
	struct symbolizer *symbolizer;
	struct image_table *images;
	struct process_table *table;
	struct jit_files *files;
	pid_t child; /* sleeps */
	struct process process;
	char map[64]; /* /tmp/perf-PID.map of the child */
};

static bool has_openat2(void)
{
	struct open_how how = {.flags = O_PATH};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (test_symbolizer_create(&f->symbolizer) < 0 || image_table_create(f->symbolizer, 64, 16, &f->images) < 0 ||
	    process_table_create(f->images, 1 << 20, &f->table) < 0 || jit_files_create(f->images, &f->files) < 0)
		return -1;
	f->child = sleeper();
	f->process = (struct process){.tgid = f->child, .parent = getpid(), .serial = 7, .end_ns = UINT64_MAX, .name = "java",
				      .mappings = mapset_create()};
	snprintf(f->map, sizeof(f->map), "/tmp/perf-%d.map", f->child);
	unlink(f->map); /* of a process that had this pid before */
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	kill(f->child, SIGKILL);
	waitpid(f->child, NULL, 0);
	unlink(f->map);
	jit_files_destroy(f->files);
	process_table_destroy(f->table);
	image_table_destroy(f->images);
	symbolizer_destroy(f->symbolizer);
	mapset_unref(f->process.mappings);
	free(f->process.jit_dump);
	free(f);
	return 0;
}

static void write_map(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static const struct jit_process *see(struct fixture *f, uint64_t window)
{
	uint32_t slot;

	alarm(60); /* a FIFO that is opened for reading waits for ever */
	slot = jit_files_see(f->files, f->table, &f->process, window);
	alarm(0);
	assert_int_not_equal(slot, JIT_NONE);
	return jit_files_get(f->files, slot);
}

/* The first bytes of what is opened for the process now, "" for nothing. */
static const char *content(struct fixture *f, bool dump)
{
	static char text[64];
	struct jit_source source;

	memset(text, 0, sizeof(text));
	uint32_t slot = jit_files_see(f->files, f->table, &f->process, 1);
	jit_files_open(f->files, slot, &source);
	int fd = dump ? source.dump_fd : source.map_fd;
	if (fd >= 0)
		assert_true(pread(fd, text, sizeof(text) - 1, 0) >= 0);
	jit_files_done(f->files, slot);
	return text;
}

static void a_map_is_found_followed_and_kept(void **state)
{
	struct fixture *f = *state;
	struct jit_files_stats stats;

	if (!has_openat2())
		skip();
	assert_int_equal(see(f, 1)->map_error, -ENOENT);
	assert_string_equal(content(f, false), "");
	write_map(f->map, "first");
	assert_string_equal(content(f, false), "first");
	assert_int_equal(see(f, 1)->map_error, 0);
	/* Replaced by another file. */
	char other[80];
	snprintf(other, sizeof(other), "%s.new", f->map);
	write_map(other, "second");
	assert_int_equal(rename(other, f->map), 0);
	assert_string_equal(content(f, false), "second");
	/* Removed, and the process has ended. */
	assert_int_equal(unlink(f->map), 0);
	assert_string_equal(content(f, false), "second");
	kill(f->child, SIGKILL);
	waitpid(f->child, NULL, 0);
	assert_string_equal(content(f, false), "second");
	jit_files_stats(f->files, &stats);
	assert_int_equal(stats.maps_opened, 2);
	assert_int_equal(stats.maps_refused, 0);
	assert_int_equal(stats.processes, 1);
	assert_int_equal(stats.held, 1);
	jit_files_end_window(f->files, 7);
	jit_files_stats(f->files, &stats);
	assert_int_equal(stats.processes, 1);
	jit_files_end_window(f->files, 8);
	jit_files_stats(f->files, &stats);
	assert_int_equal(stats.processes + stats.held, 0);
}

static void refused(struct fixture *f, int error)
{
	struct jit_files_stats before, after;

	jit_files_stats(f->files, &before);
	f->process.serial++;
	assert_int_equal(see(f, 1)->map_error, error);
	assert_string_equal(content(f, false), "");
	jit_files_stats(f->files, &after);
	assert_int_equal(after.maps_refused, before.maps_refused + 1);
}

static void hostile_maps_are_refused(void **state)
{
	struct fixture *f = *state;

	if (!has_openat2() || geteuid() != 0)
		skip();
	assert_int_equal(symlink("/etc/passwd", f->map), 0);
	refused(f, -EINVAL);
	unlink(f->map);
	assert_int_equal(mkfifo(f->map, 0666), 0);
	refused(f, -EINVAL);
	unlink(f->map);
	assert_int_equal(mknod(f->map, S_IFCHR | 0666, makedev(1, 5)), 0);
	refused(f, -EINVAL);
	unlink(f->map);
	assert_int_equal(mkdir(f->map, 0700), 0);
	refused(f, -EINVAL);
	rmdir(f->map);
	write_map(f->map, "x");
	assert_int_equal(truncate(f->map, 10ll << 30), 0);
	refused(f, -EFBIG);
	unlink(f->map);
	write_map(f->map, "x");
	assert_int_equal(chown(f->map, 12345, 12345), 0);
	refused(f, -EPERM);
	unlink(f->map);
	char other[80];
	snprintf(other, sizeof(other), "%s.other", f->map);
	write_map(other, "x");
	assert_int_equal(link(other, f->map), 0);
	refused(f, -EPERM);
	unlink(other);
	unlink(f->map);
	/* Left behind by an earlier process with this pid. */
	write_map(f->map, "x");
	struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	assert_int_equal(utimensat(AT_FDCWD, f->map, times, 0), 0);
	f->process.start_ns = clock_ns(CLOCK_MONOTONIC);
	refused(f, -ESTALE);
}

static void the_owner_is_who_the_process_runs_as(void **state)
{
	struct fixture *f = *state;

	int ready[2];
	char byte;

	if (!has_openat2() || geteuid() != 0)
		skip();
	kill(f->child, SIGKILL);
	waitpid(f->child, NULL, 0);
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char path[64];
		snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
		unlink(path); /* root's, of a process that had this pid before */
		int fd = setresuid(12345, 12345, 12345) < 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* setresuid() clears it */
		if (fd < 0 || write(fd, "mine", 4) != 4 || close(fd) < 0)
			_exit(1);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	f->child = f->process.tgid = pid;
	snprintf(f->map, sizeof(f->map), "/tmp/perf-%d.map", pid);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_string_equal(content(f, false), "mine");
	assert_int_equal(chown(f->map, 0, 0), 0); /* `perf` wants root's */
	f->process.serial++;
	assert_string_equal(content(f, false), "mine");
	assert_int_equal(chown(f->map, 54321, 0), 0);
	refused(f, -EPERM);
}

static void own_root_and_pid_namespace(void **state)
{
	struct fixture *f = *state;
	int ready[2];
	char byte;

	if (!has_openat2() || geteuid() != 0)
		skip();
	kill(f->child, SIGKILL);
	waitpid(f->child, NULL, 0);
	assert_int_equal(pipe(ready), 0);
	char folder[] = "/tmp/hearth-jit-files-XXXXXX";
	assert_non_null(mkdtemp(folder));
	char tmp[64], path[96];
	snprintf(tmp, sizeof(tmp), "%s/tmp", folder);
	assert_int_equal(mkdir(tmp, 0777), 0);
	snprintf(path, sizeof(path), "%s/perf-1.map", tmp);
	write_map(path, "inside");
	write_map("/tmp/perf-1.map", "outside");
	/* What clone() with CLONE_NEWPID starts is pid 1 there. */
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chroot(folder) == 0 && chdir("/") == 0 && write(ready[1], "x", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	f->child = f->process.tgid = pid;
	assert_string_equal(content(f, false), "inside");
	assert_int_equal(see(f, 1)->ns_pid, 1);
	/* Its open file outlives it; another one's is not taken when it is gone: outside of its namespace pid 1 is somebody else. */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_string_equal(content(f, false), "inside");
	f->process.serial++;
	assert_string_equal(content(f, false), "");
	unlink("/tmp/perf-1.map");
	unlink(path);
	rmdir(tmp);
	rmdir(folder);
	close(ready[0]);
	close(ready[1]);
}

static void a_process_that_was_gone(void **state)
{
	struct fixture *f = *state;

	if (!has_openat2())
		skip();
	kill(f->child, SIGKILL);
	waitpid(f->child, NULL, 0);
	write_map(f->map, "left behind");
	assert_string_equal(content(f, false), "left behind");
	assert_true(see(f, 1)->was_gone);
	/* Its pid is another process's by now: of that one nothing is taken. */
	f->process = (struct process){.tgid = getpid(), .serial = 99, .end_ns = UINT64_MAX, .start_ns = 1, .mappings = f->process.mappings};
	assert_true(see(f, 1)->was_gone);
}

static void a_dump_is_found_by_its_mapping(void **state)
{
	struct fixture *f = *state;
	char path[64];
	struct stat status;

	if (!has_openat2())
		skip();
	snprintf(path, sizeof(path), "/tmp/jit-%d.dump", getpid()); /* this test may run twice at a time */
	write_map(path, "JiTD");
	assert_int_equal(stat(path, &status), 0);
	struct task_record exec = {.type = TASK_COMM, .pid = f->child, .is_exec = true, .text = "jit", .time_ns = 5};
	struct task_record map = {.type = TASK_MMAP, .pid = f->child, .time_ns = 6, .start = 0x1000, .end = 0x2000, .inode = status.st_ino,
				  .dev_major = major(status.st_dev), .dev_minor = minor(status.st_dev), .text = path};
	process_table_apply(f->table, &exec);
	process_table_apply(f->table, &map);
	struct process *process = process_table_find(f->table, f->child, 7, 1, 0);
	assert_non_null(process->jit_dump);
	assert_string_equal(process->jit_dump->path, path);
	assert_int_equal(mapset_find(process->mappings, 0x1800)->image, MAPPING_NO_IMAGE);
	struct jit_source source;
	char text[8] = "";
	uint32_t slot = jit_files_see(f->files, f->table, process, 1);
	jit_files_open(f->files, slot, &source);
	assert_true(source.dump_fd >= 0);
	assert_int_equal(pread(source.dump_fd, text, 4, 0), 4);
	assert_string_equal(text, "JiTD");
	jit_files_done(f->files, slot);
	/* A forked child has it too, and an exec ends that. */
	struct task_record fork_record = {.type = TASK_FORK, .pid = GONE, .parent = f->child, .time_ns = 8};
	process_table_apply(f->table, &fork_record);
	struct process *child = process_table_find(f->table, GONE, 9, 1, 0);
	assert_non_null(child->jit_dump);
	assert_ptr_equal(process_table_origin(f->table, child), process);
	assert_int_equal(jit_files_get(f->files, jit_files_see(f->files, f->table, child, 1))->origin, slot);
	exec.pid = GONE;
	exec.time_ns = 10;
	process_table_apply(f->table, &exec);
	assert_null(process_table_find(f->table, GONE, 11, 1, 0)->jit_dump);
	assert_null(process_table_origin(f->table, process_table_find(f->table, GONE, 11, 1, 0)));
	/* Names that are not quite it are images. */
	static const char *const OTHERS[] = {"/tmp/jit-.dump", "/tmp/jit-12.dumpx", "/tmp/jit-1a.dump", "/tmp/xjit-1.dump", "/jit-1.dump/x"};
	for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++) {
		map.pid = GONE;
		map.text = OTHERS[i];
		map.inode++;
		map.time_ns = 12 + i;
		process_table_apply(f->table, &map);
		assert_null(process_table_find(f->table, GONE, 20, 1, 0)->jit_dump);
	}
	unlink(path);
}

static void a_forked_child_that_was_there_before(void **state)
{
	struct fixture *f = *state;

	struct process *self = process_table_find(f->table, getpid(), 1, 1, 0);
	struct process *child = process_table_find(f->table, f->child, 1, 1, 0);
	assert_non_null(self);
	assert_non_null(child);
	assert_int_equal(child->forked_from, 0);
	assert_ptr_equal(process_table_origin(f->table, child), self);
	/* Who started this program executed another one. */
	process_table_find(f->table, getppid(), 1, 1, 0);
	assert_null(process_table_origin(f->table, self));
	uint32_t slot = jit_files_see(f->files, f->table, child, 1);
	const struct jit_process *origin = jit_files_get(f->files, jit_files_get(f->files, slot)->origin);
	assert_non_null(origin);
	assert_int_equal(origin->tgid, getpid());
}

static void many_processes(void **state)
{
	struct fixture *f = *state;
	struct jit_files_stats stats;

	for (uint64_t serial = 100; serial < 100 + JIT_PROCESSES_MAX; serial++) {
		f->process.serial = serial;
		see(f, 1);
	}
	jit_files_stats(f->files, &stats);
	assert_int_equal(stats.processes, JIT_PROCESSES_MAX);
	assert_int_equal(stats.held, JIT_HELD_MAX);
	f->process.serial = 50;
	assert_int_equal(jit_files_see(f->files, f->table, &f->process, 1), JIT_NONE);
	see(f, 2); /* those of the last window give way */
	jit_files_stats(f->files, &stats);
	assert_int_equal(stats.processes_refused, 1);
	assert_int_equal(stats.forgotten, 1);
	assert_int_equal(stats.held, JIT_HELD_MAX);
	if (!has_openat2())
		skip();
	/* Those that hold nothing are opened for the moment. */
	f->process.serial = 100 + JIT_PROCESSES_MAX - 1;
	write_map(f->map, "text");
	assert_string_equal(content(f, false), "text");
}

static void runtimes(void **state)
{
	static const struct {
		const char *path, *name;
	} CASES[] = {
		{"/usr/lib/jvm/java-17/lib/server/libjvm.so", "java"}, {"/usr/bin/node", "node"}, {"/usr/bin/node_exporter", ""},
		{"/usr/bin/luajit-2.1.0-beta3", "luajit"}, {"/usr/bin/python3.12", "python"}, {"/usr/bin/python3-config", ""},
		{"/usr/lib/erlang/erts-13.1.5/bin/beam.smp", "erlang"}, {"/usr/bin/php8.2", "php"}, {"/opt/x/libcoreclr.so", "dotnet"},
		{"/usr/bin/mono-sgen", "mono"}, {"/usr/bin/qemu-system-x86_64", "qemu"}, {"/lib/libc.so.6", ""}, {"[vdso]", ""}, {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
		assert_string_equal(jit_runtime_name(jit_runtime_of(CASES[i].path)), CASES[i].name);
	for (int i = 0; i < JIT_RUNTIMES; i++)
		assert_true(strlen(jit_runtime_hint((enum jit_runtime)i)) > 10);
}

static void reports(void **state)
{
	static struct jit_report report;
	struct jit_process java = {.tgid = 5, .ns_pid = 1, .runtime = JIT_RUNTIME_JAVA, .name = "ja\x1bva", .samples = 90, .unnamed = 80,
				   .map_error = -ENOENT};
	struct jit_process other = {.tgid = 6, .ns_pid = 6, .name = "x", .samples = 10, .unnamed = 1, .map_error = -EPERM};
	char text[512];

	(void)state;
	jit_report_add(&report, &java);
	jit_report_add(&report, &java);
	jit_report_add(&report, &other);
	const struct jit_report_row *row = jit_report_next(&report, 1000, 10);
	assert_non_null(row);
	jit_report_describe(row, text, sizeof(text));
	assert_string_equal(text, "ja?va [java] (pid 5): 160 of 180 samples have JIT code without a name, /tmp/perf-1.map is not there; for names: "
				  "jcmd PID Compiler.perfmap shortly before the recording ends (JDK 17+), or java -agentpath:libperf-jvmti.so");
	assert_null(jit_report_next(&report, 1000, 10)); /* 1 per mille, and java was said */
	jit_report_add(&report, &other);
	row = jit_report_next(&report, 100, 10);
	assert_non_null(row);
	jit_report_describe(row, text, sizeof(text));
	assert_non_null(strstr(text, "/tmp/perf-6.map belongs to another user"));
	java.samples = java.unnamed = 0;
	for (int i = 0; i < 2 * JIT_REPORT_ROWS; i++) {
		snprintf(other.name, sizeof(other.name), "p%d", i);
		jit_report_add(&report, &other);
		java.name[0] = (char)i;
		jit_report_add(&report, &java); /* without samples: nothing */
	}
	assert_int_equal(report.n, JIT_REPORT_ROWS);
}

static void status_and_uid_map(void **state)
{
	struct proc_status s;
	uid_t root = 7;

	(void)state;
	assert_int_equal(proc_status_parse("Name:\tx\\nUid:\t9 9 9 9\nPid:\t12\nUid:\t1\t2\t3\t4\nNSpid:\t12\t7\t1\n", &s), 0);
	assert_int_equal(s.uids[0], 1);
	assert_int_equal(s.uids[3], 4);
	assert_int_equal(s.ns_pid, 1);
	assert_int_equal(proc_status_parse("Pid:\t12\nUid:\t1\t2\t3\t4\n", &s), 0);
	assert_int_equal(s.ns_pid, 12);
	assert_int_equal(proc_status_parse("Pid:\t12\n", &s), -EBADMSG);
	assert_int_equal(proc_status_parse("Pid:\t12\nUid:\t1 2\n", &s), -EBADMSG);
	assert_int_equal(proc_status_parse("Uid:\t1\t2\t3\t4\nNSpid:\t99999999999999999999\n", &s), -EBADMSG);
	assert_int_equal(proc_status_parse("", &s), -EBADMSG);
	assert_true(proc_uid_map_root("         0     100000      65536\n", &root));
	assert_int_equal(root, 100000);
	assert_true(proc_uid_map_root("1000 5 1\n0 77 1\n", &root));
	assert_int_equal(root, 77);
	assert_false(proc_uid_map_root("1000 5 1\n", &root));
	assert_false(proc_uid_map_root("", &root));
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FILES(a_map_is_found_followed_and_kept), WITH_FILES(hostile_maps_are_refused),
		WITH_FILES(the_owner_is_who_the_process_runs_as), WITH_FILES(own_root_and_pid_namespace),
		WITH_FILES(a_process_that_was_gone), WITH_FILES(a_dump_is_found_by_its_mapping), WITH_FILES(many_processes), WITH_FILES(a_forked_child_that_was_there_before),
		cmocka_unit_test(runtimes), cmocka_unit_test(reports), cmocka_unit_test(status_and_uid_map),
	};
	return cmocka_run_group_tests_name("agent/jit_files", tests, NULL, NULL);
}
