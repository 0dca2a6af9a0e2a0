/* Burns CPU in two threads of one name, for so many seconds of both's CPU (argument). Prints their ids. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static clock_t end;

static void *burn(void *argument)
{
	volatile uint64_t sum = 0;

	(void)argument;
	pthread_setname_np(pthread_self(), "worker");
	printf("%d\n", (int)gettid());
	fflush(stdout);
	while (clock() < end)
		for (int i = 0; i < 1000000; i++)
			sum += (uint64_t)i;
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t ids[2];

	end = clock() + (argc > 1 ? atoi(argv[1]) : 1) * CLOCKS_PER_SEC;
	for (int i = 0; i < 2; i++)
		pthread_create(&ids[i], NULL, burn, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(ids[i], NULL);
	return 0;
}
