/* What sinks have not got yet. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/store_state.h"

/* ---- marks ---- */

static bool name_is_valid(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	return n && n < STORE_SINK_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static struct store_mark *find_mark(struct store *s, const char *name)
{
	for (size_t i = 0; i < s->n_marks; i++)
		if (strcmp(s->marks[i].name, name) == 0)
			return &s->marks[i];
	return NULL;
}

static bool in_use(const struct store *s, size_t mark)
{
	for (size_t i = 0; i < s->n_sinks; i++)
		if (s->sinks[i].mark == mark)
			return true;
	return false;
}

/* A place for one more; of those that no sink uses the one that is furthest behind goes. */
static struct store_mark *new_mark(struct store *s, const char *name)
{
	size_t place = s->n_marks;

	if (s->n_marks == STORE_MARKS_MAX) {
		for (size_t i = 0; i < s->n_marks; i++)
			if (!in_use(s, i) && (place == s->n_marks || s->marks[i].number < s->marks[place].number))
				place = i;
	} else {
		s->n_marks++;
	}
	struct store_mark *mark = &s->marks[place]; /* fewer sinks than marks: there is one */
	*mark = (struct store_mark){.dirty = true};
	strcpy(mark->name, name);
	return mark;
}

int store_learn_mark(void *context, const char *sink, uint64_t number)
{
	struct store *s = context;

	if (!name_is_valid(sink))
		return -EBADMSG;
	struct store_mark *mark = find_mark(s, sink);
	if (!mark)
		mark = new_mark(s, sink);
	if (number > mark->number)
		mark->number = number;
	return 0;
}

int store_write_marks(struct store *s)
{
	for (size_t i = 0; i < s->n_marks; i++) {
		if (!s->marks[i].dirty)
			continue;
		int err = segment_put_mark(s->active, s->marks[i].name, s->marks[i].number);
		if (err < 0)
			return err;
	}
	return 0;
}

int store_set_sinks(struct store *s, const char *const *sinks, size_t n_sinks)
{
	if (n_sinks > STORE_SINKS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < n_sinks; i++) {
		if (!name_is_valid(sinks[i]))
			return -EINVAL;
		for (size_t j = 0; j < i; j++)
			if (strcmp(sinks[i], sinks[j]) == 0)
				return -EINVAL;
	}
	uint64_t dropped[STORE_SINKS_MAX] = {0};
	size_t marks[STORE_SINKS_MAX];
	for (size_t i = 0; i < n_sinks; i++) {
		struct store_mark *mark = find_mark(s, sinks[i]);
		if (!mark) {
			mark = new_mark(s, sinks[i]);
			mark->number = store_last_number(s);
		}
		marks[i] = (size_t)(mark - s->marks);
		for (size_t j = 0; j < s->n_sinks; j++)
			if (s->sinks[j].mark == marks[i])
				dropped[i] = s->sinks[j].dropped;
	}
	s->n_sinks = n_sinks;
	for (size_t i = 0; i < n_sinks; i++)
		s->sinks[i] = (struct store_sink){.mark = marks[i], .dropped = dropped[i]};
	s->outbox_checked = 0;
	return store_count_outbox(s);
}

/* ---- counting ---- */

/* Rows above some number: how many, how large, until a condition ends it. */
struct tally {
	struct store *s;
	uint64_t up_to;		     /* the last number that counts */
	uint64_t windows, bytes;     /* counted */
	uint64_t last;		     /* the last that was counted */
	bool limit;		     /* count only what is too old or too much */
	uint64_t bytes_over;	     /* so many bytes have to go */
};

static int tally_window(void *context, const struct window_head *head, const char *account)
{
	struct tally *t = context;
	uint64_t age_max = t->s->options.outbox_age_max_ns;

	(void)account;
	if (head->number > t->up_to)
		return 1;
	if (t->limit && t->bytes >= t->bytes_over && (!age_max || (uint64_t)store_clock_age(&t->s->clock, head->clock_ns) <= age_max))
		return 1;
	t->windows++;
	t->bytes += head->bytes;
	t->last = head->number;
	return 0;
}

static int tally_above(struct store *s, uint64_t mark, struct tally *t)
{
	int err = 0;

	for (size_t i = 0; i < s->n_entries && err == 0; i++) {
		struct store_entry *entry = &s->entries[i];
		struct segment *segment;
		if (!entry->windows || entry->last <= mark)
			continue;
		if (entry->first > t->up_to)
			break;
		err = store_segment(s, entry, &segment, NULL);
		if (err == 0)
			err = segment_windows(segment, mark + 1, tally_window, t);
		if (err == -EBADMSG) {
			store_set_aside(s, i--);
			err = 0;
		}
	}
	return err < 0 ? err : 0;
}

int store_count_outbox(struct store *s)
{
	for (size_t i = 0; i < s->n_sinks; i++) {
		struct tally t = {.s = s, .up_to = UINT64_MAX};
		int err = tally_above(s, s->marks[s->sinks[i].mark].number, &t);
		if (err < 0)
			return err;
		s->sinks[i].windows = t.windows;
		s->sinks[i].bytes = t.bytes;
	}
	return 0;
}

uint64_t store_outbox_floor(const struct store *s)
{
	uint64_t floor_number = UINT64_MAX;

	for (size_t i = 0; i < s->n_sinks; i++)
		if (s->marks[s->sinks[i].mark].number < floor_number)
			floor_number = s->marks[s->sinks[i].mark].number;
	return floor_number;
}

/* ---- moving the marks ---- */

static void raise_mark(struct store *s, size_t sink, uint64_t number, const struct tally *t)
{
	struct store_sink *to = &s->sinks[sink];
	struct store_mark *mark = &s->marks[to->mark];

	if (number > mark->number) {
		mark->number = number;
		mark->dirty = true;
	}
	to->windows -= t->windows < to->windows ? t->windows : to->windows;
	to->bytes -= t->bytes < to->bytes ? t->bytes : to->bytes;
}

/* The entry is still there, but may be unreadable: what was in the outbox before it is gone already, so all that is missing up to its end was in it. */
void store_outbox_pass(struct store *s, uint64_t number)
{
	for (size_t i = 0; i < s->n_sinks; i++) {
		uint64_t mark = s->marks[s->sinks[i].mark].number, left = 0, dropped;
		if (mark >= number)
			continue;
		/* Windows that were never merged have numbers without gaps, and what is in an outbox was not merged. */
		for (size_t e = 0; e < s->n_entries; e++) {
			const struct store_entry *entry = &s->entries[e];
			if (entry->windows && entry->last > mark && entry->last <= number)
				left += entry->last - (mark >= entry->first ? mark : entry->first - 1);
		}
		dropped = left < s->sinks[i].windows ? left : s->sinks[i].windows;
		uint64_t bytes = s->sinks[i].windows ? s->sinks[i].bytes / s->sinks[i].windows * dropped : 0;
		s->sinks[i].dropped += dropped;
		raise_mark(s, i, number, &(struct tally){.windows = dropped, .bytes = bytes});
	}
}

int store_flush_marks(struct store *s)
{
	struct why why;
	bool dirty = false;

	for (size_t i = 0; i < s->n_marks; i++)
		dirty |= s->marks[i].dirty;
	if (!dirty)
		return 0;
	int err = store_need_active(s, &why);
	if (err == 0)
		err = segment_begin(s->active, false);
	if (err == 0)
		err = store_write_marks(s);
	if (err == 0)
		err = segment_commit(s->active);
	if (err < 0 && s->active)
		segment_rollback(s->active);
	for (size_t i = 0; err == 0 && i < s->n_marks; i++)
		s->marks[i].dirty = false;
	return err;
}

int store_outbox_limit(struct store *s)
{
	uint64_t last = store_last_number(s);

	if (s->outbox_checked == last)
		return 0;
	for (size_t i = 0; i < s->n_sinks; i++) {
		struct store_sink *sink = &s->sinks[i];
		uint64_t max = s->options.outbox_bytes_max;
		struct tally t = {.s = s, .up_to = UINT64_MAX, .limit = true, .bytes_over = max && sink->bytes > max ? sink->bytes - max : 0};
		if (!sink->windows)
			continue;
		int err = tally_above(s, s->marks[sink->mark].number, &t);
		if (err < 0)
			return err;
		if (!t.windows)
			continue;
		sink->dropped += t.windows;
		store_say(s, "sink '%s' has not got %" PRIu64 " windows in time: they were passed over", s->marks[sink->mark].name, t.windows);
		raise_mark(s, i, t.last, &t);
	}
	s->outbox_checked = last;
	return store_flush_marks(s);
}

int store_outbox_mark(struct store *s, size_t sink, uint64_t number)
{
	if (sink >= s->n_sinks || number > store_last_number(s))
		return -EINVAL;
	struct store_mark *mark = &s->marks[s->sinks[sink].mark];
	if (number > mark->number) {
		struct tally t = {.s = s, .up_to = number};
		int err = tally_above(s, mark->number, &t);
		if (err < 0)
			return err;
		raise_mark(s, sink, number, &t);
	}
	return store_flush_marks(s);
}

/* ---- reading ---- */


static int take_window(void *context, const struct window_head *head, const char *account)
{
	struct window *w = context;

	w->head = *head;
	if (account && !(w->account = strdup(account)))
		return -ENOMEM;
	return 1;
}

/* 1: a damaged window went, look again. */
static int next_of(struct store *s, struct store_entry *entry, uint64_t after, uint64_t *number_out, struct profile **profile_out)
{
	struct window w = {0};
	struct segment *segment;
	struct dictionary *dictionary;

	int err = store_segment(s, entry, &segment, &dictionary);
	if (err == 0)
		err = segment_windows(segment, after + 1, take_window, &w);
	if (err == 0)
		err = -ENOENT;
	if (err > 0)
		err = store_load(s, segment, &w);
	if (err == 0 && !window_fits(&w, &dictionary->n))
		err = -EILSEQ;
	if (err == 0)
		err = window_to_profile(&w, dictionary, profile_out);
	if (err == 0)
		*number_out = w.head.number;
	if (err == -EILSEQ) {
		err = store_drop_window(s, entry, segment, &w.head);
		err = err < 0 ? err : 1;
	}
	window_deinit(&w);
	return err;
}

int store_outbox_next(struct store *s, size_t sink, uint64_t after, uint64_t *number_out, struct profile **profile_out)
{
	if (sink >= s->n_sinks)
		return -EINVAL;
	uint64_t mark = s->marks[s->sinks[sink].mark].number;
	if (after < mark)
		after = mark;
	for (size_t i = 0; i < s->n_entries; i++) {
		struct store_entry *entry = &s->entries[i];
		if (!entry->windows || entry->last <= after)
			continue;
		int err = next_of(s, entry, after, number_out, profile_out);
		if (err == -EBADMSG)
			store_set_aside(s, i--);
		else if (err == 1)
			i--;
		else if (err != -ENOENT)
			return err;
	}
	return -ENOENT;
}
