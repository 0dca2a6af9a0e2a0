/* A chain of functions with frame pointers, busy in the innermost one: outer -> middle -> inner. Ends after
 * argv[1] seconds of its CPU time (10): on a machine that is busy or stands still it lasts longer, and does what it should. */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static volatile uint64_t sink;

__attribute__((noinline)) void inner(clock_t end)
{
	while (clock() < end)
		for (int i = 0; i < 1000000; i++)
			sink += (uint64_t)i;
}

__attribute__((noinline)) void middle(clock_t end)
{
	inner(end);
	sink++;
}

__attribute__((noinline)) void outer(clock_t end)
{
	middle(end);
	sink++;
}

int main(int argc, char **argv)
{
	outer(clock() + (argc > 1 ? atoi(argv[1]) : 10) * CLOCKS_PER_SEC);
	return 0;
}
