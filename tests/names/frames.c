/* Names addresses of one file from its DWARF, in the form of llvm-symbolizer: for tests/names/compare.
 *
 * frames [--all] [--stats] FILE <addresses      (hexadecimal vaddrs, one a line)
 * --all: compile the whole file, as for the cache; else only the units that hold one of the addresses, as `hearth addr2line` does. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "symbolizer/dwarf_compile.h"

struct addresses {
	uint64_t *vaddrs;
	size_t n, capacity;
};

static int compare_vaddrs(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return a < b ? -1 : a > b;
}

static void read_addresses(struct addresses *a)
{
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		if (a->n == a->capacity) {
			a->capacity = a->capacity ? a->capacity * 2 : 1024;
			a->vaddrs = reallocarray(a->vaddrs, a->capacity, sizeof(*a->vaddrs));
			if (!a->vaddrs)
				exit(1);
		}
		a->vaddrs[a->n++] = strtoull(line, NULL, 16);
	}
}

/* Files that the tested one names: trusted here, and opened as they are. */
static int open_candidate(void *context, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	const char *file = context, *slash = strrchr(file, '/');
	int folder_bytes = slash ? (int)(slash - file + 1) : 0;
	char path[3 * DEBUG_ASK_TEXT_MAX];

	if (ask->kind == DEBUG_ASK_DWP && nth == 0)
		snprintf(path, sizeof(path), "%s.dwp", file);
	else if (ask->kind == DEBUG_ASK_DWO && nth == 0)
		snprintf(path, sizeof(path), "%s%s%s", ask->name[0] == '/' ? "" : ask->directory, ask->name[0] == '/' ? "" : "/", ask->name);
	else if (ask->kind == DEBUG_ASK_ALT && nth == 0)
		snprintf(path, sizeof(path), "%.*s%s", ask->name[0] == '/' ? 0 : folder_bytes, file, ask->name);
	else
		return -ENOENT;
	*fd_out = open(path, O_RDONLY | O_CLOEXEC);
	return *fd_out < 0 ? -errno : 0;
}

static void print_frames(struct name_table *table, uint64_t vaddr)
{
	static struct name_table_match match;

	printf("0x%" PRIx64 "\n", vaddr);
	if (name_table_find(table, vaddr, &match) < 0)
		printf("??\n??:0:0\n");
	else
		for (size_t i = 0; i < match.n; i++) {
			const struct name_table_frame *frame = &match.frames[i];
			bool is_joined = frame->directory[0] && frame->file[0];
			printf("%s\n%s%s%s:%u:%u\n", frame->name[0] ? frame->name : "??", is_joined ? frame->directory : "",
			       is_joined ? "/" : "", frame->file[0] ? frame->file : "??", frame->line, frame->column);
		}
	printf("\n");
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void print_stats(const struct dwarf_stats *d, const struct name_table_stats *t, uint64_t bytes, double compiled, double written)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	fprintf(stderr, "units %" PRIu64 " bad %" PRIu64 " dies %" PRIu64 " functions %" PRIu64 " inlines %" PRIu64 "\n", d->units,
		d->bad_units, d->dies, d->functions, d->inlines);
	fprintf(stderr, "bad references %" PRIu64 " over limits %" PRIu64 " missing files %" PRIu64 "\n", d->bad_references,
		d->over_limits, d->missing_files);
	fprintf(stderr, "line programs %" PRIu64 " bad %" PRIu64 " rows %" PRIu64 "\n", d->line_programs, d->bad_line_programs, d->rows);
	fprintf(stderr, "table: %" PRIu64 " bytes, %" PRIu64 " functions, %" PRIu64 " nodes, %" PRIu64 " ranges, %" PRIu64 " rows, %" PRIu64
		" strings, %" PRIu64 " overlaps, %" PRIu64 " too deep\n", bytes, t->functions, t->nodes, t->ranges, t->rows, t->strings,
		t->overlaps, t->too_deep);
	fprintf(stderr, "compiled in %.3f s, written in %.3f s, peak %ld KiB\n", compiled, written - compiled, usage.ru_maxrss);
}

int main(int argc, char **argv)
{
	struct dwarf_budget budget = { .left = 256u << 20 };
	struct debug_asker asker = { .open = open_candidate };
	struct dwarf_input input = { .asker = &asker, .budget = &budget };
	struct name_table_builder *builder = NULL;
	struct name_table_stats table_stats = { 0 };
	struct dwarf_stats stats = { 0 };
	struct addresses addresses = { 0 };
	struct name_table *table = NULL;
	bool all = false, with_stats = false;
	struct elf_file elf;
	uint64_t bytes;
	int at = 1;

	for (; at < argc && argv[at][0] == '-'; at++) {
		all |= strcmp(argv[at], "--all") == 0;
		with_stats |= strcmp(argv[at], "--stats") == 0;
	}
	if (at + 1 != argc) {
		fprintf(stderr, "usage: frames [--all] [--stats] FILE <addresses\n");
		return 2;
	}
	asker.context = argv[at];
	read_addresses(&addresses);
	AUTO_FREE uint64_t *sorted = reallocarray(NULL, addresses.n + 1, sizeof(*sorted));
	AUTO_CLOSE int fd = open(argv[at], O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int memory = memfd_create("names", MFD_CLOEXEC);
	if (!sorted || fd < 0 || memory < 0 || elf_file_open(fd, &elf) < 0 || name_table_builder_create(NULL, &builder) < 0) {
		fprintf(stderr, "frames: cannot open %s\n", argv[at]);
		return 1;
	}
	if (addresses.n)
		memcpy(sorted, addresses.vaddrs, addresses.n * sizeof(*sorted));
	qsort(sorted, addresses.n, sizeof(*sorted), compare_vaddrs);
	input.elf = &elf;
	input.wanted = all ? NULL : sorted;
	input.n_wanted = addresses.n;
	double start = seconds();
	int err = dwarf_compile(&input, builder, &stats);
	double compiled = seconds() - start;
	if (err < 0)
		fprintf(stderr, "frames: %s: %s\n", argv[at], strerror(-err));
	err = name_table_write(builder, memory, &bytes, &table_stats);
	name_table_builder_destroy(builder);
	if (err == 0)
		err = name_table_open(memory, &table);
	if (err < 0) {
		fprintf(stderr, "frames: %s: %s\n", argv[at], strerror(-err));
		return 1;
	}
	if (with_stats)
		print_stats(&stats, &table_stats, bytes, compiled, seconds() - start);
	for (size_t i = 0; i < addresses.n; i++)
		print_frames(table, addresses.vaddrs[i]);
	name_table_close(table);
	free(addresses.vaddrs);
	return 0;
}
