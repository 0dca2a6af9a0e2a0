/* hearth-web's side of hearth-query: queries that run or wait (web/query_protocol.h). Not thread-safe. */
#ifndef HEARTH_WEB_QUERY_QUEUE_H
#define HEARTH_WEB_QUERY_QUEUE_H

#include "web/query_protocol.h"

#define QUERIES_WAITING_MAX 32
#define QUERY_PATIENCE_NS   (20 * 1000000000ull) /* that one waits for its turn */

struct query_queue;

struct query_result {
	const struct query_done *done; /* checked */
	bool is_late; /* it has not had its turn in time: done is NULL */
	int fd;	      /* the body; taken over by who is told; -1: none */
	uint64_t bytes;
};

/* What became of a query that was not cancelled. */
typedef void query_result_fn(void *context, void *asker, const struct query_result *result);

struct query_queue_stats {
	uint64_t outcomes[QUERY_OUTCOMES];
	uint64_t refused, late; /* no room; not in time */
	uint64_t cpu_ns, peak_bytes; /* hearth-query's and its children's; the largest child */
	unsigned running, waiting;   /* now */
};

/* socket: taken over, also on failure. */
int query_queue_create(int socket, query_result_fn *fn, void *context, struct query_queue **queue_out);

/* asker: given back with the result. serial_out: for cancelling. Returns 0, -EBUSY (QUERIES_WAITING_MAX wait), or another negative errno. */
int query_queue_add(struct query_queue *q, const struct web_request *request, bool wants_gzip, void *asker, uint64_t *serial_out);

/* Nobody waits for it any more; fn is not called. */
void query_queue_cancel(struct query_queue *q, uint64_t serial);

/* text: of n bytes; what queries are told from now on. */
void query_queue_state(struct query_queue *q, const char *text, size_t n);

int query_queue_fd(const struct query_queue *q);
uint64_t query_queue_due_ns(const struct query_queue *q); /* CLOCK_MONOTONIC; UINT64_MAX: never */

/* Returns 0, or -EPIPE: hearth-query is gone. */
int query_queue_work(struct query_queue *q);

void query_queue_stats(const struct query_queue *q, struct query_queue_stats *stats_out);
void query_queue_destroy(struct query_queue *q); /* NULL is legal */

#endif
