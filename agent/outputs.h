/* Where the windows go: the store, folders, servers, the page. Owns the processes that do it (hearth-store, hearth-upload, hearth-web) and the way to them.
 *
 * Nothing here waits but outputs_wait() and outputs_close(). Not thread-safe. */
#ifndef HEARTH_AGENT_OUTPUTS_H
#define HEARTH_AGENT_OUTPUTS_H

#include <poll.h>

#include "agent/services.h"
#include "agent/store_client.h"
#include "agent/web_client.h"
#include "base/why.h"
#include "pprof/profile.h"
#include "server-upload/upload_config.h"
#include "server-upload/upload_protocol.h"
#include "store/store.h"

#define OUTPUTS_FDS	  4
#define OUTPUTS_FINISH_MS 2000 /* for windows that wait, at the end */

struct outputs;

struct outputs_options {
	struct services *services; /* of outputs_services_create(); taken over */
	const char *store;	   /* folder; NULL: none. Borrowed for the call */
	uint64_t store_bytes, store_age_ns; /* see struct store_options */
	struct store_level levels[STORE_LEVELS_MAX]; /* all zero: the store's own */
	uint64_t outbox_bytes, outbox_age_ns;
	const char *host_root;	   /* see host_labels_read(); NULL: none */
	uint64_t folder_bytes;	   /* of each dir sink */
	bool bare;		   /* without confinement: valgrind */
	/* The page, see struct web_client_options; what is not here is filled in. address.is_none: there is none. Texts are borrowed as long as outputs live. */
	struct web_client_options web;
	/* See struct upload_client_options; answered by outputs_give_debug(). Called from outputs_work(). */
	void (*want_debug)(void *context, const char *build_id);
	void *context;
};

/* The keeper: before anything else is done in the process. */
int outputs_services_create(struct services **services_out);

/* Start the processes. config: taken over on success; its sinks have names, its serial and what is in files is filled in here. Returns 0, or a negative errno with why. */
int outputs_open(const struct outputs_options *options, struct upload_config *config, struct outputs **outputs_out, struct why *why);

/* Wait until hearth-store has begun. Returns 0 (it has, or it takes long, or a disk is full: that is said, and windows wait), or a negative errno with why: a folder that cannot be used. */
int outputs_wait(struct outputs *o, struct why *why);

/* Hand over a window. account: what its line in the log says. Does not wait. */
void outputs_put(struct outputs *o, const struct profile *profile, const char *account);

/* What poll() is to look at, and until when, CLOCK_MONOTONIC; UINT64_MAX: for ever. fds: OUTPUTS_FDS, all filled. */
uint64_t outputs_poll(const struct outputs *o, struct pollfd *fds);

/* Do what is due. Returns 0, or -EPIPE: the keeper is gone, so nothing can be started again. */
int outputs_work(struct outputs *o);

/* As upload_client_give(). */
void outputs_give_debug(struct outputs *o, const char *build_id, int err, int fd, uint64_t bytes, const char *hash);

/* Once a window: look at sinks' files again. */
void outputs_refresh(struct outputs *o);

/* Other sinks, as outputs_open(). Nothing that waits is lost. Returns 0 or a negative errno; the configuration stays as it was then. */
int outputs_reconfigure(struct outputs *o, struct upload_config *config);

/* CPU time of the processes that windows need. That of the page is its users' doing: sampling less often would not make it less. */
uint64_t outputs_cpu_ns(const struct outputs *o);

/* The store's and its process's numbers. */
void outputs_stats(const struct outputs *o, struct store_client_stats *stats_out);
/* The configuration at hand, and of each sink what hearth-upload says. */
const struct upload_config *outputs_config(const struct outputs *o);
void outputs_status(const struct outputs *o, size_t sink, struct upload_status *status_out);

/* Whether windows can be stored now; see store_client_fails(). */
bool outputs_fail(const struct outputs *o, struct why *why);

/* The page. NULL: there is none. */
struct web_client *outputs_web(const struct outputs *o);
/* What the processes take, for /metrics. */
void outputs_numbers(const struct outputs *o, struct web_samples *samples);

/* Store what waits, for OUTPUTS_FINISH_MS; end all. NULL is legal. */
void outputs_close(struct outputs *o);

#endif
