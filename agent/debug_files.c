#include "agent/debug_files.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/image_open.h"
#include "base/scope.h"

#define DEBUG_FOLDER "/usr/lib/debug"
#define LINKS_MAX    8
#define ROOTS_MAX    3

struct debug_files {
	int roots[ROOTS_MAX]; /* in the order of looking */
	size_t n_roots;
	int own_root; /* -1: it is among the roots */
	int debug_root; /* borrowed: where the path in debug is from */
	struct image_file_rule rule;
	char image[PATH_MAX];  /* "": not a path */
	char folder[PATH_MAX]; /* of the image, without a slash at its end */
	char debug[PATH_MAX];  /* the debug file that was handed over last; "": none */
	char *downloads;
	struct debug_files_stats stats;
};

/* One question. */
struct search {
	struct debug_files *files;
	unsigned left; /* candidates that are there and are passed over still */
	int fd;
	int root;	     /* borrowed */
	char path[PATH_MAX]; /* of fd, in root */
};

static void folder_of(const char *path, char folder[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	memcpy(folder, path, n);
	folder[n] = '\0';
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* --- a life --------------------------------------------------------------------------------------------------------------- */

static int open_roots(struct debug_files *f, const struct debug_where *where)
{
	int err = image_root_open(where->tgid, where->start_ticks, &f->roots[0]);

	if (err == 0)
		f->n_roots = 1;
	if (err == 0 && !where->tgid)
		return 0;
	if (err < 0 && where->parent > 0 && image_root_open(where->parent, 0, &f->roots[f->n_roots]) == 0)
		f->n_roots++;
	int own_err = image_root_open(0, 0, &f->own_root);
	if (own_err < 0)
		return own_err;
	/* The root of a process that lives is the only right one for paths. */
	if (err < 0)
		f->roots[f->n_roots++] = take_fd(&f->own_root);
	return 0;
}

static int set_image(struct debug_files *f, const struct debug_where *where)
{
	static const char DELETED[] = " (deleted)";
	AUTO_FREE char *real = where->tgid ? NULL : realpath(where->path, NULL);
	const char *path = real ? real : where->path;
	size_t n = strlen(path);

	if (path[0] != '/')
		return 0;
	if (n > sizeof(DELETED) && strcmp(path + n - strlen(DELETED), DELETED) == 0 && where->tgid)
		n -= strlen(DELETED);
	if (n >= sizeof(f->image))
		return -ENAMETOOLONG;
	memcpy(f->image, path, n);
	folder_of(f->image, f->folder);
	return 0;
}

int debug_files_create(const struct debug_where *where, struct debug_files **files_out)
{
	struct debug_files *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->own_root = -1;
	f->rule = (struct image_file_rule){.by_owner = where->by_owner, .owner = where->owner};
	int err = 0;
	if (where->downloads) {
		f->downloads = strdup(where->downloads);
		err = f->downloads ? 0 : -ENOMEM;
	}
	if (err == 0)
		err = set_image(f, where);
	if (err == 0)
		err = open_roots(f, where);
	if (err < 0) {
		debug_files_destroy(f);
		return err;
	}
	*files_out = f;
	return 0;
}

void debug_files_stats(const struct debug_files *f, struct debug_files_stats *stats_out)
{
	*stats_out = f->stats;
}

void debug_files_destroy(struct debug_files *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n_roots; i++)
		close(f->roots[i]);
	if (f->own_root >= 0)
		close(f->own_root);
	free(f->downloads);
	free(f);
}

/* --- candidates ----------------------------------------------------------------------------------------------------------- */

/* True: the search is over. */
static bool try_root(struct search *s, int root, const char *path, const struct image_file_rule *rule)
{
	struct opened_image opened;

	int err = image_open_inside(root, path, rule, &opened);
	if (err == -EINVAL || err == -EACCES || err == -EFBIG)
		s->files->stats.refused++;
	if (err < 0)
		return false;
	if (s->left) {
		s->left--;
		close(opened.fd);
		return false;
	}
	s->fd = opened.fd;
	s->root = root;
	snprintf(s->path, sizeof(s->path), "%s", path);
	return true;
}

static bool try_path(struct search *s, const char *path)
{
	for (size_t i = 0; i < s->files->n_roots; i++)
		if (try_root(s, s->files->roots[i], path, &s->files->rule))
			return true;
	return false;
}

__attribute__((format(printf, 3, 0))) static bool join(struct search *s, char path[PATH_MAX], const char *format, va_list arguments)
{
	int n = vsnprintf(path, PATH_MAX, format, arguments);
	bool fits = n >= 0 && n < PATH_MAX;

	s->files->stats.refused += !fits;
	return fits;
}

__attribute__((format(printf, 2, 3))) static bool try_format(struct search *s, const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;

	va_start(arguments, format);
	bool fits = join(s, path, format, arguments);
	va_end(arguments);
	return fits && try_path(s, path);
}

/* Where the debug file came from, which may be our own root while the process has another. */
__attribute__((format(printf, 2, 3))) static bool try_with_debug(struct search *s, const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;

	if (!s->files->debug[0])
		return false;
	va_start(arguments, format);
	bool fits = join(s, path, format, arguments);
	va_end(arguments);
	return fits && try_root(s, s->files->debug_root, path, &s->files->rule);
}

/* SAFETY 11: hex digits of 4 to 64 bytes. */
static bool try_build_id(struct search *s, const struct debug_ask *ask)
{
	struct debug_files *f = s->files;
	char hex[2 * sizeof(ask->build_id) + 1], path[PATH_MAX];

	if (ask->build_id_bytes < 4 || ask->build_id_bytes > sizeof(ask->build_id)) {
		f->stats.refused++;
		return false;
	}
	for (uint8_t i = 0; i < ask->build_id_bytes; i++)
		snprintf(hex + 2 * i, 3, "%02x", ask->build_id[i]);
	snprintf(path, sizeof(path), DEBUG_FOLDER "/.build-id/%.2s/%s.debug", hex, hex + 2);
	if (try_path(s, path))
		return true;
	/* Ours: a container rarely has debug packages, and its host may. */
	int own = f->own_root >= 0 ? f->own_root : f->roots[f->n_roots - 1];
	if (f->own_root >= 0 && try_root(s, own, path, &f->rule))
		return true;
	if (!f->downloads)
		return false;
	int n = snprintf(path, sizeof(path), "%s/%s.debug", f->downloads, hex);
	/* Downloads belong to us, not to the image's owner. */
	struct image_file_rule ours = {.by_owner = f->rule.by_owner, .owner = geteuid()};
	return n > 0 && (size_t)n < sizeof(path) && try_root(s, own, path, &ours);
}

static bool try_link(struct search *s, const char *name)
{
	const char *folder = s->files->folder;

	/* A link names a file, not a way (SAFETY 5). */
	if (strchr(name, '/') || strcmp(name, "..") == 0 || strcmp(name, ".") == 0 || !s->files->image[0]) {
		s->files->stats.refused++;
		return false;
	}
	if (try_format(s, "%s/%s", folder, name) || try_format(s, "%s/.debug/%s", folder, name) ||
	    try_format(s, DEBUG_FOLDER "%s/%s", folder, name))
		return true;
	if (strncmp(folder, "/usr/", 5) == 0)
		return try_format(s, DEBUG_FOLDER "%s/%s", folder + 4, name);
	return try_format(s, DEBUG_FOLDER "/usr%s/%s", folder, name);
}

/* Beside the debug file, also where a link to it leads: folders by build id are links into others (Fedora). */
static bool try_beside_debug(struct search *s, const char *name)
{
	char path[PATH_MAX], target[PATH_MAX], folder[PATH_MAX];

	snprintf(path, sizeof(path), "%s", s->files->debug);
	for (int links = 0; path[0] && links < LINKS_MAX; links++) {
		folder_of(path, folder);
		if (try_with_debug(s, "%s/%s", folder, name))
			return true;
		if (!image_read_link(s->files->debug_root, path, target, sizeof(target)))
			break;
		memcpy(path, target, sizeof(path));
	}
	return false;
}

static bool try_alt(struct search *s, const struct debug_ask *ask)
{
	const char *name = ask->name, *dwz = strstr(name, "/.dwz/");

	if (name[0] == '/' && (try_path(s, name) || try_with_debug(s, "%s", name)))
		return true;
	if (name[0] != '/' && try_beside_debug(s, name))
		return true;
	if (name[0] != '/' && s->files->image[0] && try_format(s, "%s/%s", s->files->folder, name))
		return true;
	if (dwz && (try_format(s, DEBUG_FOLDER "%s", dwz) || try_with_debug(s, DEBUG_FOLDER "%s", dwz)))
		return true;
	if (try_format(s, DEBUG_FOLDER "/.dwz/%s", base_of(name)))
		return true;
	return ask->build_id_bytes && try_build_id(s, ask);
}

static bool try_dwp(struct search *s)
{
	const struct debug_files *f = s->files;

	return (f->image[0] && try_format(s, "%s.dwp", f->image)) || try_with_debug(s, "%s.dwp", f->debug);
}

static bool try_dwo(struct search *s, const struct debug_ask *ask)
{
	const char *name = ask->name;

	if (name[0] == '/' ? try_path(s, name) : ask->directory[0] == '/' && try_format(s, "%s/%s", ask->directory, name))
		return true;
	if (s->files->image[0] && name[0] != '/' && try_format(s, "%s/%s", s->files->folder, name))
		return true;
	if (s->files->image[0] && strchr(name, '/') && try_format(s, "%s/%s", s->files->folder, base_of(name)))
		return true;
	return try_beside_debug(s, base_of(name));
}

static bool is_name(const char *text)
{
	size_t n = strnlen(text, DEBUG_ASK_TEXT_MAX);

	return n > 0 && n < DEBUG_ASK_TEXT_MAX;
}

int debug_files_open(void *files, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	struct debug_files *f = files;
	struct search s = {.files = f, .left = nth, .fd = -1};
	bool named = ask->kind == DEBUG_ASK_BUILD_ID || ask->kind == DEBUG_ASK_DWP;
	bool found = false;

	if (++f->stats.asked > DEBUG_ASKS_MAX || (!named && !is_name(ask->name)) ||
	    (ask->kind == DEBUG_ASK_DWO && strnlen(ask->directory, DEBUG_ASK_TEXT_MAX) == DEBUG_ASK_TEXT_MAX)) {
		f->stats.refused++;
		return -ENOENT;
	}
	switch (ask->kind) {
	case DEBUG_ASK_BUILD_ID:
		found = try_build_id(&s, ask);
		break;
	case DEBUG_ASK_LINK:
		found = try_link(&s, ask->name);
		break;
	case DEBUG_ASK_ALT:
		found = try_alt(&s, ask);
		break;
	case DEBUG_ASK_DWP:
		found = try_dwp(&s);
		break;
	case DEBUG_ASK_DWO:
		found = try_dwo(&s, ask);
		break;
	case DEBUG_ASK_KINDS:
		break;
	}
	if (!found)
		return -ENOENT;
	if (ask->kind == DEBUG_ASK_BUILD_ID || ask->kind == DEBUG_ASK_LINK) {
		memcpy(f->debug, s.path, sizeof(f->debug));
		f->debug_root = s.root;
	}
	f->stats.opened++;
	*fd_out = s.fd;
	return 0;
}
