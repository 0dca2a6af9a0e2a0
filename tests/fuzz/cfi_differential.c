/* Mutants of CFI sections, their rows compared with libdw's:
 *
 *	cfi_differential FOLDER [-max_total_time=SECONDS] [-seed=N] [-run=N]
 *
 * -run: one run of a seed, in the foreground, with all rows that are not identical. A worker process does the runs, since libdw may
 * not survive an input; what it was doing then tells whose fault it was. Prints TAP; exit status 1 when a row differs or we die. */
#include <elf.h>
#include <gelf.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/cfi/compare.h"
#include "tests/fuzz/corpus.h"

#define RUN_MAX_S	  2
#define FDE_ROWS_MAX	  200
#define ADDRESS_SPACE_MAX (256ull << 20)

enum phase { PHASE_OURS, PHASE_THEIRS };

/* Shared with the worker. */
struct progress {
	volatile enum phase phase;
	volatile uint64_t run;
	uint64_t rows[ROW_CLASSES];
	uint64_t bad_fdes;
};

struct settings {
	uint64_t seed, end_ns;
	bool verbose;
	struct corpus corpus;
	struct progress *progress;
};

static void run_once(const struct settings *s, uint64_t run)
{
	struct dice dice = {s->seed * 1000000007 + run};
	uint8_t bytes[CORPUS_INPUT_MAX];
	struct unwind_image *image;
	struct elf_file file;
	char name[64];

	s->progress->run = run;
	s->progress->phase = PHASE_OURS;
	alarm(RUN_MAX_S);
	size_t n = corpus_mutant(&s->corpus, &dice, bytes);
	uint16_t machine = bytes[0] & 2 ? EM_AARCH64 : EM_X86_64;
	int fd = exercise_file(bytes + 1, n - 1, !(bytes[0] & 1), machine, EXERCISE_VADDR);
	if (elf_file_open(fd, &file) < 0 || unwind_image_compile(&file, NULL, &image) < 0)
		abort();
	snprintf(name, sizeof(name), "-seed=%" PRIu64 " -run=%" PRIu64, s->seed, run);
	struct comparison c = {.name = name, .image = image, .machine = machine, .fde_rows_max = FDE_ROWS_MAX, .verbose = s->verbose};
	s->progress->phase = PHASE_THEIRS;
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP_PRIVATE, NULL);
	if (elf)
		compare_elf(&c, elf);
	elf_end(elf);
	for (int i = 0; i < ROW_CLASSES; i++)
		s->progress->rows[i] += c.rows[i];
	s->progress->bad_fdes += image->bad_fdes;
	unwind_image_free(image);
	close(fd);
}

static void work(const struct settings *s, uint64_t run)
{
	/* What a mutant asks libdw to allocate, it may not get. */
	setrlimit(RLIMIT_AS, &(struct rlimit){ADDRESS_SPACE_MAX, ADDRESS_SPACE_MAX});
	for (; clock_ns(CLOCK_MONOTONIC) < s->end_ns; run++)
		run_once(s, run);
	s->progress->run = run;
	fflush(stdout);
	_exit(0);
}

/* A run that ended a worker is repeated without libdw: its heap may have been damaged before. */
static bool is_ours(const struct settings *s, uint64_t run)
{
	int status;

	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		struct dice dice = {s->seed * 1000000007 + run};
		uint8_t bytes[CORPUS_INPUT_MAX];
		alarm(RUN_MAX_S);
		size_t n = corpus_mutant(&s->corpus, &dice, bytes);
		exercise_section(bytes + 1, n - 1, !(bytes[0] & 1), bytes[0] & 2 ? EM_AARCH64 : EM_X86_64);
		_exit(0);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
}

static uint64_t option(int argc, char **argv, const char *name, uint64_t otherwise)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], name, strlen(name)) == 0)
			return strtoull(argv[i] + strlen(name), NULL, 10);
	return otherwise;
}

struct deaths {
	uint64_t theirs, theirs_hung, ours;
};

static struct deaths supervise(const struct settings *s)
{
	struct deaths deaths = {.ours = 0};
	uint64_t run = 0;
	int status = 1;

	while (status != 0 && clock_ns(CLOCK_MONOTONIC) < s->end_ns) {
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0)
			work(s, run);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			break;
		run = s->progress->run;
		if (status == 0)
			break;
		if (is_ours(s, run)) {
			printf("# -seed=%" PRIu64 " -run=%" PRIu64 ": we ended with status %#x\n", s->seed, run, (unsigned)status);
			deaths.ours++;
		} else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
			deaths.theirs_hung++;
		} else {
			deaths.theirs++;
		}
		run++;
	}
	return deaths;
}

static int report(const struct settings *s, const struct deaths *deaths)
{
	uint64_t rows = 0;

	for (int i = 0; i < ROW_CLASSES; i++)
		rows += s->progress->rows[i];
	bool good = rows && !s->progress->rows[ROW_DIFFERENT] && !deaths->ours;
	printf("%sok 1 - mutants' rows are libdw's, or of a named class\n1..1\n", good ? "" : "not ");
	printf("# measured: %" PRIu64 " runs, seed %" PRIu64 "; libdw died in %" PRIu64 " and hung in %" PRIu64 ", we in %" PRIu64
	       "; %" PRIu64 " bad FDEs\n",
	       s->progress->run, s->seed, deaths->theirs, deaths->theirs_hung, deaths->ours, s->progress->bad_fdes);
	for (int i = 0; i < ROW_CLASSES; i++)
		printf("# measured:   %-28s %10" PRIu64 "  %8.4f %%\n", ROW_CLASS_NAMES[i], s->progress->rows[i],
		       rows ? 100.0 * (double)s->progress->rows[i] / (double)rows : 0);
	return good ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct settings s = {.seed = option(argc, argv, "-seed=", 1)};
	uint64_t run = option(argc, argv, "-run=", UINT64_MAX);

	elf_version(EV_CURRENT);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2 || corpus_read(argv[1], CORPUS_INPUT_MAX, &s.corpus) < 0 || !s.corpus.n) {
		fprintf(stderr, "cfi_differential: no inputs\n");
		return 2;
	}
	s.progress = mmap(NULL, sizeof(*s.progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s.progress == MAP_FAILED)
		return 2;
	s.end_ns = clock_ns(CLOCK_MONOTONIC) + option(argc, argv, "-max_total_time=", 60) * NS_PER_S;
	struct deaths deaths = {.ours = 0};
	if (run != UINT64_MAX) {
		s.verbose = true;
		run_once(&s, run);
	} else {
		deaths = supervise(&s);
	}
	corpus_free(&s.corpus);
	return report(&s, &deaths);
}
