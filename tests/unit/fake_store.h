/* A store that is a folder of encoded windows, for tests of what uses one: it fails when it is told to, over processes. Files in the folder tell it:
 *   full        store_append() returns -ENOSPC
 *   refuse      store_open() returns -ENOSPC
 *   die-after   the process dies once, when a window was stored and nobody knows of it; the file goes
 *   poison      the process dies of a window whose duration is POISON_NS
 * Take it in by including it: its functions are then linked instead of those of store/. */
#ifndef HEARTH_TESTS_FAKE_STORE_H
#define HEARTH_TESTS_FAKE_STORE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "pprof/decode.h"
#include "pprof/encode.h"
#include "store/store.h"
#include "store/store_reader.h"

#define POISON_NS 666

struct store {
	char folder[PATH_MAX / 2];
	char sinks[STORE_SINKS_MAX][STORE_SINK_NAME_MAX];
	size_t n_sinks;
	uint64_t appended;
};

static bool fake_has(const char *folder, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

static void fake_put(const char *folder, const char *name, const void *bytes, size_t n)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
		abort();
}

static void fake_remove(const char *folder, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	unlink(path);
}

/* The smallest number above after; 0: none. last: the greatest. */
static uint64_t fake_number(const char *folder, uint64_t after, bool last)
{
	DIR *dir = opendir(folder);
	uint64_t best = 0, number;

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		if (sscanf(entry->d_name, "window.%" SCNu64, &number) == 1 && number > after &&
		    (!best || (last ? number > best : number < best)))
			best = number;
	if (dir)
		closedir(dir);
	return best;
}

static struct profile *fake_read(const char *folder, uint64_t number)
{
	struct profile *profile = NULL;
	static uint8_t bytes[1 << 20];
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/window.%" PRIu64, folder, number);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
	return n > 0 && profile_decode(bytes, (size_t)n, 0, &profile, NULL) == 0 ? profile : NULL;
}

int store_open(const char *folder, const struct store_options *options, struct store **store_out, struct why *why)
{
	if (fake_has(folder, "refuse"))
		return why_set(why, -ENOSPC, "opening the store in '%s': no space", folder);
	struct store *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	snprintf(s->folder, sizeof(s->folder), "%s", folder);
	*store_out = s;
	return store_set_sinks(s, options->sinks, options->n_sinks);
}

int store_append(struct store *s, const struct profile *window, uint64_t *number_out, struct why *why)
{
	uint64_t number = fake_number(s->folder, 0, true) + 1;
	AUTO_FREE uint8_t *bytes = NULL;
	char name[64];
	size_t n = 0;

	if (fake_has(s->folder, "full"))
		return why_set(why, -ENOSPC, "writing '%s': No space left", s->folder);
	if (fake_has(s->folder, "poison") && window->duration_ns == POISON_NS)
		raise(SIGABRT);
	int err = profile_encode(window, &bytes, &n);
	if (err < 0)
		return err;
	snprintf(name, sizeof(name), "window.%" PRIu64, number);
	fake_put(s->folder, name, bytes, n);
	if (fake_has(s->folder, "die-after")) {
		fake_remove(s->folder, "die-after");
		abort();
	}
	s->appended++;
	*number_out = number;
	return 0;
}

int store_maintain(struct store *s, struct why *why)
{
	(void)s, (void)why;
	return 0;
}

int store_set_sinks(struct store *s, const char *const *sinks, size_t n_sinks)
{
	s->n_sinks = n_sinks;
	for (size_t i = 0; i < n_sinks; i++)
		snprintf(s->sinks[i], sizeof(s->sinks[i]), "%s", sinks[i]);
	return 0;
}

static uint64_t fake_mark(const struct store *s, size_t sink)
{
	char path[PATH_MAX];
	uint64_t mark = 0;

	snprintf(path, sizeof(path), "%s/mark.%s", s->folder, s->sinks[sink]);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	return file && fscanf(file, "%" SCNu64, &mark) == 1 ? mark : 0;
}

int store_outbox_next(struct store *s, size_t sink, uint64_t after, uint64_t *number_out, struct profile **profile_out)
{
	uint64_t mark = fake_mark(s, sink), number = fake_number(s->folder, after > mark ? after : mark, false);

	if (!number)
		return -ENOENT;
	*profile_out = fake_read(s->folder, number);
	*number_out = number;
	return *profile_out ? 0 : -EIO;
}

int store_outbox_mark(struct store *s, size_t sink, uint64_t number)
{
	char name[STORE_SINK_NAME_MAX + 8], text[32];

	snprintf(name, sizeof(name), "mark.%s", s->sinks[sink]);
	fake_put(s->folder, name, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, number));
	return 0;
}

void store_stats(const struct store *s, struct store_stats *stats_out)
{
	*stats_out = (struct store_stats){.appended = s->appended};
}

void store_close(struct store *s)
{
	free(s);
}

struct store_reader {
	char folder[PATH_MAX / 2];
};

int store_reader_open(const char *folder, struct store_reader **reader_out, struct why *why)
{
	struct store_reader *r = calloc(1, sizeof(*r));

	(void)why;
	if (!r)
		return -ENOMEM;
	snprintf(r->folder, sizeof(r->folder), "%s", folder);
	*reader_out = r;
	return 0;
}

int store_reader_windows(struct store_reader *r, const struct store_filter *filter, store_window_fn fn, void *context, struct why *why)
{
	int err = 0;

	(void)why;
	for (uint64_t number = 0; err == 0 && (number = fake_number(r->folder, number, false));) {
		struct profile *profile = fake_read(r->folder, number);
		if (!profile)
			continue;
		const struct store_window window = {.number = number, .time_ns = profile->time_ns, .duration_ns = profile->duration_ns,
						    .samples = profile->n_samples, .merged = 1, .account = ""};
		if (window.time_ns < filter->to_ns && window.time_ns + window.duration_ns > filter->from_ns)
			err = fn(context, &window);
		profile_free(profile);
	}
	return err;
}

void store_reader_close(struct store_reader *r)
{
	free(r);
}

#endif
