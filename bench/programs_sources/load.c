#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static char *keys[100000];
static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
static long down(int n, double x) { volatile char pad[64]; pad[n & 63] = n; return n ? down(n - 1, sin(x)) + pad[n & 63] : (long)(x * 1e6); }
int main(void)
{
	unsigned seed = 1;
	long sum = 0;
	regex_t re;
	if (regcomp(&re, "([0-9])[0-9]*(12|77)+3$", REG_EXTENDED))
		return 1;
	for (int round = 0; round < 28; round++) {
		for (int i = 0; i < 100000; i++) {
			char text[64];
			seed = seed * 1664525u + 1013904223u;
			snprintf(text, sizeof(text), "%u-%.3f", seed, seed / 7.0);
			keys[i] = strdup(text);
			sum += down(seed % 40, seed);
			sum += i % 16 == 0 && regexec(&re, text, 0, NULL, 0) == 0;
		}
		qsort(keys, 100000, sizeof(keys[0]), by_text);
		for (int i = 0; i < 100000; i++) {
			sum += strtol(keys[i], NULL, 10) % 7 + strchr(keys[i], '-') - keys[i];
			free(keys[i]);
		}
	}
	printf("%ld\n", sum);
	return 0;
}
