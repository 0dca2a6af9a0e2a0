#include "agent/web_numbers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"

/* Bounds of the histogram, and how Prometheus is told of them. */
static const struct {
	uint64_t ns;
	const char *text;
} BOUNDS[WINDOW_TIMES_BUCKETS] = {
	{10 * NS_PER_MS, "0.01"}, {25 * NS_PER_MS, "0.025"}, {50 * NS_PER_MS, "0.05"}, {100 * NS_PER_MS, "0.1"}, {250 * NS_PER_MS, "0.25"},
	{500 * NS_PER_MS, "0.5"}, {1000 * NS_PER_MS, "1.0"}, {2500 * NS_PER_MS, "2.5"}, {5000 * NS_PER_MS, "5.0"}, {10000 * NS_PER_MS, "10.0"},
};

void window_times_add(struct window_times *t, uint64_t ns)
{
	size_t i = 0;

	while (i < WINDOW_TIMES_BUCKETS && ns > BOUNDS[i].ns)
		i++;
	t->buckets[i]++;
	t->n++;
	t->sum_s += (double)ns / 1e9;
}

static void add_times(struct web_samples *samples, const struct window_times *t)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < WINDOW_TIMES_BUCKETS; i++) {
		sum += t->buckets[i];
		web_samples_add(samples, METRIC_WINDOW_SECONDS, BOUNDS[i].text, (double)sum);
	}
	web_samples_add(samples, METRIC_WINDOW_SECONDS, "+Inf", (double)t->n);
	web_samples_add(samples, METRIC_WINDOW_SECONDS, "sum", t->sum_s);
	web_samples_add(samples, METRIC_WINDOW_SECONDS, "count", (double)t->n);
}

void web_numbers_windows(struct web_samples *samples, const struct accounting *total, const struct window_times *times)
{
	web_samples_add(samples, METRIC_SAMPLES, NULL, (double)total->samples);
	web_samples_add(samples, METRIC_TICKS, NULL, (double)accounting_ticks(total));
	for (int i = 0; i < ACCOUNT_DROPS; i++)
		web_samples_add(samples, METRIC_DROPPED, accounting_drop_name((enum account_drop)i), (double)total->dropped[i]);
	web_samples_add(samples, METRIC_COMPLETE, NULL, (double)total->complete);
	for (int i = 0; i < ACCOUNT_CUTS; i++)
		web_samples_add(samples, METRIC_TRUNCATED, accounting_cut_name((enum account_cut)i), (double)total->cut[i]);
	web_samples_add(samples, METRIC_WINDOWS, NULL, (double)total->windows);
	add_times(samples, times);
	web_samples_add(samples, METRIC_CPU_SECONDS, "sampling", (double)total->program_ns / 1e9);
}

/* 0: it is not known. */
static uint64_t resident_bytes(pid_t pid)
{
	char path[48];
	uint64_t pages = 0;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	return file && fscanf(file, "%*u %" SCNu64, &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void add_memory(struct web_samples *samples, const char *process, pid_t pid)
{
	uint64_t bytes = pid ? resident_bytes(pid) : 0;

	if (bytes)
		web_samples_add(samples, METRIC_MEMORY_BYTES, process, (double)bytes);
}

void web_numbers_session(struct web_samples *samples, const struct session_stats *stats)
{
	const struct {
		const char *name;
		uint64_t hits, misses, bytes, evictions;
	} caches[] = {
		{"frames", stats->frame_cache.hits, stats->frame_cache.misses, stats->frame_cache.bytes, stats->frame_cache.generations},
		{"name_tables", stats->name_cache.hits, stats->name_cache.misses, stats->name_cache.bytes, stats->name_cache.evicted},
	};

	for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
		web_samples_add(samples, METRIC_CACHE_HITS, caches[i].name, (double)caches[i].hits);
		web_samples_add(samples, METRIC_CACHE_MISSES, caches[i].name, (double)caches[i].misses);
		web_samples_add(samples, METRIC_CACHE_BYTES, caches[i].name, (double)caches[i].bytes);
		web_samples_add(samples, METRIC_CACHE_EVICTIONS, caches[i].name, (double)caches[i].evictions);
	}
	web_samples_add(samples, METRIC_CACHE_EVICTIONS, "symbols", (double)stats->symbolizer.symtabs_evicted);
	web_samples_add(samples, METRIC_CACHE_BYTES, "symbols", (double)stats->symbolizer.symtab_bytes);
	web_samples_add(samples, METRIC_CACHE_EVICTIONS, "unwind_tables", (double)stats->unwinder.images.evicted);
	web_samples_add(samples, METRIC_CACHE_BYTES, "unwind_tables", (double)stats->unwinder.memory_used);
	web_samples_add(samples, METRIC_NAMES_OPEN_IMAGES, NULL, (double)stats->name_tables.open);
	web_samples_add(samples, METRIC_RESTARTS, "names", (double)stats->symbolizer.worker_restarts);
	web_samples_add(samples, METRIC_UNWIND_BYTES, NULL, (double)stats->unwinder.memory_allocated);
	web_samples_add(samples, METRIC_CPUS, NULL, stats->cpus);
	web_samples_add(samples, METRIC_CPU_SECONDS, "names", (double)stats->symbolizer.worker_cpu_ns / 1e9);
	add_memory(samples, "names", stats->symbolizer.worker_pid);
	web_samples_add(samples, METRIC_CPU_SECONDS, "compile", (double)stats->name_tables.compile_cpu_ns / 1e9);
}

void web_numbers_store(struct web_samples *samples, const struct store_client_stats *stats)
{
	const struct store_stats *store = &stats->report.store;

	web_samples_add(samples, METRIC_STORE_WINDOWS, NULL, (double)stats->stored);
	web_samples_add(samples, METRIC_STORE_WAITING, NULL, (double)stats->waiting);
	web_samples_add(samples, METRIC_STORE_LOST, NULL, (double)stats->dropped);
	web_samples_add(samples, METRIC_STORE_KEPT, NULL, (double)store->windows);
	web_samples_add(samples, METRIC_STORE_BYTES, NULL, (double)store->bytes);
	web_samples_add(samples, METRIC_STORE_EXPIRED, NULL, (double)store->windows_expired);
	web_samples_add(samples, METRIC_STORE_EVICTED, NULL, (double)store->windows_evicted);
	web_samples_add(samples, METRIC_STORE_APPEND_SECONDS, NULL, (double)store->append_ns_last / 1e9);
}

void web_numbers_sink(struct web_samples *samples, const char *sink, const struct upload_status *status, uint64_t passed_over, uint64_t waiting)
{
	web_samples_add(samples, METRIC_UPLOAD_SENT, sink, (double)status->windows_sent);
	web_samples_add(samples, METRIC_UPLOAD_DROPPED, sink, (double)(status->windows_dropped + passed_over));
	web_samples_add(samples, METRIC_UPLOAD_BYTES, sink, (double)status->bytes_sent);
	web_samples_add(samples, METRIC_UPLOAD_REQUESTS, sink, (double)status->requests);
	web_samples_add(samples, METRIC_UPLOAD_ERRORS, sink, (double)status->retries);
	web_samples_add(samples, METRIC_UPLOAD_WAITING, sink, (double)waiting);
}

void web_numbers_process(struct web_samples *samples, const char *name, pid_t pid, uint64_t cpu_ns, uint64_t deaths)
{
	if (cpu_ns)
		web_samples_add(samples, METRIC_CPU_SECONDS, name, (double)cpu_ns / 1e9);
	add_memory(samples, name, pid);
	web_samples_add(samples, METRIC_RESTARTS, name, (double)deaths);
}
