/* Frames of many shapes, in few instructions: for single-stepping. */
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NOINLINE __attribute__((noinline, noclone))

static volatile long source = 3;
static char *guarded;

static NOINLINE long leaf(long n)
{
	volatile char room[100];

	room[n & 63] = (char)n;
	return room[n & 63] + source;
}

static NOINLINE long saves(long n)
{
	long a = leaf(n), b = leaf(n + 1), c = leaf(n + 2), d = leaf(n + 3), e = leaf(n + 4), f = leaf(n + 5);

	return leaf(a ^ b) + leaf(c ^ d) + leaf(e ^ f) + a + b + c + d + e + f;
}

static NOINLINE long allocates(long n)
{
	volatile char *room = alloca(16 + (size_t)n * 16);

	room[n] = 1;
	return saves(n) + room[n];
}

static NOINLINE long realigns(long n)
{
	_Alignas(64) volatile long lines[16];

	lines[n & 15] = allocates(n);
	return lines[n & 15] + leaf(n);
}

static NOINLINE long realigns_and_allocates(long n)
{
	_Alignas(64) volatile long lines[16];
	volatile char *room = alloca(16 + (size_t)n * 16);

	room[n] = 2;
	lines[n & 15] = realigns(n) + room[n];
	return lines[n & 15] + leaf(n);
}

static NOINLINE long varies(long n, ...)
{
	va_list list;

	va_start(list, n);
	long sum = va_arg(list, long) + (long)va_arg(list, double);
	va_end(list);
	return sum + leaf(n);
}

static NOINLINE long early(long n)
{
	if (n & 1)
		return n;
	return saves(n) + saves(n + 1);
}

static int compare(const void *a, const void *b)
{
	return (int)(*(const long *)a - *(const long *)b + leaf(1) - leaf(1));
}

static NOINLINE long calls_libc(long n)
{
	char text[64];
	long keys[8];

	for (int i = 0; i < 8; i++)
		keys[i] = (n * i * 37 + 11) % 23;
	qsort(keys, 8, sizeof(keys[0]), compare);
	snprintf(text, sizeof(text), "%ld %s %.2f", keys[3], "text", 2.5);
	return (long)strlen(text) + keys[0];
}

static void on_signal(int signal)
{
	source += realigns(signal & 3);
}

static void on_fault(int signal)
{
	source += saves(signal & 3);
	mprotect(guarded, 4096, PROT_READ | PROT_WRITE);
}

static NOINLINE long faults(long n)
{
	guarded[n] = 1;
	return leaf(n);
}

static NOINLINE long signals(long n)
{
	stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
	struct sigaction normal = {.sa_handler = on_signal}, alternate = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};

	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &normal, NULL);
	sigaction(SIGSEGV, &alternate, NULL);
	guarded = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	raise(SIGUSR1);
	return faults(n) + leaf(n);
}

static void *thread(void *argument)
{
	source += realigns_and_allocates(2);
	return argument;
}

int main(void)
{
	pthread_t id;

	for (long n = 1; n < 4; n++)
		source += realigns_and_allocates(n) + varies(n, 2L, 3.5) + early(n);
	source += calls_libc(3) + signals(2);
	pthread_create(&id, NULL, thread, NULL);
	pthread_join(id, NULL);
	return source == 0;
}
