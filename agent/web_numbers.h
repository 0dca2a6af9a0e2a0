/* The numbers of /metrics that the agent knows (web/web_metrics.h). */
#ifndef HEARTH_AGENT_WEB_NUMBERS_H
#define HEARTH_AGENT_WEB_NUMBERS_H

#include <sys/types.h>

#include "agent/accounting.h"
#include "agent/session.h"
#include "agent/store_client.h"
#include "server-upload/upload_protocol.h"
#include "web/web_metrics.h"

#define WINDOW_TIMES_BUCKETS 10

/* How long windows took to end. */
struct window_times {
	uint64_t buckets[WINDOW_TIMES_BUCKETS + 1]; /* not cumulative; the last one: longer than all bounds */
	uint64_t n;
	double sum_s;
};

void window_times_add(struct window_times *t, uint64_t ns);

void web_numbers_windows(struct web_samples *samples, const struct accounting *total, const struct window_times *times);
void web_numbers_session(struct web_samples *samples, const struct session_stats *stats);
void web_numbers_store(struct web_samples *samples, const struct store_client_stats *stats);
/* passed_over: windows that did not get there for a budget; waiting: in the store. */
void web_numbers_sink(struct web_samples *samples, const char *sink, const struct upload_status *status, uint64_t passed_over, uint64_t waiting);

/* CPU time and memory of one process of ours. pid: 0: its memory is not known. */
void web_numbers_process(struct web_samples *samples, const char *name, pid_t pid, uint64_t cpu_ns, uint64_t deaths);

#endif
