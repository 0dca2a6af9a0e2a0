#include "agent/image_finder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/image_open.h"
#include "agent/profile_vaddr.h"
#include "base/scope.h"

#define DEBUG_FOLDER "/usr/lib/debug"

struct search {
	const struct image_finder *finder;
	int root;
	uint8_t build_id[BUILD_ID_MAX];
	uint8_t build_id_bytes; /* 0: not known */
	struct found_image debug_file; /* only debug information: taken when there is nothing better */
	int err;		       /* the most telling so far */
	struct why why;
};

uint8_t build_id_parse(const char *text, uint8_t bytes_out[BUILD_ID_MAX])
{
	size_t n = strlen(text);

	if (n % 2 || n < 8 || n > 2 * BUILD_ID_MAX || strspn(text, "0123456789abcdefABCDEF") != n)
		return 0;
	for (size_t i = 0; i < n / 2; i++) {
		char digits[3] = {text[2 * i], text[2 * i + 1]};
		bytes_out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return (uint8_t)(n / 2);
}

void build_id_format(const uint8_t *build_id, uint8_t n_bytes, char *text_out)
{
	*text_out = '\0';
	for (uint8_t i = 0; i < n_bytes; i++)
		snprintf(text_out + 2 * i, 3, "%02x", build_id[i]);
}

void found_image_deinit(struct found_image *found)
{
	if (found->fd >= 0)
		close(found->fd);
	free(found->path);
	found->fd = -1;
	found->path = NULL;
}

/* What is told in the end: another version says more than a file that is not there. */
static void remember(struct search *s, int err, const char *path, const struct image_info *info)
{
	static const int ORDER[] = {-ENOENT, -EINVAL, -ENOEXEC, -EACCES, -ESTALE};
	char text[2 * BUILD_ID_MAX + 1];
	size_t old = 0, new = 1;

	for (size_t i = 0; i < sizeof(ORDER) / sizeof(ORDER[0]); i++) {
		old = ORDER[i] == s->err ? i : old;
		new = ORDER[i] == err ? i : new;
	}
	if (new <= old)
		return;
	s->err = err;
	if (err == -ESTALE) {
		build_id_format(info->build_id, info->build_id_bytes, text);
		why_set(&s->why, err, "%.200s is another build: %s", path, *text ? text : "it has no build id");
	} else if (err == -ENOEXEC || err == -EBADMSG) {
		why_set(&s->why, err, "%.200s is no ELF file that hearth reads", path);
	} else if (err == -EINVAL) {
		why_set(&s->why, err, "%.200s is no regular file", path);
	} else {
		why_set(&s->why, err, "%.200s: %s", path, strerror(-err));
	}
}

/* Is it the file? Takes its headers. */
static int check(struct search *s, int fd, const char *path, struct found_image *found)
{
	struct image_info info;

	int err = s->finder->headers(s->finder->context, fd, &info);
	if (err == 0 && s->build_id_bytes)
		err = info.build_id_bytes == s->build_id_bytes && memcmp(info.build_id, s->build_id, s->build_id_bytes) == 0 ? 0 : -ESTALE;
	if (err < 0) {
		remember(s, err, path, &info);
		return err;
	}
	found->info = info;
	found->is_checked = s->build_id_bytes != 0;
	found->path = strdup(path);
	return found->path ? 0 : -ENOMEM;
}

/* Returns 0: found; -ENOENT: go on; or -ENOMEM. */
static int try_path(struct search *s, const char *path, struct found_image *found_out)
{
	static const struct image_file_rule ANY = {0};
	struct found_image found = {.fd = -1};
	struct opened_image opened;

	int err = image_open_inside(s->root, path, &ANY, &opened);
	if (err < 0) {
		remember(s, err, path, NULL);
		return -ENOENT;
	}
	found.fd = opened.fd;
	err = check(s, found.fd, path, &found);
	if (err == 0 && profile_image_is_debug_file(&found.info)) {
		if (s->debug_file.fd < 0) {
			s->debug_file = found;
			return -ENOENT;
		}
		err = -ENOENT;
	}
	if (err < 0) {
		found_image_deinit(&found);
		return err == -ENOMEM ? err : -ENOENT;
	}
	*found_out = found;
	return 0;
}

__attribute__((format(printf, 3, 4))) static int try_format(struct search *s, struct found_image *found_out, const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;

	va_start(arguments, format);
	int n = vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	return n < 0 || n >= (int)sizeof(path) ? -ENOENT : try_path(s, path, found_out);
}

static int try_build_id(struct search *s, const char *folder, struct found_image *found_out)
{
	char text[2 * BUILD_ID_MAX + 1];
	int err;

	if (!s->build_id_bytes)
		return -ENOENT;
	build_id_format(s->build_id, s->build_id_bytes, text);
	err = try_format(s, found_out, "%s/.build-id/%.2s/%s", folder, text, text + 2);
	return err == -ENOENT ? try_format(s, found_out, "%s/.build-id/%.2s/%s.debug", folder, text, text + 2) : err;
}

static int search(struct search *s, const char *filename, struct found_image *found_out)
{
	const struct image_finder *finder = s->finder;
	const char *slash = strrchr(filename, '/');
	const char *base = slash ? slash + 1 : filename;
	int err = *base ? try_path(s, filename, found_out) : -ENOENT;

	for (size_t i = 0; err == -ENOENT && i < finder->n_folders; i++) {
		const char *folder = finder->folders[i];
		if (*base)
			err = try_format(s, found_out, "%s%s", folder, filename);
		if (*base && err == -ENOENT)
			err = try_format(s, found_out, "%s/%s", folder, base);
		if (err == -ENOENT)
			err = try_build_id(s, folder, found_out);
	}
	if (err == -ENOENT)
		err = try_build_id(s, DEBUG_FOLDER, found_out);
	if (*base && err == -ENOENT)
		err = try_format(s, found_out, "%s%s", DEBUG_FOLDER, filename);
	return *base && err == -ENOENT ? try_format(s, found_out, "%s%s.debug", DEBUG_FOLDER, filename) : err;
}

/* "[vdso]", "//anon", "/memfd:x", "anon_inode:[...]": what producers write for memory without a file. */
static bool is_no_file(const char *filename)
{
	static const char *const BEGINS[] = {"[", "//anon", "anon", "/memfd:", "memfd:", "/dev/zero", "/SYSV", "inode:"};

	for (size_t i = 0; i < sizeof(BEGINS) / sizeof(BEGINS[0]); i++)
		if (strncmp(filename, BEGINS[i], strlen(BEGINS[i])) == 0)
			return true;
	return false;
}

static int conclude(struct search *s, int err, struct found_image *found_out, struct why *why)
{
	if (err != -ENOENT)
		return err < 0 ? why_set(why, err, "%s", strerror(-err)) : 0;
	if (s->debug_file.fd >= 0) {
		*found_out = s->debug_file;
		s->debug_file.fd = -1;
		s->debug_file.path = NULL;
		return 0;
	}
	*why = s->why;
	return s->err;
}

/* From the root on, without what the kernel says behind names. */
static int make_path(const char *filename, char path[PATH_MAX])
{
	static const char DELETED[] = " (deleted)";
	size_t n = strlen(filename);

	path[0] = '\0';
	if (n && filename[0] != '/' && !getcwd(path, PATH_MAX))
		return -errno;
	size_t at = strlen(path);
	if (n >= strlen(DELETED) && strcmp(filename + n - strlen(DELETED), DELETED) == 0)
		n -= strlen(DELETED);
	if (at + 1 + n >= PATH_MAX)
		return -ENAMETOOLONG;
	if (at)
		path[at++] = '/';
	memcpy(path + at, filename, n);
	path[at + n] = '\0';
	return 0;
}

int image_finder_find(const struct image_finder *finder, const char *filename, const char *build_id, struct found_image *found_out,
		      struct why *why)
{
	struct search s = {.finder = finder, .debug_file = {.fd = -1}, .err = -ENOENT};
	char path[PATH_MAX];
	size_t n = strlen(filename);

	s.build_id_bytes = build_id_parse(build_id, s.build_id);
	if (is_no_file(filename) && !s.build_id_bytes)
		return why_set(why, -EOPNOTSUPP, "memory of no file");
	if (!n && !s.build_id_bytes)
		return why_set(why, -ENOENT, "the profile names neither a file nor a build id");
	int err = make_path(is_no_file(filename) ? "" : filename, path);
	if (err < 0)
		return why_set(why, err, "its name is too long");
	why_set(&s.why, -ENOENT, n ? "no such file here" : "no file with this build id here");
	AUTO_CLOSE int root = -1;
	err = image_root_open(0, 0, &root);
	if (err < 0)
		return why_set(why, err, "%s", strerror(-err));
	s.root = root;
	err = conclude(&s, search(&s, path, found_out), found_out, why);
	found_image_deinit(&s.debug_file);
	return err;
}
