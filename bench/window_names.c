/* What naming a window costs: bench/window_names FILE... (ELF files; default: this program and its libraries)
 *
 * Random addresses of each file's code are named as a window's are (agent/frame_names.c), window after window, nine of ten the same
 * as in the one before.
 *         agent   CPU of this process for a window, building the locations of the profile included
 *         worker  CPU of the confined process that names With symbol tables or name tables, and with or without the names that are
 *         held over windows. Medians; all in one run. No verdict. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/frame_names.h"
#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/zygote.h"

#define WINDOWS	   21
#define ADDRESSES  2000 /* of all files together */
#define FRESH_PART 10	/* one of so many is new in each window */
#define IMAGES_MAX 32

static struct image_table *images;
static struct symbolizer *symbolizer;
static struct name_tables *tables;
static struct frame_table frames;
static uint32_t slots[IMAGES_MAX];
static size_t n_images;
static uint64_t vaddrs[ADDRESSES];
static uint32_t image_of[ADDRESSES];

static void fail(const char *what, int err)
{
	fprintf(stderr, "bench/window_names: %s: %s\n", what, strerror(-err));
	exit(1);
}

/* The CPU of all processes below the zygote. */
static uint64_t workers_ns(pid_t zygote)
{
	char path[64];
	uint64_t total = 0;
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", zygote, zygote);
	AUTO_FCLOSE FILE *children = fopen(path, "r");
	while (children && fscanf(children, "%d", &pid) == 1) {
		unsigned long long ns = 0;
		snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
		AUTO_FCLOSE FILE *file = fopen(path, "r");
		if (file && fscanf(file, "%llu", &ns) == 1)
			total += ns;
	}
	return total;
}

static void see(const char *path)
{
	struct image_sight sight = {.where = {.tgid = getpid(), .path = path}, .inode_generation = n_images + 1};
	int64_t slot = n_images < IMAGES_MAX ? image_table_see(images, &sight) : -ENOSPC;
	const struct image *image = slot < 0 ? NULL : image_table_get(images, (uint32_t)slot);

	if (!image || image->state != IMAGE_READ)
		fail(path, slot < 0 ? (int)slot : -ENOEXEC);
	slots[n_images++] = (uint32_t)slot;
}

static void see_own_files(void)
{
	char line[512], path[256], seen[IMAGES_MAX][256];
	AUTO_FCLOSE FILE *maps = fopen("/proc/self/maps", "r");
	size_t n = 0;

	while (maps && fgets(line, sizeof(line), maps) && n < IMAGES_MAX) {
		bool known = false;
		if (sscanf(line, "%*s r-xp %*s %*s %*s %255s", path) != 1 || path[0] != '/')
			continue;
		for (size_t i = 0; i < n; i++)
			known = known || strcmp(seen[i], path) == 0;
		if (known)
			continue;
		strcpy(seen[n++], path);
		see(path);
	}
}

static void choose(size_t i)
{
	uint32_t slot = slots[(size_t)rand() % n_images];
	const struct image *image = image_table_get(images, slot);
	const struct image_segment *segment = &image->segments[(size_t)rand() % image->n_segments];

	image_of[i] = slot;
	vaddrs[i] = segment->vaddr + (uint64_t)rand() % (segment->file_bytes ? segment->file_bytes : 1);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void name_window(struct frame_cache *cache, bool with_tables)
{
	const struct name_sources sources = {.symbolizer = symbolizer, .tables = with_tables ? tables : NULL, .cache = cache};
	struct kernel_names kernel = {0};
	struct profile_builder *builder;
	struct frame_names names;

	int err = profile_builder_create(&builder);
	frame_table_clear(&frames);
	for (size_t i = 0; err == 0 && i < ADDRESSES; i++)
		err = (int)(frame_table_add(&frames, FRAME_IMAGE, image_of[i], vaddrs[i]) < 0 ? -ENOMEM : 0);
	if (err == 0)
		err = frame_names_resolve(&names, &frames, builder, images, &sources, &kernel, false);
	profile_builder_destroy(builder);
	if (err < 0)
		fail("naming", err);
}

static void measure(const char *what, bool with_cache, bool with_tables, pid_t zygote)
{
	uint64_t agent[WINDOWS], worker[WINDOWS];
	struct frame_cache *cache = NULL;
	struct frame_cache_stats stats = {0};

	int err = with_cache ? frame_cache_create(FRAME_CACHE_BYTES, &cache) : 0;
	if (err < 0)
		fail("creating the cache", err);
	name_window(cache, with_tables);
	for (size_t w = 0; w < WINDOWS; w++) {
		for (size_t i = 0; i < ADDRESSES / FRESH_PART; i++)
			choose((size_t)rand() % ADDRESSES);
		agent[w] = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		worker[w] = workers_ns(zygote);
		name_window(cache, with_tables);
		worker[w] = workers_ns(zygote) - worker[w];
		agent[w] = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - agent[w];
	}
	qsort(agent, WINDOWS, sizeof(agent[0]), by_value);
	qsort(worker, WINDOWS, sizeof(worker[0]), by_value);
	if (cache)
		frame_cache_stats(cache, &stats);
	printf("%-36s agent %6.2f ms  worker %6.2f ms  held %5" PRIu64 " KiB\n", what, (double)agent[WINDOWS / 2] / 1e6,
	       (double)worker[WINDOWS / 2] / 1e6, stats.bytes / 1024);
	frame_cache_destroy(cache);
}

static void await_tables(void)
{
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
	const char *path;

	for (size_t i = 0; i < n_images; i++) {
		struct image *image = image_table_get(images, slots[i]);
		image->samples = image->last_used = 1;
		image->tgid = getpid();
	}
	name_tables_look(tables, 1);
	while (name_tables_outstanding(tables, &path)) {
		struct pollfd ready = {.fd = name_tables_fd(tables), .events = POLLIN};
		poll(&ready, 1, 100);
		name_tables_work(tables);
	}
	name_tables_look(tables, 1);
	struct name_tables_stats stats;
	name_tables_stats(tables, &stats);
	printf("%" PRIu64 " tables compiled in %.2f s: %" PRIu64 " KiB; %" PRIu64 " failed\n", stats.compiled,
	       (double)(clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9, stats.compiled_bytes / 1024, stats.failed);
}

int main(int argc, char **argv)
{
	struct zygote *zygote;

	int err = zygote_start(&zygote);
	if (err == 0)
		err = symbolizer_create(zygote, NULL, &symbolizer);
	if (err == 0)
		err = image_table_create(symbolizer, 256, 256, &images);
	if (err == 0)
		err = name_tables_create(zygote, images, NULL, &tables);
	if (err == 0)
		err = frame_table_init(&frames);
	if (err < 0)
		fail("setting up", err);
	for (int i = 1; i < argc; i++)
		see(argv[i]);
	if (argc < 2)
		see_own_files();
	for (size_t i = 0; i < ADDRESSES; i++)
		choose(i);
	printf("%d addresses in %zu files, %d new in each window\n", ADDRESSES, n_images, ADDRESSES / FRESH_PART);
	await_tables();
	measure("symbol tables, asked every time", false, false, zygote_pid(zygote));
	measure("symbol tables, held over windows", true, false, zygote_pid(zygote));
	measure("name tables, asked every time", false, true, zygote_pid(zygote));
	measure("name tables, held over windows", true, true, zygote_pid(zygote));
	frame_table_deinit(&frames);
	name_tables_destroy(tables);
	image_table_destroy(images);
	symbolizer_destroy(symbolizer);
	zygote_stop(zygote);
	return 0;
}
