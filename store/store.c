#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/scope.h"
#include "store/store_state.h"

#define NUMBERS_MAX   ((UINT64_C(1) << STORE_NUMBER_BITS) - 1) /* windows of a segment */
#define DAY_NS	      (86400 * (int64_t)NS_PER_S)
#define HOUR_NS	      (3600 * NS_PER_S)
#define ROW_BYTES     (24u << 10) /* pages that a window's rows change besides what they hold */
#define TRIES	      3

void store_say(struct store *s, const char *format, ...)
{
	va_list arguments;

	if (s->notice.text[0])
		return;
	va_start(arguments, format);
	vsnprintf(s->notice.text, sizeof(s->notice.text), format, arguments);
	va_end(arguments);
}

/* What was said goes to the caller; for a failure after its own sentence. */
static int tell(struct store *s, int err, struct why *why)
{
	size_t n = err < 0 ? strlen(why->text) : 0;

	why->text[n] = '\0';
	if (s->notice.text[0])
		snprintf(why->text + n, sizeof(why->text) - n, "%s%s", n ? "; " : "", s->notice.text);
	s->notice.text[0] = '\0';
	return err;
}

uint64_t store_last_number(const struct store *s)
{
	for (size_t i = s->n_entries; i-- > 0;)
		if (s->entries[i].last)
			return s->entries[i].last;
	return s->sequence_last << STORE_NUMBER_BITS;
}

/* ---- dictionaries ---- */

struct loading {
	struct store *s;
	struct dictionary *dictionary;
	uint64_t chunk, small_from;
	struct dictionary_counts small_counts;
};

static int load_chunk(void *context, uint64_t chunk, const uint8_t *bytes, size_t n)
{
	struct loading *l = context;

	if (chunk <= l->chunk)
		return -EBADMSG;
	int err = compressor_decompress(l->s->compressor, bytes, n, &l->s->raw);
	if (err == 0)
		err = dictionary_decode(l->dictionary, l->s->raw.bytes, l->s->raw.n);
	if (err < 0)
		return err;
	l->chunk = chunk;
	if (l->s->raw.n >= STORE_CHUNK_FULL) {
		l->small_from = chunk + 1;
		l->small_counts = l->dictionary->n;
	}
	return 0;
}

static int load_dictionary(struct store *s, struct segment *segment, struct loading *l)
{
	*l = (struct loading){.s = s, .small_from = 1};
	int err = dictionary_create(&l->dictionary);
	if (err < 0)
		return err;
	l->small_counts = l->dictionary->n;
	err = segment_dictionary(segment, 0, load_chunk, l);
	if (err < 0)
		dictionary_destroy(take_ptr(l->dictionary));
	return err;
}

int store_join_chunks(struct store *s, unsigned at_least)
{
	if (!s->active || s->chunk + 1 < s->small_from + at_least)
		return 0;
	packing_clear(&s->raw);
	dictionary_encode(s->dictionary, &s->small_counts, &s->dictionary->n, &s->raw);
	int err = compressor_compress(s->compressor, &s->raw, &s->packed_dictionary);
	if (err == 0)
		err = store_check_room(s, s->packed_dictionary.n + ROW_BYTES);
	if (err == 0)
		err = segment_begin(s->active, false);
	if (err == 0)
		err = segment_replace_dictionary(s->active, s->small_from, s->chunk, &s->packed_dictionary);
	if (err == 0)
		err = segment_commit(s->active);
	if (err < 0) {
		segment_rollback(s->active);
		return err;
	}
	/* The number of the joined chunk is the first one's. */
	s->chunk = s->small_from;
	if (s->raw.n >= STORE_CHUNK_FULL) {
		s->small_from = s->chunk + 1;
		s->small_counts = s->dictionary->n;
	}
	return 1;
}

/* ---- segments ---- */

static struct store_entry *add_entry(struct store *s, uint64_t sequence)
{
	if (s->n_entries == s->entries_capacity) {
		size_t capacity = s->entries_capacity + 64;
		struct store_entry *entries = realloc(s->entries, capacity * sizeof(*entries));
		if (!entries)
			return NULL;
		s->entries = entries;
		s->entries_capacity = capacity;
	}
	s->entries[s->n_entries] = (struct store_entry){.sequence = sequence};
	return &s->entries[s->n_entries++];
}

void store_close_other(struct store *s)
{
	segment_close(s->other);
	dictionary_destroy(s->other_dictionary);
	s->other = NULL;
	s->other_dictionary = NULL;
	s->other_sequence = 0;
}

static int open_path(struct store *s, uint64_t sequence, struct segment **segment_out, struct why *why)
{
	AUTO_FREE char *path = folder_path(&s->folder, sequence);

	return path ? segment_open(path, true, segment_out, why) : -ENOMEM;
}

int store_segment(struct store *s, const struct store_entry *entry, struct segment **segment_out, struct dictionary **dictionary_out)
{
	struct loading l = {0};
	struct why why;
	int err;

	if (entry == store_active_entry(s) && (s->active || s->reopen)) {
		err = store_need_active(s, &why);
		if (err == 0 && dictionary_out)
			*dictionary_out = s->dictionary;
		if (err == 0)
			*segment_out = s->active;
		return err;
	}
	if (s->other_sequence != entry->sequence) {
		store_close_other(s);
		err = open_path(s, entry->sequence, &s->other, &why);
		if (err < 0)
			return err == -ENODATA || err == -ENOENT ? -EBADMSG : err;
		s->other_sequence = entry->sequence;
	}
	if (dictionary_out && !s->other_dictionary) {
		err = load_dictionary(s, s->other, &l);
		if (err < 0)
			return err;
		s->other_dictionary = l.dictionary;
	}
	if (dictionary_out)
		*dictionary_out = s->other_dictionary;
	*segment_out = s->other;
	return 0;
}

int store_load(struct store *s, struct segment *segment, struct window *w)
{
	int err = segment_samples(segment, w->head.number, &s->packed);

	if (err < 0 && err != -ENOENT)
		return err;
	if (err == 0)
		err = compressor_decompress(s->compressor, s->packed.bytes, s->packed.n, &s->raw);
	if (err == 0)
		err = window_unpack(w, s->raw.bytes, s->raw.n);
	if (err == 0 && w->n != w->head.samples)
		err = -EBADMSG;
	return err == -ENOENT || err == -EBADMSG ? -EILSEQ : err;
}

static int begin_segment(struct store *s, struct why *why)
{
	if (s->sequence_last >= FOLDER_SEQUENCE_MAX)
		return why_set(why, -E2BIG, "'%s' has no numbers left for segments: name another folder", s->folder.path);
	AUTO_FREE char *path = folder_path(&s->folder, s->sequence_last + 1);
	struct dictionary *dictionary = NULL;
	struct segment *segment = NULL;

	if (!path || dictionary_create(&dictionary) < 0)
		return why_set(why, -ENOMEM, "beginning a segment: no memory");
	struct store_entry *entry = add_entry(s, s->sequence_last + 1);
	int err = entry ? segment_create(path, &segment, why) : -ENOMEM;
	if (err < 0) {
		s->n_entries -= entry ? 1 : 0;
		folder_remove(&s->folder, s->sequence_last + 1);
		dictionary_destroy(dictionary);
		return err;
	}
	s->sequence_last++;
	s->active = segment;
	s->dictionary = dictionary;
	s->chunk = 0;
	s->small_from = 1;
	s->small_counts = dictionary->n;
	s->reopen = false;
	/* The marks go with the first window. */
	for (size_t i = 0; i < s->n_marks; i++)
		s->marks[i].dirty = true;
	return 0;
}

static int any_window(void *context, const struct window_head *head, const char *account)
{
	(void)context;
	(void)head;
	(void)account;
	return 1;
}

/* A window whose fsync failed was reported as not written, and is in the file all the same when that is read again. It goes: its number is the next one's, and whoever has it may try again. */
static int drop_unreported(struct store *s, struct segment *segment)
{
	const struct store_entry *entry = store_active_entry(s);
	uint64_t last = entry->last ? entry->last : entry->sequence << STORE_NUMBER_BITS;

	int err = segment_windows(segment, last + 1, any_window, NULL);
	if (err <= 0)
		return err;
	err = segment_begin(segment, true);
	if (err == 0)
		err = segment_delete_windows(segment, last + 1, last | NUMBERS_MAX);
	if (err == 0)
		err = segment_commit(segment);
	if (err < 0)
		segment_rollback(segment);
	return err;
}

static int reopen_segment(struct store *s, struct why *why)
{
	struct loading l = {0};
	struct segment *segment = NULL;

	int err = open_path(s, store_active_entry(s)->sequence, &segment, why);
	if (err == 0)
		err = drop_unreported(s, segment);
	if (err == 0)
		err = load_dictionary(s, segment, &l);
	if (err < 0) {
		segment_close(segment);
		return err == -ENODATA || err == -ENOENT ? -EBADMSG : err;
	}
	s->active = segment;
	s->dictionary = l.dictionary;
	s->chunk = l.chunk;
	s->small_from = l.small_from;
	s->small_counts = l.small_counts;
	s->reopen = false;
	return 0;
}

int store_need_active(struct store *s, struct why *why)
{
	if (s->active)
		return 0;
	return s->reopen ? reopen_segment(s, why) : begin_segment(s, why);
}

/* The connection is in an unknown state: the next call opens the file again. */
static void drop_active(struct store *s)
{
	segment_close(s->active);
	dictionary_destroy(s->dictionary);
	s->active = NULL;
	s->dictionary = NULL;
	s->reopen = true;
}

void store_end_active(struct store *s)
{
	store_join_chunks(s, 2);
	store_active_entry(s)->untidy = segment_seal(s->active) < 0;
	drop_active(s);
	s->reopen = false;
}

/* ---- writing ---- */

static bool must_rotate(struct store *s, int64_t clock_ns)
{
	const struct store_entry *entry = store_active_entry(s);
	uint64_t bytes = folder_file_bytes(&s->folder, entry->sequence, "") + folder_file_bytes(&s->folder, entry->sequence, "-wal");

	return entry->windows && (clock_ns - entry->first_clock_ns >= DAY_NS || bytes >= store_segment_limit(s) ||
				  dictionary_memory(s->dictionary) >= STORE_DICTIONARY_MAX || (entry->last & NUMBERS_MAX) == NUMBERS_MAX);
}

static int pack(struct store *s, const struct window *w, const struct dictionary_counts *before)
{
	int err = 0;

	packing_clear(&s->packed_dictionary);
	if (memcmp(before, &s->dictionary->n, sizeof(*before)) != 0) {
		packing_clear(&s->raw);
		dictionary_encode(s->dictionary, before, &s->dictionary->n, &s->raw);
		err = compressor_compress(s->compressor, &s->raw, &s->packed_dictionary);
	}
	packing_clear(&s->raw);
	window_pack(w, &s->raw);
	return err < 0 ? err : compressor_compress(s->compressor, &s->raw, &s->packed);
}

static int write_rows(struct store *s, const struct window *w)
{
	int err = segment_begin(s->active, true);

	if (err == 0 && s->packed_dictionary.n)
		err = segment_put_dictionary(s->active, s->chunk + 1, &s->packed_dictionary);
	if (err == 0)
		err = segment_put_window(s->active, &w->head, w->account, &s->packed);
	if (err == 0)
		err = store_write_marks(s);
	if (err == 0)
		err = segment_commit(s->active);
	if (err < 0)
		segment_rollback(s->active);
	return err;
}

static void note_window(struct store *s, const struct window *w)
{
	struct store_entry *entry = store_active_entry(s);

	if (!entry->windows++) {
		entry->first = w->head.number;
		entry->first_clock_ns = w->head.clock_ns;
	}
	entry->last = w->head.number;
	entry->last_clock_ns = w->head.clock_ns;
	entry->samples += w->n;
	s->chunk += s->packed_dictionary.n ? 1 : 0;
	store_clock_add(&s->clock, w->head.clock_ns, w->head.gap_ns, w->head.duration_ns, w->head.end_ns);
	for (size_t i = 0; i < s->n_marks; i++)
		s->marks[i].dirty = false;
	for (size_t i = 0; i < s->n_sinks; i++) {
		s->sinks[i].windows++;
		s->sinks[i].bytes += s->packed.n;
	}
}

/* One try. -ENOSPC: something has to go; -EBADMSG: the active segment has to. */
static int write_window(struct store *s, const struct profile *profile, uint64_t *number_out, struct why *why)
{
	struct window w = {0};
	int64_t clock_ns, gap_ns;

	s->over_budget = false;
	store_clock_place(&s->clock, profile->time_ns, &clock_ns, &gap_ns);
	int err = store_need_active(s, why);
	if (err == 0 && must_rotate(s, clock_ns)) {
		store_end_active(s);
		err = store_need_active(s, why);
	}
	if (err < 0)
		return err;
	struct dictionary_counts before = s->dictionary->n;
	err = window_from_profile(&w, s->dictionary, profile);
	if (err == 0) {
		const struct store_entry *entry = store_active_entry(s);
		w.head.number = entry->last ? entry->last + 1 : (entry->sequence << STORE_NUMBER_BITS) + 1;
		w.head.clock_ns = clock_ns;
		w.head.gap_ns = gap_ns;
		err = pack(s, &w, &before);
	}
	if (err == 0)
		err = store_check_room(s, s->packed.n + s->packed_dictionary.n + (w.account ? strlen(w.account) : 0) + ROW_BYTES);
	if (err == 0)
		err = write_rows(s, &w);
	if (err == 0) {
		note_window(s, &w);
		*number_out = w.head.number;
	} else {
		dictionary_rollback(s->dictionary, &before);
	}
	window_deinit(&w);
	return err;
}

static void say_full(const struct store *s, struct why *why)
{
	if (s->over_budget)
		why_set(why, -ENOSPC, "writing a window to '%s': it is larger than the store's budget leaves room for", s->folder.path);
	else
		why_set(why, -ENOSPC, "writing a window to '%s': the disk is full, and no older windows could go; make room there", s->folder.path);
}

static int append(struct store *s, const struct profile *window, uint64_t *number_out, struct why *why)
{
	int err = -EBADMSG;

	for (int tries = 0; tries < TRIES;) {
		why->text[0] = '\0';
		err = write_window(s, window, number_out, why);
		if (err == -EBADMSG && s->n_entries && (s->active || s->reopen)) {
			store_set_aside(s, s->n_entries - 1);
			tries++;
		} else if (err == -ENOSPC) {
			/* Each removes a file, so this ends. */
			if (store_free_something(s, s->over_budget, s->over_budget ? "the store is at its budget" : "the disk is full") < 0) {
				say_full(s, why);
				break;
			}
		} else {
			break;
		}
	}
	if (err < 0 && err != -ENOSPC && err != -EBUSY && err != -E2BIG && s->active)
		drop_active(s);
	if (err < 0 && !why->text[0])
		why_set(why, err, "writing a window to '%s': %s", s->folder.path, strerror(-err));
	return err;
}

int store_append(struct store *s, const struct profile *window, uint64_t *number_out, struct why *why)
{
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);

	int err = append(s, window, number_out, why);
	if (err < 0) {
		s->stats.append_failed++;
		return tell(s, err, why);
	}
	s->stats.appended++;
	s->stats.append_ns_last = clock_ns(CLOCK_MONOTONIC) - begin_ns;
	if (s->stats.append_ns_last > s->stats.append_ns_max)
		s->stats.append_ns_max = s->stats.append_ns_last;
	s->stats.bytes = folder_bytes(&s->folder);
	return tell(s, 0, why);
}

/* ---- opening ---- */

static int scan_window(void *context, const struct window_head *head, const char *account)
{
	struct store *s = context;
	struct store_entry *entry = store_active_entry(s);

	(void)account;
	if (head->number >> STORE_NUMBER_BITS != entry->sequence || !(head->number & NUMBERS_MAX))
		return -EBADMSG;
	if (!entry->windows++) {
		entry->first = head->number;
		entry->first_clock_ns = head->clock_ns;
	}
	entry->last = head->number;
	entry->last_clock_ns = head->clock_ns;
	entry->samples += head->samples;
	store_clock_add(&s->clock, head->clock_ns, head->gap_ns, head->duration_ns, head->end_ns);
	return 0;
}

/* Its windows and marks; the newest one's pages and dictionary too, for it is written to. */
static int scan_segment(struct store *s, struct store_entry *entry, bool newest, struct why *why)
{
	struct segment *segment = NULL;

	int err = open_path(s, entry->sequence, &segment, why);
	if (err == 0)
		err = segment_windows(segment, 0, scan_window, s);
	if (err == 0)
		err = segment_marks(segment, store_learn_mark, s);
	if (err == 0 && newest)
		err = segment_check(segment);
	segment_close(segment);
	if (err == 0 && newest) {
		s->reopen = true;
		err = reopen_segment(s, why);
	}
	entry->untidy = !newest;
	return err;
}

static int open_segments(struct store *s, const struct folder_list *list, struct why *why)
{
	for (size_t i = 0; i < list->n_segments; i++) {
		struct store_clock clock = s->clock;
		struct store_entry *entry = add_entry(s, list->segments[i]);
		if (!entry)
			return why_set(why, -ENOMEM, "opening '%s': no memory", s->folder.path);
		int err = scan_segment(s, entry, i + 1 == list->n_segments, why);
		if (err == -ENODATA) { /* its beginning was cut short */
			s->n_entries--;
			folder_remove(&s->folder, list->segments[i]);
		} else if (err == -EBADMSG) {
			s->clock = clock;
			store_set_aside(s, s->n_entries - 1);
		} else if (err < 0) {
			return err;
		}
	}
	return 0;
}

static int open_folder(struct store *s, const char *path, struct why *why)
{
	struct folder_list list;

	int err = folder_open(&s->folder, path, true, why);
	if (err < 0)
		return err;
	err = folder_list(&s->folder, &list);
	if (err < 0)
		return why_set(why, err, "reading '%s': %s", path, strerror(-err));
	folder_clean(&s->folder, &list);
	for (size_t i = 0; i < list.n_segments; i++)
		s->sequence_last = list.segments[i];
	if (list.n_damaged && list.damaged[list.n_damaged - 1] > s->sequence_last)
		s->sequence_last = list.damaged[list.n_damaged - 1];
	err = open_segments(s, &list, why);
	folder_list_deinit(&list);
	return err;
}

static int set_options(struct store *s, const struct store_options *options, struct why *why)
{
	s->options = *options;
	if (options->bytes_max < STORE_BYTES_MIN)
		return why_set(why, -EINVAL, "a store of %" PRIu64 " bytes is too small: give it %u MiB or more", options->bytes_max,
			       STORE_BYTES_MIN >> 20);
	if (!options->levels[0].window_ns) {
		s->options.levels[0] = (struct store_level){HOUR_NS, 60 * NS_PER_S};
		s->options.levels[1] = (struct store_level){24 * HOUR_NS, 600 * NS_PER_S};
	}
	for (size_t i = 1; i < STORE_LEVELS_MAX && s->options.levels[i].window_ns; i++)
		if (s->options.levels[i].age_ns < s->options.levels[i - 1].age_ns ||
		    s->options.levels[i].window_ns < s->options.levels[i - 1].window_ns)
			return why_set(why, -EINVAL, "levels of compaction must grow, in age and in length");
	return 0;
}

int store_open(const char *folder, const struct store_options *options, struct store **store_out, struct why *why)
{
	struct store *s = calloc(1, sizeof(*s));

	why->text[0] = '\0';
	if (!s)
		return why_set(why, -ENOMEM, "opening '%s': no memory", folder);
	s->folder.fd = -1;
	int err = set_options(s, options, why);
	if (err == 0)
		err = compressor_create(&s->compressor);
	if (err == 0)
		err = open_folder(s, folder, why);
	if (err == 0)
		err = store_set_sinks(s, options->sinks, options->n_sinks);
	if (err < 0) {
		if (!why->text[0])
			why_set(why, err, "opening the store in '%s': %s", folder, strerror(-err));
		store_close(s);
		return err;
	}
	s->stats.bytes = folder_bytes(&s->folder);
	*store_out = s;
	return tell(s, 0, why);
}

void store_stats(const struct store *s, struct store_stats *stats_out)
{
	*stats_out = s->stats;
	stats_out->segments = s->n_entries;
	stats_out->windows = stats_out->samples = 0;
	for (size_t i = 0; i < s->n_entries; i++) {
		stats_out->windows += s->entries[i].windows;
		stats_out->samples += s->entries[i].samples;
	}
	for (size_t i = 0; i < s->n_sinks; i++) {
		stats_out->outbox_windows[i] = s->sinks[i].windows;
		stats_out->outbox_bytes[i] = s->sinks[i].bytes;
		stats_out->outbox_dropped[i] = s->sinks[i].dropped;
	}
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_close_other(s);
	if (s->active)
		store_flush_marks(s);
	if (s->active)
		segment_checkpoint(s->active, true);
	segment_close(s->active);
	dictionary_destroy(s->dictionary);
	compressor_destroy(s->compressor);
	packing_deinit(&s->raw);
	packing_deinit(&s->packed);
	packing_deinit(&s->packed_dictionary);
	free(s->entries);
	folder_close(&s->folder);
	free(s);
}
