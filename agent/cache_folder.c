#include "agent/cache_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"

#define TEMPORARY     ".new-"
#define BLOCK_BYTES   4096u
#define KEEPS_PER_LOOK 32 /* another process may fill the folder too */

struct cache_folder {
	int dir_fd;
	unsigned serial;
	unsigned keeps; /* since the last look at the folder */
	struct cache_folder_stats stats;
};

/* The folder, and when with_above is set the one above it. */
static int make_folder(const char *folder, bool with_above)
{
	AUTO_FREE char *above = strdup(folder);
	char *slash = above ? strrchr(above, '/') : NULL;

	if (!above)
		return -ENOMEM;
	if (with_above && slash && slash != above) {
		*slash = '\0';
		if (mkdir(above, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	return mkdir(folder, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* What a process left that did not come to rename it: the lock of a living one is held. */
static void remove_leftover(struct cache_folder *f, const char *name)
{
	AUTO_CLOSE int fd = openat(f->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(f->dir_fd, name, 0) == 0)
		f->stats.leftovers++;
}

/* Disks give whole blocks. */
static uint64_t room_of(uint64_t bytes)
{
	return (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

struct aged_file {
	char *name;
	uint64_t bytes;
	int64_t used_ns;
};

struct file_list {
	struct aged_file *files;
	size_t n, capacity;
};

static void free_list(struct file_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->files[i].name);
	free(list->files);
}

static int list_add(struct file_list *list, const char *name, const struct stat *status)
{
	if (list->n == list->capacity) {
		size_t capacity = list->capacity ? 2 * list->capacity : 64;
		struct aged_file *files = realloc(list->files, capacity * sizeof(*files));
		if (!files)
			return -ENOMEM;
		list->files = files;
		list->capacity = capacity;
	}
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	list->files[list->n++] = (struct aged_file){copy, room_of((uint64_t)status->st_size),
						    status->st_atim.tv_sec * (int64_t)NS_PER_S + status->st_atim.tv_nsec};
	return 0;
}

static int by_use(const void *a, const void *b)
{
	const struct aged_file *x = a, *y = b;

	return x->used_ns < y->used_ns ? -1 : x->used_ns > y->used_ns;
}

/* What is in the folder, with or without what is left over of others. */
static int look(struct cache_folder *f, bool leftovers, struct file_list *list)
{
	int fd = openat(f->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int err = 0;

	if (!dir) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	for (struct dirent *entry; err == 0 && (entry = readdir(dir));) {
		struct stat status;
		if (leftovers && strncmp(entry->d_name, TEMPORARY, strlen(TEMPORARY)) == 0)
			remove_leftover(f, entry->d_name);
		if (entry->d_name[0] != '.' && fstatat(f->dir_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(status.st_mode))
			err = list_add(list, entry->d_name, &status);
	}
	closedir(dir);
	f->stats.files = list->n;
	f->stats.bytes = 0;
	for (size_t i = 0; i < list->n; i++)
		f->stats.bytes += list->files[i].bytes;
	f->keeps = 0;
	return err;
}

static bool is_over(const struct cache_folder *f)
{
	return f->stats.bytes > f->stats.budget_bytes || f->stats.files > CACHE_FOLDER_FILES_MAX;
}

/* When the budget is passed the oldest go, an eighth of it at once, so that not every file costs a look at the folder. */
static int keep_budget(struct cache_folder *f, bool leftovers)
{
	__attribute__((cleanup(free_list))) struct file_list list = {0};

	int err = look(f, leftovers, &list);
	if (err < 0 || !is_over(f))
		return err;
	qsort(list.files, list.n, sizeof(list.files[0]), by_use);
	for (size_t i = 0; i < list.n; i++) {
		if (f->stats.bytes <= f->stats.budget_bytes - f->stats.budget_bytes / 8 &&
		    f->stats.files <= CACHE_FOLDER_FILES_MAX - CACHE_FOLDER_FILES_MAX / 8)
			break;
		if (unlinkat(f->dir_fd, list.files[i].name, 0) < 0)
			continue;
		f->stats.bytes -= list.files[i].bytes;
		f->stats.files--;
		f->stats.evicted++;
	}
	return 0;
}

static int check_folder(struct cache_folder *f, const char *folder, struct why *why)
{
	struct stat status;

	if (fstat(f->dir_fd, &status) < 0)
		return why_set(why, -errno, "'%s': %s", folder, strerror(errno));
	if (status.st_uid != geteuid())
		return why_set(why, -EPERM, "'%s' belongs to another user (%u): nothing is kept there", folder, status.st_uid);
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return why_set(why, -EPERM, "others may write to '%s': nothing is kept there; chmod go-w it", folder);
	return 0;
}

int cache_folder_open(const char *path, bool above, uint64_t budget_bytes, struct cache_folder **folder_out, struct why *why)
{
	int err = make_folder(path, above);

	if (err < 0)
		return why_set(why, err, "creating the folder '%s': %s", path, strerror(-err));
	struct cache_folder *f = calloc(1, sizeof(*f));
	if (!f)
		return why_set(why, -ENOMEM, "out of memory");
	f->stats.budget_bytes = budget_bytes;
	f->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = f->dir_fd < 0 ? why_set(why, -errno, "'%s': %s", path, strerror(errno)) : check_folder(f, path, why);
	if (err == 0) {
		err = keep_budget(f, true);
		if (err < 0)
			why_set(why, err, "reading the folder '%s': %s", path, strerror(-err));
	}
	if (err < 0) {
		cache_folder_close(f);
		return err;
	}
	*folder_out = f;
	return 0;
}

void cache_folder_touch(int fd)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};

	futimens(fd, times);
}

int cache_folder_get(struct cache_folder *f, const char *name, int *fd_out, struct stat *status_out)
{
	AUTO_CLOSE int fd = openat(f->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, status_out) < 0)
		return -errno;
	/* Its reader may map it: nobody else may make it shorter. */
	if (!S_ISREG(status_out->st_mode) || status_out->st_uid != geteuid() || (status_out->st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	cache_folder_touch(fd);
	*fd_out = take_fd(&fd);
	return 0;
}

int cache_folder_create(struct cache_folder *f, struct cache_file *file_out)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	struct cache_file file;

	snprintf(file.temporary, sizeof(file.temporary), TEMPORARY "%d-%u", getpid(), f->serial++);
	file.fd = openat(f->dir_fd, file.temporary, flags, 0600);
	if (file.fd < 0 && errno == EEXIST) { /* left by a process that had this pid */
		unlinkat(f->dir_fd, file.temporary, 0);
		file.fd = openat(f->dir_fd, file.temporary, flags, 0600);
	}
	if (file.fd < 0)
		return -errno;
	flock(file.fd, LOCK_EX | LOCK_NB);
	*file_out = file;
	return 0;
}

void cache_folder_abandon(struct cache_folder *f, struct cache_file *file)
{
	if (file->fd < 0)
		return;
	unlinkat(f->dir_fd, file->temporary, 0);
	close(take_fd(&file->fd));
}

int cache_folder_keep(struct cache_folder *f, struct cache_file *file, const char *name)
{
	struct stat before, status;

	bool replaces = fstatat(f->dir_fd, name, &before, AT_SYMLINK_NOFOLLOW) == 0;
	if (fstat(file->fd, &status) < 0 || renameat(f->dir_fd, file->temporary, f->dir_fd, name) < 0) {
		int err = -errno;
		cache_folder_abandon(f, file);
		return err;
	}
	close(take_fd(&file->fd));
	f->stats.files += !replaces;
	f->stats.bytes += room_of((uint64_t)status.st_size);
	if (replaces && f->stats.bytes >= room_of((uint64_t)before.st_size))
		f->stats.bytes -= room_of((uint64_t)before.st_size);
	if (++f->keeps >= KEEPS_PER_LOOK || is_over(f))
		keep_budget(f, false);
	return 0;
}

int cache_folder_remove(struct cache_folder *f, const char *name)
{
	return unlinkat(f->dir_fd, name, 0) < 0 ? -errno : 0;
}

void cache_folder_stats(const struct cache_folder *f, struct cache_folder_stats *stats_out)
{
	*stats_out = f->stats;
}

void cache_folder_close(struct cache_folder *f)
{
	if (!f)
		return;
	if (f->dir_fd >= 0)
		close(f->dir_fd);
	free(f);
}
