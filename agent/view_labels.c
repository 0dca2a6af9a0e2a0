#include "agent/view_labels.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define KEYS_MAX 64

/* One sample's value. Equal labels are equal in str and num; rows of two profiles in their text. */
struct amount {
	profile_str str;
	int64_t num;
	uint32_t sample;
	bool has_label;
	int64_t value;
};

static const struct profile_label *find_label(const struct profile *p, const struct profile_sample *sample, const char *key)
{
	for (uint32_t i = 0; i < sample->n_labels; i++)
		if (strcmp(profile_string(p, p->labels[sample->first_label + i].key), key) == 0)
			return &p->labels[sample->first_label + i];
	return NULL;
}

static int by_label(const void *a, const void *b)
{
	const struct amount *x = a, *y = b;

	if (x->has_label != y->has_label)
		return x->has_label ? -1 : 1;
	if (x->str != y->str)
		return x->str < y->str ? -1 : 1;
	if (x->num != y->num)
		return x->num < y->num ? -1 : 1;
	return x->sample < y->sample ? -1 : x->sample > y->sample;
}

static void add(int64_t *sum, int64_t value)
{
	*sum = (int64_t)((uint64_t)*sum + (uint64_t)value);
}

/* Rows of one profile: each label once; what has none is the last one, with the text "". Returns how many. */
static size_t make_rows(const struct profile *p, const struct amount *amounts, size_t n, bool is_base, struct label_row *rows)
{
	size_t n_rows = 0;

	for (size_t i = 0; i < n; i++) {
		const struct amount *a = &amounts[i];
		bool same = i && a[-1].has_label == a->has_label && a[-1].str == a->str && a[-1].num == a->num;
		if (!same) {
			struct label_row *row = &rows[n_rows++];
			*row = (struct label_row){.process = "", .text = ""};
			if (a->has_label && a->str)
				row->text = profile_string(p, a->str);
			if (a->has_label && !a->str) {
				snprintf(row->number, sizeof(row->number), "%" PRId64, a->num);
				row->process = profile_label_string(p, &p->samples[a->sample], "process");
			}
		}
		add(is_base ? &rows[n_rows - 1].base_value : &rows[n_rows - 1].value, a->value);
	}
	return n_rows;
}

static int add_profile(const struct profile *p, uint32_t value, const char *key, bool is_base, struct label_row **rows_inout, size_t *n_inout, bool *any_inout)
{
	AUTO_FREE struct amount *amounts = calloc(p->n_samples + 1, sizeof(*amounts));
	struct label_row *rows = realloc(*rows_inout, (*n_inout + p->n_samples + 1) * sizeof(*rows));

	if (rows)
		*rows_inout = rows;
	if (!amounts || !rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_samples; i++) {
		const struct profile_label *label = find_label(p, &p->samples[i], key);
		amounts[i] = (struct amount){label ? label->str : 0, label && !label->str ? label->num : 0, i, label != NULL, p->values[(size_t)i * p->n_sample_types + value]};
		*any_inout = *any_inout || label;
	}
	qsort(amounts, p->n_samples, sizeof(*amounts), by_label);
	*n_inout += make_rows(p, amounts, p->n_samples, is_base, rows + *n_inout);
	return 0;
}

/* --- of both profiles ------------------------------------------------------------------------------------------------------------ */

static const char *row_text(const struct label_row *row)
{
	return row->number[0] ? row->number : row->text;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(row_text(a), row_text(b));
}

static size_t join_rows(struct label_row *rows, size_t n)
{
	size_t kept = 0;

	qsort(rows, n, sizeof(*rows), by_text);
	for (size_t i = 0; i < n; i++) {
		if (!kept || strcmp(row_text(&rows[kept - 1]), row_text(&rows[i])) != 0) {
			rows[kept++] = rows[i];
			continue;
		}
		add(&rows[kept - 1].value, rows[i].value);
		add(&rows[kept - 1].base_value, rows[i].base_value);
	}
	return kept;
}

struct totals {
	double now, base; /* base 0: none */
};

static double weight(const struct label_row *row, const struct totals *totals)
{
	double change = (totals->now != 0 ? (double)row->value / totals->now : 0) - (double)row->base_value / totals->base;

	return change < 0 ? -change : change;
}

static int by_weight(const void *a, const void *b, void *context)
{
	const struct totals *totals = context;
	const struct label_row *x = a, *y = b;

	if (totals->base != 0 && weight(x, totals) != weight(y, totals))
		return weight(x, totals) < weight(y, totals) ? 1 : -1;
	if (x->value != y->value)
		return x->value < y->value ? 1 : -1;
	return strcmp(row_text(x), row_text(y));
}

int label_table_create(const struct profile *profile, uint32_t value, const struct profile *base, uint32_t base_value, const char *key, struct label_row **rows_out,
		       size_t *n_out)
{
	struct totals totals = {.now = (double)profile_total(profile, value), .base = base ? (double)profile_total(base, base_value) : 0};
	AUTO_FREE struct label_row *rows = NULL;
	bool any = false;
	size_t n = 0;

	if (value >= profile->n_sample_types || (base && base_value >= base->n_sample_types))
		return -EINVAL;
	int err = add_profile(profile, value, key, false, &rows, &n, &any);
	if (err == 0 && base)
		err = add_profile(base, base_value, key, true, &rows, &n, &any);
	if (err < 0)
		return err;
	n = any ? join_rows(rows, n) : 0;
	qsort_r(rows, n, sizeof(*rows), by_weight, &totals);
	for (size_t i = 0; i < n; i++)
		rows[i].text = row_text(&rows[i]);
	*rows_out = take_ptr(rows);
	*n_out = n;
	return 0;
}

void label_keys_list(const struct profile *profile, char *text, size_t bytes)
{
	profile_str keys[KEYS_MAX];
	size_t n = 0, length = 0;

	for (size_t i = 0; i < profile->n_labels && n < KEYS_MAX; i++) {
		size_t known = 0;
		while (known < n && keys[known] != profile->labels[i].key)
			known++;
		if (known == n)
			keys[n++] = profile->labels[i].key;
	}
	text[0] = '\0';
	for (size_t i = 0; i < n && length < bytes; i++)
		length += (size_t)snprintf(text + length, bytes - length, "%s%.40s", i ? ", " : "", profile_string(profile, keys[i]));
}
