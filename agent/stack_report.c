#include "agent/stack_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "[truncated: NAME]" -> its reason; ACCOUNT_CUTS: another name. */
static enum account_cut cut_of_frame(const char *name)
{
	static const char BEGIN[] = "[truncated: ";
	size_t length = strlen(name);

	if (strncmp(name, BEGIN, sizeof(BEGIN) - 1) != 0 || name[length - 1] != ']')
		return ACCOUNT_CUTS;
	name += sizeof(BEGIN) - 1;
	length -= sizeof(BEGIN);
	for (int i = 0; i < ACCOUNT_CUTS; i++) {
		const char *reason = accounting_cut_name((enum account_cut)i);
		if (strlen(reason) == length && memcmp(reason, name, length) == 0)
			return (enum account_cut)i;
	}
	return ACCOUNT_CUTS;
}

static enum account_cut cut_of_sample(const struct profile *profile, const struct profile_sample *sample)
{
	char buffer[PROFILE_FRAME_NAME_MAX];

	if (!sample->n_locations)
		return ACCOUNT_CUTS;
	uint32_t outermost = profile->stack_locations[sample->first_location + sample->n_locations - 1];
	return cut_of_frame(profile_frame_name(profile, &profile->locations[outermost], 0, buffer));
}

static int by_name(const void *a, const void *b)
{
	const struct stack_report_row *x = a, *y = b;

	return strcmp(x->process, y->process);
}

static int by_truncated(const void *a, const void *b)
{
	const struct stack_report_row *x = a, *y = b;
	uint64_t cut_x = x->samples - x->complete, cut_y = y->samples - y->complete;

	return cut_x != cut_y ? (cut_x < cut_y) - (cut_x > cut_y) : by_name(a, b);
}

/* Add up neighbours of one name. Returns how many rows are left. */
static size_t add_up(struct stack_report_row *rows, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (!kept || strcmp(rows[kept - 1].process, rows[i].process) != 0) {
			rows[kept++] = rows[i];
			continue;
		}
		struct stack_report_row *row = &rows[kept - 1];
		row->samples += rows[i].samples;
		row->complete += rows[i].complete;
		for (int cut = 0; cut < ACCOUNT_CUTS; cut++)
			row->cut[cut] += rows[i].cut[cut];
	}
	return kept;
}

int stack_report(const struct profile *profile, struct stack_report_row **rows_out, size_t *n_out)
{
	struct stack_report_row *rows = calloc(profile->n_samples + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < profile->n_samples; i++) {
		const struct profile_sample *sample = &profile->samples[i];
		int64_t value = profile->n_sample_types ? profile->values[i * profile->n_sample_types] : 0;
		uint64_t count = value > 0 ? (uint64_t)value : 0;
		enum account_cut cut = cut_of_sample(profile, sample);
		rows[i].process = profile_label_string(profile, sample, "process");
		rows[i].samples = count;
		if (cut == ACCOUNT_CUTS)
			rows[i].complete = count;
		else
			rows[i].cut[cut] = count;
	}
	qsort(rows, profile->n_samples, sizeof(*rows), by_name);
	size_t n = add_up(rows, profile->n_samples);
	qsort(rows, n, sizeof(*rows), by_truncated);
	*rows_out = rows;
	*n_out = n;
	return 0;
}

int stack_report_describe(const struct stack_report_row *row, char *text, size_t bytes)
{
	int at = snprintf(text, bytes, "%s: samples=%" PRIu64 " complete=%" PRIu64, row->process, row->samples, row->complete);

	for (int i = 0; i < ACCOUNT_CUTS && at >= 0; i++) {
		bool room = (size_t)at < bytes;
		if (row->cut[i])
			at += snprintf(room ? text + at : NULL, room ? bytes - (size_t)at : 0, " truncated_%s=%" PRIu64,
				       accounting_cut_name((enum account_cut)i), row->cut[i]);
	}
	return at;
}
