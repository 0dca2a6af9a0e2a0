#include "agent/debug_exports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/debug_files.h"
#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/name_service.h"

#define BUILD_ID_MIN 8 /* hex digits (SAFETY 11) */
#define PAUSES	     3 /* times as long as the last one took */
#define ASIDE_NS     (3600 * NS_PER_S)
#define ASIDE_MAX    64

struct aside {
	char build_id[DEBUG_EXPORTS_BUILD_ID_MAX + 1];
	uint64_t until_ns;
};

struct debug_exports {
	struct debug_exports_options options;
	struct image_table *images;
	struct name_service *service;
	struct debug_files *files; /* of the image at hand */
	char wanted[DEBUG_EXPORTS_BUILD_ID_MAX + 1]; /* "": nothing is */
	uint64_t wanted_ns, begun_ns, pause_until_ns;
	struct aside asides[ASIDE_MAX]; /* the oldest is written over */
	size_t next_aside;
};

static uint64_t boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

static void close_files(struct debug_exports *e)
{
	debug_files_destroy(e->files);
	e->files = NULL;
}

/* The question is answered. */
static void answer(struct debug_exports *e, int err, int fd, const struct debug_only *debug)
{
	char build_id[sizeof(e->wanted)];

	memcpy(build_id, e->wanted, sizeof(build_id));
	e->wanted[0] = '\0';
	close_files(e);
	e->options.done(e->options.context, build_id, err, fd, debug ? debug->bytes : 0, debug ? debug->hash : "");
}

static bool is_aside(const struct debug_exports *e)
{
	for (size_t i = 0; i < ASIDE_MAX; i++)
		if (e->asides[i].until_ns > e->options.now_ns() && strcmp(e->asides[i].build_id, e->wanted) == 0)
			return true;
	return false;
}

static void set_aside(struct debug_exports *e)
{
	struct aside *aside = &e->asides[e->next_aside++ % ASIDE_MAX];

	memcpy(aside->build_id, e->wanted, sizeof(aside->build_id));
	aside->until_ns = e->options.now_ns() + ASIDE_NS;
}

/* --- the confined process ------------------------------------------------------------------------------------------------- */

static int open_for_service(void *context, uint64_t image_id, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	struct debug_exports *e = context;

	(void)image_id; /* there is one at a time */
	return e->files ? debug_files_open(e->files, ask, nth, fd_out) : -ENOENT;
}

static void take_debug(void *context, uint64_t image_id, int err, int debug_fd, const struct debug_only *debug)
{
	struct debug_exports *e = context;
	uint64_t now_ns = e->options.now_ns();

	(void)image_id;
	e->pause_until_ns = now_ns + PAUSES * (now_ns - e->begun_ns);
	if (err == -ETIME || err == -ECHILD)
		set_aside(e);
	/* What a file says will not change. */
	if (err == -ENODATA || err == -EFBIG || err == -E2BIG || err == -ENOEXEC || err == -EBADMSG)
		err = -ENOENT;
	answer(e, err, debug_fd, debug);
}

static void ignore(void *context, uint64_t image_id, int err, int table_fd, const struct name_compile_stats *stats)
{
	(void)context, (void)image_id, (void)err, (void)stats;
	if (table_fd >= 0)
		close(table_fd);
}

/* --- which file ----------------------------------------------------------------------------------------------------------- */

static bool has_build_id(const struct image *image, const char *build_id)
{
	static const char DIGITS[] = "0123456789abcdef";

	if (!image->build_id_bytes || 2u * image->build_id_bytes != strlen(build_id))
		return false;
	for (size_t i = 0; i < image->build_id_bytes; i++)
		if (build_id[2 * i] != DIGITS[image->build_id[i] >> 4] || build_id[2 * i + 1] != DIGITS[image->build_id[i] & 15])
			return false;
	return true;
}

/* Only what was sampled: nobody reads the machine's other files by asking for them. */
static const struct image *find(const struct debug_exports *e)
{
	for (uint32_t slot = 0; slot < image_table_slots(e->images); slot++) {
		const struct image *image = image_table_get(e->images, slot);
		if (image && image->state == IMAGE_READ && image->samples && image->fd >= 0 && image->path[0] == '/' && has_build_id(image, e->wanted))
			return image;
	}
	return NULL;
}

static int open_files(struct debug_exports *e, const struct image *image)
{
	struct debug_where where = {
		.tgid = image->tgid,
		.parent = image->parent,
		.start_ticks = image->tgid ? image_process_start(image->tgid) : 0,
		.path = image->path,
		.by_owner = true,
		.downloads = e->options.downloads,
	};
	struct stat status;

	if (fstat(image->fd, &status) < 0)
		return -errno;
	where.owner = status.st_uid;
	/* A process that is gone: the pid may be another's by now. */
	if (where.tgid && !where.start_ticks)
		where.tgid = INT32_MAX;
	return debug_files_create(&where, &e->files);
}

static void begin(struct debug_exports *e)
{
	const struct image *image = find(e);

	if (!image || is_aside(e)) {
		answer(e, image ? -EBUSY : -EAGAIN, -1, NULL);
		return;
	}
	/* Without the files that it refers to, what is in it is sent all the same. */
	if (open_files(e, image) < 0)
		e->files = NULL;
	e->begun_ns = e->options.now_ns();
	int err = name_service_start_debug(e->service, image->id, image->fd, e->options.bytes_max);
	if (err < 0)
		answer(e, err, -1, NULL);
}

/* --- the interface -------------------------------------------------------------------------------------------------------- */

int debug_exports_create(struct zygote *zygote, struct image_table *images, const struct debug_exports_options *options, struct debug_exports **exports_out)
{
	struct debug_exports *e = calloc(1, sizeof(*e));
	struct name_service_callbacks callbacks = {.open = open_for_service, .done = ignore, .debug_done = take_debug, .context = e};

	if (!e)
		return -ENOMEM;
	e->options = *options;
	e->images = images;
	if (!e->options.now_ns)
		e->options.now_ns = boot_ns;
	int err = name_service_create(zygote, &callbacks, &e->service);
	if (err < 0) {
		free(e);
		return err;
	}
	*exports_out = e;
	return 0;
}

int debug_exports_want(struct debug_exports *e, const char *build_id)
{
	size_t n = strspn(build_id, "0123456789abcdef");

	if (build_id[n] || n % 2 || n < BUILD_ID_MIN || n > DEBUG_EXPORTS_BUILD_ID_MAX)
		return -EINVAL;
	if (e->wanted[0])
		return -EBUSY;
	memcpy(e->wanted, build_id, n + 1);
	e->wanted_ns = e->options.now_ns();
	return 0;
}

void debug_exports_work(struct debug_exports *e, bool is_calm)
{
	uint64_t now_ns = e->options.now_ns();

	name_service_work(e->service);
	if (!e->wanted[0] || name_service_is_busy(e->service) || now_ns < e->pause_until_ns)
		return;
	if (is_calm || now_ns - e->wanted_ns >= DEBUG_EXPORTS_PATIENCE_S * NS_PER_S)
		begin(e);
}

int debug_exports_fd(const struct debug_exports *e)
{
	return name_service_fd(e->service);
}

void debug_exports_destroy(struct debug_exports *e)
{
	if (!e)
		return;
	name_service_destroy(e->service);
	close_files(e);
	free(e);
}
