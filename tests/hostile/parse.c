/* Reads hostile files as the confined processes do, each in a process of its own, and tells what each step cost:
 *
 *	parse FILE...
 *
 * TAP; a file fails when a step crashes, takes more than STEP_MAX_S of CPU, or when all took more than MEMORY_MAX. The limits of
 * confinement are not set here: what holds without them is the code's own merit. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "symbolizer/engine.h"
#include "symbolizer/name_compiler.h"

#define STEP_MAX_S	 2.0 /* of reading what every image is read for; a name table may take COMPILE_MAX_S */
#define COMPILE_MAX_S	 10.0
#define MEMORY_MAX_KIB	 (450 << 10)
#define ADDRESSES	 64
#define CODE_VADDR	 0x400800

enum step { STEP_IMAGE, STEP_NAMES, STEP_UNWIND, STEP_COMPILE, STEPS };
static const char *const STEP_NAMES_TEXT[STEPS] = {"image", "names", "unwind", "compile"};

struct costs {
	int err[STEPS];
	double cpu_s[STEPS];
	long memory_kib;
};

static double cpu_now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A FIFO, a device or the file itself is not what this test is about: the agent does not open them. */
static int open_nothing(void *context, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	const int *fd = context;

	if (ask->kind != DEBUG_ASK_ALT || nth)
		return -ENOENT;
	*fd_out = dup(*fd);
	return 0;
}

static int run_step(enum step step, struct engine *engine, int fd)
{
	struct debug_asker asker = {open_nothing, &fd};
	struct name_compile_input input = {.fd = fd, .asker = &asker};
	struct symbolizer_reply *reply = NULL;
	struct unwind_image *unwind = NULL;
	struct name_compile_stats stats;
	uint64_t vaddrs[ADDRESSES], bytes;
	struct image_info info;
	int err = 0;

	switch (step) {
	case STEP_IMAGE:
		return engine_image(engine, fd, &info);
	case STEP_NAMES:
		for (uint64_t i = 0; i < ADDRESSES; i++)
			vaddrs[i] = CODE_VADDR + i / 8;
		err = engine_names(engine, 1, fd, -1, vaddrs, ADDRESSES, &reply);
		symbolizer_reply_free(reply);
		return err;
	case STEP_UNWIND:
		err = engine_unwind(engine, fd, -1, &unwind);
		unwind_image_free(unwind);
		return err;
	default: {
		int table = memfd_create("table", MFD_CLOEXEC);
		err = name_compile(&input, table, &bytes, &stats);
		close(table);
		return err;
	}
	}
}

static void run_all(const char *path, struct costs *costs)
{
	struct engine *engine;
	struct rusage usage;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || engine_create(NULL, &engine) < 0)
		_exit(2);
	for (int step = 0; step < STEPS; step++) {
		double before = cpu_now_s();
		costs->err[step] = run_step((enum step)step, engine, fd);
		costs->cpu_s[step] = cpu_now_s() - before;
	}
	getrusage(RUSAGE_SELF, &usage);
	costs->memory_kib = usage.ru_maxrss;
	engine_destroy(engine);
	_exit(0);
}

static bool report(int number, const char *path, const struct costs *costs, int status)
{
	char name[4096];
	bool good = status == 0 && costs->memory_kib < MEMORY_MAX_KIB;

	snprintf(name, sizeof(name), "%s", path);
	for (int step = 0; step < STEPS; step++)
		good &= costs->cpu_s[step] < (step == STEP_COMPILE ? COMPILE_MAX_S : STEP_MAX_S);
	printf("%sok %d - %s\n# measured: %-22s", good ? "" : "not ", number, basename(name), basename(name));
	for (int step = 0; step < STEPS; step++)
		printf(" %s %.2f s %s,", STEP_NAMES_TEXT[step], costs->cpu_s[step],
		       costs->err[step] < 0 ? strerrorname_np(-costs->err[step]) : "ok");
	printf(" %ld MiB, status %#x\n", costs->memory_kib >> 10, (unsigned)status);
	return good;
}

int main(int argc, char **argv)
{
	struct costs *costs = mmap(NULL, sizeof(*costs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool good = argc > 1 && costs != MAP_FAILED;
	int status;

	for (int i = 1; costs != MAP_FAILED && i < argc; i++) {
		memset(costs, 0, sizeof(*costs));
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0)
			run_all(argv[i], costs);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 2;
		good &= report(i, argv[i], costs, status);
	}
	printf("1..%d\n", argc - 1);
	return good ? 0 : 1;
}
