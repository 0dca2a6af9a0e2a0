/* The process that uploads, as a test runs it: forked, given its sinks (the agent's part), and served the outbox of a store (the store's part). */
#ifndef HEARTH_TESTS_UPLOAD_FEED_UPLOAD_H
#define HEARTH_TESTS_UPLOAD_FEED_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/channel.h"
#include "server-upload/upload_config.h"
#include "store/store.h"

struct feed_file {
	char *build_id, *path;
};

struct feed_upload {
	pid_t pid; /* 0: none */
	struct channel agent, store_link;
	struct store *store; /* borrowed */
	struct upload_config *config; /* borrowed; secrets are filled in here */
	const struct feed_file *files; /* debug information that is here; borrowed */
	size_t n_files;
	uint64_t delivered; /* of SHAPED and MARK: the least number that a sink has */
	uint64_t marks[SINKS_MAX], told[SINKS_MAX]; /* windows that were marked; those that the last status tells of. They come by two ways, in any order */
	FILE *out; /* what happens, a JSON object a line */
};

/* Other waits than the product's, for tests that cannot wait that long; 0: the product's. Before feed_upload_start(). */
struct feed_policy {
	uint64_t slow_first_ns, pace_ns;
};
extern struct feed_policy feed_policy;

/* Fork it. Returns 0 or a negative errno. */
int feed_upload_start(struct feed_upload *u);

/* Read the files of secrets again, and tell it when they changed (or always). Returns 0 or a negative errno. */
int feed_upload_configure(struct feed_upload *u, bool always);

/* Tell it of a new window. */
void feed_upload_news(struct feed_upload *u);

/* Messages that are there. Returns 0, or a negative errno when the process has gone. */
int feed_upload_serve(struct feed_upload *u);

/* Whether it has still to say how what it marked went: a status a second is all that comes. */
bool feed_upload_is_untold(const struct feed_upload *u);

/* Its sockets are closed; waits for its end, at most wait_ms, then kills it. Returns its wait status. */
int feed_upload_stop(struct feed_upload *u, int wait_ms);

#endif
