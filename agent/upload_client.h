/* The agent's side of hearth-upload (server-upload/upload_protocol.h): starts it, tells it what the sinks are, hears what becomes of them. Not thread-safe. */
#ifndef HEARTH_AGENT_UPLOAD_CLIENT_H
#define HEARTH_AGENT_UPLOAD_CLIENT_H

#include "agent/log.h"
#include "agent/services.h"
#include "server-upload/upload_config.h"
#include "server-upload/upload_protocol.h"

struct upload_client;

struct upload_client_options {
	struct services *services; /* borrowed */
	unsigned service;	   /* hearth-upload's number there */
	void (*say)(void *context, enum log_level level, const char *text); /* a line to be logged */
	/* A server wants the debug information of an image: answered by upload_client_give(). NULL: none is here. */
	void (*want)(void *context, const char *build_id);
	void *context;
};

int upload_client_create(const struct upload_client_options *options, struct upload_client **client_out);

/* Start the process. store_socket_out: the other end of its socket to the store; the caller hands it on and closes it. Returns 0, or as services_start(). */
int upload_client_start(struct upload_client *c, int *store_socket_out);

/* Tell it what the sinks are; again when the process is a new one. Returns 0, -EAGAIN (not now: try again), -EPIPE (no process), or another negative errno. */
int upload_client_configure(struct upload_client *c, const struct upload_config *config);

/* err, fd, bytes, hash: as done() of struct debug_exports_options; fd is borrowed. An answer that nobody waits for is dropped. */
void upload_client_give(struct upload_client *c, const char *build_id, int err, int fd, uint64_t bytes, const char *hash);

/* -1: no process now. */
int upload_client_fd(const struct upload_client *c);
void upload_client_work(struct upload_client *c);

/* What the services say of hearth-upload. */
void upload_client_event(struct upload_client *c, const struct service_event *event);

/* Close its socket: it ends, and is not started again by itself. */
void upload_client_let_go(struct upload_client *c);

/* Of a sink since the beginning, over processes; serial and sink aside. */
void upload_client_status(const struct upload_client *c, size_t sink, struct upload_status *status_out);

/* NULL is legal. */
void upload_client_destroy(struct upload_client *c);

#endif
