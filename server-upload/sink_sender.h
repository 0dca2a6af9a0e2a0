/* One sink: takes windows, makes requests of them, sends them in order until each was taken or refused. Nothing here waits; the caller's loop asks what is wanted,
 * gives it, and calls again. Times are ns of CLOCK_BOOTTIME. Not thread-safe. */
#ifndef HEARTH_SERVER_UPLOAD_SINK_SENDER_H
#define HEARTH_SERVER_UPLOAD_SINK_SENDER_H

#include "pprof/profile.h"
#include "server-upload/http_exchange.h"
#include "server-upload/upload_config.h"
#include "server-upload/upload_protocol.h"

struct sink_sender;

/* Says a line to be logged. text: clean, without secrets. */
typedef void sink_say_fn(void *context, enum upload_severity severity, const char *text);

/* config, sink: borrowed until it is destroyed; sink is one of config's. earlier: what was counted before under this name, NULL: nothing.
 * A sink that cannot work (rules, secrets over plain http, files) is none that fails here: it holds its windows, and its status says why.
 * Returns 0 or -ENOMEM. */
int sink_sender_create(struct http_client *client, const struct upload_config *config, const struct upload_sink *sink, const struct upload_status *earlier,
		       sink_say_fn *say, void *context, struct sink_sender **sender_out);

/* Whether it wants a window now, and which: the next above after_out. The caller asks for it once, and answers by sink_sender_give() or sink_sender_none(). */
bool sink_sender_wants(const struct sink_sender *s, uint64_t now_ns, uint64_t *after_out);

/* A window; borrowed for the call. NULL: it could not be read, by err (of profile_decode()) and why. */
void sink_sender_give(struct sink_sender *s, uint64_t now_ns, uint64_t number, const struct profile *profile, int err, const char *why);

/* There is none; sink_sender_news(): there may be one. */
void sink_sender_none(struct sink_sender *s);
void sink_sender_news(struct sink_sender *s);

/* Begin what can begin, take what has ended. */
void sink_sender_work(struct sink_sender *s, uint64_t now_ns);

/* All up to this number were taken or given up. Returns whether there is news since the last time; say it to the store. */
bool sink_sender_take_mark(struct sink_sender *s, uint64_t *number_out);

/* Whether the server took the last request. */
bool sink_sender_is_well(const struct sink_sender *s);

/* When to call sink_sender_work() or ask sink_sender_wants() again, if nothing happens before; UINT64_MAX: never. */
uint64_t sink_sender_wake_ns(const struct sink_sender *s, uint64_t now_ns);

/* serial and sink are the caller's to fill in. changed_out: since the last call. */
const struct upload_status *sink_sender_status(struct sink_sender *s, bool *changed_out);

/* NULL is legal. */
void sink_sender_destroy(struct sink_sender *s);

#endif
