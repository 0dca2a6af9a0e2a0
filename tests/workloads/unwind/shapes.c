/* Stacks of shapes that are hard to walk, each busy at its end: shapes SHAPE [SECONDS of CPU]. Built without frame pointers.
 * The chain of functions that a profiler must see is written above each shape, outermost first. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define APART __attribute__((noinline, noclone, noipa))

static volatile uint64_t sink;
static uint64_t end_ns;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Never behind a tail call: what is called last adds to sink afterwards. */
APART static void spin(void)
{
	while (now_ns() < end_ns)
		for (int i = 0; i < 100000; i++)
			sink += (uint64_t)i;
	sink++;
}

/* main;threads;[libc];thread_body;spin */
APART static void *thread_body(void *unused)
{
	spin();
	sink++;
	return unused;
}

APART static void shape_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_body, NULL);
	pthread_join(thread, NULL);
	sink++;
}

/* main;shape_signal;interrupted;[restorer];on_signal;spin. A signal that comes before interrupted() is there is followed by others. */
static volatile bool is_there, is_done;

APART static void on_signal(int number)
{
	sink += (uint64_t)number;
	if (!is_there)
		return;
	spin();
	is_done = true;
}

APART static void interrupted(void)
{
	is_there = true;
	while (!is_done)
		sink++;
	sink++;
}

APART static void signal_shape(int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
	timer_t timer;
	struct itimerspec soon = {.it_value = {0, 2000000}, .it_interval = {0, 2000000}};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};

	sigaction(SIGUSR1, &action, NULL);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &soon, NULL);
	interrupted();
	timer_delete(timer);
	sink++;
}

APART static void shape_signal(void)
{
	signal_shape(0);
	sink++;
}

/* The same on an alternate stack. */
APART static void shape_altstack(void)
{
	stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};

	sigaltstack(&stack, NULL);
	signal_shape(SA_ONSTACK);
	sink++;
}

/* [makecontext's caller of last resort];coroutine;spin: a stack of its own, which ends where it begins. */
#ifdef __GLIBC__ /* musl has no contexts */
static ucontext_t back, there;

APART static void coroutine(void)
{
	spin();
	sink++;
}

APART static void shape_coroutine(void)
{
	getcontext(&there);
	there.uc_stack.ss_sp = malloc(1 << 16);
	there.uc_stack.ss_size = 1 << 16;
	there.uc_link = &back;
	makecontext(&there, coroutine, 0);
	swapcontext(&back, &there);
	sink++;
}
#else
#define shape_coroutine abort
#endif

/* main;shape_realigned;spin: the frame is found through a register that was saved before the stack was aligned. */
APART static void shape_realigned(void)
{
	_Alignas(64) volatile char line[64] = {0};
	volatile char *more = __builtin_alloca((size_t)(end_ns & 63) + 64);

	more[0] = line[1];
	spin();
	sink += (uint64_t)more[0] + (uint64_t)line[0];
}

/* main;shape_libc;qsort;...;compare;spin: through the C library, which has no frame pointers either. */
APART static int compare(const void *a, const void *b)
{
	spin();
	return *(const int *)a - *(const int *)b;
}

APART static void shape_libc(void)
{
	int numbers[] = {3, 1, 2};

	qsort(numbers, 3, sizeof(numbers[0]), compare);
	sink++;
}

/* main;shape_string;memset or memcpy: hand-written assembly at the end. */
APART static void shape_string(void)
{
	static char from[1 << 14], to[1 << 14];

	while (now_ns() < end_ns)
		for (int i = 0; i < 1000; i++) {
			memcpy(to, from, sizeof(to) - (size_t)(i & 7));
			sink += strlen(to) + (uint64_t)memcmp(to, from, sizeof(to));
		}
	sink++;
}

/* main;shape_system_call;read: the kernel was entered through a stub. */
APART static void shape_system_call(void)
{
	char byte;
	int pipes[2];

	if (pipe(pipes) < 0)
		return;
	while (now_ns() < end_ns)
		for (int i = 0; i < 1000; i++)
			sink += (uint64_t)(write(pipes[1], "x", 1) + read(pipes[0], &byte, 1));
	sink++;
}

/* main;shape_fork;child_work;spin in the child, which never execs. */
APART static void child_work(void)
{
	spin();
	sink++;
}

APART static void shape_fork(void)
{
	if (fork() == 0) {
		child_work();
		_exit(0);
	}
	wait(NULL);
	sink++;
}

/* main;shape_huge;spin in a process with so many executable mappings. */
APART static void shape_mappings(void)
{
	long page = sysconf(_SC_PAGESIZE);
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	size_t n = 50000;
	char *at = mmap(NULL, 2 * n * (size_t)page, PROT_READ | PROT_EXEC, flags, -1, 0);

	/* Every other page: another protection makes each a mapping of its own. */
	for (size_t i = 0; at != MAP_FAILED && i < n; i++)
		if (mprotect(at + 2 * i * (size_t)page, (size_t)page, PROT_READ))
			break;
	end_ns = now_ns() + 2000000000;
	spin();
	sink++;
}

static const struct {
	const char *name;
	void (*run)(void);
} SHAPES[] = {
	{"thread", shape_thread},	{"signal", shape_signal},	{"altstack", shape_altstack},
	{"coroutine", shape_coroutine}, {"realigned", shape_realigned}, {"libc", shape_libc},
	{"string", shape_string},	{"system-call", shape_system_call}, {"fork", shape_fork},
	{"mappings", shape_mappings},
};

int main(int argc, char **argv)
{
	double seconds = argc > 2 ? atof(argv[2]) : 1;

	end_ns = now_ns() + (uint64_t)(seconds * 1e9);
	for (size_t i = 0; argc > 1 && i < sizeof(SHAPES) / sizeof(SHAPES[0]); i++) {
		if (strcmp(SHAPES[i].name, argv[1]) == 0) {
			SHAPES[i].run();
			return 0;
		}
	}
	fputs("usage: shapes SHAPE [SECONDS]\n", stderr);
	return 2;
}
