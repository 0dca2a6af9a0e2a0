/* Loads and unloads libraries while it runs, and uses each for a while: loader SECONDS EACH LIBRARY... (of CPU). Each has a function
 * work(end_ns, callback). */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define APART __attribute__((noinline, noclone, noipa))

static volatile uint64_t sink;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

APART static void called_back(uint64_t end_ns)
{
	while (now_ns() < end_ns)
		for (int i = 0; i < 10000; i++)
			sink += (uint64_t)i;
	sink++;
}

APART static int use(const char *path, uint64_t ns)
{
	void *library = dlopen(path, RTLD_NOW);
	void (*work)(uint64_t, void (*)(uint64_t)) = library ? dlsym(library, "work") : NULL;

	if (!work) {
		fprintf(stderr, "loader: %s\n", dlerror());
		return 1;
	}
	work(now_ns() + ns, called_back);
	dlclose(library);
	sink++;
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t end_ns = now_ns() + (uint64_t)(argc > 1 ? atof(argv[1]) * 1e9 : 1e9);

	uint64_t each_ns = (uint64_t)(argc > 2 ? atof(argv[2]) * 1e9 : 1e8);

	while (now_ns() < end_ns)
		for (int i = 3; i < argc; i++)
			if (use(argv[i], each_ns))
				return 1;
	return 0;
}
