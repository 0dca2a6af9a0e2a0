#include "agent/name_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/name_table.h"

#define TEMPORARY     ".new-"
#define NAMES	      ".names"
#define LACKING	      ".lacking"
#define BLOCK_BYTES   4096u
#define STEP_BYTES    (1u << 20)
#define PUTS_PER_LOOK 32 /* another process may fill the folder too */
#define NAME_BYTES    (sizeof(((struct name_key *)0)->text) + 16)

/* A table on its way into the folder. */
struct store {
	bool active;
	int from_fd, to_fd;
	off_t at;
	uint64_t bytes;
	bool lacking;
	struct name_key key;
	char temporary[64];
};

struct name_cache {
	int dir_fd;
	unsigned serial;
	unsigned puts; /* since the last look at the folder */
	struct store store;
	struct name_cache_stats stats;
};

int name_key_make(const uint8_t *build_id, uint8_t build_id_bytes, int fd, struct name_key *key_out)
{
	struct name_key key;
	struct stat status;
	size_t n = 0;

	if (build_id_bytes > 64)
		return -EINVAL;
	for (uint8_t i = 0; i < build_id_bytes; i++)
		n += (size_t)snprintf(key.text + n, sizeof(key.text) - n, "%02x", build_id[i]);
	if (!build_id_bytes) {
		if (fstat(fd, &status) < 0)
			return -errno;
		n = (size_t)snprintf(key.text, sizeof(key.text), "file-%x-%x-%" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%lx", major(status.st_dev),
				     minor(status.st_dev), (uint64_t)status.st_ino, (uint64_t)status.st_size,
				     (uint64_t)status.st_mtim.tv_sec, (unsigned long)status.st_mtim.tv_nsec);
	}
	snprintf(key.text + n, sizeof(key.text) - n, ".v%d", NAME_TABLE_VERSION);
	*key_out = key;
	return 0;
}

static void name_of(const struct name_key *key, bool lacking, char name[NAME_BYTES])
{
	snprintf(name, NAME_BYTES, "%s%s", key->text, lacking ? LACKING : NAMES);
}

/* --- the folder ----------------------------------------------------------------------------------------------------------- */

int name_cache_folder(char *path_out, size_t bytes)
{
	const char *service = getenv("CACHE_DIRECTORY"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char path[PATH_MAX];
	int n = 0;

	/* systemd lists several folders with colons. */
	if (service && service[0] == '/')
		n = snprintf(path, sizeof(path), "%.*s", (int)strcspn(service, ":"), service);
	else if (geteuid() == 0)
		n = snprintf(path, sizeof(path), "/var/cache/hearth");
	else if (cache && cache[0] == '/')
		n = snprintf(path, sizeof(path), "%s/hearth", cache);
	else if (home && home[0] == '/')
		n = snprintf(path, sizeof(path), "%s/.cache/hearth", home);
	else
		return -ENOENT;
	if (n < 0 || (size_t)n >= sizeof(path) || (size_t)n >= bytes)
		return -ENAMETOOLONG;
	memcpy(path_out, path, (size_t)n + 1);
	return 0;
}

/* The folder, and when parents is set the one above it. */
static int make_folder(const char *folder, bool parents)
{
	AUTO_FREE char *above = strdup(folder);
	char *slash = above ? strrchr(above, '/') : NULL;

	if (!above)
		return -ENOMEM;
	if (parents && slash && slash != above) {
		*slash = '\0';
		if (mkdir(above, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	return mkdir(folder, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && strcmp(name + n - m, suffix) == 0;
}

static bool is_table(const char *name)
{
	return name[0] != '.' && (has_suffix(name, NAMES) || has_suffix(name, LACKING));
}

/* What a process left that did not come to rename it: the lock of a living one is held. */
static void remove_leftover(struct name_cache *c, const char *name)
{
	AUTO_CLOSE int fd = openat(c->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(c->dir_fd, name, 0) == 0)
		c->stats.leftovers++;
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
static int look(struct name_cache *c, bool leftovers, struct file_list *list)
{
	int fd = openat(c->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
			remove_leftover(c, entry->d_name);
		if (is_table(entry->d_name) && fstatat(c->dir_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
			err = list_add(list, entry->d_name, &status);
	}
	closedir(dir);
	c->stats.files = list->n;
	c->stats.bytes = 0;
	for (size_t i = 0; i < list->n; i++)
		c->stats.bytes += list->files[i].bytes;
	c->puts = 0;
	return err;
}

static bool is_over(const struct name_cache *c)
{
	return c->stats.bytes > c->stats.budget_bytes || c->stats.files > NAME_CACHE_FILES_MAX;
}

/* When the budget is passed the oldest go, an eighth of it at once, so that not every table costs a look at the folder. */
static int keep_budget(struct name_cache *c, bool leftovers)
{
	__attribute__((cleanup(free_list))) struct file_list list = {0};

	int err = look(c, leftovers, &list);
	if (err < 0 || !is_over(c))
		return err;
	qsort(list.files, list.n, sizeof(list.files[0]), by_use);
	for (size_t i = 0; i < list.n; i++) {
		if (c->stats.bytes <= c->stats.budget_bytes - c->stats.budget_bytes / 8 &&
		    c->stats.files <= NAME_CACHE_FILES_MAX - NAME_CACHE_FILES_MAX / 8)
			break;
		if (unlinkat(c->dir_fd, list.files[i].name, 0) < 0)
			continue;
		c->stats.bytes -= list.files[i].bytes;
		c->stats.files--;
		c->stats.evicted++;
	}
	return 0;
}

static int check_folder(struct name_cache *c, const char *folder, struct why *why)
{
	struct stat status;

	if (fstat(c->dir_fd, &status) < 0)
		return why_set(why, -errno, "'%s': %s", folder, strerror(errno));
	if (status.st_uid != geteuid())
		return why_set(why, -EPERM, "'%s' belongs to another user (%u): names are not kept there", folder, status.st_uid);
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return why_set(why, -EPERM, "others may write to '%s': names are not kept there; chmod go-w it", folder);
	return 0;
}

int name_cache_open(const char *folder, uint64_t budget_bytes, struct name_cache **cache_out, struct why *why)
{
	char path[PATH_MAX];

	int err = folder ? 0 : name_cache_folder(path, sizeof(path));
	if (err < 0)
		return why_set(why, err, "there is no home for name tables; give --name-cache DIR");
	const char *at = folder ? folder : path;
	err = make_folder(at, !folder);
	if (err < 0)
		return why_set(why, err, "creating the folder '%s': %s", at, strerror(-err));
	struct name_cache *c = calloc(1, sizeof(*c));
	if (!c)
		return why_set(why, -ENOMEM, "out of memory");
	c->stats.budget_bytes = budget_bytes;
	c->store.from_fd = c->store.to_fd = -1;
	c->dir_fd = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = c->dir_fd < 0 ? why_set(why, -errno, "'%s': %s", at, strerror(errno)) : check_folder(c, at, why);
	if (err == 0) {
		err = keep_budget(c, true);
		if (err < 0)
			why_set(why, err, "reading the folder '%s': %s", at, strerror(-err));
	}
	if (err < 0) {
		name_cache_close(c);
		return err;
	}
	*cache_out = c;
	return 0;
}

/* --- tables --------------------------------------------------------------------------------------------------------------- */

void name_cache_touch(int fd)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};

	futimens(fd, times);
}

static int open_table(const struct name_cache *c, const struct name_key *key, bool lacking, struct name_cache_found *found)
{
	char name[NAME_BYTES];
	struct stat status;

	name_of(key, lacking, name);
	AUTO_CLOSE int fd = openat(c->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0)
		return -errno;
	/* Its reader maps it: nobody else may make it shorter. */
	if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	int64_t age_s = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S) - status.st_mtim.tv_sec;
	found->lacking = lacking;
	found->stale = lacking && (age_s < 0 || age_s >= NAME_CACHE_LOOK_AGAIN_S);
	name_cache_touch(fd);
	found->fd = take_fd(&fd);
	return 0;
}

int name_cache_get(struct name_cache *c, const struct name_key *key, struct name_cache_found *found_out)
{
	struct name_cache_found found;

	int err = open_table(c, key, false, &found);
	if (err == -ENOENT)
		err = open_table(c, key, true, &found);
	if (err < 0) {
		c->stats.misses++;
		return err;
	}
	c->stats.hits++;
	*found_out = found;
	return 0;
}

/* The rights are given as they are meant: a umask only takes away. */
static int create_temporary(struct name_cache *c, struct store *store)
{
	snprintf(store->temporary, sizeof(store->temporary), TEMPORARY "%d-%u", getpid(), c->serial++);
	AUTO_CLOSE int fd = openat(c->dir_fd, store->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST) { /* left by a process that had this pid */
		unlinkat(c->dir_fd, store->temporary, 0);
		fd = openat(c->dir_fd, store->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	}
	if (fd < 0)
		return -errno;
	flock(fd, LOCK_EX | LOCK_NB);
	store->to_fd = take_fd(&fd);
	return 0;
}

int name_cache_put(struct name_cache *c, const struct name_key *key, int table_fd, bool lacking)
{
	struct store store = {.active = true, .from_fd = table_fd, .to_fd = -1, .lacking = lacking, .key = *key};
	struct stat status;

	if (c->store.active)
		return -EBUSY;
	if (fstat(table_fd, &status) < 0)
		return -errno;
	store.bytes = (uint64_t)status.st_size;
	if (room_of(store.bytes) > c->stats.budget_bytes / 4) {
		c->stats.too_large++;
		return -E2BIG;
	}
	int err = create_temporary(c, &store);
	if (err < 0) {
		c->stats.store_failed++;
		return err;
	}
	c->store = store;
	return 0;
}

static int finish_store(struct name_cache *c)
{
	const struct store *s = &c->store;
	char name[NAME_BYTES], other[NAME_BYTES];
	struct stat before;

	name_of(&s->key, s->lacking, name);
	name_of(&s->key, !s->lacking, other);
	bool replaces = fstatat(c->dir_fd, name, &before, AT_SYMLINK_NOFOLLOW) == 0;
	if (renameat(c->dir_fd, s->temporary, c->dir_fd, name) < 0)
		return -errno;
	unlinkat(c->dir_fd, other, 0);
	c->stats.stored++;
	c->stats.files += !replaces;
	c->stats.bytes += room_of(s->bytes);
	if (replaces && c->stats.bytes >= room_of((uint64_t)before.st_size))
		c->stats.bytes -= room_of((uint64_t)before.st_size);
	if (++c->puts >= PUTS_PER_LOOK || is_over(c))
		keep_budget(c, false);
	return 0;
}

static int end_store(struct name_cache *c, int err)
{
	close(c->store.to_fd);
	if (err < 0) {
		unlinkat(c->dir_fd, c->store.temporary, 0);
		c->stats.store_failed++;
	}
	c->store = (struct store){.from_fd = -1, .to_fd = -1};
	return err;
}

int name_cache_step(struct name_cache *c)
{
	struct store *s = &c->store;

	if (!s->active)
		return 0;
	uint64_t left = s->bytes - (uint64_t)s->at;
	ssize_t n = left ? sendfile(s->to_fd, s->from_fd, &s->at, left < STEP_BYTES ? left : STEP_BYTES) : 0;
	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0)
		return end_store(c, -errno);
	if (left && !n)
		return end_store(c, -EIO);
	return (uint64_t)s->at < s->bytes ? 1 : end_store(c, finish_store(c));
}

bool name_cache_is_storing(const struct name_cache *c)
{
	return c->store.active;
}

void name_cache_drop(struct name_cache *c, const struct name_key *key)
{
	char name[NAME_BYTES];

	for (int lacking = 0; lacking < 2; lacking++) {
		name_of(key, lacking, name);
		if (unlinkat(c->dir_fd, name, 0) == 0)
			c->stats.damaged++;
	}
}

void name_cache_stats(const struct name_cache *c, struct name_cache_stats *stats_out)
{
	*stats_out = c->stats;
}

void name_cache_close(struct name_cache *c)
{
	if (!c)
		return;
	if (c->store.active)
		end_store(c, -ECANCELED);
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	free(c);
}
