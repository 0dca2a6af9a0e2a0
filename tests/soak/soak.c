/* Work for the soak test, with its own build id in each copy: tests/soak/run changes the bytes behind MARK, and the linker's build id. Ends after
 * argv[1] milliseconds. */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static volatile uint64_t sink;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline __attribute__((always_inline)) void soak_inlined(int i)
{
	sink += (uint64_t)i * sink;
}

__attribute__((noinline)) void soak_leaf(int rounds)
{
	for (int i = 0; i < rounds; i++)
		soak_inlined(i);
}

__attribute__((noinline)) void soak_caller(int rounds)
{
	soak_leaf(rounds);
	sink++;
}

int main(int argc, char **argv)
{
	uint64_t end = now_ms() + (argc > 1 ? strtoull(argv[1], NULL, 10) : 1000);

	while (now_ms() < end) {
		soak_caller(100000);
		/* Most of the time it sleeps: many of them run at a time. */
		nanosleep(&(struct timespec){0, 3000000}, NULL);
	}
	return 0;
}
