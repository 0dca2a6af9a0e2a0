/* The store's side of hearth-upload's socket (server-upload/upload_protocol.h): gives out windows, takes marks. Part of hearth-store.
 *
 * The last windows are kept as they came from the agent, so that one that all sinks ask for at once is neither looked up nor encoded again. A window that hearth-upload dies of
 * UPLOAD_STRIKES times is passed over. Not thread-safe. */
#ifndef HEARTH_AGENT_OUTBOX_SERVER_H
#define HEARTH_AGENT_OUTBOX_SERVER_H

#include "agent/log.h"
#include "server-upload/upload_protocol.h"
#include "store/store.h"

#define OUTBOX_RECENT_MAX   8 /* windows that are kept */
#define OUTBOX_RECENT_BYTES (8u << 20)

struct outbox_server;

typedef void outbox_say_fn(void *context, enum log_level level, const char *text);

/* store: borrowed. Returns 0 or -ENOMEM. */
int outbox_server_create(struct store *store, outbox_say_fn *say, void *context, struct outbox_server **server_out);

/* The sinks are these from now on, in the store too; what names another serial is dropped. */
void outbox_server_sinks(struct outbox_server *o, uint64_t serial, const char *const *names, size_t n);

/* Serve this socket, which is taken over, instead of the one before. Returns 0 or -ENOMEM. */
int outbox_server_connect(struct outbox_server *o, int socket);

/* -1: there is none. */
int outbox_server_fd(const struct outbox_server *o);

/* Do one message. Returns whether there was one. */
bool outbox_server_work(struct outbox_server *o);

/* A window was stored. fd: its pprof, sealed; borrowed. */
void outbox_server_new_window(struct outbox_server *o, uint64_t number, int fd, size_t bytes);

/* Windows of a sink that were passed over. */
uint64_t outbox_server_passed_over(const struct outbox_server *o, size_t sink);

/* NULL is legal. */
void outbox_server_destroy(struct outbox_server *o);

#endif
