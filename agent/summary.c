#include "agent/summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/stack_report.h"
#include "base/json_writer.h"
#include "base/scope.h"
#include "pprof/format_value.h"
#include "pprof/render.h"

#define INCOMPLETE_MAX 3 /* programs that the summary names */
#define JIT_PER_MILLE  10 /* JIT code without names in fewer samples is not spoken of */

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

static void write_drops(const struct accounting *a, FILE *stream)
{
	uint64_t dropped = accounting_dropped(a);

	fprintf(stream, "  dropped   %" PRIu64, dropped);
	for (int i = 0; i < ACCOUNT_DROPS; i++)
		if (a->dropped[i])
			fprintf(stream, ", %s %" PRIu64 " (%.2f %%)", accounting_drop_name((enum account_drop)i), a->dropped[i],
				percent(a->dropped[i], accounting_ticks(a)));
	fputc('\n', stream);
}

static void write_stacks(const struct accounting *a, FILE *stream)
{
	fprintf(stream, "  stacks    complete %.2f %%", percent(a->complete, a->samples));
	if (accounting_truncated(a)) {
		fprintf(stream, ", truncated %.2f %%:", percent(accounting_truncated(a), a->samples));
		for (int i = 0; i < ACCOUNT_CUTS; i++)
			if (a->cut[i])
				fprintf(stream, " %s %.2f %%", accounting_cut_name((enum account_cut)i),
					percent(a->cut[i], a->samples));
	}
	fputc('\n', stream);
}

/* The programs with the most truncated stacks. */
static void write_incomplete(const struct profile *profile, FILE *stream)
{
	AUTO_FREE struct stack_report_row *rows = NULL;
	size_t n;

	if (stack_report(profile, &rows, &n) < 0 || n < 2)
		return;
	for (size_t i = 0; i < n && i < INCOMPLETE_MAX && rows[i].complete < rows[i].samples; i++) {
		fprintf(stream, "            %s: complete %.2f %% of %" PRIu64, rows[i].process,
			percent(rows[i].complete, rows[i].samples), rows[i].samples);
		for (int cut = 0; cut < ACCOUNT_CUTS; cut++)
			if (rows[i].cut[cut])
				fprintf(stream, ", %s %.2f %%", accounting_cut_name((enum account_cut)cut),
					percent(rows[i].cut[cut], rows[i].samples));
		fputc('\n', stream);
	}
}

/* Only when the process that reads binaries had to be started again. */
static void write_symbolizer(const struct symbolizer_stats *y, FILE *stream)
{
	if (y->worker_restarts)
		fprintf(stream, "  names     the process that reads binaries died or was ended %" PRIu64 " times (%" PRIu64 " too slow, %" PRIu64
				" wrong answers); %" PRIu64 " files were set aside\n",
			y->worker_restarts, y->worker_timeouts, y->replies_rejected, y->images_set_aside);
	else if (y->worker_pauses)
		fprintf(stream, "  names     there was no process that reads binaries; 'hearth check' tells more\n");
}

/* Only what is worth a line: files whose frames have no inlined calls and lines yet, or will not get them. */
static void write_names(const struct name_tables_stats *t, FILE *stream)
{
	if (t->queued)
		fprintf(stream, "  names     the debug information of %" PRIu64 " files was not read in time; --names-wait waits longer\n",
			t->queued);
	if (t->failed)
		fprintf(stream, "  names     the debug information of %" PRIu64 " files could not be read: %" PRIu64 " took too long, %" PRIu64
				" ended their reader\n", t->failed, t->timed_out, t->crashed);
}

/* The programs with the most JIT code that has no name, and what to run. */
static void write_jit(const struct summary *s, FILE *stream)
{
	const struct jit_report_row *row;
	char text[512];

	for (int i = 0; i < INCOMPLETE_MAX && (row = jit_report_next(s->jit, s->account->samples, JIT_PER_MILLE)); i++) {
		jit_report_describe(row, text, sizeof(text));
		fprintf(stream, "  %s     %s\n", i ? "   " : "JIT", text);
	}
}

void summary_write_text(const struct summary *s, FILE *stream)
{
	const struct accounting *a = s->account;

	fprintf(stream, "%" PRIu64 " samples of %" PRIu64 " ticks in %.1f s (%s, ", a->samples, accounting_ticks(a),
		(double)s->duration_ns / 1e9, s->event->name);
	if (s->event->is_time)
		fprintf(stream, "%" PRIu64 " Hz, ", s->rate_hz);
	else
		fprintf(stream, "every %" PRIu64 ", ", s->period);
	fprintf(stream, "%d CPUs)\n", s->stats->cpus);
	write_drops(a, stream);
	write_stacks(a, stream);
	write_incomplete(s->profile, stream);
	write_names(&s->stats->name_tables, stream);
	write_symbolizer(&s->stats->symbolizer, stream);
	write_jit(s, stream);
	if (s->stats->children_lost)
		fprintf(stream, "  children  %" PRIu64 " could not be followed: too many processes\n", s->stats->children_lost);
	if (!accounting_holds(a))
		fprintf(stream, "  the accounting does not add up: ticks are not samples + dropped; please report this\n");
	for (size_t i = 0; i < s->n_files; i++) {
		struct stat status;
		if (strcmp(s->files[i], "-") != 0 && stat(s->files[i], &status) == 0)
			fprintf(stream, "  %s   %s (%" PRId64 " KiB)\n", i ? "       " : "written", s->files[i],
				((int64_t)status.st_size + 1023) / 1024);
	}
}

static void write_json_stacks(const struct accounting *a, struct json_writer *w)
{
	json_object_begin(w, "stacks");
	json_uint(w, "complete", a->complete);
	json_object_begin(w, "truncated");
	for (int i = 0; i < ACCOUNT_CUTS; i++)
		if (a->cut[i])
			json_uint(w, accounting_cut_name((enum account_cut)i), a->cut[i]);
	json_object_end(w);
	json_uint(w, "user", a->user_samples);
	json_uint(w, "image_known", a->image_known);
	json_object_end(w);
}

static void write_json_processes(const struct profile *profile, struct json_writer *w)
{
	AUTO_FREE struct stack_report_row *rows = NULL;
	size_t n = 0;

	json_array_begin(w, "processes");
	if (stack_report(profile, &rows, &n) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		json_object_begin(w, NULL);
		json_string(w, "process", rows[i].process);
		json_uint(w, "samples", rows[i].samples);
		json_uint(w, "complete", rows[i].complete);
		json_object_begin(w, "truncated");
		for (int cut = 0; cut < ACCOUNT_CUTS; cut++)
			if (rows[i].cut[cut])
				json_uint(w, accounting_cut_name((enum account_cut)cut), rows[i].cut[cut]);
		json_object_end(w);
		json_object_end(w);
	}
	json_array_end(w);
}

static void write_json_unwind(const struct summary *s, struct json_writer *w)
{
	const struct unwinder_stats *u = &s->stats->unwinder;

	json_object_begin(w, "unwind");
	json_uint(w, "budget_bytes", u->memory_budget);
	json_uint(w, "allocated_bytes", u->memory_allocated);
	json_uint(w, "used_bytes", u->memory_used);
	json_uint(w, "tables", u->images.resident);
	json_uint(w, "table_bytes", u->images.table_bytes);
	json_uint(w, "tables_loaded", u->images.loaded);
	json_uint(w, "tables_evicted", u->images.evicted);
	json_uint(w, "tables_refused", u->images.refused);
	json_uint(w, "tables_failed", u->images.failed);
	json_uint(w, "address_spaces", u->spaces.mapsets);
	json_uint(w, "address_spaces_built", u->spaces.built);
	json_uint(w, "address_spaces_evicted", u->spaces.evicted);
	json_uint(w, "address_spaces_refused", u->spaces.refused);
	json_uint(w, "address_spaces_cut", u->spaces.cut);
	json_uint(w, "deferred", s->account->deferred);
	json_uint(w, "deferred_no_room", s->account->deferred_no_room);
	json_uint(w, "deferred_complete", u->walks.complete);
	json_uint(w, "deferred_by_libunwind", u->walks.by_libunwind);
	json_uint(w, "deferred_inferred", u->walks.inferred);
	json_uint(w, "requests", u->requests);
	json_object_end(w);
}

static void write_json_names(const struct session_stats *stats, struct json_writer *w)
{
	const struct name_tables_stats *t = &stats->name_tables;
	const struct frame_cache_stats *f = &stats->frame_cache;
	const struct name_cache_stats *c = &stats->name_cache;
	const struct debug_downloads_stats *d = &stats->downloads;

	json_object_begin(w, "names");
	json_uint(w, "images", t->known);
	json_uint(w, "tables_open", t->open);
	json_uint(w, "tables_memory_bytes", t->memory_bytes);
	json_uint(w, "tables_queued", t->queued);
	json_uint(w, "tables_from_cache", t->from_cache);
	json_uint(w, "tables_compiled", t->compiled);
	json_uint(w, "tables_compile_ns", t->compile_ns);
	json_uint(w, "tables_compile_cpu_ns", t->compile_cpu_ns);
	json_uint(w, "tables_compiled_bytes", t->compiled_bytes);
	json_uint(w, "tables_lacking", t->lacking);
	json_uint(w, "parts_damaged", t->parts_damaged);
	json_uint(w, "over_limits", t->over_limits);
	json_uint(w, "files_missing", t->files_missing);
	json_uint(w, "tables_failed", t->failed);
	json_uint(w, "tables_timed_out", t->timed_out);
	json_uint(w, "tables_crashed", t->crashed);
	json_uint(w, "tables_damaged", t->damaged);
	json_uint(w, "tables_closed", t->closed);
	json_uint(w, "tables_forgotten", t->forgotten);
	json_uint(w, "images_set_aside", t->set_aside);
	json_uint(w, "images_gone", t->gone);
	json_uint(w, "images_displaced", t->displaced);
	json_uint(w, "files_opened", t->files_opened);
	json_uint(w, "files_refused", t->files_refused);
	json_uint(w, "frames_held", f->entries);
	json_uint(w, "frames_bytes", f->bytes);
	json_uint(w, "frames_hits", f->hits);
	json_uint(w, "frames_misses", f->misses);
	json_uint(w, "cache_files", c->files);
	json_uint(w, "cache_bytes", c->bytes);
	json_uint(w, "cache_budget_bytes", c->budget_bytes);
	json_uint(w, "cache_hits", c->hits);
	json_uint(w, "cache_misses", c->misses);
	json_uint(w, "cache_stored", c->stored);
	json_uint(w, "cache_store_failed", c->store_failed);
	json_uint(w, "cache_too_large", c->too_large);
	json_uint(w, "cache_evicted", c->evicted);
	json_uint(w, "cache_damaged", c->damaged);
	json_uint(w, "cache_leftovers", c->leftovers);
	json_object_begin(w, "debuginfod");
	json_uint(w, "files", d->files);
	json_uint(w, "bytes", d->bytes);
	json_uint(w, "budget_bytes", d->budget_bytes);
	json_uint(w, "queued", d->queued);
	json_uint(w, "fetched", d->fetched);
	json_uint(w, "fetched_bytes", d->fetched_bytes);
	json_uint(w, "missing", d->missing);
	json_uint(w, "failed", d->failed);
	json_uint(w, "refused", d->refused);
	json_uint(w, "too_large", d->too_large);
	json_uint(w, "given_up", d->given_up);
	json_uint(w, "useless", d->useless);
	json_uint(w, "displaced", d->displaced);
	json_uint(w, "evicted", d->evicted);
	json_object_end(w);
	json_object_end(w);
}

static void write_json_symbolizer(const struct symbolizer_stats *y, struct json_writer *w)
{
	json_object_begin(w, "symbolizer");
	json_uint(w, "cpu_ns", y->worker_cpu_ns);
	json_uint(w, "restarts", y->worker_restarts);
	json_uint(w, "timeouts", y->worker_timeouts);
	json_uint(w, "replies_rejected", y->replies_rejected);
	json_uint(w, "pauses", y->worker_pauses);
	json_uint(w, "images_set_aside", y->images_set_aside);
	json_uint(w, "requests_refused", y->requests_refused);
	json_uint(w, "requests_late", y->requests_late);
	json_uint(w, "descriptors_extra", y->descriptors_extra);
	json_uint(w, "images_read", y->images_read);
	json_uint(w, "images_rejected", y->images_rejected);
	json_uint(w, "symbol_tables_read", y->symtabs_read);
	json_uint(w, "symbol_tables_evicted", y->symtabs_evicted);
	json_uint(w, "symbol_table_bytes", y->symtab_bytes);
	json_uint(w, "symbols_damaged", y->symbols_damaged);
	json_uint(w, "names_refused", y->names_refused);
	json_uint(w, "fdes_damaged", y->unwind_bad_fdes);
	json_uint(w, "name_tables_open", y->name_tables);
	json_uint(w, "name_tables_damaged", y->tables_damaged);
	json_uint(w, "addresses_named", y->addresses_named);
	json_uint(w, "addresses_unnamed", y->addresses_unnamed);
	json_object_end(w);
}

static void write_json_jit(const struct summary *s, struct json_writer *w)
{
	const struct jit_files_stats *files = &s->stats->jit;
	const struct jit_stats *names = &s->stats->symbolizer.jit;

	json_object_begin(w, "jit");
	json_uint(w, "samples", s->account->jit_samples);
	json_uint(w, "unnamed", s->account->jit_unnamed);
	json_array_begin(w, "processes");
	for (size_t i = 0; i < s->jit->n; i++) {
		const struct jit_report_row *row = &s->jit->rows[i];
		json_object_begin(w, NULL);
		json_string(w, "process", row->process);
		json_string(w, "runtime", jit_runtime_name(row->runtime));
		json_int(w, "pid", row->tgid);
		json_uint(w, "samples", row->samples);
		json_uint(w, "unnamed", row->unnamed);
		json_object_end(w);
	}
	json_array_end(w);
	json_uint(w, "held", files->held);
	json_uint(w, "maps_opened", files->maps_opened);
	json_uint(w, "maps_refused", files->maps_refused);
	json_uint(w, "dumps_opened", files->dumps_opened);
	json_uint(w, "processes_forgotten", files->forgotten);
	json_uint(w, "processes_refused", files->processes_refused);
	json_uint(w, "tables", names->tables);
	json_uint(w, "table_bytes", names->bytes);
	json_uint(w, "tables_evicted", names->evicted);
	json_uint(w, "entries", names->entries);
	json_uint(w, "entries_bad", names->bad);
	json_uint(w, "entries_refused", names->refused);
	json_uint(w, "files_anew", names->anew);
	json_uint(w, "files_failed", names->failed);
	json_uint(w, "read_ns", names->read_ns);
	json_object_end(w);
}

static void write_json_cgroups(const struct cgroup_names_stats *g, struct json_writer *w)
{
	json_object_begin(w, "cgroups");
	json_uint(w, "known", g->known);
	json_uint(w, "bytes", g->bytes);
	json_uint(w, "learned", g->learned);
	json_uint(w, "looked_up", g->looked_up);
	json_uint(w, "unknown", g->unknown);
	json_uint(w, "processes_read", g->processes_read);
	json_uint(w, "evicted", g->evicted);
	json_uint(w, "over_limit", g->over_limit);
	json_uint(w, "cut", g->cut);
	json_bool(w, "by_process", g->by_process);
	json_bool(w, "by_walking", g->by_walking);
	json_uint(w, "pods", g->pods.pods);
	json_uint(w, "pod_containers", g->pods.containers);
	json_uint(w, "pod_scans", g->pods.scans);
	json_uint(w, "pod_names_malformed", g->pods.malformed);
	json_uint(w, "pod_names_left_out", g->pods.left_out);
	json_object_end(w);
}

static void write_json_self(const struct summary *s, struct json_writer *w)
{
	const struct session_stats *stats = s->stats;

	json_object_begin(w, "hearth");
	json_string(w, "version", HEARTH_VERSION);
	json_uint(w, "cpu_ns", s->own_cpu_ns);
	json_uint(w, "program_ns", s->account->program_ns);
	json_uint(w, "map_bytes", stats->map_bytes);
	json_uint(w, "early_drains", s->account->early_drains);
	json_uint(w, "unindexed", s->account->unindexed);
	json_uint(w, "cpus_reopened", stats->cpus_reopened);
	json_uint(w, "children_lost", stats->children_lost);
	json_uint(w, "processes", stats->processes.processes);
	json_uint(w, "process_bytes", stats->processes.bytes);
	json_uint(w, "processes_evicted", stats->processes.evicted);
	json_uint(w, "mappings_lost", stats->processes.mappings_lost);
	json_uint(w, "task_records", stats->task_events.records);
	json_uint(w, "task_records_lost", stats->task_events.lost);
	json_uint(w, "images", stats->images.images);
	json_uint(w, "images_opened", stats->images.opened);
	json_uint(w, "images_unopened", stats->images.unopened);
	json_uint(w, "images_failed", stats->images.failed);
	json_uint(w, "images_mismatched", stats->images.mismatched);
	json_object_end(w);
}

void summary_write_json(const struct summary *s, FILE *stream)
{
	const struct accounting *a = s->account;
	struct json_writer writer, *w = &writer;

	json_writer_init(w, stream);
	json_object_begin(w, NULL);
	json_uint(w, "ticks", accounting_ticks(a));
	json_uint(w, "samples", a->samples);
	json_object_begin(w, "dropped");
	for (int i = 0; i < ACCOUNT_DROPS; i++)
		if (a->dropped[i])
			json_uint(w, accounting_drop_name((enum account_drop)i), a->dropped[i]);
	json_object_end(w);
	json_bool(w, "accounted", accounting_holds(a));
	json_uint(w, "ticks_expected", a->expected);
	json_uint(w, "ticks_fired", a->fired);
	json_uint(w, "idle", a->idle);
	json_uint(w, "filtered", a->filtered);
	write_json_stacks(a, w);
	json_int(w, "time_ns", s->time_ns);
	json_uint(w, "duration_ns", s->duration_ns);
	json_string(w, "event", s->event->name);
	json_uint(w, "rate_hz", s->event->is_time ? s->rate_hz : 0);
	json_uint(w, "period", s->event->is_time ? 0 : s->period);
	json_uint(w, "cpus", (uint64_t)s->stats->cpus);
	json_array_begin(w, "files");
	for (size_t i = 0; i < s->n_files; i++)
		json_string(w, NULL, s->files[i]);
	json_array_end(w);
	if (s->command) {
		json_string(w, "command", s->command);
		json_int(w, "exit_status", s->exit_status);
	}
	write_json_processes(s->profile, w);
	write_json_unwind(s, w);
	write_json_names(s->stats, w);
	write_json_symbolizer(&s->stats->symbolizer, w);
	write_json_jit(s, w);
	write_json_cgroups(&s->stats->cgroups, w);
	write_json_self(s, w);
	json_object_end(w);
	fputc('\n', stream);
	fflush(stream);
}

static const char *module_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

int summary_write_top(const struct profile *profile, size_t n, FILE *stream)
{
	AUTO_FREE struct profile_top_row *rows = NULL;
	uint32_t type = profile_default_value(profile);
	size_t n_rows;

	if (type == PROFILE_NONE)
		return 0;
	int err = profile_top(profile, type, &rows, &n_rows);
	if (err < 0)
		return err;
	int64_t total = profile_total(profile, type);
	const char *name = profile_string(profile, profile->sample_types[type].type);
	const char *unit = profile_string(profile, profile->sample_types[type].unit);
	if (n_rows)
		fprintf(stream, "\n    self            share  function\n");
	for (size_t i = 0; i < n_rows && i < n && rows[i].self > 0; i++) {
		char value[64];
		format_value(rows[i].self, name, unit, value, sizeof(value));
		/* "[libc.so.6+0x1234]" names its module itself. */
		const char *module = rows[i].name[0] == '[' ? "" : module_name(rows[i].filename);
		fprintf(stream, "  %12s  %7.2f %%  %s%s%s%s\n", value, percent((uint64_t)rows[i].self, (uint64_t)total),
			rows[i].name, *module ? "  (" : "", module, *module ? ")" : "");
	}
	return 0;
}
