/* A chain of functions with frame pointers, busy in the innermost one: outer -> middle -> inner. Ends after argv[1] seconds (10). */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static volatile uint64_t sink;

__attribute__((noinline)) void inner(time_t end)
{
	while (time(NULL) < end)
		for (int i = 0; i < 1000000; i++)
			sink += (uint64_t)i;
}

__attribute__((noinline)) void middle(time_t end)
{
	inner(end);
	sink++;
}

__attribute__((noinline)) void outer(time_t end)
{
	middle(end);
	sink++;
}

int main(int argc, char **argv)
{
	outer(time(NULL) + (argc > 1 ? atoi(argv[1]) : 10));
	return 0;
}
