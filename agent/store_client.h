/* The agent's side of hearth-store: hands windows over and never waits for a disk.
 *
 * Windows that are not yet stored lie in memory, within a budget of bytes; beyond it the oldest are dropped, and counted. When storing fails (a full
 * disk, a process that died) the window is tried again, in its place, until it works; that is said once, and once when it works again. Folders of files get a new window
 * all the same. The process is started again when it dies; a window that it died of STORE_CLIENT_STRIKES times is dropped. Not thread-safe. */
#ifndef HEARTH_AGENT_STORE_CLIENT_H
#define HEARTH_AGENT_STORE_CLIENT_H

#include "agent/log.h"
#include "agent/services.h"
#include "agent/store_protocol.h"
#include "base/why.h"

#define STORE_CLIENT_BACKLOG_BYTES (64ull << 20)
#define STORE_CLIENT_STRIKES	   3
#define STORE_CLIENT_RETRY_NS	   (5 * 1000000000ull)
#define STORE_CLIENT_SLOW_NS	   (30 * 1000000000ull) /* without an answer: that is said */

struct store_client;

struct store_client_options {
	struct services *services; /* borrowed */
	unsigned service;	   /* hearth-store's number there */
	uint64_t backlog_bytes;	   /* 0: STORE_CLIENT_BACKLOG_BYTES */
	uint64_t retry_ns;	   /* 0: STORE_CLIENT_RETRY_NS */
	void (*say)(void *context, enum log_level level, const char *text); /* a line to be logged */
	void *context;
};

struct store_client_stats {
	uint64_t waiting, waiting_bytes; /* windows in memory now */
	uint64_t stored;
	uint64_t dropped;    /* for the budget, or because they cannot be stored */
	uint64_t repeated;   /* handed over more than once */
	struct store_report report; /* the process's last */
};

enum store_client_state { STORE_CLIENT_STARTING, STORE_CLIENT_WORKS, STORE_CLIENT_FAILS };

/* settings: copied. Starts the process. Returns 0, or a negative errno of that. */
int store_client_create(const struct store_client_options *options, const struct store_settings *settings, struct store_client **client_out);

/* FAILS: the last process could not begin, why says why; err_out: its errno. Another one is started after a pause. */
enum store_client_state store_client_state(const struct store_client *c, int *err_out, struct why *why);

/* Whether windows can be stored, as far as was tried; why: of the last try. */
bool store_client_fails(const struct store_client *c, struct why *why);

/* From here on what fails is said: whoever started it has seen how it begins. */
void store_client_go_on(struct store_client *c);

/* Hand over a window, encoded. bytes: taken over, also when it is dropped. account: what its line in the log says; copied. */
void store_client_put(struct store_client *c, uint8_t *bytes, size_t n, const char *account);
/* One that could not even be encoded: counted and said as the others. */
void store_client_lose(struct store_client *c, const char *cause, const char *account);

/* Readable when store_client_work() has something to do; -1: no process now. */
int store_client_fd(const struct store_client *c);

/* When it has something to do without that, CLOCK_MONOTONIC; UINT64_MAX: never. */
uint64_t store_client_due_ns(const struct store_client *c);

void store_client_work(struct store_client *c);

/* What the services say of hearth-store. */
void store_client_event(struct store_client *c, const struct service_event *event);

/* Grows with each process that is ready: hearth-upload is to be connected to it. 0: there is none. */
uint64_t store_client_generation(const struct store_client *c);

/* Who gets windows from now on; folders stay as they were at the beginning. upload_socket: hearth-upload's; borrowed, -1: as before.
 * Returns 0, -EAGAIN (later), or -EPIPE (it has just died). */
int store_client_sinks(struct store_client *c, const struct store_sinks *sinks, int upload_socket);

/* Other folders: the process finishes what it has, ends, and one with these settings comes. Windows wait meanwhile. */
void store_client_replace(struct store_client *c, const struct store_settings *settings);

/* Windows that wait and may still be stored: none, or storing fails. */
bool store_client_is_idle(const struct store_client *c);

/* No more windows come: it stores what it has, closes the store, and ends, which is an event. */
void store_client_shut(struct store_client *c);

void store_client_stats(const struct store_client *c, struct store_client_stats *stats_out);

/* Windows that still wait are lost, which is said. NULL is legal. */
void store_client_destroy(struct store_client *c);

#endif
