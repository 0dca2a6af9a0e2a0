/* The agent's side of hearth-web (web/web_protocol.h): has the socket that listens, starts the process, tells it how things go, logs what it says. A port that is taken, or a process that
 * died, is no reason to sample less: both are tried again. Not thread-safe. */
#ifndef HEARTH_AGENT_WEB_CLIENT_H
#define HEARTH_AGENT_WEB_CLIENT_H

#include "agent/listen_address.h"
#include "agent/log.h"
#include "agent/services.h"
#include "base/why.h"
#include "web/web_metrics.h"
#include "web/web_protocol.h"

struct web_client;

struct web_client_options {
	struct services *services; /* borrowed */
	unsigned service;	   /* hearth-web's number there */
	struct listen_address address;
	const char *token_file, *certificate_file, *key_file; /* NULL: none; borrowed as long as the client lives */
	const char *names;	   /* that it may be called by, with commas or spaces between; NULL: none; borrowed for the call */
	const char *store, *host;  /* of the settings; borrowed for the call */
	uint64_t window_ns;
	bool bare;		   /* without confinement: valgrind */
	void (*say)(void *context, enum log_level level, const char *text); /* a line to be logged */
	void *context;
};

/* What is wrong with the names. Returns 0 or -EINVAL with why. */
int web_names_parse(const char *names, struct web_settings *settings, struct why *why);

/* Reads the files and binds. Returns 0, also when the port is taken: that is said; or a negative errno with why. */
int web_client_create(const struct web_client_options *options, struct web_client **client_out, struct why *why);

/* The store is open, or there is none: it may begin. */
void web_client_go(struct web_client *c);

int web_client_fd(const struct web_client *c); /* -1: no process now */
uint64_t web_client_due_ns(const struct web_client *c); /* CLOCK_MONOTONIC; UINT64_MAX: never */
void web_client_work(struct web_client *c);

/* What the services say of hearth-web. */
void web_client_event(struct web_client *c, const struct service_event *event);

/* Once a window: a port that was taken, files that were changed. */
void web_client_refresh(struct web_client *c);

/* A process has just begun that knows nothing. */
bool web_client_wants_state(const struct web_client *c);
/* json: the text of an object. why: NULL: it is ready. Dropped when nobody listens, or when there is no room. */
void web_client_state(struct web_client *c, const struct web_samples *samples, const char *json, size_t n, const char *why);

void web_client_let_go(struct web_client *c);

/* NULL is legal. */
void web_client_destroy(struct web_client *c);

#endif
