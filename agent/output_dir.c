#include "agent/output_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/output.h"
#include "base/scope.h"

#define NS_PER_S  1000000000ll
#define PREFIX	  "hearth-"
#define SUFFIX	  ".pb.gz"
#define TEMPORARY ".hearth-" /* output_write()'s names begin with a dot and the final name */

struct output_dir {
	char *path;
	uint64_t budget_bytes;
	struct output_dir_stats stats;
	char last[PATH_MAX];
};

static bool is_window(const char *name)
{
	size_t n = strlen(name), suffix = strlen(SUFFIX);

	return strncmp(name, PREFIX, strlen(PREFIX)) == 0 && n > suffix && strcmp(name + n - suffix, SUFFIX) == 0;
}

/* Count what is there. oldest: the name of the oldest window, or "" (names sort by time). */
static int look(struct output_dir *d, char *oldest, size_t bytes, bool remove_temporary)
{
	DIR *dir = opendir(d->path);

	if (!dir)
		return -errno;
	d->stats.files = d->stats.bytes = 0;
	oldest[0] = '\0';
	for (struct dirent *entry; (entry = readdir(dir));) {
		struct stat status;
		if (remove_temporary && strncmp(entry->d_name, TEMPORARY, strlen(TEMPORARY)) == 0)
			unlinkat(dirfd(dir), entry->d_name, 0);
		if (!is_window(entry->d_name) || fstatat(dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		d->stats.files++;
		d->stats.bytes += (uint64_t)status.st_size;
		if (!oldest[0] || strcmp(entry->d_name, oldest) < 0)
			snprintf(oldest, bytes, "%s", entry->d_name);
	}
	closedir(dir);
	return 0;
}

int output_dir_open(const char *path, uint64_t budget_bytes, struct output_dir **dir_out, struct why *why)
{
	char oldest[NAME_MAX + 1];

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return why_set(why, -errno, "creating the folder '%s': %s", path, strerror(errno));
	struct output_dir *d = calloc(1, sizeof(*d));
	char *copy = strdup(path);
	if (!d || !copy) {
		free(d);
		free(copy);
		return why_set(why, -ENOMEM, "out of memory");
	}
	d->path = copy;
	d->budget_bytes = budget_bytes;
	int err = look(d, oldest, sizeof(oldest), true);
	if (err == 0 && access(path, W_OK) < 0)
		err = -errno;
	if (err < 0) {
		output_dir_close(d);
		return why_set(why, err, "'%s': %s; choose a folder that hearth may write", path, strerror(-err));
	}
	*dir_out = d;
	return 0;
}

/* Remove the oldest windows until the budget holds again. The newest one always stays. */
static void evict(struct output_dir *d)
{
	char oldest[NAME_MAX + 1], path[PATH_MAX];

	while (d->stats.bytes > d->budget_bytes && d->stats.files > 1) {
		if (look(d, oldest, sizeof(oldest), false) < 0 || !oldest[0] || d->stats.bytes <= d->budget_bytes)
			return;
		snprintf(path, sizeof(path), "%s/%s", d->path, oldest);
		if (unlink(path) < 0)
			return;
		d->stats.evicted++;
		look(d, oldest, sizeof(oldest), false);
	}
}

int output_dir_write(struct output_dir *d, int64_t time_ns, const uint8_t *bytes, size_t n, const char **path_out, struct why *why)
{
	time_t seconds = time_ns / NS_PER_S;
	struct tm utc;
	char stamp[40];
	struct stat status;

	gmtime_r(&seconds, &utc);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &utc);
	snprintf(d->last, sizeof(d->last), "%s/" PREFIX "%s.%03lldZ" SUFFIX, d->path, stamp,
		 (long long)(time_ns % NS_PER_S / 1000000));
	bool was_there = stat(d->last, &status) == 0;
	uint64_t before = was_there ? (uint64_t)status.st_size : 0;
	int err = output_write_bytes(d->last, bytes, n, why);
	if (err < 0) {
		d->stats.failed++;
		return err;
	}
	d->stats.written++;
	if (!was_there)
		d->stats.files++;
	if (stat(d->last, &status) == 0)
		d->stats.bytes += (uint64_t)status.st_size - before;
	evict(d);
	*path_out = d->last;
	return 0;
}

void output_dir_stats(const struct output_dir *d, struct output_dir_stats *stats_out)
{
	*stats_out = d->stats;
}

void output_dir_close(struct output_dir *d)
{
	if (!d)
		return;
	free(d->path);
	free(d);
}
