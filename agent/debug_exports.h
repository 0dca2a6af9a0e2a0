/* Debug information of images, for servers that name addresses: made by a confined process (name_service_start_debug()) of the file of an image that was sampled, or of its
 * separate debug file. One at a time, at the lowest priority, when no name table waits to be compiled, and with pauses of three times as long as the last one took:
 * whoever asks, and however often, gets a quarter of a CPU that nobody else wants. What crashes or hangs there is not tried again for an hour. Not thread-safe. */
#ifndef HEARTH_AGENT_DEBUG_EXPORTS_H
#define HEARTH_AGENT_DEBUG_EXPORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/image_table.h"

#define DEBUG_EXPORTS_BUILD_ID_MAX 128	   /* hex digits */
#define DEBUG_EXPORTS_PATIENCE_S   60	   /* that name tables come first */

struct debug_exports;
struct zygote;

struct debug_exports_options {
	const char *downloads; /* folder of what debuginfod servers gave; NULL: none. Borrowed */
	uint64_t bytes_max;    /* of a file */
	/* err 0: fd (owned by the callee) is a sealed memfd of bytes, whose hash is hex. -ENOENT: it has none that is worth sending, for good. -EAGAIN: it is not known or not
	 * open now. Another negative errno: it did not work. */
	void (*done)(void *context, const char *build_id, int err, int fd, uint64_t bytes, const char *hash);
	void *context;
	uint64_t (*now_ns)(void); /* for tests; NULL: CLOCK_BOOTTIME */
};

/* zygote, images: borrowed. options: copied. Returns 0 or a negative errno. */
int debug_exports_create(struct zygote *zygote, struct image_table *images, const struct debug_exports_options *options, struct debug_exports **exports_out);

/* build_id: lower-case hex. done() is called once for it, from debug_exports_work(). Returns 0, -EBUSY (another one is not done yet), -EINVAL. */
int debug_exports_want(struct debug_exports *e, const char *build_id);

/* Call it when debug_exports_fd() is readable, and once a second. is_calm: no name table waits. */
void debug_exports_work(struct debug_exports *e, bool is_calm);
int debug_exports_fd(const struct debug_exports *e);

/* NULL is legal. done() is not called. */
void debug_exports_destroy(struct debug_exports *e);

#endif
