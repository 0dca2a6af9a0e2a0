/* Short-lived processes at a rate: storm RATE SECONDS COMMAND [ARG]... Starts COMMAND RATE times a second, whatever it takes, and
 * prints how many were started. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

int main(int argc, char **argv)
{
	if (argc < 4 || atoi(argv[1]) <= 0) {
		fputs("usage: storm RATE SECONDS COMMAND [ARG]...\n", stderr);
		return 2;
	}
	uint64_t rate = (uint64_t)atoi(argv[1]), total = rate * (uint64_t)atoi(argv[2]), failed = 0;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (uint64_t i = 0; i < total; i++) {
		pid_t pid;
		failed += posix_spawn(&pid, argv[3], NULL, NULL, argv + 3, environ) != 0;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		next.tv_nsec += (long)(1000000000 / rate);
		next.tv_sec += next.tv_nsec / 1000000000;
		next.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	printf("%llu started, %llu failed\n", (unsigned long long)total, (unsigned long long)failed);
	return failed != 0;
}
