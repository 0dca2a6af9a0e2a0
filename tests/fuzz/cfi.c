/* Fuzzes the CFI compiler: the first byte of an input says what the others are. Built with libFuzzer where clang has it; else with a
 * main of its own, which mutates the files of a folder by a seed:
 *
 *	cfi FOLDER [-max_total_time=SECONDS] [-seed=N] */
#include <elf.h>

#include "tests/cfi/exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n)
		exercise_section(data + 1, n - 1, !(data[0] & 1), data[0] & 2 ? EM_AARCH64 : EM_X86_64);
	return 0;
}

#ifdef FUZZ_MAIN
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/fuzz/corpus.h"

static uint64_t option(int argc, char **argv, const char *name, uint64_t otherwise)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], name, strlen(name)) == 0)
			return strtoull(argv[i] + strlen(name), NULL, 10);
	return otherwise;
}

int main(int argc, char **argv)
{
	uint64_t seconds = option(argc, argv, "-max_total_time=", 60), seed = option(argc, argv, "-seed=", 1), runs = 0;
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + seconds * NS_PER_S;
	struct corpus corpus;

	if (argc < 2 || corpus_read(argv[1], &corpus) < 0 || !corpus.n) {
		fprintf(stderr, "cfi: no inputs\n");
		return 2;
	}
	for (; clock_ns(CLOCK_MONOTONIC) < end; runs++) {
		struct dice dice = {seed * 1000000007 + runs};
		uint8_t bytes[CORPUS_INPUT_MAX];
		size_t n = corpus_mutant(&corpus, &dice, bytes);
		LLVMFuzzerTestOneInput(bytes, n);
	}
	corpus_free(&corpus);
	printf("%llu runs in %llu s, seed %llu\n", (unsigned long long)runs, (unsigned long long)seconds, (unsigned long long)seed);
	return 0;
}
#endif
