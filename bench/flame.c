/* What analyses of a profile cost, beside go tool pprof on the same file: bench/flame [FILE.pb.gz | STORE-FOLDER HOURS].
 * Without arguments: of a day of windows of a host that does not exist (tests/store/replay.h), summed by a store. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "pprof/decode.h"
#include "pprof/encode.h"
#include "pprof/flame_tree.h"
#include "pprof/function_table.h"
#include "pprof/profile_merge.h"
#include "pprof/profile_select.h"
#include "pprof/render.h"
#include "store/store.h"
#include "store/store_reader.h"
#include "tests/store/replay.h"

#define ROUNDS	  3
#define WINDOW_NS (10 * (int64_t)NS_PER_S)
#define DAY	  8640

static const int64_t BEGIN_NS = 1790000000 * (int64_t)NS_PER_S; /* as bench/store */

static double cpu_ms(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return 1e3 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
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

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench/flame: %s: %s\n", what, why);
	exit(1);
}

static void need(int err, const char *what)
{
	if (err < 0)
		fail(what, strerror(-err));
}

static struct profile *read_file(const char *path)
{
	FILE *in = fopen(path, "rb");
	struct stat status;
	struct profile *profile = NULL;
	const char *why = "out of memory";

	if (!in || fstat(fileno(in), &status) < 0)
		fail(path, "cannot be read");
	uint8_t *bytes = malloc((size_t)status.st_size + 1);
	size_t n = bytes ? fread(bytes, 1, (size_t)status.st_size, in) : 0;
	if (profile_decode(bytes, n, 0, &profile, &why) < 0)
		fail(path, why);
	free(bytes);
	fclose(in);
	return profile;
}

static void write_file(const char *path, const struct profile *profile)
{
	FILE *out = fopen(path, "wb");
	uint8_t *bytes = NULL;
	size_t n = 0;

	if (!out || profile_encode(profile, &bytes, &n) < 0 || fwrite(bytes, 1, n, out) != n || fclose(out) != 0)
		fail(path, "cannot be written");
	free(bytes);
}

static struct profile *read_store(const char *folder, int hours)
{
	struct store_filter filter = {.from_ns = BEGIN_NS, .to_ns = BEGIN_NS + hours * 3600 * (int64_t)NS_PER_S};
	struct store_reader *reader;
	struct profile *profile = NULL;
	struct why why = {""};

	if (store_reader_open(folder, &reader, &why) < 0 || store_reader_sum(reader, &filter, &profile, &why) < 0)
		fail(folder, why.text);
	store_reader_close(reader);
	return profile;
}

static void write_day(const char *folder)
{
	struct store_options options = {.bytes_max = UINT64_C(1) << 30};
	struct replay *replay = replay_create(&replay_host);
	struct store *store;
	struct why why = {""};

	if (store_open(folder, &options, &store, &why) < 0)
		fail(folder, why.text);
	for (int64_t i = 0; i < DAY; i++) {
		uint64_t number;
		struct profile *window = replay_window(replay, BEGIN_NS + i * WINDOW_NS, WINDOW_NS);
		int err = store_append(store, window, &number, &why);
		while (err >= 0 && (err = store_maintain(store, &why)) == 1)
			;
		if (err < 0)
			fail(folder, why.text);
		profile_free(window);
	}
	store_close(store);
	replay_destroy(replay);
}

static struct profile *made_day(void)
{
	char folder[] = "/var/tmp/hearth-bench-flame.XXXXXX", command[256];

	if (!mkdtemp(folder))
		fail("/var/tmp", "cannot be written");
	write_day(folder);
	struct profile *profile = read_store(folder, 24);
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	if (system(command) != 0)
		fail(folder, "cannot be removed");
	return profile;
}

static void measure_tree(const char *what, const struct profile *profile, const struct flame_options *options)
{
	double best = 1e12;
	struct flame_tree *tree = NULL;

	for (int round = 0; round < ROUNDS; round++) {
		flame_tree_destroy(tree);
		double begin = cpu_ms(RUSAGE_SELF);
		need(flame_tree_create(profile, profile_default_value(profile), options, &tree), what);
		double took = cpu_ms(RUSAGE_SELF) - begin;
		best = took < best ? took : best;
	}
	printf("  %-36s %8.0f ms  %zu nodes, %zu left out\n", what, best, tree->n_nodes, tree->n_left_out);
	flame_tree_destroy(tree);
}

static void measure_tables(const struct profile *profile)
{
	struct function_row *rows;
	struct profile *part;
	struct why why = {""};
	size_t n;

	double begin = cpu_ms(RUSAGE_SELF);
	need(function_table_create(profile, NULL, PROFILE_NONE, &rows, &n), "functions");
	printf("  %-36s %8.0f ms  %zu functions\n", "table of functions", cpu_ms(RUSAGE_SELF) - begin, n);
	free(rows);
	begin = cpu_ms(RUSAGE_SELF);
	need(profile_select(profile, &(struct profile_selection){.side = PROFILE_KERNEL_SIDE}, &part, &why), "select");
	printf("  %-36s %8.0f ms  %zu samples\n", "the kernel's side", cpu_ms(RUSAGE_SELF) - begin, part->n_samples);
	profile_free(part);
	begin = cpu_ms(RUSAGE_SELF);
	need(profile_select(profile, &(struct profile_selection){.ignore = "^nobody$"}, &part, &why), "select");
	printf("  %-36s %8.0f ms  %zu samples\n", "--ignore, which takes all", cpu_ms(RUSAGE_SELF) - begin, part->n_samples);
	profile_free(part);
}

static void measure_render(const char *what, const struct profile *profile, int (*render)(const struct profile *profile, FILE *stream))
{
	FILE *out = tmpfile();

	if (!out)
		fail(what, "no file");
	double begin = cpu_ms(RUSAGE_SELF);
	need(render(profile, out), what);
	printf("  %-36s %8.0f ms  %.1f MB\n", what, cpu_ms(RUSAGE_SELF) - begin, (double)ftell(out) / 1e6);
	fclose(out);
}

static int svg(const struct profile *profile, FILE *stream)
{
	return profile_write_svg(profile, PROFILE_NONE, NULL, stream);
}

static int folded(const struct profile *profile, FILE *stream)
{
	return profile_write_folded(profile, PROFILE_NONE, stream);
}

static int text(const struct profile *profile, FILE *stream)
{
	return profile_write_text(profile, PROFILE_NONE, 0, stream);
}

static int speedscope(const struct profile *profile, FILE *stream)
{
	return profile_write_speedscope(profile, "bench", stream);
}

static int firefox(const struct profile *profile, FILE *stream)
{
	return profile_write_firefox(profile, "bench", stream);
}

/* Both start from a file, and end with a table of functions. */
static void measure_beside_go(const struct profile *profile)
{
	char path[] = "/var/tmp/hearth-bench-flame.XXXXXX", command[256];
	struct function_row *rows;
	size_t n;
	int fd = mkstemp(path);

	if (fd < 0)
		fail(path, "cannot be written");
	write_file(path, profile);
	double begin = cpu_ms(RUSAGE_SELF);
	struct profile *again = read_file(path);
	double decoded = cpu_ms(RUSAGE_SELF) - begin;
	need(function_table_create(again, NULL, PROFILE_NONE, &rows, &n), "functions");
	printf("  %-36s %8.0f ms  of them decoding %.0f ms\n", "file to table of functions", cpu_ms(RUSAGE_SELF) - begin, decoded);
	free(rows);
	profile_free(again);
	snprintf(command, sizeof(command), "go tool pprof -symbolize=none -top -nodecount=10 '%s' >/dev/null 2>&1", path);
	begin = cpu_ms(RUSAGE_CHILDREN);
	if (system(command) == 0)
		printf("  %-36s %8.0f ms\n", "go tool pprof -top, same file", cpu_ms(RUSAGE_CHILDREN) - begin);
	else
		puts("  go tool pprof is not here");
	remove(path);
}

int main(int argc, char **argv)
{
	struct stat status;

	if (argc > 1 && stat(argv[1], &status) < 0) {
		fputs("bench/flame [FILE.pb.gz | STORE-FOLDER HOURS]\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct profile *profile = argc < 2 ? made_day() : S_ISDIR(status.st_mode) ? read_store(argv[1], argc > 2 ? atoi(argv[2]) : 24) : read_file(argv[1]);
	printf("%zu samples, %zu locations, %zu functions; memory with the profile %ld KiB\n", profile->n_samples, profile->n_locations, profile->n_functions,
	       memory_kib("VmRSS:"));
	measure_tree("tree of 50,000 nodes", profile, &(struct flame_options){.max_nodes = 50000});
	printf("  %-36s %8ld KiB\n", "memory at most, till here", memory_kib("VmHWM:"));
	measure_tree("whole tree", profile, NULL);
	measure_tree("two profiles, 50,000 nodes", profile, &(struct flame_options){.max_nodes = 50000, .base = profile});
	measure_tree("from the leaf, 50,000 nodes", profile, &(struct flame_options){.max_nodes = 50000, .from_leaf = true});
	measure_tables(profile);
	measure_render("SVG", profile, svg);
	measure_render("folded", profile, folded);
	measure_render("text", profile, text);
	measure_render("speedscope", profile, speedscope);
	measure_render("Firefox Profiler", profile, firefox);
	measure_beside_go(profile);
	profile_free(profile);
	return 0;
}
