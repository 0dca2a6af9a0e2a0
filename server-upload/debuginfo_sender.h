/* Debug information of the files that a sink's windows name, on its way to a server that names addresses (Parca): each build id once, one after the other, over a
 * connection of its own, never faster than the sink's debuginfo_bytes_per_s. Nothing here waits, and it is no reason for a window to wait: what fails here fails alone,
 * and while windows fail nothing begins here. Whoever calls brings the files. Times are ns of CLOCK_BOOTTIME. Not thread-safe. */
#ifndef HEARTH_SERVER_UPLOAD_DEBUGINFO_SENDER_H
#define HEARTH_SERVER_UPLOAD_DEBUGINFO_SENDER_H

#include "pprof/profile.h"
#include "server-upload/http_exchange.h"
#include "server-upload/sink_sender.h"
#include "server-upload/upload_config.h"
#include "server-upload/upload_protocol.h"

#define DEBUGINFO_KNOWN_MAX   4096
#define DEBUGINFO_BYTES_PER_S (1u << 20)

struct debuginfo_sender;

/* Whether a sink's server gets debug information at all. */
bool debuginfo_sender_is_for(const struct sink_config *sink);

/* sink: borrowed until it is destroyed. Returns 0, -ENOMEM, -EINVAL with why. */
int debuginfo_sender_create(struct http_client *client, const struct upload_sink *sink, sink_say_fn *say, void *context, struct debuginfo_sender **sender_out,
			    struct why *why);

/* The files of a window may be wanted. Returns 0 or -ENOMEM. */
int debuginfo_sender_see(struct debuginfo_sender *s, const struct profile *window);

/* Begin what can begin, take what has ended. is_well: the server takes windows; if not, what is not under way is put off. */
void debuginfo_sender_work(struct debuginfo_sender *s, uint64_t now_ns, bool is_well);

/* The build id whose file it waits for; NULL: none. Borrowed until the next call that works. It is answered by debuginfo_sender_give(). */
const char *debuginfo_sender_wants(const struct debuginfo_sender *s);
/* Whether it holds a file: there is to be one at a time in the process. */
bool debuginfo_sender_has_file(const struct debuginfo_sender *s);
/* err 0: fd (taken over) is the file, of so many bytes; -ENOENT: there is none, for good; another one: not now. */
void debuginfo_sender_give(struct debuginfo_sender *s, uint64_t now_ns, int err, int fd, uint64_t bytes, const char *hash);

/* When to call debuginfo_sender_work() again, if nothing happens before; UINT64_MAX: never. */
uint64_t debuginfo_sender_wake_ns(const struct debuginfo_sender *s, uint64_t now_ns);

/* Adds to what begins with debuginfo_. Returns whether it is another than at the last call. */
bool debuginfo_sender_status(struct debuginfo_sender *s, struct upload_status *status);

/* NULL is legal. */
void debuginfo_sender_destroy(struct debuginfo_sender *s);

#endif
