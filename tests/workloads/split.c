/* A workload with a known answer: 70 % of its time in one function, 30 % in another, by CPU time itself. The functions may live in a
 * shared library (-DSPLIT_LIBRARY builds it, -DSPLIT_EXTERNAL uses it). Ends after argv[1] seconds of CPU (10). */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define SLICE_NS 1000000u

void spend_70(void);
void spend_30(void);

#ifndef SPLIT_EXTERNAL
static volatile uint64_t sink;

static uint64_t thread_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The work is written out in both: a shared helper would be on the stack of both. */
__attribute__((noinline)) void spend_70(void)
{
	for (uint64_t end = thread_ns() + 7 * SLICE_NS; thread_ns() < end;)
		for (int i = 0; i < 400000; i++)
			sink += (uint64_t)i;
}

__attribute__((noinline)) void spend_30(void)
{
	for (uint64_t end = thread_ns() + 3 * SLICE_NS; thread_ns() < end;)
		for (int i = 0; i < 400000; i++)
			sink += (uint64_t)i;
}
#endif

#ifndef SPLIT_LIBRARY
int main(int argc, char **argv)
{
	clock_t end = clock() + (argc > 1 ? atoi(argv[1]) : 10) * CLOCKS_PER_SEC;

	while (clock() < end) {
		spend_70();
		spend_30();
	}
	return 0;
}
#endif
