/* Lives for about 50 ms of CPU, and deletes its own executable first. */
#include <stdint.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t sink;

__attribute__((noinline)) void brief_work(void)
{
	struct timespec now;
	uint64_t end_ns = 0, at_ns;

	do {
		for (int i = 0; i < 100000; i++)
			sink += (uint64_t)i;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
		at_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
		if (!end_ns)
			end_ns = at_ns + 50000000;
	} while (at_ns < end_ns);
}

int main(int argc, char **argv)
{
	(void)argc;
	unlink(argv[0]);
	brief_work();
	return 0;
}
