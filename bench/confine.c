/* What confinement costs: the same questions to the code that reads binaries in this process (engine) and through the confined one.
 * bench/confine FILE: of which addresses are named. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "symbolizer/engine.h"
#include "symbolizer/zygote.h"

#define ROUNDS 200
#define STARTS 50

static struct engine *engine;
static struct symbolizer *client;
static uint64_t vaddrs[10000];
static int fd;

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void header(bool confined)
{
	struct image_info info;

	if ((confined ? symbolizer_image(client, fd, &info) : engine_image(engine, fd, &info)) < 0)
		abort();
}

static size_t n_names;

static void names(bool confined)
{
	struct symbolizer_reply *reply;

	if ((confined ? symbolizer_names(client, 1, fd, -1, vaddrs, n_names, &reply)
		      : engine_names(engine, 1, fd, -1, vaddrs, n_names, &reply)) < 0)
		abort();
	symbolizer_reply_free(reply);
}

static void tables(bool confined)
{
	struct unwind_image *image;

	if ((confined ? symbolizer_unwind(client, fd, -1, &image) : engine_unwind(engine, fd, -1, &image)) < 0)
		abort();
	unwind_image_free(image);
}

/* Alternating; the best tenth of the rounds: other programs make the others slower. */
static void measure(const char *what, void (*run)(bool confined), int rounds)
{
	static double us[2][ROUNDS];

	for (int i = 0; i < rounds; i++) {
		for (int confined = 0; confined < 2; confined++) {
			uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
			run(confined);
			us[confined][i] = (double)(clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e3;
		}
	}
	qsort(us[0], (size_t)rounds, sizeof(double), compare);
	qsort(us[1], (size_t)rounds, sizeof(double), compare);
	double inside = us[0][rounds / 10], outside = us[1][rounds / 10];
	printf("%-24s %9.1f us in process, %9.1f us confined, %+8.1f us\n", what, inside, outside, outside - inside);
}

static void print_memory(const char *name, pid_t pid)
{
	char path[64], line[256];
	long rss = 0, pss = 0;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Rss: %ld", &rss) != 1)
			sscanf(line, "Pss: %ld", &pss);
	if (file)
		fclose(file);
	printf("%-24s RSS %6ld KiB, PSS %6ld KiB\n", name, rss, pss);
}

static void forks(struct zygote *zygote)
{
	static double us[ROUNDS];
	pid_t pid;
	int socket;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
		if (zygote_fork(zygote, ZYGOTE_NAMES, &socket, &pid) < 0)
			abort();
		us[i] = (double)(clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e3;
		close(socket);
		zygote_end(zygote, pid, NULL);
	}
	qsort(us, ROUNDS, sizeof(double), compare);
	printf("%-24s %9.1f us\n", "a process from the zygote", us[ROUNDS / 10]);
	if (zygote_fork(zygote, ZYGOTE_NAMES, &socket, &pid) < 0)
		abort();
	usleep(20000);
	print_memory("zygote", zygote_pid(zygote));
	print_memory("a new process", pid);
	zygote_end(zygote, pid, NULL);
}

static void starts(void)
{
	static double start_us[STARTS], first_us[STARTS];
	struct zygote *zygote;
	int socket;
	pid_t pid;

	for (int i = 0; i < STARTS; i++) {
		uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
		if (zygote_start(&zygote) < 0)
			abort();
		start_us[i] = (double)(clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e3;
		if (zygote_fork(zygote, ZYGOTE_NAMES, &socket, &pid) < 0)
			abort();
		first_us[i] = (double)(clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e3;
		close(socket);
		zygote_stop(zygote);
	}
	qsort(start_us, STARTS, sizeof(double), compare);
	qsort(first_us, STARTS, sizeof(double), compare);
	printf("%-24s %9.1f us, %.1f us to its first process\n", "zygote_start()", start_us[STARTS / 10], first_us[STARTS / 10]);
}

int main(int argc, char **argv)
{
	struct symbolizer_options options = {.deadline_ns = 10 * NS_PER_S};
	struct image_info info;
	struct zygote *zygote;

	if (argc < 2)
		return 2;
	starts();
	if (zygote_start(&zygote) < 0)
		return 1;
	forks(zygote);
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (engine_create(NULL, &engine) < 0 || symbolizer_create(zygote, &options, &client) < 0 || engine_image(engine, fd, &info) < 0)
		return 1;
	const struct image_segment *text = &info.segments[0];
	srandom(1);
	for (size_t i = 0; i < sizeof(vaddrs) / sizeof(vaddrs[0]); i++)
		vaddrs[i] = text->vaddr + (uint64_t)random() % text->file_bytes;
	measure("headers of an image", header, ROUNDS);
	n_names = 1;
	measure("1 name", names, ROUNDS);
	n_names = 100;
	measure("100 names", names, ROUNDS);
	n_names = 10000;
	measure("10,000 names", names, 20);
	measure("unwind tables", tables, 20);
	symbolizer_destroy(client);
	engine_destroy(engine);
	zygote_stop(zygote);
	return 0;
}
