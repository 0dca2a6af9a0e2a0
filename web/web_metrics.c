#include "web/web_metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_clean.h"

enum kind { COUNTER, GAUGE, HISTOGRAM };

/* Names: Prometheus' habits; a counter's ends in _total. */
static const struct {
	const char *name;
	enum kind kind;
	const char *label; /* NULL: none */
	const char *help;
} TABLE[METRICS] = {
	[METRIC_BUILD_INFO] = {"hearth_build_info", GAUGE, "version", "1; the version is its label."},
	[METRIC_UPTIME_SECONDS] = {"hearth_uptime_seconds", GAUGE, NULL, "Since the agent began."},
	[METRIC_SAMPLES] = {"hearth_samples_total", COUNTER, NULL, "Samples in profiles."},
	[METRIC_TICKS] = {"hearth_ticks_total", COUNTER, NULL, "Ticks that were asked for: samples and those that were dropped."},
	[METRIC_DROPPED] = {"hearth_dropped_total", COUNTER, "reason", "Ticks that are in no profile."},
	[METRIC_COMPLETE] = {"hearth_complete_total", COUNTER, NULL, "Samples whose stack is complete."},
	[METRIC_TRUNCATED] = {"hearth_truncated_total", COUNTER, "reason", "Samples whose stack ends early."},
	[METRIC_WINDOWS] = {"hearth_windows_total", COUNTER, NULL, "Windows that ended."},
	[METRIC_WINDOW_SECONDS] = {"hearth_window_seconds", HISTOGRAM, "le", "What ending a window took: drain, fold, names, encoding."},
	[METRIC_RATE_HZ] = {"hearth_rate_hertz", GAUGE, NULL, "Samples a second on each CPU, now."},
	[METRIC_STATE] = {"hearth_state", GAUGE, "state", "1 for the state that it is in: sampling, paused, boosted, left_out."},
	[METRIC_CPUS] = {"hearth_cpus", GAUGE, NULL, "CPUs that are sampled."},
	[METRIC_CACHE_HITS] = {"hearth_cache_hits_total", COUNTER, "cache", "Look-ups that found something."},
	[METRIC_CACHE_MISSES] = {"hearth_cache_misses_total", COUNTER, "cache", "Look-ups that found nothing."},
	[METRIC_CACHE_BYTES] = {"hearth_cache_bytes", GAUGE, "cache", "What a cache holds."},
	[METRIC_CACHE_EVICTIONS] = {"hearth_cache_evictions_total", COUNTER, "cache", "Entries that went for its budget."},
	[METRIC_NAMES_OPEN_IMAGES] = {"hearth_name_tables_open", GAUGE, NULL, "Name tables of executables that are open."},
	[METRIC_UNWIND_BYTES] = {"hearth_unwind_table_bytes", GAUGE, NULL, "Kernel memory that unwind tables use."},
	[METRIC_STORE_WINDOWS] = {"hearth_store_windows_total", COUNTER, NULL, "Windows that were stored."},
	[METRIC_STORE_WAITING] = {"hearth_store_waiting_windows", GAUGE, NULL, "Windows that wait in memory to be stored."},
	[METRIC_STORE_LOST] = {"hearth_store_lost_windows_total", COUNTER, NULL, "Windows that could not be stored."},
	[METRIC_STORE_KEPT] = {"hearth_store_kept_windows", GAUGE, NULL, "Windows in the store."},
	[METRIC_STORE_BYTES] = {"hearth_store_bytes", GAUGE, NULL, "What the store's files take."},
	[METRIC_STORE_EXPIRED] = {"hearth_store_expired_windows_total", COUNTER, NULL, "Windows that went by age, since hearth-store began."},
	[METRIC_STORE_EVICTED] = {"hearth_store_evicted_windows_total", COUNTER, NULL, "Windows that went for the budget, since hearth-store began."},
	[METRIC_STORE_APPEND_SECONDS] = {"hearth_store_append_seconds", GAUGE, NULL, "What writing the last window took."},
	[METRIC_UPLOAD_SENT] = {"hearth_upload_windows_total", COUNTER, "sink", "Windows that a server has got."},
	[METRIC_UPLOAD_DROPPED] = {"hearth_upload_dropped_windows_total", COUNTER, "sink", "Windows that a server refused, or that were passed over."},
	[METRIC_UPLOAD_BYTES] = {"hearth_upload_bytes_total", COUNTER, "sink", "Bodies of requests, as they were sent."},
	[METRIC_UPLOAD_REQUESTS] = {"hearth_upload_requests_total", COUNTER, "sink", "Requests."},
	[METRIC_UPLOAD_ERRORS] = {"hearth_upload_retries_total", COUNTER, "sink", "Requests that failed and were sent again."},
	[METRIC_UPLOAD_WAITING] = {"hearth_upload_waiting_windows", GAUGE, "sink", "Windows that wait for a server."},
	[METRIC_CPU_SECONDS] = {"hearth_cpu_seconds_total", COUNTER, "process", "hearth's own CPU time; sampling: of the kernel program."},
	[METRIC_MEMORY_BYTES] = {"hearth_resident_bytes", GAUGE, "process", "hearth's own memory."},
	[METRIC_RESTARTS] = {"hearth_restarts_total", COUNTER, "process", "Deaths of a process of hearth's."},
	[METRIC_WEB_REQUESTS] = {"hearth_web_requests_total", COUNTER, "status", "Requests that were answered, since hearth-web began; as the following."},
	[METRIC_WEB_CONNECTIONS] = {"hearth_web_connections", GAUGE, NULL, "Connections now."},
	[METRIC_WEB_CONNECTIONS_REFUSED] = {"hearth_web_refused_connections_total", COUNTER, NULL, "Connections above the limits."},
	[METRIC_WEB_CONNECTIONS_LATE] = {"hearth_web_late_connections_total", COUNTER, NULL, "Connections that were closed because they were slow."},
	[METRIC_WEB_QUERIES] = {"hearth_web_queries_total", COUNTER, "outcome",
				"Queries of the store; crashed, over_cpu and over_time: their process died or was killed."},
	[METRIC_WEB_QUERIES_NOW] = {"hearth_web_current_queries", GAUGE, "state", "Queries now."},
	[METRIC_WEB_QUERY_PEAK_BYTES] = {"hearth_web_query_peak_bytes", GAUGE, NULL, "The most memory that the process of a query had."},
	[METRIC_WEB_LOGINS_FAILED] = {"hearth_web_failed_logins_total", COUNTER, NULL, "Wrong tokens."},
};

void web_samples_add(struct web_samples *samples, enum web_metric metric, const char *label, double value)
{
	if (samples->n == WEB_SAMPLES_MAX)
		return;
	struct web_sample *s = &samples->list[samples->n++];
	*s = (struct web_sample){.metric = metric, .value = value};
	if (label)
		text_clean(label, strlen(label), s->label, sizeof(s->label));
}

bool web_sample_is_sound(const struct web_sample *sample)
{
	const char *end = memchr(sample->label, 0, sizeof(sample->label));

	return sample->metric < METRICS && end && text_is_clean(sample->label, (size_t)(end - sample->label));
}

static void write_label(const char *value, FILE *stream)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			fputc('\\', stream);
		fputc(*value, stream);
	}
}

/* As short as it can be and be the same when it is read. */
static void write_number(double value, FILE *stream)
{
	char text[40];

	if (fabs(value) < 1e15 && value == (double)(int64_t)value) {
		fprintf(stream, "%" PRId64, (int64_t)value);
		return;
	}
	snprintf(text, sizeof(text), "%.15g", value);
	if (strtod(text, NULL) != value)
		snprintf(text, sizeof(text), "%.17g", value);
	fputs(text, stream);
}

static void write_sample(const struct web_sample *s, FILE *stream)
{
	const char *name = TABLE[s->metric].name, *label = TABLE[s->metric].label;
	bool is_histogram = TABLE[s->metric].kind == HISTOGRAM, is_part = is_histogram && (strcmp(s->label, "sum") == 0 || strcmp(s->label, "count") == 0);

	fputs(name, stream);
	if (is_part)
		fprintf(stream, "_%s", s->label);
	else if (is_histogram)
		fputs("_bucket", stream);
	if (label && !is_part) {
		fprintf(stream, "{%s=\"", label);
		write_label(s->label, stream);
		fputs("\"}", stream);
	}
	fputc(' ', stream);
	write_number(s->value, stream);
	fputc('\n', stream);
}

void web_metrics_write(const struct web_samples *samples, bool is_open_metrics, FILE *stream)
{
	static const char *const KINDS[] = {[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};

	for (unsigned metric = 0; metric < METRICS; metric++) {
		bool is_begun = false;
		/* OpenMetrics: the family of a counter has no "_total". */
		int n = (int)strlen(TABLE[metric].name) - (is_open_metrics && TABLE[metric].kind == COUNTER ? 6 : 0);
		for (size_t i = 0; i < samples->n; i++) {
			if (samples->list[i].metric != metric || !isfinite(samples->list[i].value))
				continue;
			if (!is_begun)
				fprintf(stream, "# HELP %.*s %s\n# TYPE %.*s %s\n", n, TABLE[metric].name, TABLE[metric].help, n, TABLE[metric].name,
					KINDS[TABLE[metric].kind]);
			is_begun = true;
			write_sample(&samples->list[i], stream);
		}
	}
	if (is_open_metrics)
		fputs("# EOF\n", stream);
}
