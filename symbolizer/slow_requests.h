/* What files that are slow to read may cost a window: each request may take a second, and there can be many such files. Requests over SLOW_REQUEST_NS use up a
 * window's allowance; when it is used up, only files whose last request was quick are asked until the next window. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_SLOW_REQUESTS_H
#define HEARTH_SYMBOLIZER_SLOW_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

#define SLOW_REQUEST_NS	    (100 * 1000000ull)
#define SLOW_REQUESTS_KEYS  1024

struct slow_requests {
	uint64_t allowance_ns; /* of a window; 0: no limit */
	uint64_t used_ns;
	uint64_t quick[SLOW_REQUESTS_KEYS]; /* keys of files (symbolizer/image_strikes.h), each in its place or forgotten; 0: none */
};

/* A window begins. */
void slow_requests_begin(struct slow_requests *s, uint64_t allowance_ns);

/* A request for a file took so long. key 0: no file. */
void slow_requests_add(struct slow_requests *s, uint64_t key, uint64_t ns);

/* Must this file wait for the next window? */
bool slow_requests_refuses(const struct slow_requests *s, uint64_t key);

#endif
