#include "agent/image_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/proc_maps.h"
#include "tests/unit/cmocka_prelude.h"

#define GONE 5000000 /* no process has this pid */

static char folder[PATH_MAX];

/* valgrind 3.19 knows no openat2: every path then fails, which is safe, and not what is tested here. */
static bool has_openat2(void)
{
	struct open_how how = {.flags = O_PATH};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

	if (fd >= 0)
		close(fd);
	else
		print_message("openat2: %s\n", strerror(errno));
	return fd >= 0;
}

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/hearth-image-open-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[PATH_MAX + 16];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) == 0 ? 0 : -1;
}

static const char *in_folder(const char *name)
{
	static char path[2 * PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void make_file(const char *name)
{
	FILE *file = fopen(in_folder(name), "w");

	assert_non_null(file);
	fputs("content", file);
	fclose(file);
}

static struct image_request request_for(pid_t pid, const char *path)
{
	return (struct image_request){.tgid = pid, .start = 0x1000, .end = 0x2000, .path = path};
}

static int try_path(const char *path)
{
	struct image_request request = request_for(getpid(), path);
	struct opened_image opened = {.fd = -77};

	alarm(60); /* a FIFO that is opened for reading waits for ever */
	int err = image_open(&request, &opened);
	alarm(0);
	if (err == 0)
		close(opened.fd);
	else
		assert_int_equal(opened.fd, -77);
	return err;
}

static void regular_files_only(void **state)
{
	if (!has_openat2())
		skip();
	(void)state;
	make_file("file");
	assert_int_equal(try_path(in_folder("file")), 0);
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	assert_int_equal(try_path(in_folder("fifo")), -EINVAL);
	assert_int_equal(try_path("/dev/zero"), -EINVAL);
	assert_int_equal(try_path(folder), -EINVAL);
	assert_int_equal(try_path(in_folder("missing")), -ENOENT);
	assert_int_equal(try_path(""), -ENOENT);
}

static void debug_files_by_build_id(void **state)
{
	static const uint8_t ID[255] = {0xfe, 0xdc, 0xba, 0x98};
	struct image_request request = request_for(getpid(), "/ignored");
	struct opened_image opened = {.fd = -77};

	if (!has_openat2())
		skip();
	(void)state;
	assert_int_equal(image_open_debug(&request, ID, 4, &opened), -ENOENT);
	assert_int_equal(image_open_debug(&request, ID, 64, &opened), -ENOENT);
	assert_int_equal(image_open_debug(&request, ID, 65, &opened), -EINVAL);
	assert_int_equal(image_open_debug(&request, ID, 255, &opened), -EINVAL);
	assert_int_equal(image_open_debug(&request, ID, 3, &opened), -EINVAL);
	assert_int_equal(image_open_debug(&request, ID, 0, &opened), -EINVAL);
	request.tgid = GONE;
	assert_int_equal(image_open_debug(&request, ID, 20, &opened), -ENOENT);
	assert_int_equal(opened.fd, -77);
}

static void the_inode_must_match(void **state)
{
	if (!has_openat2())
		skip();
	struct stat status;
	struct opened_image opened;
	char path[2 * PATH_MAX];

	(void)state;
	make_file("file");
	strcpy(path, in_folder("file"));
	assert_int_equal(stat(path, &status), 0);
	struct image_request request = request_for(getpid(), path);
	request.has_inode = true;
	request.inode = status.st_ino;
	request.dev_major = major(status.st_dev);
	request.dev_minor = minor(status.st_dev);
	assert_int_equal(image_open(&request, &opened), 0);
	assert_int_equal(opened.inode, status.st_ino);
	assert_int_equal(opened.bytes, 7);
	close(opened.fd);
	request.inode++;
	assert_int_equal(image_open(&request, &opened), -ESTALE);
	request.inode--;
	request.dev_minor++;
	assert_int_equal(image_open(&request, &opened), -ESTALE);
}

static void magic_links_are_not_followed(void **state)
{
	char path[2 * PATH_MAX];

	(void)state;
	assert_int_not_equal(try_path("/proc/self/exe"), 0);
	strcpy(path, in_folder("link"));
	assert_int_equal(symlink("/proc/self/exe", path), 0);
	assert_int_not_equal(try_path(path), 0);
}

/* The first executable mapping of a process that has a path. */
static int first_file(void *context, const struct proc_mapping *mapping)
{
	struct image_request *request = context;
	static char path[PATH_MAX];

	if (request->start || mapping->path[0] != '/')
		return 0;
	request->start = mapping->start;
	request->end = mapping->end;
	snprintf(path, sizeof(path), "%s", mapping->path);
	request->path = path;
	return 0;
}

static void the_mapped_file_itself(void **state)
{
	struct image_request request = {.tgid = getpid(), .path = ""};
	struct opened_image opened;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(proc_maps_read(getpid(), first_file, &request, NULL), 0);
	request.path = "/no/such/path";
	request.has_inode = true; /* not compared on this route */
	assert_int_equal(image_open(&request, &opened), 0);
	assert_int_equal(opened.route, IMAGE_BY_MAP_FILES);
	close(opened.fd);
}

/* A process that runs a deleted file, in a root of its own. */
static void deleted_files_and_other_roots(void **state)
{
	if (!has_openat2())
		skip();
	struct image_request request = {0};
	struct opened_image opened;
	char path[2 * PATH_MAX], byte;
	int ready[2];

	(void)state;
	if (geteuid() != 0)
		skip();
	make_file("inside");
	strcpy(path, in_folder("inside"));
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed assertion leaves nobody behind */
		int fd = open(path, O_RDONLY);
		char *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
		bool ok = at != MAP_FAILED && chroot(folder) == 0 && chdir("/") == 0;
		uintptr_t start = (uintptr_t)at;
		if (ok && write(ready[1], &start, sizeof(start)) > 0)
			pause();
		_exit(1);
	}
	uintptr_t start = 0;
	close(ready[1]);
	assert_int_equal(read(ready[0], &start, sizeof(start)), sizeof(start));
	request = request_for(child, "/inside");
	assert_int_equal(image_open(&request, &opened), 0);
	assert_int_equal(opened.route, IMAGE_BY_ROOT);
	close(opened.fd);
	request = request_for(child, "/../../../../inside"); /* no way out of the root */
	assert_int_equal(image_open(&request, &opened), 0);
	close(opened.fd);
	request = request_for(child, "/etc/passwd");
	assert_int_not_equal(image_open(&request, &opened), 0);
	assert_int_equal(unlink(path), 0);
	request = request_for(child, "/inside (deleted)");
	request.start = start;
	request.end = start + 4096;
	assert_int_equal(image_open(&request, &opened), 0);
	assert_int_equal(opened.route, IMAGE_BY_MAP_FILES);
	assert_int_equal(pread(opened.fd, &byte, 1, 0), 1);
	close(opened.fd);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_not_equal(image_open(&request, &opened), 0);
	close(ready[0]);
}

static void a_process_that_is_gone(void **state)
{
	if (!has_openat2())
		skip();
	struct opened_image opened;
	char path[2 * PATH_MAX];

	(void)state;
	make_file("file");
	strcpy(path, in_folder("file"));
	struct image_request request = request_for(GONE, path);
	request.parent = getpid();
	assert_int_equal(image_open(&request, &opened), 0);
	assert_int_equal(opened.route, IMAGE_BY_PARENT);
	close(opened.fd);
	request.parent = GONE;
	assert_int_equal(image_open(&request, &opened), 0);
	assert_int_equal(opened.route, IMAGE_BY_OWN_ROOT);
	close(opened.fd);
}

static void long_paths(void **state)
{
	static char path[3 * PATH_MAX];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	assert_int_not_equal(try_path(path), 0);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(regular_files_only),	    IN_FOLDER(the_inode_must_match),
		IN_FOLDER(magic_links_are_not_followed), IN_FOLDER(the_mapped_file_itself),
		IN_FOLDER(deleted_files_and_other_roots), IN_FOLDER(a_process_that_is_gone),
		IN_FOLDER(long_paths),		    IN_FOLDER(debug_files_by_build_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
