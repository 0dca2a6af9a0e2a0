/* A folder that gets each window as a pprof file: dir=PATH, --output DIR. Part of hearth-store.
 *
 * With a store it is a sink like others: windows are marked when they are written, and what could not be written (a full disk) comes out of the store later. Not
 * thread-safe. */
#ifndef HEARTH_AGENT_FOLDER_SINK_H
#define HEARTH_AGENT_FOLDER_SINK_H

#include "agent/outbox_server.h"
#include "agent/output_dir.h"
#include "agent/store_protocol.h"

#define FOLDER_SINK_RETRY_NS (5 * 1000000000ull)

struct folder_sink {
	struct output_dir *dir; /* owned */
	struct store *store;	/* borrowed; NULL: there is none */
	outbox_say_fn *say;
	void *context;
	char name[STORE_SINK_NAME_MAX];
	size_t sink; /* its number in the store; SIZE_MAX: not there now */
	bool behind, failing;
	uint64_t retry_ns; /* CLOCK_MONOTONIC */
};

/* Begins behind, where there is a store. Returns 0, or as output_dir_open(). */
int folder_sink_open(struct folder_sink *f, const struct store_sink *settings, size_t sink, struct store *store, outbox_say_fn *say, void *context,
		     struct why *why);

/* A window that just came. number: in the store; 0: it is not there. Returns 0 (written, or it will come out of the store), or a negative errno with why. */
int folder_sink_window(struct folder_sink *f, uint64_t number, int64_t time_ns, const uint8_t *bytes, size_t n, struct why *why);

/* The folder has this window already. */
void folder_sink_has(struct folder_sink *f, uint64_t number);

/* When folder_sink_catch_up() has something to do, CLOCK_MONOTONIC; UINT64_MAX: nothing. */
uint64_t folder_sink_due_ns(const struct folder_sink *f);

/* Write one window that it has not got. */
void folder_sink_catch_up(struct folder_sink *f, uint64_t now_ns);

void folder_sink_stats(const struct folder_sink *f, struct store_folder_stats *stats_out);
void folder_sink_close(struct folder_sink *f);

#endif
