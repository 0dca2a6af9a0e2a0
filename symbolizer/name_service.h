/* Compiles name tables (symbolizer/name_compiler.h) in a confined process of its own: in the background, one image at a time, at the lowest
 * priority unless somebody waits, never in the way of who asks for names. A crash or a hang costs that one compilation; the process is started anew. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_NAME_SERVICE_H
#define HEARTH_SYMBOLIZER_NAME_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbolizer/debug_ask.h"
#include "symbolizer/debug_only.h"
#include "symbolizer/name_compiler.h"

struct name_service;
struct zygote; /* symbolizer/zygote.h */

/* Called from name_service_work(). */
struct name_service_callbacks {
	/* As struct debug_asker, for the image that is being compiled. */
	int (*open)(void *context, uint64_t image_id, const struct debug_ask *ask, unsigned nth, int *fd_out);
	/* err: 0, an error of name_compile(), -ETIME (over the time or CPU limit), or -ECHILD (the process died).
	 * table_fd: a sealed memfd, owned by the callee; -1 unless err is 0. What is in it and in stats was written by a process that may be taken over. */
	void (*done)(void *context, uint64_t image_id, int err, int table_fd, const struct name_compile_stats *stats);
	/* As done, for name_service_start_debug(): err of debug_only_write_best(); debug_fd: sealed, of result->bytes. NULL: nobody starts that. */
	void (*debug_done)(void *context, uint64_t image_id, int err, int debug_fd, const struct debug_only *result);
	void *context;
};

/* zygote: borrowed. callbacks: copied. */
int name_service_create(struct zygote *zygote, const struct name_service_callbacks *callbacks, struct name_service **service_out);

/* Somebody waits: what is begun from now on is compiled at the priority that others have. */
void name_service_hurry(struct name_service *s);

/* Begin to compile. fd: of the image, borrowed for the call. wanted: as in struct name_compile_input. Returns 0, -EBUSY, or a negative errno. */
int name_service_start(struct name_service *s, uint64_t image_id, int fd, const uint64_t *wanted, size_t n_wanted);
/* Begin to write the debug information of an image for upload. fd: as above. debug_done is called. */
int name_service_start_debug(struct name_service *s, uint64_t image_id, int fd, uint64_t bytes_max);
bool name_service_is_busy(const struct name_service *s);

/* Readable (epoll) when there is work: an answer, a question, a dead process, a deadline. */
int name_service_fd(const struct name_service *s);
void name_service_work(struct name_service *s);

/* CPU time of all compilations, in ns. */
uint64_t name_service_cpu_ns(const struct name_service *s);

/* NULL is legal. */
void name_service_destroy(struct name_service *s);

#endif
