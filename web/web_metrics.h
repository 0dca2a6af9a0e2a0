/* Metrics: names that Prometheus knows hearth by (docs/web.md). The agent fills those of its own, hearth-web adds its own and writes the text. */
#ifndef HEARTH_WEB_WEB_METRICS_H
#define HEARTH_WEB_WEB_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "web/web_protocol.h"

enum web_metric {
	METRIC_BUILD_INFO,
	METRIC_UPTIME_SECONDS,
	METRIC_SAMPLES,
	METRIC_TICKS,
	METRIC_DROPPED,
	METRIC_COMPLETE,
	METRIC_TRUNCATED,
	METRIC_WINDOWS,
	METRIC_WINDOW_SECONDS, /* labels: le's values, "sum", "count" */
	METRIC_RATE_HZ,
	METRIC_STATE,
	METRIC_CPUS,
	METRIC_CACHE_HITS,
	METRIC_CACHE_MISSES,
	METRIC_CACHE_BYTES,
	METRIC_CACHE_EVICTIONS,
	METRIC_NAMES_OPEN_IMAGES,
	METRIC_UNWIND_BYTES,
	METRIC_STORE_WINDOWS,
	METRIC_STORE_WAITING,
	METRIC_STORE_LOST,
	METRIC_STORE_KEPT,
	METRIC_STORE_BYTES,
	METRIC_STORE_EXPIRED,
	METRIC_STORE_EVICTED,
	METRIC_STORE_APPEND_SECONDS,
	METRIC_UPLOAD_SENT,
	METRIC_UPLOAD_DROPPED,
	METRIC_UPLOAD_BYTES,
	METRIC_UPLOAD_REQUESTS,
	METRIC_UPLOAD_ERRORS,
	METRIC_UPLOAD_WAITING,
	METRIC_CPU_SECONDS,
	METRIC_MEMORY_BYTES,
	METRIC_RESTARTS,
	METRIC_WEB_REQUESTS,
	METRIC_WEB_CONNECTIONS,
	METRIC_WEB_CONNECTIONS_REFUSED,
	METRIC_WEB_CONNECTIONS_LATE,
	METRIC_WEB_QUERIES,
	METRIC_WEB_QUERIES_NOW,
	METRIC_WEB_QUERY_PEAK_BYTES,
	METRIC_WEB_LOGINS_FAILED,
	METRICS
};

struct web_samples {
	struct web_sample list[WEB_SAMPLES_MAX];
	size_t n;
};

/* One more; left out when there is no room. label: NULL: none; it is made clean. */
void web_samples_add(struct web_samples *samples, enum web_metric metric, const char *label, double value);

/* Whether a sample of the other side is one. */
bool web_sample_is_sound(const struct web_sample *sample);

/* All of them, grouped by metric, with HELP and TYPE; Prometheus' text format 0.0.4, or OpenMetrics 1.0. Metrics without a sample are left out. Errors stay in the stream. */
void web_metrics_write(const struct web_samples *samples, bool is_open_metrics, FILE *stream);

#endif
