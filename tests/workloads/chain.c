/* A stack of distinct functions, busy at its end: chain FRAMES SECONDS [KIB]. SECONDS may have a fraction. FRAMES from 6 to 64 counts all frames, _start's included.
 * KIB: memory that the busy loop walks over, so that what a sampler left in the caches is gone at its next sample.
 * Each function has a frame size of its own, and its own return address: what a sampler keeps by pc is not one entry. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINKS 60

typedef uint64_t link_fn(unsigned left, uint64_t end_ns);

static link_fn *const links[LINKS];
static uint64_t *memory;
static size_t words;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

__attribute__((noinline)) static uint64_t busy(uint64_t end_ns)
{
	uint64_t sum = 0;

	while (now_ns() < end_ns)
		for (int round = 0; round < 100; round++)
			for (size_t i = 0; i < words; i += 8)
				sum += memory[i] += sum ^ i;
	return sum;
}

#define LINK(n)                                                           \
	__attribute__((noinline)) static uint64_t link_##n(unsigned left, uint64_t end_ns) \
	{                                                                 \
		volatile char frame[(n) * 8];                         \
		frame[0] = (char)left;                                    \
		uint64_t result = left ? links[((n) - 9) % LINKS](left - 1, end_ns) : busy(end_ns); \
		return result + (uint64_t)frame[0] + (n);                 \
	}
#define TEN(n) LINK(n##0) LINK(n##1) LINK(n##2) LINK(n##3) LINK(n##4) LINK(n##5) LINK(n##6) LINK(n##7) LINK(n##8) LINK(n##9)
#define NAME(n) link_##n
#define TEN_NAMES(n) NAME(n##0), NAME(n##1), NAME(n##2), NAME(n##3), NAME(n##4), NAME(n##5), NAME(n##6), NAME(n##7), NAME(n##8), NAME(n##9)
TEN(1)
TEN(2)
TEN(3)
TEN(4)
TEN(5)
TEN(6)
static link_fn *const links[LINKS] = {TEN_NAMES(1), TEN_NAMES(2), TEN_NAMES(3), TEN_NAMES(4), TEN_NAMES(5), TEN_NAMES(6)};

int main(int argc, char **argv)
{
	unsigned frames = argc > 1 ? (unsigned)atoi(argv[1]) : 34;
	size_t kib = argc > 3 ? strtoul(argv[3], NULL, 10) : 4;

	/* _start, libc's two, main, and busy() are there anyway. */
	if (frames < 6 || frames > 64 || !kib) {
		fputs("usage: chain FRAMES(6..64) [SECONDS] [KIB]\n", stderr);
		return 2;
	}
	words = kib * 1024 / sizeof(uint64_t);
	memory = calloc(words, sizeof(uint64_t));
	if (!memory)
		return 1;
	double seconds = argc > 2 ? atof(argv[2]) : 10;
	uint64_t result = links[0](frames - 6, now_ns() + (uint64_t)(seconds * 1e9));
	return result == 42;
}
