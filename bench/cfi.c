/* What the CFI compiler costs beside libdw and readelf, on large binaries: bench/cfi FILE...
 *
 *	rows/s	rows of all FDEs of .eh_frame by the row producer alone, its headers parsed before; and with them
 *	table	the whole table, from the open file to its last byte, sections read from the page cache
 *	memory	peak resident size of a process that makes the table
 *	libdw	dwarf_cfi_addrframe() for each row, by FDE from its own reader, as a multiple of rows/s
 *	readelf	readelf --debug-dump=frames-interp into /dev/null, as a multiple of the table's time
 *
 * Medians of interleaved rounds in one process; ratios are of the same run. No verdict. */
#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "symbolizer/cfi.h"
#include "symbolizer/section_reader.h"
#include "symbolizer/unwind_compiler.h"

#include <elfutils/libdw.h>

#define ROUNDS	    11
#define LIBDW_ROUNDS 3

struct subject {
	const char *path;
	int fd;
	struct elf_file file;
	struct cfi_section section;
	uint8_t *bytes;
	uint64_t rows, sum;
};

static void take(void *context, uint64_t start, uint64_t end, const struct unwind_rule *rule)
{
	struct subject *s = context;

	s->rows++;
	s->sum += start + end + (uint64_t)rule->cfa_offset; /* or the compiler takes it all out */
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint64_t median(uint64_t *ns, size_t n)
{
	qsort(ns, n, sizeof(ns[0]), by_value);
	return ns[n / 2];
}

static bool read_eh_frame(struct subject *s)
{
	struct elf_section *sections;
	size_t n;
	bool found = false;

	if (elf_file_sections(&s->file, &sections, &n) < 0)
		return false;
	for (size_t i = 0; i < n && !found; i++) {
		if (!elf_file_section_is(&s->file, sections, n, &sections[i], ".eh_frame"))
			continue;
		s->section = (struct cfi_section){.vaddr = sections[i].vaddr, .is_eh = true, .address_bytes = 8, .machine = s->file.machine};
		found = section_read(&s->file, &sections[i], UNWIND_SECTION_MAX_BYTES, &s->bytes, &s->section.n) == 0;
		s->section.bytes = s->bytes;
	}
	free(sections);
	return found;
}

/* Headers, then rows. */
static void produce(struct subject *s, uint64_t *open_ns, uint64_t *rows_ns)
{
	struct cfi *cfi;
	size_t n;

	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	if (cfi_open(&s->section, &cfi) < 0)
		exit(1);
	uint64_t opened = clock_ns(CLOCK_MONOTONIC);
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
	s->rows = 0;
	for (size_t i = 0; i < n; i++)
		cfi_rows(cfi, &fdes[i], take, s);
	*rows_ns = clock_ns(CLOCK_MONOTONIC) - opened;
	*open_ns = opened - begin;
	cfi_close(cfi);
}

static uint64_t make_table(const struct subject *s, size_t *bytes, double *kib_per_mib)
{
	struct unwind_image *image;

	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	if (unwind_image_compile(&s->file, NULL, &image) < 0)
		exit(1);
	uint64_t ns = clock_ns(CLOCK_MONOTONIC) - begin;
	*bytes = unwind_image_bytes(image);
	*kib_per_mib = image->text_bytes ? 1024.0 * (double)*bytes / (double)image->text_bytes : 0;
	unwind_image_free(image);
	return ns;
}

/* A fresh process: its peak is the table's, and 2 MiB of libraries. */
static long table_peak_kib(const char *path)
{
	struct rusage usage = {.ru_maxrss = 0};
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "cfi", "--table", path, NULL);
		_exit(127);
	}
	return pid < 0 || wait4(pid, NULL, 0, &usage) != pid ? 0 : usage.ru_maxrss;
}

/* Each row, as tests/cfi/compare.c walks them; of FDEs that our reader finds, in their order. */
static uint64_t libdw_rows(const struct subject *s, uint64_t *rows)
{
	struct cfi *cfi;
	size_t n;

	if (cfi_open(&s->section, &cfi) < 0)
		exit(1);
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
	Elf *elf = elf_begin(s->fd, ELF_C_READ_MMAP, NULL);
	Dwarf_CFI *theirs = elf ? dwarf_getcfi_elf(elf) : NULL;
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	*rows = 0;
	for (size_t i = 0; theirs && i < n; i++) {
		for (uint64_t pc = fdes[i].start, end = pc + fdes[i].bytes; pc < end;) {
			Dwarf_Addr row_start, row_end;
			Dwarf_Frame *frame;
			bool is_signal;
			if (dwarf_cfi_addrframe(theirs, pc, &frame) != 0)
				break;
			dwarf_frame_info(frame, &row_start, &row_end, &is_signal);
			free(frame);
			++*rows;
			pc = row_end > pc ? row_end : end;
		}
	}
	uint64_t ns = clock_ns(CLOCK_MONOTONIC) - begin;
	if (theirs)
		dwarf_cfi_end(theirs);
	elf_end(elf);
	cfi_close(cfi);
	return ns;
}

static uint64_t readelf_ns(const char *path)
{
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		dup2(null, 2);
		execlp("readelf", "readelf", "--debug-dump=frames-interp", path, NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return clock_ns(CLOCK_MONOTONIC) - begin;
}

static void measure(struct subject *s)
{
	uint64_t open_ns[ROUNDS], rows_ns[ROUNDS], table_ns[ROUNDS], libdw_ns[LIBDW_ROUNDS], their_rows = 0;
	double kib_per_mib = 0;
	size_t bytes = 0;

	for (int i = 0; i < ROUNDS; i++) {
		produce(s, &open_ns[i], &rows_ns[i]);
		table_ns[i] = make_table(s, &bytes, &kib_per_mib);
		if (i < LIBDW_ROUNDS)
			libdw_ns[i] = libdw_rows(s, &their_rows);
	}
	uint64_t readelf = readelf_ns(s->path);
	double open = (double)median(open_ns, ROUNDS), rows = (double)median(rows_ns, ROUNDS), table = (double)median(table_ns, ROUNDS);
	double libdw = (double)median(libdw_ns, LIBDW_ROUNDS), n = (double)s->rows;
	printf("%-22s %8" PRIu64 " %6.1f %6.1f %7.1f %7.1f %6.1f %6.1f %6.0fx %7.0fx\n", basename(s->path), s->rows, n * 1e3 / rows,
	       n * 1e3 / (rows + open), table * 1e-6, (double)table_peak_kib(s->path) / 1024, (double)bytes / 1048576, kib_per_mib,
	       libdw / rows * n / (double)(their_rows ? their_rows : 1), (double)readelf / table);
}

static bool subject_open(struct subject *s, const char *path)
{
	*s = (struct subject){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
	return s->fd >= 0 && elf_file_open(s->fd, &s->file) == 0;
}

static int table_only(const char *path)
{
	struct subject s;
	double kib_per_mib;
	size_t bytes;

	if (!subject_open(&s, path))
		return 1;
	make_table(&s, &bytes, &kib_per_mib);
	return 0;
}

int main(int argc, char **argv)
{
	struct subject s;

	elf_version(EV_CURRENT);
	if (argc == 3 && argv[1][0] == '-')
		return table_only(argv[2]);
	printf("%-22s %8s %6s %6s %7s %7s %6s %6s %7s %8s\n", "", "rows", "M/s", "+heads", "table", "memory", "table", "KiB/", "libdw",
	       "readelf");
	printf("%-22s %8s %6s %6s %7s %7s %6s %6s %7s %8s\n", "", "", "", "", "ms", "MiB", "MiB", "MiB", "/ rows", "/ table");
	for (int i = 1; i < argc; i++) {
		if (!subject_open(&s, argv[i]) || !read_eh_frame(&s))
			printf("%s not read\n", argv[i]);
		else
			measure(&s);
		free(s.bytes);
		if (s.fd >= 0)
			close(s.fd);
	}
	return 0;
}
