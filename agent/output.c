#include "agent/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "pprof/encode.h"
#include "pprof/render.h"

static const struct {
	const char *extension, *name;
	enum output_format format;
} FORMATS[] = {
	{".pb.gz", "pprof", OUTPUT_PPROF},
	{".folded", "folded", OUTPUT_FOLDED},
	{".svg", "svg", OUTPUT_SVG},
	{".txt", "text", OUTPUT_TEXT},
};
#define N_FORMATS (sizeof(FORMATS) / sizeof(FORMATS[0]))

int output_format_of_path(const char *path, enum output_format *format_out)
{
	size_t length = strlen(path);

	for (size_t i = 0; i < N_FORMATS; i++) {
		size_t n = strlen(FORMATS[i].extension);
		if (length > n && strcmp(path + length - n, FORMATS[i].extension) == 0) {
			*format_out = FORMATS[i].format;
			return 0;
		}
	}
	return -EINVAL;
}

int output_format_of_name(const char *name, enum output_format *format_out)
{
	for (size_t i = 0; i < N_FORMATS; i++) {
		if (strcmp(name, FORMATS[i].name) == 0) {
			*format_out = FORMATS[i].format;
			return 0;
		}
	}
	return -EINVAL;
}

static int explain(const char *path, int err, struct why *why)
{
	static const struct {
		int err;
		const char *remedy;
	} REMEDIES[] = {
		{-ENOENT, "; create its folder first"},
		{-ENOTDIR, "; part of the path is not a folder"},
		{-EISDIR, "; name a file, not a folder"},
		{-EACCES, "; choose a place that you may write, or run as root"},
		{-EPERM, "; choose a place that you may write, or run as root"},
		{-EROFS, "; choose a place on another file system"},
		{-ENOSPC, "; free some space, or choose another place"},
		{-EDQUOT, "; your quota is used up: free some space, or choose another place"},
	};
	const char *remedy = "";

	for (size_t i = 0; i < sizeof(REMEDIES) / sizeof(REMEDIES[0]); i++)
		if (REMEDIES[i].err == err)
			remedy = REMEDIES[i].remedy;
	return why_set(why, err, "writing '%.300s': %s%s", path, strerror(-err), remedy);
}

/* Whether a path is there and is no regular file: a terminal, a pipe, /dev/null. */
static bool is_special(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

/* Folder and name of a path; both borrowed from *copy_out, which the caller frees. */
static int split(const char *path, char **copy_out, const char **folder_out, const char **name_out)
{
	size_t length = strlen(path);
	char *copy = malloc(2 * length + 2);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, path, length + 1);
	memcpy(copy + length + 1, path, length + 1);
	*folder_out = dirname(copy);
	*name_out = basename(copy + length + 1);
	*copy_out = copy;
	return 0;
}

int output_check(const char *path, struct why *why)
{
	AUTO_FREE char *copy = NULL;
	const char *folder, *name;
	struct stat status;

	if (strcmp(path, "-") == 0)
		return 0;
	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return explain(path, -EISDIR, why);
	if (is_special(path))
		return access(path, W_OK) < 0 ? explain(path, -errno, why) : 0;
	int err = split(path, &copy, &folder, &name);
	if (err < 0)
		return explain(path, err, why);
	if (strlen(name) > NAME_MAX - 16)
		return explain(path, -ENAMETOOLONG, why);
	/* An unnamed file tells more than access(): a full or read-only file system too. Some file systems have none. */
	AUTO_CLOSE int fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return explain(path, -errno, why);
	return access(folder, W_OK | X_OK) < 0 ? explain(path, -errno, why) : 0;
}

int output_render(const struct profile *profile, enum output_format format, const char *title, uint8_t **bytes_out, size_t *n_bytes_out)
{
	struct profile_svg_options svg = {.title = title};
	AUTO_FREE char *text = NULL;
	size_t n = 0;
	int err;

	if (format == OUTPUT_PPROF)
		return profile_encode(profile, bytes_out, n_bytes_out);
	FILE *stream = open_memstream(&text, &n);
	if (!stream)
		return -errno;
	if (format == OUTPUT_FOLDED)
		err = profile_write_folded(profile, PROFILE_NONE, stream);
	else if (format == OUTPUT_SVG)
		err = profile_write_svg(profile, PROFILE_NONE, &svg, stream);
	else
		err = profile_write_text(profile, PROFILE_NONE, 0, stream);
	if (fclose(stream) != 0 && err == 0)
		err = -ENOMEM;
	if (err < 0)
		return err;
	*bytes_out = (uint8_t *)take_ptr(text);
	*n_bytes_out = n;
	return 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t n)
{
	while (n) {
		ssize_t written = write(fd, bytes, n);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		bytes += written;
		n -= (size_t)written;
	}
	return 0;
}

/* Under sudo the file is for the user who called it: a browser that runs as that user must be able to open it. */
static void give_to_sudo_user(int fd)
{
	const char *uid = getenv("SUDO_UID"), *gid = getenv("SUDO_GID");

	if (geteuid() == 0 && uid && gid && fchown(fd, (uid_t)strtoul(uid, NULL, 10), (gid_t)strtoul(gid, NULL, 10)) < 0)
		return; /* it stays root's */
}

static int open_temporary(const char *path, struct output_file *f)
{
	AUTO_FREE char *copy = NULL;
	AUTO_FREE char *temporary = NULL;
	const char *folder, *name;

	int err = split(path, &copy, &folder, &name);
	if (err < 0)
		return err;
	if (asprintf(&temporary, "%s/.%s.XXXXXX", folder, name) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	if (strlen(temporary) >= PATH_MAX)
		return -ENAMETOOLONG;
	f->fd = mkostemp(temporary, O_CLOEXEC);
	if (f->fd < 0)
		return -errno;
	give_to_sudo_user(f->fd);
	f->temporary = take_ptr(temporary);
	return 0;
}

int output_begin(const char *path, struct output_file *file_out, struct why *why)
{
	struct output_file f = {.path = path, .fd = -1};
	struct stat status;
	int err = 0;

	if (strcmp(path, "-") == 0)
		f.fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else if (is_special(path))
		f.fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	else if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		err = -EISDIR;
	else
		err = open_temporary(path, &f);
	if (err == 0 && f.fd < 0)
		err = -errno;
	if (err < 0)
		return explain(path, err, why);
	*file_out = f;
	return 0;
}

/* The rename itself must survive a loss of power. */
static int rename_durably(const char *temporary, const char *path)
{
	AUTO_FREE char *copy = NULL;
	const char *folder, *name;

	int err = split(path, &copy, &folder, &name);
	if (err < 0)
		return err;
	if (rename(temporary, path) < 0)
		return -errno;
	AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fsync(fd);
	return 0;
}

int output_end(struct output_file *f, bool keep, struct why *why)
{
	int err = 0;

	if (f->fd < 0)
		return 0;
	if (keep && f->temporary && fsync(f->fd) < 0)
		err = -errno;
	if (close(f->fd) < 0 && keep && err == 0)
		err = -errno;
	f->fd = -1;
	if (keep && f->temporary && err == 0)
		err = rename_durably(f->temporary, f->path);
	if (f->temporary && (!keep || err < 0))
		unlink(f->temporary);
	free(take_ptr(f->temporary));
	return err < 0 ? explain(f->path, err, why) : 0;
}

int output_file_write(const struct output_file *f, const uint8_t *bytes, size_t n, struct why *why)
{
	int err = write_all(f->fd, bytes, n);

	return err < 0 ? explain(f->path, err, why) : 0;
}

int output_write_bytes(const char *path, const uint8_t *bytes, size_t n, struct why *why)
{
	struct output_file file;

	int err = output_begin(path, &file, why);
	if (err < 0)
		return err;
	err = output_file_write(&file, bytes, n, why);
	int end = output_end(&file, err == 0, err == 0 ? why : &(struct why){""});
	return err < 0 ? err : end;
}

/* The whole content first, then the file: an error of writing keeps its errno, which stdio loses. */
int output_write(const struct profile *profile, const char *path, enum output_format format, const char *title,
		 struct why *why)
{
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n = 0;

	int err = output_render(profile, format, title, &bytes, &n);
	return err < 0 ? explain(path, err, why) : output_write_bytes(path, bytes, n, why);
}
