#include "web/web_pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/scope.h"
#include "web/gzip_copy.h"

#define STATE_WINDOWS 3		   /* without news: the agent hangs */
#define STATE_LEAST_NS (30 * NS_PER_S) /* it speaks every ten seconds */

struct MHD_Response *page_sentence(const struct web_site *site, const struct web_reply *reply, bool is_json, const char *sentence)
{
	struct web_reply r = *reply;
	char text[512];

	r.content_type = is_json ? "application/json" : "text/plain; charset=utf-8";
	int n = snprintf(text, sizeof(text), is_json ? "{\"error\":\"%s\"}\n" : "%s\n", sentence);
	return web_reply_text(site->mhd, &r, text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

struct MHD_Response *page_asset(const struct web_site *site, const struct web_asset *asset, bool wants_gzip, const char *if_none_match, struct web_reply *reply)
{
	uint8_t *bytes;

	reply->content_type = asset->content_type;
	reply->etag = asset->etag;
	if (!reply->cache)
		reply->cache = asset->is_immutable ? "public, max-age=31536000, immutable" : "no-cache";
	if (reply->status == MHD_HTTP_OK && if_none_match && strstr(if_none_match, asset->etag)) {
		reply->status = MHD_HTTP_NOT_MODIFIED;
		return web_reply_static(site->mhd, reply, "", 0);
	}
	reply->is_gzip = wants_gzip;
	if (wants_gzip)
		return web_reply_static(site->mhd, reply, asset->packed, (size_t)(asset->packed_end - asset->packed));
	if (gzip_expand(asset->packed, (size_t)(asset->packed_end - asset->packed), asset->bytes, &bytes) < 0)
		return NULL;
	return web_reply_owned(site->mhd, reply, bytes, asset->bytes);
}

/* --- metrics ----------------------------------------------------------------------------------------------------- */

static void add_requests(const struct web_site *site, struct web_samples *samples)
{
	char status[8];

	for (unsigned i = 0; i < STATUSES_MAX; i++) {
		snprintf(status, sizeof(status), "%u", i);
		if (site->statuses[i])
			web_samples_add(samples, METRIC_WEB_REQUESTS, status, (double)site->statuses[i]);
	}
}

static void add_queries(const struct web_site *site, struct web_samples *samples)
{
	static const char *const OUTCOMES[QUERY_OUTCOMES] = {
		[QUERY_ANSWERED] = "answered", [QUERY_FAILED] = "failed", [QUERY_OVER_CPU] = "over_cpu",
		[QUERY_OVER_TIME] = "over_time", [QUERY_CRASHED] = "crashed", [QUERY_CANCELLED] = "cancelled",
	};
	struct query_queue_stats stats;

	query_queue_stats(site->queue, &stats);
	for (size_t i = 0; i < QUERY_OUTCOMES; i++)
		web_samples_add(samples, METRIC_WEB_QUERIES, OUTCOMES[i], (double)stats.outcomes[i]);
	web_samples_add(samples, METRIC_WEB_QUERIES, "refused", (double)stats.refused);
	web_samples_add(samples, METRIC_WEB_QUERIES, "late", (double)stats.late);
	web_samples_add(samples, METRIC_WEB_QUERIES_NOW, "running", stats.running);
	web_samples_add(samples, METRIC_WEB_QUERIES_NOW, "waiting", stats.waiting);
	web_samples_add(samples, METRIC_WEB_QUERY_PEAK_BYTES, NULL, (double)stats.peak_bytes);
	web_samples_add(samples, METRIC_CPU_SECONDS, "query", (double)stats.cpu_ns / 1e9);
}

/* hearth-web's own; the agent's are there. */
static void add_own(const struct web_site *site, struct web_samples *samples)
{
	struct answer_cache_stats cache;
	struct rusage usage;

	answer_cache_stats(site->cache, &cache);
	web_samples_add(samples, METRIC_CACHE_HITS, "answers", (double)cache.hits);
	web_samples_add(samples, METRIC_CACHE_MISSES, "answers", (double)cache.misses);
	web_samples_add(samples, METRIC_CACHE_BYTES, "answers", (double)cache.bytes);
	web_samples_add(samples, METRIC_CACHE_EVICTIONS, "answers", (double)cache.evicted);
	add_requests(site, samples);
	add_queries(site, samples);
	web_samples_add(samples, METRIC_WEB_CONNECTIONS, NULL, (double)site->peers.n);
	web_samples_add(samples, METRIC_WEB_CONNECTIONS_REFUSED, NULL, (double)site->peers.refused);
	web_samples_add(samples, METRIC_WEB_CONNECTIONS_LATE, NULL, (double)site->peers.late);
	web_samples_add(samples, METRIC_WEB_LOGINS_FAILED, NULL, (double)site->logins_failed);
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		web_samples_add(samples, METRIC_CPU_SECONDS, "web",
				(double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

struct MHD_Response *page_metrics(const struct web_site *site, bool is_open_metrics)
{
	const struct web_reply reply = {.status = MHD_HTTP_OK,
					.content_type = is_open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8" :
									  "text/plain; version=0.0.4; charset=utf-8"};
	AUTO_FREE struct web_samples *samples = malloc(sizeof(*samples));
	char *text = NULL;
	size_t n = 0;

	FILE *stream = samples ? open_memstream(&text, &n) : NULL;
	if (!stream)
		return NULL;
	*samples = site->state.samples;
	add_own(site, samples);
	web_metrics_write(samples, is_open_metrics, stream);
	if (fclose(stream) != 0) {
		free(text);
		return NULL;
	}
	return web_reply_owned(site->mhd, &reply, text, n);
}

/* --- health ------------------------------------------------------------------------------------------------------ */

struct MHD_Response *page_health(const struct web_site *site)
{
	return page_sentence(site, &(struct web_reply){.status = MHD_HTTP_OK}, false, "ok");
}

struct MHD_Response *page_ready(const struct web_site *site, unsigned *status_out)
{
	uint64_t limit_ns = STATE_WINDOWS * site->options.window_ns, age_ns = clock_ns(CLOCK_MONOTONIC) - site->state_ns;
	const char *why = NULL;

	if (limit_ns < STATE_LEAST_NS)
		limit_ns = STATE_LEAST_NS;
	if (!site->state_ns)
		why = "the agent has not said how it goes yet";
	else if (age_ns > limit_ns)
		why = "the agent has not said how it goes for some time";
	else if (!site->state.head.is_ready)
		why = site->state.head.why[0] ? site->state.head.why : "not ready";
	*status_out = why ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
	return page_sentence(site, &(struct web_reply){.status = *status_out, .retry_after_s = why ? 10 : 0}, false, why ? why : "ok");
}
