/* Compares hearth's unwind tables with libdw's dwarf_cfi_addrframe(), row by row, over whole files.
 *
 *	oracle [-v] [-f LIST] FILE...
 *
 * -f: names of files, one in a line; "-" is standard input. Files that are no ELF images (ET_EXEC, ET_DYN) of a machine that hearth
 * knows are passed over. Prints one TAP line, the classes of the rows with their shares, and what tables cost. Exit status 1 when a row
 * is different or a file is refused. */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/cfi/compare.h"

struct totals {
	uint64_t files, refused, lost_sections, fdes, bad_fdes, rows[ROW_CLASSES];
	uint64_t table_bytes, text_bytes, cfi_rows, compile_ns;
};

static void add(struct totals *t, const struct unwind_image *image, const struct comparison *c)
{
	t->files++;
	t->fdes += image->fdes;
	t->bad_fdes += image->bad_fdes;
	t->cfi_rows += image->cfi_rows;
	t->text_bytes += image->text_bytes;
	t->table_bytes += unwind_image_bytes(image);
	t->lost_sections += c->lost_sections;
	for (int i = 0; i < ROW_CLASSES; i++)
		t->rows[i] += c->rows[i];
	if (c->verbose && image->bad_fdes)
		printf("# %s: %" PRIu64 " bad FDEs\n", c->name, image->bad_fdes);
}

static void check_fd(struct totals *t, const char *path, int fd, bool verbose)
{
	struct unwind_image *image = NULL;
	struct elf_file file;

	if (elf_file_open(fd, &file) < 0)
		return;
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	int err = unwind_image_compile(&file, NULL, &image);
	if (err == -EOPNOTSUPP)
		return;
	if (err < 0) {
		printf("# %s: %s\n", path, strerror(-err));
		t->refused++;
		return;
	}
	t->compile_ns += clock_ns(CLOCK_MONOTONIC) - begin;
	struct comparison c = {.name = path, .image = image, .machine = file.machine, .verbose = verbose};
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP_PRIVATE, NULL);
	if (elf)
		compare_elf(&c, elf);
	elf_end(elf);
	add(t, image, &c);
	unwind_image_free(image);
}

static void check_file(struct totals *t, const char *path, bool verbose)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	check_fd(t, path, fd, verbose);
	close(fd);
}

static void check_list(struct totals *t, const char *path, bool verbose)
{
	FILE *list = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *line = NULL;
	size_t capacity = 0;
	ssize_t n;

	while (list && (n = getline(&line, &capacity, list)) > 0) {
		line[strcspn(line, "\n")] = 0;
		check_file(t, line, verbose);
	}
	free(line);
	if (list && list != stdin)
		fclose(list);
}

static double share(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static int print_totals(const struct totals *t)
{
	uint64_t rows = 0;

	for (int i = 0; i < ROW_CLASSES; i++)
		rows += t->rows[i];
	bool good = rows && !t->rows[ROW_DIFFERENT] && !t->refused;
	printf("%sok 1 - %" PRIu64 " rows of %" PRIu64 " files as libdw has them, or of a named class\n1..1\n", good ? "" : "not ", rows,
	       t->files);
	printf("# measured: %" PRIu64 " files, %" PRIu64 " FDEs (%" PRIu64 " bad), %" PRIu64 " files refused, %" PRIu64
	       " sections that libdw cannot follow\n",
	       t->files, t->fdes, t->bad_fdes, t->refused, t->lost_sections);
	for (int i = 0; i < ROW_CLASSES; i++)
		printf("# measured:   %-28s %10" PRIu64 "  %8.4f %%\n", ROW_CLASS_NAMES[i], t->rows[i], share(t->rows[i], rows));
	printf("# measured: tables of %.1f MiB for %.1f MiB of text, %.1f KiB for each; %" PRIu64
	       " rows before merging; compiled in %.2f s\n",
	       (double)t->table_bytes / 1048576, (double)t->text_bytes / 1048576,
	       t->text_bytes ? 1024.0 * (double)t->table_bytes / (double)t->text_bytes : 0, t->cfi_rows, (double)t->compile_ns * 1e-9);
	return good ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct totals totals = {.files = 0};
	bool verbose = false;

	elf_version(EV_CURRENT);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-v") == 0)
			verbose = true;
		else if (strcmp(argv[i], "-f") == 0 && i + 1 < argc)
			check_list(&totals, argv[++i], verbose);
		else
			check_file(&totals, argv[i], verbose);
	}
	return print_totals(&totals);
}
