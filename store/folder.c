#include "store/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/scope.h"

#define PREFIX "windows-"
#define BLOCK  4096u

/* ---- opening ---- */

static int check_folder(int fd, const char *path, struct why *why)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return why_set(why, -errno, "looking at '%s': %s", path, strerror(errno));
	if (status.st_uid != geteuid())
		return why_set(why, -EPERM, "'%s' belongs to user %u, and a store to the one who writes it (%u): give it to that one, or name another folder",
			       path, status.st_uid, geteuid());
	if (status.st_mode & 022)
		return why_set(why, -EPERM, "others may write to '%s': chmod 700 it, or name another folder", path);
	return 0;
}

int folder_open(struct folder *f, const char *path, bool write, struct why *why)
{
	if (write && mkdir(path, 0700) < 0 && errno != EEXIST)
		return why_set(why, -errno, "creating '%s': %s", path, strerror(errno));
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return why_set(why, -errno, "opening '%s': %s", path, strerror(errno));
	int err = write ? check_folder(fd, path, why) : 0;
	if (err == 0 && write && faccessat(fd, ".", W_OK, AT_EACCESS) < 0) /* a file system that is read-only, above all */
		err = why_set(why, -errno, "writing to '%s': %s", path, strerror(errno));
	if (err < 0)
		return err;
	if (write && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return why_set(why, errno == EWOULDBLOCK ? -EBUSY : -errno, "'%s' is in use by another hearth: end it, or name another folder", path);
	char *copy = strdup(path);
	if (!copy)
		return why_set(why, -ENOMEM, "opening '%s': no memory", path);
	*f = (struct folder){take_fd(&fd), copy};
	return 0;
}

void folder_close(struct folder *f)
{
	if (f->path)
		close(f->fd);
	free(f->path);
	*f = (struct folder){.fd = -1};
}

/* ---- names ---- */

void folder_name(uint64_t sequence, const char *suffix, char name[FOLDER_NAME_MAX])
{
	snprintf(name, FOLDER_NAME_MAX, PREFIX "%06" PRIu64 ".db%s", sequence, suffix);
}

char *folder_path(const struct folder *f, uint64_t sequence)
{
	char name[FOLDER_NAME_MAX], *path;

	folder_name(sequence, "", name);
	return asprintf(&path, "%s/%s", f->path, name) < 0 ? NULL : path;
}

/* "windows-000001.db" and what is behind it. */
static bool parse_name(const char *name, uint64_t *sequence_out, const char **suffix_out)
{
	const char *at = name + strlen(PREFIX);
	uint64_t sequence = 0;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return false;
	size_t digits = strspn(at, "0123456789");
	if (digits < 6 || digits > 13 || (digits > 6 && *at == '0') || strncmp(at + digits, ".db", 3) != 0)
		return false;
	for (size_t i = 0; i < digits; i++)
		sequence = sequence * 10 + (unsigned)(at[i] - '0');
	if (!sequence || sequence > FOLDER_SEQUENCE_MAX)
		return false;
	*sequence_out = sequence;
	*suffix_out = at + digits + 3;
	return true;
}

/* ---- listing ---- */

typedef int (*file_fn)(const struct folder *f, const char *name, uint64_t sequence, const char *suffix, void *context);

static int each_file(const struct folder *f, file_fn fn, void *context)
{
	int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	DIR *folder = fdopendir(fd);
	if (!folder) {
		close(fd);
		return -ENOMEM;
	}
	for (struct dirent *entry; err == 0 && (entry = readdir(folder));) {
		uint64_t sequence;
		const char *suffix;
		if (parse_name(entry->d_name, &sequence, &suffix))
			err = fn(f, entry->d_name, sequence, suffix, context);
	}
	closedir(folder);
	return err;
}

static int append(uint64_t **list, size_t *n, uint64_t sequence)
{
	if (*n == FOLDER_FILES_MAX)
		return -E2BIG;
	uint64_t *grown = *n % 64 ? *list : realloc(*list, (*n + 64) * sizeof(**list));
	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[(*n)++] = sequence;
	return 0;
}

static int list_file(const struct folder *f, const char *name, uint64_t sequence, const char *suffix, void *context)
{
	struct folder_list *list = context;

	(void)f;
	(void)name;
	if (!*suffix)
		return append(&list->segments, &list->n_segments, sequence);
	if (strcmp(suffix, ".damaged") == 0)
		return append(&list->damaged, &list->n_damaged, sequence);
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int folder_list(const struct folder *f, struct folder_list *list_out)
{
	struct folder_list list = {0};

	int err = each_file(f, list_file, &list);
	if (err < 0) {
		folder_list_deinit(&list);
		return err;
	}
	if (list.n_segments)
		qsort(list.segments, list.n_segments, sizeof(list.segments[0]), by_number);
	if (list.n_damaged)
		qsort(list.damaged, list.n_damaged, sizeof(list.damaged[0]), by_number);
	*list_out = list;
	return 0;
}

void folder_list_deinit(struct folder_list *list)
{
	free(list->segments);
	free(list->damaged);
	*list = (struct folder_list){0};
}

/* ---- bytes ---- */

static uint64_t bytes_of(const struct folder *f, const char *name)
{
	struct stat status;

	if (fstatat(f->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || status.st_size < 0)
		return 0;
	return ((uint64_t)status.st_size + BLOCK - 1) / BLOCK * BLOCK;
}

static int add_bytes(const struct folder *f, const char *name, uint64_t sequence, const char *suffix, void *context)
{
	(void)sequence;
	(void)suffix;
	*(uint64_t *)context += bytes_of(f, name);
	return 0;
}

uint64_t folder_bytes(const struct folder *f)
{
	uint64_t bytes = 0;

	each_file(f, add_bytes, &bytes);
	return bytes;
}

uint64_t folder_file_bytes(const struct folder *f, uint64_t sequence, const char *suffix)
{
	char name[FOLDER_NAME_MAX];

	folder_name(sequence, suffix, name);
	return bytes_of(f, name);
}

uint64_t folder_free_bytes(const struct folder *f)
{
	struct statvfs status;

	if (fstatvfs(f->fd, &status) < 0 || status.f_blocks == 0)
		return UINT64_MAX;
	uint64_t blocks = geteuid() == 0 ? status.f_bfree : status.f_bavail, bytes;
	return __builtin_mul_overflow(blocks, (uint64_t)status.f_frsize, &bytes) ? UINT64_MAX : bytes;
}

/* ---- removing ---- */

static int clean_file(const struct folder *f, const char *name, uint64_t sequence, const char *suffix, void *context)
{
	const struct folder_list *list = context;
	bool damaged = strncmp(suffix, ".damaged", 8) == 0;
	const char *journal = damaged ? suffix + 8 : suffix;
	const uint64_t *known = damaged ? list->damaged : list->segments;
	size_t n = damaged ? list->n_damaged : list->n_segments;

	if ((strcmp(journal, "-wal") == 0 || strcmp(journal, "-shm") == 0 || strcmp(journal, "-journal") == 0) &&
	    (!n || !bsearch(&sequence, known, n, sizeof(known[0]), by_number)))
		unlinkat(f->fd, name, 0);
	return 0;
}

void folder_clean(const struct folder *f, const struct folder_list *list)
{
	struct folder_list copy = *list;

	each_file(f, clean_file, &copy);
}

static int remove_all(const struct folder *f, uint64_t sequence, const char *const suffixes[4])
{
	char name[FOLDER_NAME_MAX];

	for (int i = 0; i < 4; i++) {
		folder_name(sequence, suffixes[i], name);
		if (unlinkat(f->fd, name, 0) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

int folder_remove(const struct folder *f, uint64_t sequence)
{
	return remove_all(f, sequence, (const char *const[]){"", "-wal", "-shm", "-journal"});
}

int folder_remove_damaged(const struct folder *f, uint64_t sequence)
{
	return remove_all(f, sequence, (const char *const[]){".damaged", ".damaged-wal", ".damaged-shm", ".damaged-journal"});
}

int folder_set_aside(const struct folder *f, uint64_t sequence)
{
	char from[FOLDER_NAME_MAX], to[FOLDER_NAME_MAX];

	folder_name(sequence, "-shm", from);
	unlinkat(f->fd, from, 0);
	folder_name(sequence, "", from);
	folder_name(sequence, ".damaged", to);
	if (renameat(f->fd, from, f->fd, to) < 0)
		return -errno;
	folder_name(sequence, "-wal", from);
	folder_name(sequence, ".damaged-wal", to);
	renameat(f->fd, from, f->fd, to);
	folder_name(sequence, "-journal", from);
	folder_name(sequence, ".damaged-journal", to);
	renameat(f->fd, from, f->fd, to);
	return 0;
}
