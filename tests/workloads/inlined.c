/* Spins for argv[1] seconds of CPU in leaf(), which is inlined into middle(), which is inlined into outer(). */
#include <stdlib.h>
#include <time.h>

#ifndef SPIN
#define SPIN 100000 /* another number is another build id */
#endif

static volatile unsigned long sink;

static inline __attribute__((always_inline)) void leaf(void)
{
	for (int i = 0; i < SPIN; i++)
		sink = sink * 3 + 1; /* LEAF LINE */
}

static inline __attribute__((always_inline)) void middle(void)
{
	leaf(); /* MIDDLE LINE */
}

static __attribute__((noinline)) void outer(clock_t end)
{
	while (clock() < end)
		middle(); /* OUTER LINE */
}

int main(int argc, char **argv)
{
	outer(clock() + (argc > 1 ? atoi(argv[1]) : 3) * CLOCKS_PER_SEC);
	return 0;
}
