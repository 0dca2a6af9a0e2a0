#include "store/store_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "store/account.h"
#include "store/folder.h"
#include "store/segment.h"
#include "store/summing.h"
#include "store/window.h"

#define BUCKETS_MAX 100000

struct store_reader {
	struct folder folder;
	struct compressor *compressor;
	struct packing raw, packed;
};

/* A query on its way through the segments. */
struct query {
	struct store_reader *r;
	const struct store_filter *filter;
	struct segment *segment;
	struct dictionary *dictionary; /* of the segment; its memory is used for one after another */
	int (*window)(struct query *q, const struct window_head *head, const char *account); /* one that overlaps; non-zero ends it */
	int (*begin)(struct query *q), (*end)(struct query *q); /* of a segment; may be NULL */
	void *context;
	struct window w; /* the last one loaded */
	struct why *why;
};

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

/* Samples of a window into q->w. Returns 0, 1 (it is damaged: the others may not be), or a negative errno. */
static int load_window(struct query *q, const struct window_head *head)
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
		err = end < 0 ? end : err;
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

/* A damaged segment is passed over. Returns what a callback ended it with. */
static int run_query(struct query *q, bool needs_dictionary)
{
	struct folder_list list;

	q->why->text[0] = '\0';
	int result = folder_list(&q->r->folder, &list);
	if (result < 0)
		return why_set(q->why, result, "reading '%s': %s", q->r->folder.path, strerror(-result));
	for (size_t i = 0; i < list.n_segments && result == 0; i++)
		result = run_sequence(q, list.segments[i], needs_dictionary);
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

	return run_query(&q, false);
}

/* ---- which series ---- */

static bool label_matches(const struct dictionary *d, const struct profile_label *label, const char *key, const char *value)
{
	char number[24];

	if (strcmp(dictionary_string_at(d, label->key), key) != 0)
		return false;
	if (label->str)
		return strcmp(dictionary_string_at(d, label->str), value) == 0;
	snprintf(number, sizeof(number), "%" PRId64, label->num);
	return strcmp(number, value) == 0;
}

static bool set_matches(const struct dictionary *d, uint32_t set, const struct store_filter *filter)
{
	const struct dictionary_label_set *labels = &d->label_sets[set];

	for (size_t f = 0; f < filter->n_labels; f++) {
		bool found = false;
		for (uint32_t i = 0; i < labels->n && !found; i++)
			found = label_matches(d, &d->labels[labels->first + i], filter->labels[f].key, filter->labels[f].value);
		if (!found)
			return false;
	}
	return true;
}

/* For each label set of the dictionary, whether the filter lets it through. NULL: no memory. */
static bool *matching_sets(const struct dictionary *d, const struct store_filter *filter)
{
	uint32_t n = d->n.tables[DICTIONARY_LABEL_SETS];
	bool *matches = malloc(n + 1);

	for (uint32_t i = 0; matches && i < n; i++)
		matches[i] = set_matches(d, i, filter);
	return matches;
}

/* ---- sum ---- */

struct sum {
	struct summing *summing;
	bool *matches;
};

static int sum_begin(struct query *q)
{
	struct sum *sum = q->context;

	free(sum->matches);
	sum->matches = q->filter->n_labels ? matching_sets(q->dictionary, q->filter) : NULL;
	return sum->matches || !q->filter->n_labels ? summing_begin(sum->summing, q->dictionary) : -ENOMEM;
}

static int sum_window(struct query *q, const struct window_head *head, const char *account)
{
	struct sum *sum = q->context;

	int err = load_window(q, head);
	if (err)
		return err < 0 ? err : 0;
	return summing_add(sum->summing, &q->w, sum->matches, q->filter->n_labels ? NULL : account);
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
		err = run_query(&q, true);
	if (err == 0)
		err = summing_finish(sum.summing, profile_out);
	if (err == -ENOENT && !why->text[0])
		why_set(why, err, "the store in '%s' has no window of that time", r->folder.path);
	free(sum.matches);
	summing_destroy(sum.summing);
	return err;
}

/* ---- time line ---- */

/* Values by label: a table of strings, and for each a row of buckets. */
struct timeline {
	const char *label;
	int64_t from_ns, to_ns;
	size_t n_buckets;
	struct dictionary *names; /* its strings only: name i is string i */
	int64_t *values;	  /* names * n_buckets */
	size_t n_names;
	bool *matches;
	uint32_t *name_of; /* for each label set of the segment, PROFILE_NONE: filtered out */
	int64_t *window;   /* the window's values by name */
};

static const char *label_text(const struct dictionary *d, uint32_t set, const char *key, char number[24])
{
	const struct dictionary_label_set *labels = &d->label_sets[set];

	for (uint32_t i = 0; i < labels->n; i++) {
		const struct profile_label *label = &d->labels[labels->first + i];
		if (strcmp(dictionary_string_at(d, label->key), key) != 0)
			continue;
		if (label->str)
			return dictionary_string_at(d, label->str);
		snprintf(number, 24, "%" PRId64, label->num);
		return number;
	}
	return "";
}

static int timeline_rows(struct timeline *t)
{
	size_t n = t->names->n.tables[DICTIONARY_STRINGS];

	if (n == t->n_names)
		return 0;
	if (n > SIZE_MAX / sizeof(int64_t) / t->n_buckets || n * t->n_buckets > (1u << 27))
		return -E2BIG;
	int64_t *values = realloc(t->values, n * t->n_buckets * sizeof(*values));
	if (!values)
		return -ENOMEM;
	memset(values + t->n_names * t->n_buckets, 0, (n - t->n_names) * t->n_buckets * sizeof(*values));
	t->values = values;
	int64_t *window = realloc(t->window, n * sizeof(*window));
	if (!window)
		return -ENOMEM;
	t->window = window;
	t->n_names = n;
	return 0;
}

static int timeline_begin(struct query *q)
{
	struct timeline *t = q->context;
	uint32_t n = q->dictionary->n.tables[DICTIONARY_LABEL_SETS];
	char number[24];

	free(t->matches);
	free(t->name_of);
	t->matches = matching_sets(q->dictionary, q->filter);
	t->name_of = malloc((n + 1) * sizeof(*t->name_of));
	if (!t->matches || !t->name_of)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const char *text = t->label ? label_text(q->dictionary, i, t->label, number) : "";
		int64_t name = t->matches[i] ? dictionary_string(t->names, text, strlen(text)) : (int64_t)PROFILE_NONE;
		if (name < 0)
			return (int)name;
		t->name_of[i] = (uint32_t)name;
	}
	return timeline_rows(t);
}

/* The share of a value that lies before some time in a window: shares of parts sum up to the whole. */
static int64_t share_before(int64_t value, int64_t at, int64_t begin, int64_t end)
{
	if (at <= begin)
		return 0;
	return at >= end ? value : (int64_t)((__int128)value * (at - begin) / (end - begin));
}

static int64_t bucket_begin(const struct timeline *t, size_t bucket)
{
	return t->from_ns + (int64_t)((__int128)(t->to_ns - t->from_ns) * (__int128)bucket / (__int128)t->n_buckets);
}

static size_t bucket_at(const struct timeline *t, int64_t at)
{
	if (at <= t->from_ns)
		return 0;
	size_t bucket = (size_t)((__int128)(at - t->from_ns) * (__int128)t->n_buckets / (t->to_ns - t->from_ns));
	return bucket < t->n_buckets ? bucket : t->n_buckets - 1;
}

/* A window that is longer than a bucket is spread over those that it covers. */
static void spread(struct timeline *t, const struct window_head *head)
{
	int64_t begin = head->time_ns, end = head->end_ns > begin ? head->end_ns : begin + 1;

	for (size_t b = bucket_at(t, begin); b < t->n_buckets && (b == 0 || bucket_begin(t, b) < end); b++) {
		int64_t low = bucket_begin(t, b), high = bucket_begin(t, b + 1);
		if (high <= begin)
			continue;
		for (size_t i = 0; i < t->n_names; i++)
			if (t->window[i])
				t->values[i * t->n_buckets + b] += share_before(t->window[i], high, begin, end) -
								   share_before(t->window[i], low, begin, end);
		if (high >= end)
			break;
	}
}

static int timeline_window(struct query *q, const struct window_head *head, const char *account)
{
	struct timeline *t = q->context;

	(void)account;
	int err = load_window(q, head);
	if (err || !q->w.shape.n_types)
		return err < 0 ? err : 0;
	uint32_t types = q->w.shape.n_types, type = types - 1;
	for (uint32_t i = types; i-- > 0 && q->w.shape.default_type;)
		if (q->w.shape.types[i].type == q->w.shape.default_type)
			type = i;
	memset(t->window, 0, t->n_names * sizeof(*t->window));
	for (size_t i = 0; i < q->w.n; i++) {
		uint32_t name = t->name_of[q->dictionary->series[q->w.series[i]].labels];
		if (name != PROFILE_NONE)
			t->window[name] = (int64_t)((uint64_t)t->window[name] + (uint64_t)q->w.values[i * types + type]);
	}
	spread(t, head);
	return 0;
}

static int tell_buckets(const struct timeline *t, store_bucket_fn fn, void *context)
{
	for (size_t b = 0; b < t->n_buckets; b++) {
		for (size_t i = 0; i < t->n_names; i++) {
			struct store_bucket bucket = {bucket_begin(t, b), dictionary_string_at(t->names, (uint32_t)i),
						      t->values[i * t->n_buckets + b]};
			int result = bucket.value ? fn(context, &bucket) : 0;
			if (result)
				return result;
		}
	}
	return 0;
}

int store_reader_timeline(struct store_reader *r, const struct store_filter *filter, const char *label, size_t n_buckets, store_bucket_fn fn,
			  void *context, struct why *why)
{
	struct timeline t = {.label = label, .from_ns = filter->from_ns, .to_ns = filter->to_ns, .n_buckets = n_buckets};
	struct query q = {.r = r, .filter = filter, .window = timeline_window, .begin = timeline_begin, .context = &t, .why = why};
	int64_t length;

	why->text[0] = '\0';
	if (!n_buckets || n_buckets > BUCKETS_MAX || __builtin_sub_overflow(t.to_ns, t.from_ns, &length) || length <= 0)
		return why_set(why, -EINVAL, "a time line needs a begin, a later end, and 1 to %d buckets", BUCKETS_MAX);
	int err = dictionary_create(&t.names);
	if (err == 0)
		err = run_query(&q, true);
	if (err == 0)
		err = tell_buckets(&t, fn, context);
	dictionary_destroy(t.names);
	free(t.values);
	free(t.window);
	free(t.matches);
	free(t.name_of);
	return err;
}
