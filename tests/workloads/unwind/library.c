/* A library for loader.c. NAME makes its functions' names, PADDING moves them. */
#include <stdint.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
#define APART __attribute__((noinline, noclone, noipa))

static volatile uint64_t sink;

#if PADDING
APART void padding(void)
{
	volatile char bytes[PADDING] = {0};

#define STEP sink += (uint64_t)bytes[sink % PADDING] * 3;
	STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP
}
#endif

APART static void JOIN(inner_, NAME)(uint64_t end_ns, void (*call)(uint64_t))
{
	volatile char frame[40 + PADDING] = {0};

	call(end_ns);
	sink += (uint64_t)frame[1];
}

void work(uint64_t end_ns, void (*call)(uint64_t))
{
	volatile char frame[8 + PADDING] = {0};

	JOIN(inner_, NAME)(end_ns, call);
	sink += (uint64_t)frame[0];
}
