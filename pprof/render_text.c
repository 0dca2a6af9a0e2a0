#include "pprof/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/scope.h"
#include "pprof/format_value.h"

#define NS_PER_S 1000000000ll

/* Rows while they are added up: one for each function, and one for each location without functions. */
struct top {
	const struct profile *profile;
	struct profile_top_row *rows;
	uint32_t *seen; /* sample + 1 that touched the row last: recursion counts once */
	char **made_up; /* names of locations without functions, owned */
	size_t n_rows;
};

static int by_self(const void *a, const void *b)
{
	const struct profile_top_row *x = a, *y = b;

	if (x->self != y->self)
		return x->self < y->self ? 1 : -1;
	if (x->total != y->total)
		return x->total < y->total ? 1 : -1;
	return strcmp(x->name, y->name);
}

static void touch(struct top *top, size_t row, const struct profile_location *location, uint32_t sample, int64_t value,
		  bool is_leaf)
{
	const struct profile *p = top->profile;
	struct profile_top_row *r = &top->rows[row];

	if (!*r->filename && location->mapping != PROFILE_NONE)
		r->filename = profile_string(p, p->mappings[location->mapping].filename);
	if (is_leaf)
		r->self += value;
	if (top->seen[row] != sample + 1)
		r->total += value;
	top->seen[row] = sample + 1;
}

static void add_sample(struct top *top, uint32_t index, int64_t value)
{
	const struct profile *p = top->profile;
	const struct profile_sample *sample = &p->samples[index];
	bool is_leaf = true;

	for (uint32_t i = 0; i < sample->n_locations; i++) {
		uint32_t at = p->stack_locations[sample->first_location + i];
		const struct profile_location *location = &p->locations[at];
		for (uint32_t line = 0; line < location->n_lines && line < PROFILE_INLINED_MAX; line++, is_leaf = false)
			touch(top, p->lines[location->first_line + line].function, location, index, value, is_leaf);
		if (!location->n_lines)
			touch(top, p->n_functions + at, location, index, value, is_leaf);
		is_leaf = false;
	}
}

static int name_rows(struct top *top)
{
	const struct profile *p = top->profile;
	char buffer[PROFILE_FRAME_NAME_MAX];

	for (size_t i = 0; i < p->n_functions; i++) {
		const char *name = profile_string(p, p->functions[i].name);
		top->rows[i].name = *name ? name : profile_string(p, p->functions[i].system_name);
		top->rows[i].filename = "";
	}
	for (size_t i = 0; i < p->n_locations; i++) {
		struct profile_top_row *row = &top->rows[p->n_functions + i];
		row->name = row->filename = "";
		if (p->locations[i].n_lines)
			continue;
		profile_frame_name(p, &p->locations[i], 0, buffer);
		top->made_up[i] = strdup(buffer);
		if (!top->made_up[i])
			return -ENOMEM;
		row->name = top->made_up[i];
	}
	return 0;
}

/* The names of locations without functions live as long as the rows: they are moved behind them, into one block. */
static int pack_rows(struct top *top, struct profile_top_row **rows_out, size_t *n_rows_out)
{
	size_t n = 0, bytes = 0;

	for (size_t i = 0; i < top->n_rows; i++) {
		if (!top->rows[i].total && !top->rows[i].self)
			continue;
		bytes += i >= top->profile->n_functions ? strlen(top->rows[i].name) + 1 : 0;
		n++;
	}
	struct profile_top_row *rows = malloc((n + 1) * sizeof(*rows) + bytes);
	if (!rows)
		return -ENOMEM;
	char *text = (char *)(rows + n + 1);
	n = 0;
	for (size_t i = 0; i < top->n_rows; i++) {
		if (!top->rows[i].total && !top->rows[i].self)
			continue;
		rows[n] = top->rows[i];
		if (i >= top->profile->n_functions) {
			rows[n].name = text;
			text = stpcpy(text, top->rows[i].name) + 1;
		}
		n++;
	}
	qsort(rows, n, sizeof(*rows), by_self);
	*rows_out = rows;
	*n_rows_out = n;
	return 0;
}

int profile_top(const struct profile *profile, uint32_t value, struct profile_top_row **rows_out, size_t *n_rows_out)
{
	struct top top = {.profile = profile, .n_rows = profile->n_functions + profile->n_locations};

	if (value == PROFILE_NONE)
		value = profile_default_value(profile);
	if (value >= profile->n_sample_types)
		return -EINVAL;
	AUTO_FREE struct profile_top_row *rows = calloc(top.n_rows + 1, sizeof(*rows));
	AUTO_FREE uint32_t *seen = calloc(top.n_rows + 1, sizeof(*seen));
	AUTO_FREE char **made_up = calloc(profile->n_locations + 1, sizeof(*made_up));
	if (!rows || !seen || !made_up)
		return -ENOMEM;
	top.rows = rows;
	top.seen = seen;
	top.made_up = made_up;
	int err = name_rows(&top);
	for (uint32_t i = 0; err == 0 && i < profile->n_samples; i++)
		add_sample(&top, i, profile->values[(size_t)i * profile->n_sample_types + value]);
	if (err == 0)
		err = pack_rows(&top, rows_out, n_rows_out);
	for (size_t i = 0; i < profile->n_locations; i++)
		free(made_up[i]);
	return err;
}

static void write_head(const struct profile *profile, uint32_t value, FILE *stream)
{
	char text[64], stamp[40];
	const struct profile_value_type *type = &profile->sample_types[value];
	time_t seconds = (time_t)(profile->time_ns / NS_PER_S);
	struct tm utc;

	if (profile->time_ns && gmtime_r(&seconds, &utc)) {
		strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S UTC", &utc);
		fprintf(stream, "time      %s\n", stamp);
	}
	if (profile->duration_ns) {
		format_value(profile->duration_ns, "", "nanoseconds", text, sizeof(text));
		fprintf(stream, "duration  %s\n", text);
	}
	format_value(profile_total(profile, value), profile_string(profile, type->type), profile_string(profile, type->unit),
		     text, sizeof(text));
	fprintf(stream, "%-9s %s\n", profile_string(profile, type->type), text);
	for (size_t i = 0; i < profile->n_comments; i++)
		fprintf(stream, "comment   %s\n", profile_string(profile, profile->comments[i]));
}

static const char *module_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static void write_row(const struct profile_top_row *row, const char *type, const char *unit, int64_t total, FILE *stream)
{
	char self[64], all[64];
	double whole = total ? (double)total : 1;
	/* "[libc.so.6+0x1234]" names its module itself. */
	const char *module = row->name[0] == '[' ? "" : module_name(row->filename);

	format_value(row->self, type, unit, self, sizeof(self));
	format_value(row->total, type, unit, all, sizeof(all));
	fprintf(stream, "%14s %7.2f %% %14s %7.2f %%  %s%s%s%s\n", self, 100 * (double)row->self / whole, all,
		100 * (double)row->total / whole, row->name, *module ? "  (" : "", module, *module ? ")" : "");
}

int profile_write_text(const struct profile *profile, uint32_t value, size_t n_rows, FILE *stream)
{
	AUTO_FREE struct profile_top_row *rows = NULL;
	size_t n = 0;

	if (value == PROFILE_NONE)
		value = profile_default_value(profile);
	int err = profile_top(profile, value, &rows, &n);
	if (err < 0)
		return err;
	const char *type = profile_string(profile, profile->sample_types[value].type);
	const char *unit = profile_string(profile, profile->sample_types[value].unit);
	int64_t total = profile_total(profile, value);
	write_head(profile, value, stream);
	fprintf(stream, "\n%14s %9s %14s %9s  %s\n", "self", "", "total", "", "function (module)");
	for (size_t i = 0; i < n && (!n_rows || i < n_rows); i++)
		write_row(&rows[i], type, unit, total, stream);
	if (n_rows && n > n_rows)
		fprintf(stream, "and %zu functions more\n", n - n_rows);
	errno = 0;
	return fflush(stream) != 0 || ferror(stream) ? (errno ? -errno : -EIO) : 0;
}
