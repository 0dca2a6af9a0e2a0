/* What a store of several days costs: bytes, time and memory. bench/store [days [folder [file.pb.gz...]]]
 * STORE_BRANCHING (4): of 100 calls that branch, how many take another than the usual way: how many stacks are new.
 * Windows are those of tests/store/replay.h, or recorded ones in turn, one after another every 10 s. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "pprof/decode.h"
#include "store/store.h"
#include "store/store_reader.h"
#include "tests/store/replay.h"

#define WINDOW_NS (10 * (int64_t)NS_PER_S)
#define DAY	  8640

static int64_t begin_ns = 1790000000 * (int64_t)NS_PER_S;

static void fail(const char *what, int err, const struct why *why)
{
	fprintf(stderr, "%s: %s (%s)\n", what, strerror(-err), why->text);
	exit(1);
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static long memory_kib(const char *key)
{
	char line[256];
	long kib = 0;
	FILE *status = fopen("/proc/self/status", "r");

	while (status && fgets(line, sizeof(line), status))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtol(line + strlen(key) + 1, NULL, 10);
	if (status)
		fclose(status);
	return kib;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static struct profile *read_profile(const char *path)
{
	FILE *in = fopen(path, "rb");
	struct stat status;
	struct profile *profile = NULL;
	const char *why;

	if (!in || fstat(fileno(in), &status) < 0) {
		perror(path);
		exit(1);
	}
	uint8_t *bytes = malloc((size_t)status.st_size + 1);
	size_t n = bytes ? fread(bytes, 1, (size_t)status.st_size, in) : 0;
	if (profile_decode(bytes, n, 0, &profile, &why) < 0) {
		fprintf(stderr, "%s: %s\n", path, why);
		exit(1);
	}
	free(bytes);
	fclose(in);
	return profile;
}

static void write_days(const char *folder, int days, char **files, int n_files)
{
	struct store_options options = {.bytes_max = UINT64_C(4) << 30};
	size_t n = (size_t)days * DAY;
	uint64_t *times = malloc(n * sizeof(*times)), append_cpu = 0, maintain_cpu = 0, samples = 0, begin_cpu = cpu_ns();
	struct replay_options host = replay_host;
	const char *branching = getenv("STORE_BRANCHING");
	struct store *store;
	struct why why;
	struct store_stats stats;

	if (branching)
		host.branching = (unsigned)atoi(branching);
	struct replay *replay = replay_create(&host);
	int err = store_open(folder, &options, &store, &why);
	if (err < 0 || !times)
		fail("store_open", err, &why);
	uint64_t maintain_max = 0, day_bytes = 0;
	for (size_t i = 0; i < n; i++) {
		struct profile *window = n_files ? read_profile(files[i % (size_t)n_files]) : replay_window(replay, 0, WINDOW_NS);
		uint64_t number;
		window->time_ns = begin_ns + (int64_t)i * WINDOW_NS;
		samples += window->n_samples;
		uint64_t at = clock_ns(CLOCK_MONOTONIC), cpu = cpu_ns();
		err = store_append(store, window, &number, &why);
		times[i] = clock_ns(CLOCK_MONOTONIC) - at;
		append_cpu += cpu_ns() - cpu;
		if (err < 0)
			fail("store_append", err, &why);
		for (err = 1; err == 1;) {
			at = clock_ns(CLOCK_MONOTONIC), cpu = cpu_ns();
			err = store_maintain(store, &why);
			maintain_cpu += cpu_ns() - cpu;
			at = clock_ns(CLOCK_MONOTONIC) - at;
			maintain_max = at > maintain_max ? at : maintain_max;
		}
		if (err < 0)
			fail("store_maintain", err, &why);
		profile_free(window);
		if ((i + 1) % DAY == 0) {
			store_stats(store, &stats);
			printf("day %zu: %.1f MB more, %" PRIu64 " windows held, %" PRIu64 " segments, memory %ld KiB\n", (i + 1) / DAY,
			       (double)(stats.bytes - day_bytes) / 1e6, stats.windows, stats.segments, memory_kib("VmRSS:"));
			day_bytes = stats.bytes;
		}
	}
	store_stats(store, &stats);
	qsort(times, n, sizeof(*times), by_size);
	printf("%zu windows of %.0f samples: %.1f MB, %.1f MB a day\n", n, (double)samples / (double)n, (double)stats.bytes / 1e6,
	       (double)stats.bytes / 1e6 / days);
	printf("append: median %.2f ms, p99 %.2f ms, max %.1f ms; CPU %.2f ms a window, maintenance %.2f ms a window, a step at most %.0f ms\n",
	       ms(times[n / 2]), ms(times[n * 99 / 100]), ms(times[n - 1]), ms(append_cpu) / (double)n, ms(maintain_cpu) / (double)n,
	       ms(maintain_max));
	printf("making the windows: CPU %.2f ms a window\n", ms(cpu_ns() - begin_cpu - append_cpu - maintain_cpu) / (double)n);
	printf("writer's memory: %ld KiB at most\n", memory_kib("VmHWM:"));
	store_close(store);
	replay_destroy(replay);
	free(times);
}

static int count(void *context, const struct store_bucket *bucket)
{
	(void)bucket;
	++*(size_t *)context;
	return 0;
}

/* What follows is a process of its own, for its memory; the parent gets false, when that has ended. */
static bool apart(void)
{
	int status;

	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		return true;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		exit(1);
	return false;
}

static void query(const char *folder, int days, int hours)
{
	struct store_filter filter = {.to_ns = begin_ns + (int64_t)days * DAY * WINDOW_NS};
	struct store_reader *reader;
	struct profile *profile = NULL;
	struct why why;
	size_t buckets = 0;

	if (!apart())
		return;
	filter.from_ns = filter.to_ns - (int64_t)hours * 3600 * (int64_t)NS_PER_S;
	uint64_t at = clock_ns(CLOCK_MONOTONIC), cpu = cpu_ns();
	int err = store_reader_open(folder, &reader, &why);
	if (err == 0)
		err = store_reader_sum(reader, &filter, &profile, &why);
	if (err < 0)
		fail("store_reader_sum", err, &why);
	uint64_t sum_ns = clock_ns(CLOCK_MONOTONIC) - at, sum_cpu = cpu_ns() - cpu;
	printf("%3d h: sum %.0f ms (CPU %.0f ms), %zu samples, memory %ld KiB at most", hours, ms(sum_ns), ms(sum_cpu), profile->n_samples,
	       memory_kib("VmHWM:"));
	profile_free(profile);
	at = clock_ns(CLOCK_MONOTONIC);
	err = store_reader_timeline(reader, &filter, "process", 300, count, &buckets, &why);
	if (err < 0)
		fail("store_reader_timeline", err, &why);
	printf("; time line of processes %.0f ms (%zu points)\n", ms(clock_ns(CLOCK_MONOTONIC) - at), buckets);
	store_reader_close(reader);
	exit(0);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	int days = argc > 1 ? atoi(argv[1]) : 7;
	char folder[] = "/var/tmp/hearth-bench-store.XXXXXX", *path = argc > 2 && strcmp(argv[2], "-") != 0 ? argv[2] : mkdtemp(folder);
	char command[256];

	if (days < 1 || !path)
		return 2;
	snprintf(command, sizeof(command), "%s/windows-000001.db", path);
	if (access(command, F_OK) < 0 && apart()) { /* a folder that has a store is only read */
		write_days(path, days, argv + 3, argc > 3 ? argc - 3 : 0);
		return 0;
	}
	query(path, days, 1);
	query(path, days, 24);
	query(path, days, 24 * days);
	if (path == folder) {
		snprintf(command, sizeof(command), "rm -r '%s'", folder);
		return system(command) ? 1 : 0;
	}
	return 0;
}
