#include "agent/image_open.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/scope.h"

#define FILE_MAX_BYTES	   (16ull << 30)
#define PERF_MAP_MAX_BYTES (64ull << 20) /* SAFETY 9 */

/* /proc/PID as a descriptor: once the process is gone it leads nowhere, never to another process with that pid. */
static int open_process(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* From a place to a readable file: checked before it is opened, because opening a FIFO waits and opening a device acts. */
static int open_place(int place, const struct image_request *check, struct opened_image *opened_out)
{
	char path[64];
	struct stat status;

	if (fstat(place, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	if ((uint64_t)status.st_size > FILE_MAX_BYTES)
		return -EFBIG;
	if (check && check->has_inode &&
	    (status.st_ino != check->inode || major(status.st_dev) != check->dev_major ||
	     minor(status.st_dev) != check->dev_minor))
		return -ESTALE;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", place);
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	opened_out->fd = fd;
	opened_out->dev_major = major(status.st_dev);
	opened_out->dev_minor = minor(status.st_dev);
	opened_out->inode = status.st_ino;
	opened_out->bytes = (uint64_t)status.st_size;
	opened_out->owner = status.st_uid;
	opened_out->mtime_ns = status.st_mtim.tv_sec * 1000000000ll + status.st_mtim.tv_nsec;
	return 0;
}

/* map_files leads to the mapped file itself, whatever happened to its name. Device and inode are not compared: on btrfs and overlayfs
 * fstat() tells others than the mapping does. */
static int open_map_file(int process, const struct image_request *request, struct opened_image *opened_out)
{
	char name[64];

	snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, request->start, request->end);
	AUTO_CLOSE int place = openat(process, name, O_PATH | O_CLOEXEC);
	if (place < 0)
		return -errno;
	return open_place(place, NULL, opened_out);
}

/* A path inside a root folder; no link leads out of it, and none of /proc's magic ones is followed. */
static int place_inside(int root, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | flags,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int place = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return place < 0 ? -errno : place;
}

static int open_inside(int root, const struct image_request *request, struct opened_image *opened_out)
{
	AUTO_CLOSE int place = place_inside(root, request->path, 0);

	return place < 0 ? place : open_place(place, request, opened_out);
}

/* -ESRCH: the process has no root any more. */
static int open_in_root_of(int process, const struct image_request *request, struct opened_image *opened_out)
{
	AUTO_CLOSE int root = openat(process, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return open_inside(root, request, opened_out);
}

static int open_by_parent(const struct image_request *request, struct opened_image *opened_out)
{
	AUTO_CLOSE int parent = request->parent > 0 ? open_process(request->parent) : -ESRCH;

	return parent < 0 ? parent : open_in_root_of(parent, request, opened_out);
}

static int open_in_own_root(const struct image_request *request, struct opened_image *opened_out)
{
	AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return root < 0 ? -errno : open_inside(root, request, opened_out);
}

/* Which of two failures tells more: that a file is of a kind that is not read, or another one, or may not be read. */
static int more_telling(int a, int b)
{
	static const int ORDER[] = {-EINVAL, -EFBIG, -EMFILE, -ESTALE, -EPERM, -EACCES};

	for (size_t i = 0; i < sizeof(ORDER) / sizeof(ORDER[0]); i++)
		if (a == ORDER[i] || b == ORDER[i])
			return ORDER[i];
	return -ENOENT;
}

/* By path: in the process's root. Only when the process is gone in its parent's, then in ours: a living one's own root is the
 * only right one. process: /proc/PID, or -ESRCH. */
static int open_by_path(int process, const struct image_request *request, struct opened_image *opened)
{
	opened->route = IMAGE_BY_ROOT;
	int err = process < 0 ? -ESRCH : open_in_root_of(process, request, opened);
	if (err != -ESRCH)
		return err;
	opened->route = IMAGE_BY_PARENT;
	err = open_by_parent(request, opened);
	if (err == 0 || err == -EINVAL)
		return err;
	opened->route = IMAGE_BY_OWN_ROOT;
	int own = open_in_own_root(request, opened);
	return own < 0 ? more_telling(own, err) : 0;
}

int image_open(const struct image_request *request, struct opened_image *opened_out)
{
	struct opened_image opened = {.route = IMAGE_BY_MAP_FILES};
	AUTO_CLOSE int process = open_process(request->tgid);

	int err = process < 0 ? -ESRCH : open_map_file(process, request, &opened);
	if (err < 0) {
		int by_path = open_by_path(process, request, &opened);
		err = by_path < 0 ? more_telling(by_path, err) : 0;
	}
	if (err == 0)
		*opened_out = opened;
	return err;
}

/* --- files that an image names ------------------------------------------------------------------------------------------ */

static uint64_t read_start(int process)
{
	AUTO_CLOSE int fd = openat(process, "stat", O_RDONLY | O_CLOEXEC);
	char text[1024];
	unsigned long long start;

	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* The name, in parentheses, may hold anything; field 22 is the twentieth behind it. */
	const char *at = strrchr(text, ')');
	if (!at || sscanf(at + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &start) != 1)
		return 0;
	return start;
}

uint64_t image_process_start(pid_t tgid)
{
	AUTO_CLOSE int process = open_process(tgid);

	return process < 0 ? 0 : read_start(process);
}

int image_root_open(pid_t tgid, uint64_t start_ticks, int *root_out)
{
	AUTO_CLOSE int process = tgid ? open_process(tgid) : -1;

	if (tgid && process < 0)
		return -ESRCH;
	/* Behind the opening: from here on the descriptor is of one process. */
	if (tgid && start_ticks && read_start(process) != start_ticks)
		return -ESRCH;
	int root = tgid ? openat(process, "root", O_PATH | O_DIRECTORY | O_CLOEXEC) : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return tgid && errno == ENOENT ? -ESRCH : -errno;
	*root_out = root;
	return 0;
}

/* Reading a file of these acts, waits, or tells what is the kernel's alone. */
static bool is_of_the_kernel(int place)
{
	static const uint32_t TYPES[] = {PROC_SUPER_MAGIC, SYSFS_MAGIC,	       DEBUGFS_MAGIC,	   TRACEFS_MAGIC,    SECURITYFS_MAGIC,
					 CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, BPF_FS_MAGIC,	   PSTOREFS_MAGIC,   EFIVARFS_MAGIC,
					 SELINUX_MAGIC,	   SMACK_MAGIC,	       BINFMTFS_MAGIC,	   NSFS_MAGIC};
	struct statfs status;

	if (fstatfs(place, &status) < 0)
		return true;
	for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++)
		if ((uint32_t)status.f_type == TYPES[i])
			return true;
	return false;
}

/* A second name of somebody else's file is not its owner's doing. */
static bool is_written_by(const struct file_owners *owners, const struct stat *status)
{
	for (size_t i = 0; i < owners->n; i++)
		if (owners->uids[i] == status->st_uid)
			return status->st_nlink < 2;
	return false;
}

int image_open_inside(int root, const char *path, const struct image_file_rule *rule, struct opened_image *opened_out)
{
	AUTO_CLOSE int place = place_inside(root, path, rule->written_by ? O_NOFOLLOW : 0);
	struct opened_image opened = {.route = IMAGE_BY_ROOT};
	struct stat status;

	if (place < 0)
		return place;
	if (fstat(place, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || is_of_the_kernel(place))
		return -EINVAL;
	if (rule->by_owner && status.st_uid != rule->owner && !(status.st_mode & S_IROTH))
		return -EACCES;
	if (rule->written_by && !is_written_by(rule->written_by, &status))
		return -EPERM;
	if (rule->max_bytes && (uint64_t)status.st_size > rule->max_bytes)
		return -EFBIG;
	int err = open_place(place, NULL, &opened);
	if (err == 0)
		*opened_out = opened;
	return err;
}

int image_open_perf_map(int root, pid_t ns_pid, const struct file_owners *owners, struct opened_image *opened_out)
{
	const struct image_file_rule rule = {.written_by = owners, .max_bytes = PERF_MAP_MAX_BYTES};
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", ns_pid);
	return image_open_inside(root, path, &rule, opened_out);
}

bool image_read_link(int root, const char *path, char *target_out, size_t bytes)
{
	AUTO_CLOSE int place = place_inside(root, path, O_NOFOLLOW);
	char text[PATH_MAX];

	ssize_t n = place < 0 ? -1 : readlinkat(place, "", text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	const char *slash = strrchr(path, '/');
	int folder = text[0] == '/' || !slash ? 0 : (int)(slash - path) + 1;
	int length = snprintf(target_out, bytes, "%.*s%s", folder, path, text);
	return length >= 0 && (size_t)length < bytes;
}

#define DEBUG_FOLDER "/usr/lib/debug/.build-id/"

int image_open_debug(const struct image_request *request, const uint8_t *build_id, uint8_t n_bytes,
		     struct opened_image *opened_out)
{
	char path[sizeof(DEBUG_FOLDER) + 2 * UINT8_MAX + sizeof("/.debug")];
	struct image_request debug = {.tgid = request->tgid, .parent = request->parent, .path = path};
	struct opened_image opened;
	int n = snprintf(path, sizeof(path), DEBUG_FOLDER "%02x/", n_bytes ? build_id[0] : 0);

	if (n_bytes < 4 || n_bytes > 64)
		return -EINVAL;
	for (uint8_t i = 1; i < n_bytes; i++)
		n += snprintf(path + n, sizeof(path) - (size_t)n, "%02x", build_id[i]);
	snprintf(path + n, sizeof(path) - (size_t)n, ".debug");
	AUTO_CLOSE int process = open_process(debug.tgid);
	int err = open_by_path(process, &debug, &opened);
	if (err < 0)
		return more_telling(err, -ENOENT);
	*opened_out = opened;
	return 0;
}
