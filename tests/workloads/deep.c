/* Recursion to a chosen depth, busy at the bottom: deep DEPTH SECONDS (of CPU). */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static volatile uint64_t sink;

__attribute__((noinline)) static void bottom(clock_t end)
{
	while (clock() < end)
		for (int i = 0; i < 1000000; i++)
			sink += (uint64_t)i;
}

__attribute__((noinline)) static void down(int depth, clock_t end)
{
	volatile char frame[32];

	frame[0] = (char)depth;
	if (depth <= 1)
		bottom(end);
	else
		down(depth - 1, end);
	sink += (uint64_t)frame[0];
}

int main(int argc, char **argv)
{
	down(argc > 1 ? atoi(argv[1]) : 1, clock() + (argc > 2 ? atoi(argv[2]) : 10) * CLOCKS_PER_SEC);
	return 0;
}
