#include "agent/name_tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <xxhash.h>

#include "agent/debug_downloads.h"
#include "agent/debug_files.h"
#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/name_service.h"

#define BUCKETS		1024
#define KNOWN_MAX	4096
#define QUEUED_MAX	256
#define OPEN_MAX	256
#define MEMORY_BYTES	(64u << 20)
#define STRIKE_PAUSE_NS (60 * NS_PER_S)	  /* after the first strike; five times that after the second */
#define ASIDE_NS	(3600 * NS_PER_S) /* after the third, or a refusal */
#define SERVICE_PAUSE_NS (10 * NS_PER_S)  /* when the service does not start */
#define TOUCH_NS	(3600 * NS_PER_S)
#define STEP_PAUSE_NS	NS_PER_MS /* between two steps of a copy: the loop has other things to do */
#define AGAIN_NS	(NAME_CACHE_LOOK_AGAIN_S * NS_PER_S)

enum state {
	STATE_NEW,	 /* nothing was tried */
	STATE_IDLE,	 /* it has a table, open or not; or it waits until retry_ns */
	STATE_QUEUED,
	STATE_COMPILING,
	STATE_STORING,	 /* compiled, on its way to the disk */
};

/* What is known of one image. */
struct known {
	struct name_key key;
	struct known *next; /* in its bucket */
	uint32_t slot, image_id; /* where the image table had it last */
	enum state state;
	bool has_table;	   /* it had one when last looked at */
	bool is_in_memory; /* fd is a memfd */
	bool is_aside;
	int fd;		   /* of the table; -1: not open */
	int stored_fd;	   /* STATE_STORING: the memfd */
	uint64_t bytes;	   /* of the memfd */
	uint64_t serial;
	uint64_t samples, last_used;
	uint64_t retry_ns; /* 0: no time is set */
	uint64_t touched_ns;
	unsigned strikes;
	uint64_t struck_ns; /* the last time */
	bool lacking;
	bool had_download; /* when its compilation began */
	bool again;	   /* a debug file arrived while something else was done */
	pid_t tgid, parent;
	uint64_t start_ticks;
};

/* The way from an image to what is known of it. */
struct by_slot {
	struct known *known;
	uint32_t image_id;
};

struct name_tables {
	struct image_table *images;
	struct name_tables_options options;
	struct name_service *service; /* NULL: nothing is compiled */
	struct debug_files *files;    /* of the image that is being compiled */
	struct known *compiling, *storing;
	uint64_t compile_start_ns;
	uint64_t service_retry_ns;
	struct known *buckets[BUCKETS];
	size_t n_known, n_queued, n_open;
	struct by_slot *slots;
	size_t n_slots;
	uint64_t seed, serial, window;
	int epoll_fd, timer_fd;
	struct name_tables_stats stats;
};

static uint64_t boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

/* --- what is known of images ------------------------------------------------------------------------------------------------ */

static struct known **bucket_of(struct name_tables *t, const struct name_key *key)
{
	return &t->buckets[XXH3_64bits_withSeed(key->text, strlen(key->text), t->seed) % BUCKETS];
}

static void close_table(struct name_tables *t, struct known *k)
{
	if (k->fd < 0)
		return;
	close(take_fd(&k->fd));
	t->n_open--;
	if (k->is_in_memory) {
		t->stats.memory_bytes -= k->bytes;
		k->is_in_memory = k->has_table = false;
	}
}

static void leave_queue(struct name_tables *t, struct known *k, enum state state)
{
	t->n_queued -= k->state == STATE_QUEUED;
	k->state = state;
}

static void set_aside(struct name_tables *t, struct known *k, bool aside)
{
	t->stats.set_aside += (uint64_t)aside - (uint64_t)k->is_aside;
	k->is_aside = aside;
}

static void forget(struct name_tables *t, struct known *k)
{
	struct known **at = bucket_of(t, &k->key);

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	if (k->slot < t->n_slots && t->slots[k->slot].known == k)
		t->slots[k->slot].known = NULL;
	close_table(t, k);
	leave_queue(t, k, STATE_IDLE);
	set_aside(t, k, false);
	t->n_known--;
	free(k);
}

/* The known one for which worse() holds against all others; NULL: none is eligible. */
typedef bool known_test_fn(const struct known *k);
typedef bool known_order_fn(const struct known *a, const struct known *b);
static struct known *choose(struct name_tables *t, known_test_fn *eligible, known_order_fn *worse)
{
	struct known *chosen = NULL;

	for (size_t i = 0; i < BUCKETS; i++)
		for (struct known *k = t->buckets[i]; k; k = k->next)
			if (eligible(k) && (!chosen || worse(k, chosen)))
				chosen = k;
	return chosen;
}

static bool is_idle(const struct known *k)
{
	return k->state == STATE_NEW || k->state == STATE_IDLE;
}

static bool is_open(const struct known *k)
{
	return k->fd >= 0;
}

static bool is_in_memory(const struct known *k)
{
	return k->fd >= 0 && k->is_in_memory;
}

static bool is_queued(const struct known *k)
{
	return k->state == STATE_QUEUED;
}

static bool is_older(const struct known *a, const struct known *b)
{
	return a->last_used != b->last_used ? a->last_used < b->last_used : a->serial < b->serial;
}

static bool has_fewer_samples(const struct known *a, const struct known *b)
{
	return a->samples < b->samples;
}

static bool has_more_samples(const struct known *a, const struct known *b)
{
	return a->samples > b->samples;
}

static struct known *add_known(struct name_tables *t, const struct name_key *key)
{
	if (t->n_known >= t->options.max_known) {
		struct known *oldest = choose(t, is_idle, is_older);
		if (!oldest || oldest->last_used >= t->window)
			return NULL;
		forget(t, oldest);
	}
	struct known *k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	struct known **bucket = bucket_of(t, key);
	k->key = *key;
	k->fd = k->stored_fd = -1;
	k->next = *bucket;
	*bucket = k;
	t->n_known++;
	return k;
}

static bool grow_slots(struct name_tables *t, uint32_t slot)
{
	if (slot < t->n_slots)
		return true;
	size_t n = slot + 64;
	struct by_slot *slots = realloc(t->slots, n * sizeof(*slots));
	if (!slots)
		return false;
	memset(slots + t->n_slots, 0, (n - t->n_slots) * sizeof(*slots));
	t->slots = slots;
	t->n_slots = n;
	return true;
}

/* What is known of an image that was sampled; NULL: it has no identity, or there is no room. */
static struct known *know(struct name_tables *t, uint32_t slot, const struct image *image)
{
	struct name_key key;

	if (slot < t->n_slots && t->slots[slot].known && t->slots[slot].image_id == image->id)
		return t->slots[slot].known;
	if ((!image->build_id_bytes && image->fd < 0) || !grow_slots(t, slot) ||
	    name_key_make(image->build_id, image->build_id_bytes, image->fd, &key) < 0)
		return NULL;
	struct known *k = *bucket_of(t, &key);
	while (k && strcmp(k->key.text, key.text) != 0)
		k = k->next;
	if (!k)
		k = add_known(t, &key);
	if (!k)
		return NULL;
	if (k->slot < t->n_slots && t->slots[k->slot].known == k)
		t->slots[k->slot].known = NULL;
	k->slot = slot;
	k->image_id = image->id;
	t->slots[slot] = (struct by_slot){k, image->id};
	return k;
}

/* --- tables --------------------------------------------------------------------------------------------------------------- */

static void keep_budgets(struct name_tables *t, const struct known *fresh)
{
	while (t->n_open > t->options.max_open) {
		struct known *oldest = choose(t, is_open, is_older);
		if (oldest == fresh)
			return;
		close_table(t, oldest);
		t->stats.closed++;
	}
	while (t->stats.memory_bytes > t->options.memory_bytes) {
		struct known *oldest = choose(t, is_in_memory, is_older);
		if (!oldest || (oldest == fresh && t->stats.memory_bytes <= 2 * t->options.memory_bytes))
			return;
		close_table(t, oldest);
		/* Compiling it again and again would be what budgets are against. */
		oldest->retry_ns = t->options.now_ns() + ASIDE_NS;
		t->stats.forgotten++;
	}
}

static void take_table(struct name_tables *t, struct known *k, int fd, bool in_memory)
{
	close_table(t, k);
	k->fd = fd;
	k->has_table = true;
	k->is_in_memory = in_memory;
	k->serial = ++t->serial;
	k->touched_ns = t->options.now_ns();
	t->n_open++;
	if (in_memory)
		t->stats.memory_bytes += k->bytes;
	keep_budgets(t, k);
}

static bool has_download(const struct name_tables *t, const struct image *image)
{
	return t->options.downloads && debug_downloads_has(t->options.downloads, image->build_id, image->build_id_bytes);
}

/* No debug information was found: a server may have it. True: it gave it already. */
static bool want_debug_file(const struct name_tables *t, const struct known *k)
{
	const struct image *image = image_table_get(t->images, k->slot);

	if (!t->options.downloads || !t->service || !k->lacking || !image || image->id != k->image_id)
		return false;
	if (has_download(t, image))
		return true;
	debug_downloads_want(t->options.downloads, image->build_id, image->build_id_bytes);
	return false;
}

/* False: the cache has none. */
static bool open_from_cache(struct name_tables *t, struct known *k)
{
	struct name_cache_found found;

	if (!t->options.cache || name_cache_get(t->options.cache, &k->key, &found) < 0)
		return false;
	take_table(t, k, found.fd, false);
	k->lacking = found.lacking;
	k->retry_ns = found.stale ? 0 : t->options.now_ns() + AGAIN_NS;
	return true;
}

static bool find_in_cache(struct name_tables *t, struct known *k)
{
	if (!open_from_cache(t, k))
		return false;
	t->stats.from_cache++;
	if (want_debug_file(t, k))
		k->retry_ns = 0;
	return true;
}

static void enqueue(struct name_tables *t, struct known *k, const struct image *image)
{
	if (!t->service || image->fd < 0)
		return;
	if (t->n_queued >= t->options.max_queued) {
		struct known *least = choose(t, is_queued, has_fewer_samples);
		t->stats.displaced++;
		if (!least || least->samples >= k->samples)
			return;
		leave_queue(t, least, STATE_IDLE);
	}
	k->tgid = image->tgid;
	k->parent = image->parent;
	k->start_ticks = image->tgid ? image_process_start(image->tgid) : 0;
	k->state = STATE_QUEUED;
	t->n_queued++;
}

/* The next thing to do for an image that was sampled. */
static void advance(struct name_tables *t, struct known *k, const struct image *image)
{
	uint64_t now_ns = t->options.now_ns();

	if (!is_idle(k))
		return;
	if (k->again) {
		k->again = false;
		k->retry_ns = 0;
	}
	if (k->fd >= 0 && !k->is_in_memory && now_ns - k->touched_ns > TOUCH_NS) {
		name_cache_touch(k->fd);
		k->touched_ns = now_ns;
	}
	if (k->fd < 0 && (k->state == STATE_NEW || k->has_table)) {
		k->state = STATE_IDLE;
		k->has_table = find_in_cache(t, k);
	}
	bool due = !k->has_table || k->lacking;
	if (due && (!k->retry_ns || now_ns >= k->retry_ns))
		enqueue(t, k, image);
}

/* A debug file has arrived: its image is compiled again, now. */
static void try_again(struct name_tables *t, struct known *k)
{
	const struct image *image = image_table_get(t->images, k->slot);

	if (k->again && image && image->id == k->image_id)
		advance(t, k, image);
}

static void arm(struct name_tables *t, uint64_t after_ns)
{
	struct itimerspec when = {.it_value = {(time_t)(after_ns / NS_PER_S), (long)(after_ns % NS_PER_S)}};

	timerfd_settime(t->timer_fd, 0, &when, NULL);
}

/* --- compiling ------------------------------------------------------------------------------------------------------------ */

static void strike(struct name_tables *t, struct known *k)
{
	uint64_t now_ns = t->options.now_ns();

	if (k->strikes && now_ns - k->struck_ns > 2 * ASIDE_NS)
		k->strikes = 0;
	k->struck_ns = now_ns;
	uint64_t pause_ns = k->strikes ? 5 * STRIKE_PAUSE_NS : STRIKE_PAUSE_NS;
	if (++k->strikes >= NAME_TABLES_STRIKES_MAX) {
		k->strikes = NAME_TABLES_STRIKES_MAX;
		pause_ns = ASIDE_NS;
		set_aside(t, k, true);
	}
	k->retry_ns = now_ns + pause_ns;
}

static int open_files(struct name_tables *t, const struct known *k, const struct image *image)
{
	struct debug_where where = {
		.tgid = k->tgid,
		.parent = k->parent,
		.start_ticks = k->start_ticks,
		.path = image->path,
		.by_owner = true,
		.downloads = t->options.downloads ? debug_downloads_folder(t->options.downloads) : NULL,
	};
	struct stat status;

	if (fstat(image->fd, &status) < 0)
		return -errno;
	where.owner = status.st_uid;
	/* A process that was gone before its start could be read: the pid may be another's by now. */
	if (where.tgid && !where.start_ticks)
		where.tgid = INT32_MAX;
	return debug_files_create(&where, &t->files);
}

static void close_files(struct name_tables *t)
{
	struct debug_files_stats stats;

	if (!t->files)
		return;
	debug_files_stats(t->files, &stats);
	t->stats.files_opened += stats.opened;
	t->stats.files_refused += stats.refused;
	debug_files_destroy(t->files);
	t->files = NULL;
}

static void start_next(struct name_tables *t)
{
	while (t->service && !t->compiling && !t->storing && t->n_queued && t->options.now_ns() >= t->service_retry_ns) {
		struct known *k = choose(t, is_queued, has_more_samples);
		const struct image *image = image_table_get(t->images, k->slot);
		if (!image || image->id != k->image_id || image->fd < 0) {
			leave_queue(t, k, STATE_IDLE);
			t->stats.gone++;
			continue;
		}
		/* Another hearth may have compiled it meanwhile. */
		if (!k->has_table && find_in_cache(t, k) && !k->lacking) {
			leave_queue(t, k, STATE_IDLE);
			continue;
		}
		/* Without the files that it refers to, what is in it is compiled all the same. */
		if (open_files(t, k, image) < 0)
			t->files = NULL;
		int err = name_service_start(t->service, image->id, image->fd, NULL, 0);
		if (err < 0) {
			close_files(t);
			t->service_retry_ns = t->options.now_ns() + SERVICE_PAUSE_NS;
			arm(t, SERVICE_PAUSE_NS);
			return;
		}
		k->had_download = has_download(t, image);
		leave_queue(t, k, STATE_COMPILING);
		t->compiling = k;
		t->compile_start_ns = t->options.now_ns();
	}
}

static int open_for_service(void *context, uint64_t image_id, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	struct name_tables *t = context;

	if (!t->compiling || t->compiling->image_id != image_id || !t->files)
		return -ENOENT;
	return debug_files_open(t->files, ask, nth, fd_out);
}

static void keep_in_memory(struct name_tables *t, struct known *k)
{
	k->state = STATE_IDLE;
	take_table(t, k, take_fd(&k->stored_fd), true);
}

/* A copy to the disk that failed costs nothing but the next start's time. */
static void end_store(struct name_tables *t, int err)
{
	struct known *k = t->storing;
	int fd = k->stored_fd;

	t->storing = NULL;
	t->stats.cache_errno = -err;
	k->state = STATE_IDLE;
	if (err == 0 && open_from_cache(t, k)) {
		k->stored_fd = -1;
		close(fd);
	} else {
		keep_in_memory(t, k);
	}
	k->retry_ns = t->options.now_ns() + AGAIN_NS;
	try_again(t, k);
}

static void take_compiled(struct name_tables *t, struct known *k, int table_fd, const struct name_compile_stats *stats)
{
	struct stat status;

	set_aside(t, k, false);
	k->lacking = stats->lacks_debug_file && !stats->has_dwarf;
	k->bytes = fstat(table_fd, &status) == 0 ? (uint64_t)status.st_size : 0;
	k->stored_fd = table_fd;
	t->stats.compiled++;
	t->stats.compiled_bytes += k->bytes;
	t->stats.lacking += k->lacking;
	t->stats.parts_damaged += stats->refused + stats->dwarf.bad_units + stats->dwarf.bad_references + stats->dwarf.bad_line_programs;
	t->stats.over_limits += stats->dwarf.over_limits + stats->table.too_deep + stats->table.cut;
	t->stats.files_missing += stats->dwarf.missing_files;
	const struct image *image = image_table_get(t->images, k->slot);
	if (k->lacking && k->had_download && image && image->id == k->image_id)
		debug_downloads_useless(t->options.downloads, image->build_id, image->build_id_bytes);
	else
		k->again = want_debug_file(t, k);
	k->state = STATE_STORING;
	t->storing = k;
	int err = t->options.cache ? name_cache_put(t->options.cache, &k->key, table_fd, k->lacking) : -ENOENT;
	if (err < 0) {
		end_store(t, err);
		if (!t->options.cache)
			t->stats.cache_errno = 0;
		return;
	}
	arm(t, STEP_PAUSE_NS);
}

static void take_done(void *context, uint64_t image_id, int err, int table_fd, const struct name_compile_stats *stats)
{
	struct name_tables *t = context;
	struct known *k = t->compiling;

	if (!k || k->image_id != image_id) {
		if (table_fd >= 0)
			close(table_fd);
		return;
	}
	t->compiling = NULL;
	close_files(t);
	t->stats.compile_ns += t->options.now_ns() - t->compile_start_ns;
	k->state = STATE_IDLE;
	if (err == 0) {
		take_compiled(t, k, table_fd, stats);
		return;
	}
	t->stats.failed++;
	t->stats.timed_out += err == -ETIME;
	t->stats.crashed += err == -ECHILD;
	/* What a file says will not change; a crash, a time-out or a lack of memory might have been bad luck. */
	if (err == -ENOEXEC || err == -EBADMSG || err == -E2BIG) {
		k->strikes = NAME_TABLES_STRIKES_MAX - 1;
		k->struck_ns = t->options.now_ns();
	}
	strike(t, k);
}

/* --- the interface -------------------------------------------------------------------------------------------------------- */

static int open_service(struct name_tables *t, struct zygote *zygote)
{
	struct name_service_callbacks callbacks = {.open = open_for_service, .done = take_done, .context = t};
	struct epoll_event interest = {.events = EPOLLIN};

	if (!zygote)
		return 0;
	int err = name_service_create(zygote, &callbacks, &t->service);
	if (err == 0 && epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, name_service_fd(t->service), &interest) < 0)
		err = -errno;
	return err;
}

static int open_parts(struct name_tables *t, struct zygote *zygote)
{
	struct epoll_event interest = {.events = EPOLLIN};

	if (getrandom(&t->seed, sizeof(t->seed), 0) != (ssize_t)sizeof(t->seed))
		return -EIO;
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll_fd < 0)
		return -errno;
	t->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (t->timer_fd < 0 || epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->timer_fd, &interest) < 0)
		return -errno;
	if (t->options.downloads &&
	    epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, debug_downloads_fd(t->options.downloads), &interest) < 0)
		return -errno;
	return open_service(t, zygote);
}

int name_tables_create(struct zygote *zygote, struct image_table *images, const struct name_tables_options *options,
		       struct name_tables **tables_out)
{
	struct name_tables *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->images = images;
	t->epoll_fd = t->timer_fd = -1;
	if (options)
		t->options = *options;
	struct name_tables_options *o = &t->options;
	o->max_known = o->max_known ? o->max_known : KNOWN_MAX;
	o->max_queued = o->max_queued ? o->max_queued : QUEUED_MAX;
	o->max_open = o->max_open ? o->max_open : OPEN_MAX;
	o->memory_bytes = o->memory_bytes ? o->memory_bytes : MEMORY_BYTES;
	o->now_ns = o->now_ns ? o->now_ns : boot_ns;
	int err = open_parts(t, zygote);
	if (err < 0) {
		name_tables_destroy(t);
		return err;
	}
	*tables_out = t;
	return 0;
}

void name_tables_look(struct name_tables *t, uint64_t window)
{
	t->window = window;
	for (uint32_t slot = 0; slot < image_table_slots(t->images); slot++) {
		const struct image *image = image_table_get(t->images, slot);
		/* A path that is none: the vDSO has nothing beyond its symbols. */
		if (!image || image->last_used != window || !image->samples || image->state != IMAGE_READ || image->path[0] != '/')
			continue;
		struct known *k = know(t, slot, image);
		if (!k)
			continue;
		k->samples = image->samples;
		k->last_used = window;
		advance(t, k, image);
	}
	start_next(t);
}

/* What is known of the image in a slot. */
static struct known *known_of(const struct name_tables *t, uint32_t slot)
{
	const struct image *image = image_table_get(t->images, slot);

	if (!image || slot >= t->n_slots || t->slots[slot].image_id != image->id)
		return NULL;
	return t->slots[slot].known;
}

int name_tables_get(struct name_tables *t, uint32_t slot, uint64_t *serial_out)
{
	const struct known *k = known_of(t, slot);

	*serial_out = k && k->fd >= 0 ? k->serial : 0;
	return k ? k->fd : -1;
}

void name_tables_damaged(struct name_tables *t, uint32_t slot)
{
	struct known *k = known_of(t, slot);

	if (!k || k->fd < 0)
		return;
	t->stats.damaged++;
	close_table(t, k);
	k->has_table = k->lacking = false;
	if (t->options.cache)
		name_cache_drop(t->options.cache, &k->key);
	strike(t, k);
	/* The first one may be a disk's fault, and costs no pause. */
	if (k->strikes == 1)
		k->retry_ns = 0;
}

static void take_download(void *context, const uint8_t *build_id, uint8_t build_id_bytes)
{
	struct name_tables *t = context;
	struct name_key key;

	if (name_key_make(build_id, build_id_bytes, -1, &key) < 0)
		return;
	struct known *k = *bucket_of(t, &key);
	while (k && strcmp(k->key.text, key.text) != 0)
		k = k->next;
	if (!k)
		return;
	k->again = true;
	try_again(t, k);
}

int name_tables_fd(const struct name_tables *t)
{
	return t->epoll_fd;
}

void name_tables_work(struct name_tables *t)
{
	uint64_t ticks;

	if (t->service)
		name_service_work(t->service);
	if (t->options.downloads)
		debug_downloads_work(t->options.downloads, take_download, t);
	if (read(t->timer_fd, &ticks, sizeof(ticks)) == (ssize_t)sizeof(ticks) && t->storing) {
		int more = name_cache_step(t->options.cache);
		if (more > 0)
			arm(t, STEP_PAUSE_NS);
		else
			end_store(t, more);
	}
	start_next(t);
}

void name_tables_hurry(struct name_tables *t)
{
	if (t->service)
		name_service_hurry(t->service);
}

size_t name_tables_outstanding(const struct name_tables *t, const char **path_out)
{
	const struct image *image = t->compiling ? image_table_get(t->images, t->compiling->slot) : NULL;

	*path_out = image && image->id == t->compiling->image_id ? image->path : "";
	size_t downloads = t->options.downloads ? debug_downloads_outstanding(t->options.downloads) : 0;
	return t->n_queued + !!t->compiling + !!t->storing + downloads;
}

void name_tables_stats(const struct name_tables *t, struct name_tables_stats *stats_out)
{
	*stats_out = t->stats;
	stats_out->compile_cpu_ns = t->service ? name_service_cpu_ns(t->service) : 0;
	stats_out->known = t->n_known;
	stats_out->open = t->n_open;
	stats_out->queued = t->n_queued + !!t->compiling;
}

void name_tables_destroy(struct name_tables *t)
{
	if (!t)
		return;
	name_service_destroy(t->service);
	close_files(t);
	while (t->storing && name_cache_step(t->options.cache) > 0)
		;
	if (t->storing)
		close(t->storing->stored_fd);
	for (size_t i = 0; i < BUCKETS; i++)
		while (t->buckets[i])
			forget(t, t->buckets[i]);
	if (t->timer_fd >= 0)
		close(t->timer_fd);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	free(t->slots);
	free(t);
}
