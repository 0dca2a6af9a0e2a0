#include "store/store_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "store/account.h"
#include "store/store_query.h"
#include "store/summing.h"

int store_reader_open(const char *folder, struct store_reader **reader_out, struct why *why)
{
	struct store_reader *r = calloc(1, sizeof(*r));

	why->text[0] = '\0';
	if (!r)
		return why_set(why, -ENOMEM, "opening '%s': no memory", folder);
	r->folder.fd = -1;
	int err = compressor_create(&r->compressor);
	if (err == 0)
		err = folder_open(&r->folder, folder, false, why);
	if (err < 0) {
		store_reader_close(r);
		return err;
	}
	*reader_out = r;
	return 0;
}

void store_reader_close(struct store_reader *r)
{
	if (!r)
		return;
	compressor_destroy(r->compressor);
	packing_deinit(&r->raw);
	packing_deinit(&r->packed);
	folder_close(&r->folder);
	free(r);
}

/* ---- going through segments ---- */

static int64_t filter_end(const struct store_filter *filter)
{
	return filter->to_ns ? filter->to_ns : INT64_MAX;
}

static bool overlaps(const struct store_filter *filter, const struct window_head *head)
{
	/* A window without a length is where it begins. */
	return head->time_ns < filter_end(filter) &&
	       (head->end_ns > head->time_ns ? head->end_ns > filter->from_ns : head->time_ns >= filter->from_ns);
}

static int on_window(void *context, const struct window_head *head, const char *account)
{
	struct query *q = context;

	return overlaps(q->filter, head) ? q->window(q, head, account) : 0;
}

static int load_chunk(void *context, uint64_t chunk, const uint8_t *bytes, size_t n)
{
	struct query *q = context;

	(void)chunk;
	int err = compressor_decompress(q->r->compressor, bytes, n, &q->r->raw);
	return err < 0 ? err : dictionary_decode(q->dictionary, q->r->raw.bytes, q->r->raw.n);
}

int query_load_window(struct query *q, const struct window_head *head)
{
	struct store_reader *r = q->r;

	q->w.head = *head;
	int err = segment_samples(q->segment, head->number, &r->packed);
	if (err < 0 && err != -ENOENT)
		return err;
	if (err == 0)
		err = compressor_decompress(r->compressor, r->packed.bytes, r->packed.n, &r->raw);
	if (err == 0)
		err = window_unpack(&q->w, r->raw.bytes, r->raw.n);
	if (err == -ENOENT || (err == 0 && (q->w.n != head->samples || !window_fits(&q->w, &q->dictionary->n))))
		err = -EBADMSG;
	if (err == -EBADMSG) {
		why_set(q->why, 0, "window %" PRIu64 " is damaged: it is missing here", head->number);
		return 1;
	}
	return err;
}

static int any_window(void *context, const struct window_head *head, const char *account)
{
	const struct query *q = context;

	(void)account;
	return overlaps(q->filter, head);
}

static int run_segment(struct query *q, bool needs_dictionary)
{
	int err = segment_begin_read(q->segment);

	if (err == 0 && needs_dictionary) {
		/* Without a window in that time its dictionary is not read. */
		int any = segment_windows(q->segment, 0, any_window, q);
		if (any <= 0)
			return any;
		if (q->dictionary)
			dictionary_clear(q->dictionary);
		else
			err = dictionary_create(&q->dictionary);
		if (err == 0)
			err = segment_dictionary(q->segment, 0, load_chunk, q);
	}
	if (err == 0 && q->begin)
		err = q->begin(q);
	if (err == 0)
		err = segment_windows(q->segment, 0, on_window, q);
	if (err >= 0 && q->end) {
		int end = q->end(q);
		err = end ? end : err;
	}
	return err;
}

static int run_sequence(struct query *q, uint64_t sequence, bool needs_dictionary)
{
	AUTO_FREE char *path = folder_path(&q->r->folder, sequence);
	struct why why = {""};

	if (!path)
		return -ENOMEM;
	int err = segment_open(path, false, &q->segment, &why);
	if (err == -ENOENT || err == -ENODATA)
		return 0; /* gone, or not yet there */
	if (err == 0)
		err = run_segment(q, needs_dictionary);
	segment_close(take_ptr(q->segment));
	if (err == -ENOTSUP)
		*q->why = why;
	if (err == -EBADMSG) {
		why_set(q->why, 0, "'%s' is damaged: what it holds is missing here", path);
		err = 0;
	}
	return err;
}

int query_run(struct query *q, bool needs_dictionary)
{
	struct folder_list list;

	q->why->text[0] = '\0';
	int result = folder_list(&q->r->folder, &list);
	if (result < 0)
		return why_set(q->why, result, "reading '%s': %s", q->r->folder.path, strerror(-result));
	for (size_t i = 0; i < list.n_segments && result == 0; i++)
		result = run_sequence(q, list.segments[q->newest_first ? list.n_segments - 1 - i : i], needs_dictionary);
	folder_list_deinit(&list);
	dictionary_destroy(take_ptr(q->dictionary));
	window_deinit(&q->w);
	if (result < 0 && !q->why->text[0])
		why_set(q->why, result, "reading the store in '%s': %s", q->r->folder.path, strerror(-result));
	return result;
}

/* ---- windows ---- */

struct listing {
	store_window_fn fn;
	void *context;
};

static int list_window(struct query *q, const struct window_head *head, const char *account)
{
	const struct listing *l = q->context;
	struct store_window window = {
		.number = head->number,
		.time_ns = head->time_ns,
		.end_ns = head->end_ns,
		.duration_ns = head->duration_ns,
		.samples = head->samples,
		.value = head->value,
		.merged = head->merged,
		.account = account ? account : "",
	};

	return l->fn(l->context, &window);
}

int store_reader_windows(struct store_reader *r, const struct store_filter *filter, store_window_fn fn, void *context, struct why *why)
{
	struct listing l = {fn, context};
	struct query q = {.r = r, .filter = filter, .window = list_window, .context = &l, .why = why};

	return query_run(&q, false);
}

/* ---- sum ---- */

struct sum {
	struct summing *summing;
	uint32_t *places; /* for each series of the segment: summing_add() */
};

/* The numbers of label sets that have only some of the labels left: for each set, PROFILE_NONE for those that do not match. */
static int keep_labels(struct dictionary *d, const struct store_filter *filter, const bool *matches, uint32_t *kept)
{
	uint32_t n = d->n.tables[DICTIONARY_LABEL_SETS];
	AUTO_FREE struct profile_label *left = NULL;
	size_t capacity = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct dictionary_label_set set = d->label_sets[i];
		size_t n_left = 0;
		kept[i] = PROFILE_NONE;
		if (!matches[i])
			continue;
		if (set.n > capacity) {
			capacity = 2 * (size_t)set.n;
			free(take_ptr(left));
			left = malloc(capacity * sizeof(*left));
			if (!left)
				return -ENOMEM;
		}
		for (uint32_t k = 0; k < set.n; k++)
			for (size_t f = 0; f < filter->n_keep; f++)
				if (strcmp(dictionary_string_at(d, d->labels[set.first + k].key), filter->keep[f]) == 0)
					left[n_left++] = d->labels[set.first + k];
		int64_t number = dictionary_label_set(d, left, n_left);
		if (number < 0)
			return (int)number;
		kept[i] = (uint32_t)number;
	}
	return 0;
}

/* Numbers of series in the order of their new label sets, those first whose set was that before. */
static int order_series(const struct dictionary *d, const uint32_t *sets, uint32_t *order)
{
	uint32_t n = d->n.tables[DICTIONARY_SERIES], n_sets = d->n.tables[DICTIONARY_LABEL_SETS], at = 0;
	AUTO_FREE uint32_t *ends = calloc((size_t)n_sets + 1, sizeof(*ends));

	if (!ends)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		ends[sets[i]]++;
	for (uint32_t i = 0; i < n_sets; i++) {
		uint32_t begin = at;
		at += ends[i];
		ends[i] = begin;
	}
	for (int changed = 0; changed < 2; changed++)
		for (uint32_t i = 0; i < n; i++)
			if ((sets[i] != d->series[i].labels) == changed)
				order[ends[sets[i]]++] = i;
	return 0;
}

/* Series of one stack whose label sets have become equal get one place: the one of them that has that set already, if there is one (also when it is filtered out), or the first, whose
 * set it becomes. So no series is twice in the dictionary. */
static int join_series(struct dictionary *d, const uint32_t *kept, uint32_t *places)
{
	uint32_t n = d->n.tables[DICTIONARY_SERIES];
	size_t n_stacks = d->n.tables[DICTIONARY_STACKS];
	AUTO_FREE uint32_t *sets = malloc(((size_t)n + 1) * sizeof(*sets)), *order = malloc(((size_t)n + 1) * sizeof(*order));
	AUTO_FREE uint32_t *first = malloc(n_stacks * sizeof(*first)), *of_set = calloc(n_stacks, sizeof(*of_set));

	if (!sets || !order || !first || !of_set)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t set = d->series[i].labels;
		sets[i] = kept[set] == PROFILE_NONE ? set : kept[set];
		places[i] = kept[set];
	}
	int err = order_series(d, sets, order);
	for (uint32_t k = 0; k < n && err == 0; k++) {
		uint32_t i = order[k], stack = d->series[i].stack;
		if (of_set[stack] != sets[i] + 1) {
			of_set[stack] = sets[i] + 1;
			first[stack] = i;
			d->series[i].labels = sets[i];
		}
		places[i] = places[i] == PROFILE_NONE ? PROFILE_NONE : first[stack];
	}
	return err;
}

static int place_series(struct dictionary *d, const struct store_filter *filter, uint32_t *places)
{
	AUTO_FREE bool *matches = query_matching_sets(d, filter);

	if (!matches)
		return -ENOMEM;
	if (!filter->keep) {
		for (uint32_t i = 0; i < d->n.tables[DICTIONARY_SERIES]; i++)
			places[i] = matches[d->series[i].labels] ? i : PROFILE_NONE;
		return 0;
	}
	AUTO_FREE uint32_t *kept = malloc((size_t)d->n.tables[DICTIONARY_LABEL_SETS] * sizeof(*kept));
	int err = kept ? keep_labels(d, filter, matches, kept) : -ENOMEM;
	return err < 0 ? err : join_series(d, kept, places);
}

static bool is_part(const struct store_filter *filter)
{
	return filter->n_labels || filter->match;
}

static int sum_begin(struct query *q)
{
	struct sum *sum = q->context;

	free(take_ptr(sum->places));
	if (is_part(q->filter) || q->filter->keep) {
		sum->places = malloc(((size_t)q->dictionary->n.tables[DICTIONARY_SERIES] + 1) * sizeof(*sum->places));
		int err = sum->places ? place_series(q->dictionary, q->filter, sum->places) : -ENOMEM;
		if (err < 0)
			return err;
	}
	return summing_begin(sum->summing, q->dictionary);
}

static int sum_window(struct query *q, const struct window_head *head, const char *account)
{
	struct sum *sum = q->context;

	int err = query_load_window(q, head);
	if (err)
		return err < 0 ? err : 0;
	return summing_add(sum->summing, &q->w, sum->places, is_part(q->filter) ? NULL : account);
}

static int sum_end(struct query *q)
{
	return summing_end(((struct sum *)q->context)->summing, &q->dictionary);
}

int store_reader_sum(struct store_reader *r, const struct store_filter *filter, struct profile **profile_out, struct why *why)
{
	struct sum sum = {0};
	struct query q = {.r = r, .filter = filter, .window = sum_window, .begin = sum_begin, .end = sum_end, .context = &sum, .why = why};

	int err = summing_create(&sum.summing);
	if (err == 0)
		err = query_run(&q, true);
	if (err == 0)
		err = summing_finish(sum.summing, profile_out);
	if (err == -ENOENT && !why->text[0])
		why_set(why, err, "the store in '%s' has no window of that time", r->folder.path);
	free(sum.places);
	summing_destroy(sum.summing);
	return err;
}
