#include "agent/image_names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/debug_files.h"
#include "agent/image_finder.h"
#include "agent/image_open.h"
#include "agent/log.h"
#include "agent/name_cache.h"
#include "base/scope.h"
#include "symbolizer/name_service.h"

#define TABLES_MAX 64 /* open at a time; the least recently asked for gives way */

/* A file's name table. */
struct table {
	uint64_t image_id;
	int fd; /* -1: it has none */
	bool is_whole;
	uint64_t asked; /* when, in calls */
};

struct image_names {
	struct image_names_options options;
	struct symbolizer *symbolizer;
	struct name_service *service;
	struct name_cache *cache; /* NULL: none */
	struct table tables[TABLES_MAX];
	size_t n_tables;
	uint64_t calls;
	const char *problem;
	int root;

	/* The compilation at hand. */
	struct debug_files *files;
	unsigned passed; /* candidates that debug_files had for the question at hand; UINT_MAX: not known yet */
	bool is_done, lacks_debug_file;
	int err, table_fd;
};

/* --- files that are asked for --------------------------------------------------------------------------------------------- */

static int try_folder(struct image_names *n, const struct debug_ask *ask, const char *folder, int *fd_out)
{
	static const struct image_file_rule ANY = {0};
	char path[PATH_MAX], text[2 * BUILD_ID_MAX + 1] = "";
	struct opened_image opened;
	int length = -1;

	if (ask->build_id_bytes >= 4 && ask->build_id_bytes <= BUILD_ID_MAX)
		build_id_format(ask->build_id, ask->build_id_bytes, text);
	if (*text && (ask->kind == DEBUG_ASK_BUILD_ID || ask->kind == DEBUG_ASK_ALT))
		length = snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s.debug", folder, text, text + 2);
	else if (ask->kind == DEBUG_ASK_LINK && !strchr(ask->name, '/'))
		length = snprintf(path, sizeof(path), "%s/%s", folder, ask->name);
	if (length < 0 || length >= (int)sizeof(path))
		return -ENOENT;
	int err = image_open_inside(n->root, path, &ANY, &opened);
	if (err == 0)
		*fd_out = opened.fd;
	return err;
}

/* First where such files are by themselves, then in the folders that the user named. */
static int open_asked(void *context, uint64_t image_id, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	struct image_names *n = context;
	unsigned left;

	(void)image_id;
	if (nth == 0)
		n->passed = UINT_MAX;
	int err = n->passed == UINT_MAX && n->files ? debug_files_open(n->files, ask, nth, fd_out) : -ENOENT;
	if (err != -ENOENT)
		return err;
	if (n->passed == UINT_MAX)
		n->passed = nth;
	left = nth - n->passed;
	for (size_t i = 0; i < n->options.n_folders; i++) {
		int fd;
		if (try_folder(n, ask, n->options.folders[i], &fd) < 0)
			continue;
		if (!left--) {
			*fd_out = fd;
			return 0;
		}
		close(fd);
	}
	return -ENOENT;
}

/* --- compilation ---------------------------------------------------------------------------------------------------------- */

static void compiled(void *context, uint64_t image_id, int err, int table_fd, const struct name_compile_stats *stats)
{
	struct image_names *n = context;

	(void)image_id;
	n->is_done = true;
	n->err = err;
	n->table_fd = table_fd;
	n->lacks_debug_file = stats->lacks_debug_file;
}

static int compare_vaddrs(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return a < b ? -1 : a > b;
}

/* Wait for the compiler's last word. */
static int wait_for_table(struct image_names *n)
{
	while (!n->is_done && name_service_is_busy(n->service)) {
		struct pollfd work = {.fd = name_service_fd(n->service), .events = POLLIN};
		if (poll(&work, 1, -1) < 0 && errno != EINTR)
			return -errno;
		name_service_work(n->service);
	}
	return n->is_done ? n->err : -ECHILD;
}

/* wanted: NULL: all. table_fd_out: owned by the caller. */
static int compile(struct image_names *n, const struct named_image *image, const uint64_t *wanted, size_t n_wanted, int *table_fd_out)
{
	struct debug_where where = {.path = image->path};

	n->is_done = false;
	n->table_fd = -1;
	/* Without: only what is in the file itself and in the folders. */
	if (debug_files_create(&where, &n->files) < 0)
		n->files = NULL;
	int err = name_service_start(n->service, image->id, image->fd, wanted, n_wanted);
	if (err == 0)
		err = wait_for_table(n);
	debug_files_destroy(n->files);
	n->files = NULL;
	if (err == 0)
		*table_fd_out = n->table_fd;
	return err;
}

static int compile_wanted(struct image_names *n, const struct named_image *image, const uint64_t *vaddrs, size_t n_vaddrs, int *table_fd_out)
{
	AUTO_FREE uint64_t *sorted = reallocarray(NULL, n_vaddrs + 1, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, vaddrs, n_vaddrs * sizeof(*sorted));
	qsort(sorted, n_vaddrs, sizeof(*sorted), compare_vaddrs);
	return compile(n, image, sorted, n_vaddrs, table_fd_out);
}

static void keep(struct image_names *n, const struct name_key *key, int table_fd)
{
	int err = name_cache_put(n->cache, key, table_fd, n->lacks_debug_file);

	while (err == 0 && name_cache_is_storing(n->cache))
		err = name_cache_step(n->cache) < 0 ? -EIO : 0;
}

/* --- tables --------------------------------------------------------------------------------------------------------------- */

static struct table *find_table(struct image_names *n, uint64_t image_id)
{
	for (size_t i = 0; i < n->n_tables; i++)
		if (n->tables[i].image_id == image_id)
			return &n->tables[i];
	return NULL;
}

static struct table *add_table(struct image_names *n, uint64_t image_id)
{
	struct table *table = &n->tables[0];

	if (n->n_tables < TABLES_MAX) {
		table = &n->tables[n->n_tables++];
	} else {
		for (size_t i = 1; i < n->n_tables; i++)
			if (n->tables[i].asked < table->asked)
				table = &n->tables[i];
		if (table->fd >= 0)
			close(table->fd);
	}
	*table = (struct table){.image_id = image_id, .fd = -1};
	return table;
}

static bool find_cached(struct image_names *n, const struct name_key *key, struct table *table)
{
	struct name_cache_found found;

	if (name_cache_get(n->cache, key, &found) < 0)
		return false;
	/* Nothing was found then; perhaps a debug package has come, or a folder is named that knows more. */
	if (found.lacking && (found.stale || n->options.n_folders)) {
		close(found.fd);
		return false;
	}
	table->fd = found.fd;
	table->is_whole = true;
	return true;
}

static const char *problem_of(int err)
{
	switch (err) {
	case -ETIME:
		return "reading its debug information took too long";
	case -ECHILD:
		return "the process that read its debug information died";
	case -E2BIG:
	case -ENOMEM:
		return "its debug information needs too much memory";
	default:
		return "its debug information is damaged";
	}
}

/* A table that knows these addresses. Returns 0 or -ENOMEM. */
static int prepare_table(struct image_names *n, const struct named_image *image, const uint64_t *vaddrs, size_t n_vaddrs,
			 struct table **table_out)
{
	struct table *table = find_table(n, image->id);
	bool has_key, whole = n->options.keep || (table && table->asked) || !image->is_last;
	struct name_key key;

	if (!table)
		table = add_table(n, image->id);
	*table_out = table;
	table->asked = ++n->calls;
	if (table->is_whole)
		return 0;
	has_key = n->cache && name_key_make(image->info->build_id, image->info->build_id_bytes, image->fd, &key) == 0;
	if (has_key && find_cached(n, &key, table))
		return 0;
	if (table->fd >= 0)
		close(table->fd);
	table->fd = -1;
	int err = whole ? compile(n, image, NULL, 0, &table->fd) : compile_wanted(n, image, vaddrs, n_vaddrs, &table->fd);
	table->is_whole = whole;
	if (err < 0)
		n->problem = problem_of(err);
	else if (whole && has_key)
		keep(n, &key, table->fd);
	return 0;
}

/* A cached table that its reader cannot use is thrown away, and compiled again. */
static void drop_table(struct image_names *n, const struct named_image *image, struct table *table)
{
	struct name_key key;

	if (n->cache && name_key_make(image->info->build_id, image->info->build_id_bytes, image->fd, &key) == 0)
		name_cache_drop(n->cache, &key);
	if (table->fd >= 0)
		close(table->fd);
	table->fd = -1;
	table->is_whole = false;
}

/* Whose answers are taken, as long as the table is good. */
struct taking {
	symbolizer_take_fn *take;
	void *context;
	size_t done;
	bool takes_damaged, is_damaged;
};

static int take_good(void *context, size_t first, struct symbolizer_reply *reply)
{
	struct taking *t = context;
	size_t n = reply->n_answers;

	(void)first; /* since the last try */
	if (reply->table_damaged && !t->takes_damaged) {
		symbolizer_reply_free(reply);
		t->is_damaged = true;
		return -EBADMSG;
	}
	int err = t->take(t->context, t->done, reply);
	t->done += n;
	return err;
}

int image_names_each(struct image_names *n, const struct named_image *image, const uint64_t *vaddrs, size_t n_vaddrs, symbolizer_take_fn *take,
		     void *context)
{
	struct taking t = {.take = take, .context = context};
	struct table *table;

	n->problem = NULL;
	for (;;) {
		int err = prepare_table(n, image, vaddrs + t.done, n_vaddrs - t.done, &table);
		if (err == 0)
			err = symbolizer_names_each(n->symbolizer, image->id, image->fd, table->fd, vaddrs + t.done, n_vaddrs - t.done, take_good,
						    &t);
		if (!t.is_damaged || t.takes_damaged)
			return err;
		drop_table(n, image, table);
		t.is_damaged = false;
		t.takes_damaged = true;
	}
}

const char *image_names_problem(const struct image_names *n)
{
	return n->problem;
}

/* --- a life --------------------------------------------------------------------------------------------------------------- */

static void open_cache(struct image_names *n)
{
	struct why why;

	if (!n->options.cache_budget_bytes)
		return;
	if (name_cache_open(n->options.cache, n->options.cache_budget_bytes, &n->cache, &why) < 0) {
		n->cache = NULL;
		if (n->options.cache || n->options.keep)
			log_line(LOG_WARNING, "%s", why.text);
	}
}

int image_names_create(struct zygote *zygote, const struct image_names_options *options, struct image_names **names_out, struct why *why)
{
	struct image_names *n = calloc(1, sizeof(*n));
	int err = n ? 0 : -ENOMEM;

	if (err == 0) {
		struct symbolizer_options by = {.demangle = options->demangle};
		struct name_service_callbacks callbacks = {.open = open_asked, .done = compiled, .context = n};
		n->options = *options;
		n->root = -1;
		err = symbolizer_create(zygote, &by, &n->symbolizer);
		if (err == 0)
			err = name_service_create(zygote, &callbacks, &n->service);
		if (err == 0)
			name_service_hurry(n->service); /* a command, whose user waits */
		if (err == 0)
			err = image_root_open(0, 0, &n->root);
	}
	if (err < 0) {
		image_names_destroy(n);
		return why_set(why, err, "starting the reader of files: %s", strerror(-err));
	}
	open_cache(n);
	*names_out = n;
	return 0;
}

int image_names_headers(struct image_names *n, int fd, struct image_info *info_out)
{
	return symbolizer_image(n->symbolizer, fd, info_out);
}

void image_names_destroy(struct image_names *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->n_tables; i++)
		if (n->tables[i].fd >= 0)
			close(n->tables[i].fd);
	if (n->root >= 0)
		close(n->root);
	name_cache_close(n->cache);
	name_service_destroy(n->service);
	symbolizer_destroy(n->symbolizer);
	free(n);
}
