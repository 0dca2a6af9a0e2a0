/* Runs a fuzz target without libFuzzer: mutants of the files of a folder, which a seed repeats.
 *
 *	TARGET FOLDER [-runs=N] [-max_total_time=SECONDS] [-seed=N] [-max_len=BYTES] [-timeout=SECONDS] [-first=N]
 *	TARGET FILE...		run these inputs as they are
 *
 * The files themselves are the first runs. Ends after N runs or SECONDS, whichever comes first, but not before the files have run; prints TAP, and is ended by a sanitizer, by an
 * input that takes too long, by one that allocates more than 512 MiB at once, or when all of them together took more than that. The input that did
 * it is left in ./crash-TARGET; -first=N -runs=1 repeats run N. Built with sanitizers. */
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/fuzz/corpus.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

#define INPUT_MAX   (256u << 10)
#define RSS_MAX_KIB (512 << 10)

/* Of libFuzzer's interface: a target may know its format better than we do. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed) __attribute__((weak));
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max);

/* Sanitizers' own interface. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static struct {
	const char *name;
	const uint8_t *bytes;
	size_t n;
	uint64_t run;
	uint64_t seed;
} now; /* what runs, for who dies of it */

static struct dice mutation;

const char *__asan_default_options(void)
{
	return "handle_abort=1:max_allocation_size_mb=512:quarantine_size_mb=16:detect_leaks=1:allocator_may_return_null=0";
}

/* gcc's two libraries do not know of each other: what UBSan finds is an abort that ASan sees. */
const char *__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}

static void keep_input(void)
{
	char path[256];

	snprintf(path, sizeof(path), "crash-%s", now.name);
	FILE *file = fopen(path, "wbe");
	if (file) {
		fwrite(now.bytes, 1, now.n, file);
		fclose(file);
	}
	printf("not ok 1 - %s: -seed=%llu -first=%llu, input in %s\n", now.name, (unsigned long long)now.seed,
	       (unsigned long long)now.run, path);
	fflush(stdout);
}

static void on_alarm(int signal)
{
	static const char text[] = "the input takes too long\n";

	(void)signal;
	if (write(2, text, sizeof(text) - 1) < 0)
		_exit(3);
	abort();
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max)
{
	return mutate_input(&mutation, data, n, max);
}

static uint64_t option(int argc, char **argv, const char *name, uint64_t otherwise)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], name, strlen(name)) == 0)
			return strtoull(argv[i] + strlen(name), NULL, 10);
	return otherwise;
}

static void run_input(const uint8_t *bytes, size_t n, unsigned timeout_s)
{
	struct itimerval limit = {.it_value.tv_sec = timeout_s}, none = {0};
	struct rusage usage;

	now.bytes = bytes;
	now.n = n;
	setitimer(ITIMER_VIRTUAL, &limit, NULL);
	LLVMFuzzerTestOneInput(bytes, n);
	setitimer(ITIMER_VIRTUAL, &none, NULL);
	getrusage(RUSAGE_SELF, &usage);
	if (usage.ru_maxrss > RSS_MAX_KIB) {
		fprintf(stderr, "memory grew to %ld MiB\n", usage.ru_maxrss >> 10);
		abort();
	}
}

/* Input of run N: a file of the corpus, then mutants. */
static size_t make_input(const struct corpus *corpus, uint64_t run, uint8_t *bytes, size_t capacity)
{
	mutation = (struct dice){now.seed * 1000000007 + run};
	const struct corpus_input *input = &corpus->inputs[run < corpus->n ? run : dice_roll(&mutation, corpus->n)];
	size_t n = input->n < capacity ? input->n : capacity;

	memcpy(bytes, input->bytes, n);
	if (run < corpus->n)
		return n;
	if (dice_roll(&mutation, 16) == 0)
		n = mutate_splice(&mutation, bytes, n, capacity, &corpus->inputs[dice_roll(&mutation, corpus->n)]);
	if (LLVMFuzzerCustomMutator)
		return LLVMFuzzerCustomMutator(bytes, n, capacity, (unsigned)dice_roll(&mutation, UINT32_MAX));
	return mutate_input(&mutation, bytes, n, capacity);
}

static int run_mutants(const struct corpus *corpus, int argc, char **argv)
{
	uint64_t seconds = option(argc, argv, "-max_total_time=", UINT32_MAX), end = clock_ns(CLOCK_MONOTONIC) + seconds * NS_PER_S;
	uint64_t first = option(argc, argv, "-first=", 0), runs = option(argc, argv, "-runs=", UINT64_MAX - first);
	unsigned timeout_s = (unsigned)option(argc, argv, "-timeout=", 10);
	size_t capacity = option(argc, argv, "-max_len=", INPUT_MAX);
	uint8_t *bytes = malloc(capacity);

	PROMISE(bytes && capacity);
	for (now.run = first; now.run < first + runs && (now.run < corpus->n || clock_ns(CLOCK_MONOTONIC) < end); now.run++) {
		size_t n = make_input(corpus, now.run, bytes, capacity);
		/* Of its exact size: sanitizers see one byte too many. */
		uint8_t *input = fuzz_copy(bytes, n);
		run_input(input, n, timeout_s);
		free(input);
	}
	free(bytes);
	printf("ok 1 - %s\n1..1\n# measured: %llu runs over %zu inputs, seed %llu\n", now.name, (unsigned long long)(now.run - first),
	       corpus->n, (unsigned long long)now.seed);
	return 0;
}

static int run_files(int argc, char **argv, unsigned timeout_s)
{
	for (int i = 1; i < argc; i++) {
		struct corpus_input input;
		if (argv[i][0] == '-')
			continue;
		int err = corpus_read_file(argv[i], INPUT_MAX, &input);
		if (err < 0) {
			fprintf(stderr, "%s: %s: %s\n", now.name, argv[i], strerror(-err));
			return 2;
		}
		run_input(input.bytes, input.n, timeout_s);
		free(input.bytes);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct corpus corpus;
	struct stat st;

	now.name = basename(argv[0]);
	now.seed = option(argc, argv, "-seed=", 1);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(keep_input);
	signal(SIGVTALRM, on_alarm);
	if (argc >= 2 && stat(argv[1], &st) == 0 && S_ISREG(st.st_mode))
		return run_files(argc, argv, (unsigned)option(argc, argv, "-timeout=", 10));
	if (argc < 2 || corpus_read(argv[1], INPUT_MAX, &corpus) < 0 || !corpus.n) {
		fprintf(stderr, "%s: no inputs\n", now.name);
		return 2;
	}
	int status = run_mutants(&corpus, argc, argv);
	corpus_free(&corpus);
	return status;
}
