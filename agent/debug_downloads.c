#include "agent/debug_downloads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "agent/cache_folder.h"
#include "base/clock.h"
#include "base/scope.h"

#define PAUSE_MAX_NS (300 * NS_PER_S)

struct wanted {
	uint8_t build_id[64];
	uint8_t build_id_bytes;
	unsigned tries;
};

struct debug_downloads {
	struct debuginfod_fetcher *fetcher;
	struct cache_folder *folder;
	char *path;
	uint64_t (*now_ns)(void);
	struct wanted queue[DEBUG_DOWNLOADS_QUEUE]; /* queue[0] is at hand */
	size_t n;
	bool active;
	bool is_dead; /* the fetcher is gone */
	struct cache_file file; /* of the active one */
	uint64_t serial;
	unsigned failures;  /* in a row */
	uint64_t resume_ns; /* not before */
	int epoll_fd, timer_fd;
	struct debug_downloads_stats stats;
};

static uint64_t boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

static int open_parts(struct debug_downloads *d, const char *folder, uint64_t budget_bytes, struct why *why)
{
	struct epoll_event interest = {.events = EPOLLIN};

	d->path = strdup(folder);
	if (!d->path)
		return why_set(why, -ENOMEM, "out of memory");
	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	d->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (d->epoll_fd < 0 || d->timer_fd < 0 || epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, d->timer_fd, &interest) < 0 ||
	    epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, debuginfod_fd(d->fetcher), &interest) < 0)
		return why_set(why, -errno, "setting up downloads: %s", strerror(errno));
	return cache_folder_open(folder, false, budget_bytes, &d->folder, why);
}

int debug_downloads_create(struct debuginfod_fetcher *fetcher, const char *folder, uint64_t budget_bytes, uint64_t (*now_ns)(void),
			   struct debug_downloads **downloads_out, struct why *why)
{
	struct debug_downloads *d = calloc(1, sizeof(*d));

	if (!d) {
		debuginfod_stop(fetcher);
		return why_set(why, -ENOMEM, "out of memory");
	}
	d->fetcher = fetcher;
	d->now_ns = now_ns ? now_ns : boot_ns;
	d->epoll_fd = d->timer_fd = d->file.fd = -1;
	int err = open_parts(d, folder, budget_bytes, why);
	if (err < 0) {
		debug_downloads_destroy(d);
		return err;
	}
	*downloads_out = d;
	return 0;
}

const char *debug_downloads_folder(const struct debug_downloads *d)
{
	return d->path;
}

static void name_of(const struct wanted *w, const char *suffix, char name[160])
{
	size_t n = 0;

	for (uint8_t i = 0; i < w->build_id_bytes; i++)
		n += (size_t)snprintf(name + n, 160 - n, "%02x", w->build_id[i]);
	snprintf(name + n, 160 - n, "%s", suffix);
}

static bool is_known_missing(struct debug_downloads *d, const struct wanted *w)
{
	char name[160];
	struct stat status;
	int fd;

	name_of(w, ".none", name);
	if (cache_folder_get(d->folder, name, &fd, &status) < 0)
		return false;
	close(fd);
	int64_t age_s = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S) - status.st_mtim.tv_sec;
	return age_s >= 0 && age_s < DEBUG_DOWNLOADS_NONE_S;
}

static void remember_missing(struct debug_downloads *d, const struct wanted *w)
{
	struct cache_file file;
	char name[160];

	name_of(w, ".none", name);
	if (cache_folder_create(d->folder, &file) == 0)
		cache_folder_keep(d->folder, &file, name);
}

static void drop_first(struct debug_downloads *d)
{
	memmove(d->queue, d->queue + 1, --d->n * sizeof(d->queue[0]));
}

static void arm(const struct debug_downloads *d, uint64_t after_ns)
{
	struct itimerspec when = {.it_value = {(time_t)(after_ns / NS_PER_S), (long)(after_ns % NS_PER_S) + 1}};

	timerfd_settime(d->timer_fd, 0, &when, NULL);
}

/* SAFETY 22: full jitter, so that a fleet does not come back all at once. */
static void pause_for(struct debug_downloads *d, uint32_t at_least_s)
{
	uint64_t most_ns = NS_PER_S << (d->failures < 9 ? d->failures : 9), random = 0;

	if (most_ns > PAUSE_MAX_NS)
		most_ns = PAUSE_MAX_NS;
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = d->now_ns();
	uint64_t pause_ns = random % most_ns + at_least_s * NS_PER_S;
	d->failures++;
	d->resume_ns = d->now_ns() + pause_ns;
	arm(d, pause_ns);
}

static void start_next(struct debug_downloads *d)
{
	if (d->active || d->is_dead || !d->n || d->now_ns() < d->resume_ns)
		return;
	struct wanted *w = &d->queue[0];
	int err = cache_folder_create(d->folder, &d->file);
	if (err == 0)
		err = debuginfod_fetch(d->fetcher, ++d->serial, w->build_id, w->build_id_bytes, d->file.fd);
	if (err == 0) {
		w->tries++;
		d->active = true;
		return;
	}
	cache_folder_abandon(d->folder, &d->file);
	d->is_dead = err == -ECHILD;
	d->stats.failed++;
	pause_for(d, 0);
}

static bool make_wanted(const uint8_t *build_id, uint8_t build_id_bytes, struct wanted *w)
{
	*w = (struct wanted){.build_id_bytes = build_id_bytes};
	if (build_id_bytes < 4 || build_id_bytes > sizeof(w->build_id))
		return false;
	memcpy(w->build_id, build_id, build_id_bytes);
	return true;
}

bool debug_downloads_has(struct debug_downloads *d, const uint8_t *build_id, uint8_t build_id_bytes)
{
	struct stat status;
	struct wanted w;
	char name[160];
	int fd;

	if (!make_wanted(build_id, build_id_bytes, &w))
		return false;
	name_of(&w, ".debug", name);
	if (cache_folder_get(d->folder, name, &fd, &status) < 0)
		return false;
	close(fd);
	return true;
}

void debug_downloads_useless(struct debug_downloads *d, const uint8_t *build_id, uint8_t build_id_bytes)
{
	struct wanted w;
	char name[160];

	if (!make_wanted(build_id, build_id_bytes, &w))
		return;
	name_of(&w, ".debug", name);
	if (cache_folder_remove(d->folder, name) < 0)
		return;
	d->stats.useless++;
	remember_missing(d, &w);
}

void debug_downloads_want(struct debug_downloads *d, const uint8_t *build_id, uint8_t build_id_bytes)
{
	struct wanted w;

	if (!make_wanted(build_id, build_id_bytes, &w))
		return;
	for (size_t i = 0; i < d->n; i++)
		if (d->queue[i].build_id_bytes == build_id_bytes && memcmp(d->queue[i].build_id, build_id, build_id_bytes) == 0)
			return;
	if (is_known_missing(d, &w))
		return;
	if (d->n == DEBUG_DOWNLOADS_QUEUE) {
		d->stats.displaced++;
		return;
	}
	d->queue[d->n++] = w;
	start_next(d);
}

int debug_downloads_fd(const struct debug_downloads *d)
{
	return d->epoll_fd;
}

/* A failure that may pass: the same one again, but not for ever. */
static void take_failure(struct debug_downloads *d, const struct debuginfod_result *result)
{
	d->stats.failed++;
	d->stats.refused += result->err == -EPROTO;
	pause_for(d, result->retry_after_s);
	if (d->queue[0].tries >= DEBUG_DOWNLOADS_TRIES) {
		d->stats.given_up++;
		remember_missing(d, &d->queue[0]);
		drop_first(d);
	} else if (d->n > 1) {
		struct wanted w = d->queue[0];
		drop_first(d);
		d->queue[d->n++] = w;
	}
}

static bool take_result(struct debug_downloads *d, const struct debuginfod_result *result, struct wanted *arrived_out)
{
	struct wanted w = d->queue[0];
	char name[160];

	d->active = false;
	name_of(&w, ".debug", name);
	int err = result->err;
	if (err == 0)
		err = cache_folder_keep(d->folder, &d->file, name) < 0 ? -EAGAIN : 0;
	cache_folder_abandon(d->folder, &d->file);
	if (err != 0 && err != -ENOENT && err != -EFBIG) {
		take_failure(d, result);
		return false;
	}
	d->failures = 0;
	drop_first(d);
	if (err < 0) {
		d->stats.missing += err == -ENOENT;
		d->stats.too_large += err == -EFBIG;
		remember_missing(d, &w);
		return false;
	}
	d->stats.fetched++;
	d->stats.fetched_bytes += result->bytes;
	*arrived_out = w;
	return true;
}

void debug_downloads_work(struct debug_downloads *d, debug_download_fn *arrived, void *context)
{
	struct debuginfod_result result;
	struct wanted w;
	uint64_t ticks;

	(void)!read(d->timer_fd, &ticks, sizeof(ticks));
	if (d->active && debuginfod_take(d->fetcher, &result) && take_result(d, &result, &w))
		arrived(context, w.build_id, w.build_id_bytes);
	/* A socket whose other end is closed stays readable. */
	if (!d->active && !d->is_dead && debuginfod_is_dead(d->fetcher))
		d->is_dead = true;
	if (d->is_dead)
		epoll_ctl(d->epoll_fd, EPOLL_CTL_DEL, debuginfod_fd(d->fetcher), NULL);
	start_next(d);
}

size_t debug_downloads_outstanding(const struct debug_downloads *d)
{
	if (d->is_dead || (!d->active && d->now_ns() < d->resume_ns))
		return 0;
	return d->n;
}

void debug_downloads_stats(const struct debug_downloads *d, struct debug_downloads_stats *stats_out)
{
	struct cache_folder_stats folder;

	cache_folder_stats(d->folder, &folder);
	*stats_out = d->stats;
	stats_out->queued = d->n;
	stats_out->files = folder.files;
	stats_out->bytes = folder.bytes;
	stats_out->budget_bytes = folder.budget_bytes;
	stats_out->evicted = folder.evicted;
}

void debug_downloads_destroy(struct debug_downloads *d)
{
	if (!d)
		return;
	debuginfod_stop(d->fetcher);
	if (d->folder)
		cache_folder_abandon(d->folder, &d->file);
	cache_folder_close(d->folder);
	if (d->timer_fd >= 0)
		close(d->timer_fd);
	if (d->epoll_fd >= 0)
		close(d->epoll_fd);
	free(d->path);
	free(d);
}
