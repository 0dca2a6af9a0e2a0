/* Opening the files of other processes by SAFETY.md's rules (6, 8, 10): the only place that does.
 *
 * A file is reached through /proc/PID/map_files/START-END where that is allowed; else by its path inside the process's own root,
 * with openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), O_PATH first; when the process is gone, through the root of its
 * parent, then our own root. Regular files only (checked on the O_PATH descriptor, before the real open), O_RDONLY | O_NONBLOCK |
 * O_CLOEXEC | O_NOCTTY. Nothing is executed, no namespace is entered, no byte of the file is read. */
#ifndef HEARTH_AGENT_IMAGE_OPEN_H
#define HEARTH_AGENT_IMAGE_OPEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What is known of a mapping whose file is wanted. */
struct image_request {
	pid_t tgid;
	pid_t parent;	     /* 0 when unknown */
	uint64_t start;	     /* of the mapping, as the kernel told */
	uint64_t end;
	const char *path;    /* as the kernel told; may end in " (deleted)" */
	bool has_inode;	     /* dev and inode are known: a path must lead to exactly them */
	uint32_t dev_major, dev_minor;
	uint64_t inode;
};

enum image_route {
	IMAGE_BY_MAP_FILES, /* the very file that is mapped */
	IMAGE_BY_ROOT,	    /* a path inside the process's root, with matching inode when has_inode */
	IMAGE_BY_PARENT,    /* as above, by the parent's root: the process was gone */
	IMAGE_BY_OWN_ROOT,
};

struct opened_image {
	int fd; /* owned by the caller */
	enum image_route route;
	uint32_t dev_major, dev_minor;
	uint64_t inode;
	uint64_t bytes;
	int64_t mtime_ns;
	uid_t owner;
};

/* Returns 0, -ENOENT (no way leads to the file any more), -ESTALE (paths lead to another file: inode differs),
 * -EINVAL (not a regular file), -EFBIG (over 16 GiB), -EACCES/-EPERM (not allowed), -EMFILE. The most telling error of the routes tried. */
int image_open(const struct image_request *request, struct opened_image *opened_out);

/* When a process began, in clock ticks since boot (/proc/PID/stat): with its pid, its identity (SAFETY 8). 0: it is gone. */
uint64_t image_process_start(pid_t tgid);

/* The folder that a process has as its root, as an O_PATH descriptor. start_ticks: of image_process_start(); 0: not known.
 * tgid 0: our own root. -ESRCH: the process is gone, or its pid is another's now; -EACCES: not allowed. */
int image_root_open(pid_t tgid, uint64_t start_ticks, int *root_out);

/* Users. */
#define FILE_OWNERS_MAX 6
struct file_owners {
	uid_t uids[FILE_OWNERS_MAX];
	size_t n;
};

/* What a file that an image or a process leads to must be, beyond a regular file (image_open_inside()). */
struct image_file_rule {
	bool by_owner; /* it belongs to owner, or all may read it: a stranger's program does not make us read what he may not */
	uid_t owner;
	const struct file_owners *written_by; /* it belongs to one of these, and its name is neither a link nor a second name; NULL: not asked */
	uint64_t max_bytes;		      /* 0: 16 GiB */
};

/* Open a path inside a root folder; no link leads out of it. Never a file of proc, sysfs or the like: reading some of them acts.
 * Returns 0, -ENOENT, -EINVAL (not such a file), -EFBIG, -EACCES (also: by by_owner), -EPERM (by written_by), or another errno of openat2. */
int image_open_inside(int root, const char *path, const struct image_file_rule *rule, struct opened_image *opened_out);

/* Open a perf map, /tmp/perf-PID.map, in a process's root (SAFETY 9). ns_pid: the pid that the process has for itself. owners: who may have
 * written it. Returns as image_open_inside(): -EINVAL also for a symbolic link, -EFBIG over 64 MiB, -EPERM for another owner's. */
int image_open_perf_map(int root, pid_t ns_pid, const struct file_owners *owners, struct opened_image *opened_out);

/* Where a path leads when its last part is a symbolic link, as a path in the same root. False: it is none, or is too long. */
bool image_read_link(int root, const char *path, char *target_out, size_t bytes);

/* Open a separate debug file: /usr/lib/debug/.build-id/xx/yyyy.debug, inside the root that the image's own path would be looked
 * up in. That it has this build id is for the caller to see. request: tgid and parent count.
 * Returns as image_open(); -EINVAL also for a build id that names no file (SAFETY 11). */
int image_open_debug(const struct image_request *request, const uint8_t *build_id, uint8_t n_bytes,
		     struct opened_image *opened_out);

#endif
