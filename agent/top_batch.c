#include "agent/top_batch.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "base/json_writer.h"
#include "pprof/format_value.h"

static int flushed(FILE *stream)
{
	errno = 0;
	return fflush(stream) != 0 || ferror(stream) ? (errno ? -errno : -EIO) : 0;
}

static double share(int64_t value, int64_t whole)
{
	return whole > 0 ? (double)value / (double)whole : 0;
}

static double per_second(const struct top_figures *f)
{
	return f->duration_ns ? (double)f->value / (f->is_time ? (double)f->duration_ns : (double)f->duration_ns / 1e9) : 0;
}

static void write_head(const struct top_status *s, const struct top_figures *f, FILE *stream)
{
	char clock[40] = "", samples[48], ticks[48];
	time_t now = (time_t)(f->end_ns / 1000000000);
	struct tm local;

	if (localtime_r(&now, &local))
		strftime(clock, sizeof(clock), "%Y-%m-%d %H:%M:%S", &local);
	fprintf(stream, "hearth top - %s, %s, %s", clock, s->what, s->event);
	if (s->rate_hz)
		fprintf(stream, " %" PRIu64 " Hz", s->rate_hz);
	fprintf(stream, ", last %.3g s\n", (double)f->duration_ns / 1e9);
	format_count((int64_t)f->account.samples, samples, sizeof(samples));
	format_count((int64_t)accounting_ticks(&f->account), ticks, sizeof(ticks));
	if (f->is_time)
		fprintf(stream, "%.2f of %d CPUs busy; ", per_second(f), s->cpus);
	else
		fprintf(stream, "%.4g %s/s; ", per_second(f), s->event);
	fprintf(stream, "%s samples of %s ticks, dropped %" PRIu64 ", truncated %.2f %%; hearth %.2f %% of a CPU\n", samples, ticks,
		accounting_dropped(&f->account), 100 * share((int64_t)accounting_truncated(&f->account), (int64_t)f->account.samples),
		100 * share((int64_t)f->own_ns, f->duration_ns));
}

/* Columns are counted in letters: "µs" is one more byte. */
static void write_value(int64_t value, const struct top_figures *f, FILE *stream)
{
	char text[64];
	int width = 9;

	format_value(value, "", f->is_time ? "nanoseconds" : "count", text, sizeof(text));
	for (const char *at = text; *at; at++)
		width += ((unsigned char)*at & 0xc0) == 0x80;
	fprintf(stream, " %*s", width, text);
}

static void write_functions(const struct top_batch *b, const struct top_figures *f, const struct top_table *table, FILE *stream)
{
	fprintf(stream, "\n%7s %9s %7s %9s  %-20s  %s\n", "SHARE", "SELF", "TOTAL", "TOTAL", "MODULE", "FUNCTION");
	for (size_t i = 0; i < table->n && (!b->rows || i < b->rows); i++) {
		const struct top_row *row = &table->rows[i];
		fprintf(stream, "%6.2f%%", 100 * share(row->self, f->value));
		write_value(row->self, f, stream);
		fprintf(stream, " %6.2f%%", 100 * share(row->total, f->value));
		write_value(row->total, f, stream);
		fprintf(stream, "  %-20s  %s\n", row->who.module, row->who.name);
	}
}

static void write_processes(const struct top_batch *b, const struct top_figures *f, const struct top_table *table, FILE *stream)
{
	fprintf(stream, "\n%7s %9s %9s %8s  %-20s  %s\n", "SHARE", "SELF", "SAMPLES", "PID", "PROCESS", "CONTAINER");
	for (size_t i = 0; i < table->n && (!b->rows || i < b->rows); i++) {
		const struct top_row *row = &table->rows[i];
		fprintf(stream, "%6.2f%%", 100 * share(row->self, f->value));
		write_value(row->self, f, stream);
		fprintf(stream, " %9" PRIu64 " %8" PRId64, row->samples, row->who.pid);
		if (*row->container)
			fprintf(stream, "  %-20s  %s\n", row->who.name, row->container);
		else
			fprintf(stream, "  %s\n", row->who.name);
	}
}

static int fill(const struct top_batch *b, enum top_list list, struct top_table *table_out)
{
	struct top_query query = b->query;

	query.list = list;
	return top_model_table(b->model, &query, table_out);
}

static int fill_both(const struct top_batch *b, struct top_table *functions_out, struct top_table *processes_out)
{
	int err = fill(b, TOP_FUNCTIONS, functions_out);
	if (err < 0)
		return err;
	err = fill(b, TOP_PROCESSES, processes_out);
	if (err < 0)
		top_table_deinit(functions_out);
	return err;
}

int top_batch_write_text(const struct top_batch *b, FILE *stream)
{
	struct top_table functions, processes;
	struct top_figures figures;

	top_model_figures(b->model, &figures);
	int err = fill_both(b, &functions, &processes);
	if (err < 0)
		return err;
	write_head(b->status, &figures, stream);
	write_functions(b, &figures, &functions, stream);
	write_processes(b, &figures, &processes, stream);
	if (functions.filter_failed || processes.filter_failed)
		fprintf(stream, "the filter takes too long on some names: rows are missing\n");
	fputc('\n', stream);
	top_table_deinit(&functions);
	top_table_deinit(&processes);
	return flushed(stream);
}

/* --- JSON ------------------------------------------------------------------------------------------------------ */

static void write_json_account(const struct accounting *a, struct json_writer *w)
{
	json_uint(w, "ticks", accounting_ticks(a));
	json_uint(w, "samples", a->samples);
	json_object_begin(w, "dropped");
	for (int i = 0; i < ACCOUNT_DROPS; i++)
		if (a->dropped[i])
			json_uint(w, accounting_drop_name((enum account_drop)i), a->dropped[i]);
	json_object_end(w);
	json_object_begin(w, "truncated");
	for (int i = 0; i < ACCOUNT_CUTS; i++)
		if (a->cut[i])
			json_uint(w, accounting_cut_name((enum account_cut)i), a->cut[i]);
	json_object_end(w);
	json_bool(w, "accounted", accounting_holds(a));
}

static void write_json_head(const struct top_status *s, const struct top_figures *f, struct json_writer *w)
{
	json_int(w, "time_ns", f->end_ns);
	json_int(w, "duration_ns", f->duration_ns);
	json_uint(w, "refresh_ns", s->refresh_ns);
	json_string(w, "event", s->event);
	json_uint(w, "rate_hz", s->rate_hz);
	json_string(w, "unit", f->is_time ? "nanoseconds" : "count");
	json_int(w, "total", f->value);
	json_uint(w, "cpus", (uint64_t)(s->cpus > 0 ? s->cpus : 0));
	write_json_account(&f->account, w);
	json_double(w, "own_cpu_percent", 100 * share((int64_t)f->own_ns, f->duration_ns));
}

static void write_json_rows(const struct top_batch *b, const struct top_table *table, bool are_processes, struct json_writer *w)
{
	json_array_begin(w, are_processes ? "processes" : "functions");
	for (size_t i = 0; i < table->n && (!b->rows || i < b->rows); i++) {
		const struct top_row *row = &table->rows[i];
		json_object_begin(w, NULL);
		json_string(w, "name", row->who.name);
		if (are_processes) {
			json_int(w, "pid", row->who.pid);
			json_string(w, "container", row->container);
		} else {
			json_string(w, "module", row->who.module);
			json_bool(w, "kernel", row->who.is_kernel);
			json_int(w, "self", row->self);
		}
		json_int(w, "total", row->total);
		json_uint(w, "samples", row->samples);
		json_object_end(w);
	}
	json_array_end(w);
	json_uint(w, are_processes ? "processes_filtered" : "functions_filtered", table->n_filtered);
}

int top_batch_write_json(const struct top_batch *b, FILE *stream)
{
	struct top_table functions, processes;
	struct top_figures figures;
	struct json_writer writer;

	top_model_figures(b->model, &figures);
	int err = fill_both(b, &functions, &processes);
	if (err < 0)
		return err;
	json_writer_init(&writer, stream);
	json_object_begin(&writer, NULL);
	write_json_head(b->status, &figures, &writer);
	write_json_rows(b, &functions, false, &writer);
	write_json_rows(b, &processes, true, &writer);
	json_bool(&writer, "filter_failed", functions.filter_failed || processes.filter_failed);
	json_object_end(&writer);
	fputc('\n', stream);
	top_table_deinit(&functions);
	top_table_deinit(&processes);
	return flushed(stream);
}
