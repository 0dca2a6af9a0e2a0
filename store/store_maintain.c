/* What is not urgent: one step at a time. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_state.h"

#define VACUUM_PAGES 256
#define MERGE_BYTES  (64u << 10) /* pages that a merge changes besides the new samples */
#define EXPIRE_MAX   512	 /* windows in one transaction */

/* ---- age ---- */

struct expiry {
	struct store *s;
	uint64_t first, last, windows, samples;
	bool more; /* a window stays behind them */
	int64_t clock_ns; /* its begin */
	uint64_t next;
};

static bool is_expired(const struct store *s, int64_t clock_ns)
{
	return s->options.age_max_ns && store_clock_age(&s->clock, clock_ns) > (int64_t)(s->options.age_max_ns & INT64_MAX);
}

static int expire_window(void *context, const struct window_head *head, const char *account)
{
	struct expiry *e = context;

	(void)account;
	if (!is_expired(e->s, head->clock_ns) || e->windows == EXPIRE_MAX) {
		e->more = true;
		e->clock_ns = head->clock_ns;
		e->next = head->number;
		return 1;
	}
	if (!e->windows++)
		e->first = head->number;
	e->last = head->number;
	e->samples += head->samples;
	return 0;
}

static int delete_expired(struct store *s, struct store_entry *entry, struct segment *segment, const struct expiry *e)
{
	int err = segment_begin(segment, false);

	if (err == 0)
		err = segment_delete_windows(segment, e->first, e->last);
	if (err == 0)
		err = segment_commit(segment);
	if (err < 0) {
		segment_rollback(segment);
		return err;
	}
	store_outbox_pass(s, e->last);
	entry->windows -= e->windows;
	entry->samples -= e->samples;
	entry->first = e->next;
	entry->first_clock_ns = e->clock_ns;
	entry->untidy = true;
	s->stats.windows_expired += e->windows;
	return 1;
}

/* Of the oldest segment. */
static int expire(struct store *s)
{
	struct expiry e = {.s = s};
	struct segment *segment;

	if (!s->n_entries)
		return 0;
	struct store_entry *entry = &s->entries[0];
	bool active = s->n_entries == 1 && (s->active || s->reopen);
	if (!entry->windows && !active)
		return store_remove(s, 0) < 0 ? 0 : 1;
	if (!entry->windows || !is_expired(s, entry->first_clock_ns))
		return 0;
	if (!active && is_expired(s, entry->last_clock_ns)) {
		s->stats.windows_expired += entry->windows;
		int err = store_remove(s, 0);
		return err < 0 ? err : 1;
	}
	int err = store_segment(s, entry, &segment, NULL);
	if (err == 0)
		err = segment_windows(segment, entry->first, expire_window, &e);
	if (err < 0 || !e.windows || !e.more)
		return err < 0 ? err : 0;
	return delete_expired(s, entry, segment, &e);
}

/* ---- compaction ---- */

/* Windows that become one. */
struct group {
	struct store *s;
	size_t level;
	uint64_t floor;
	struct window_head heads[STORE_GROUP_MAX];
	char *accounts[STORE_GROUP_MAX];
	size_t n;
	uint64_t skipped; /* the last window that needs nothing */
	bool complete;	  /* a window follows that is not of the group */
	bool waiting;	  /* for this one: */
	int64_t clock_ns;
	uint64_t number;
};

static int64_t bucket_of(int64_t time_ns, uint64_t window_ns)
{
	int64_t length = (int64_t)(window_ns & INT64_MAX), bucket = time_ns / length;

	return time_ns % length < 0 ? bucket - 1 : bucket;
}

static bool belongs(const struct group *g, const struct window_head *head)
{
	uint64_t window_ns = g->s->options.levels[g->level].window_ns;

	return head->level <= g->level && !head->gap_ns && g->n < STORE_GROUP_MAX &&
	       bucket_of(g->heads[0].time_ns, window_ns) == bucket_of(head->time_ns, window_ns);
}

static int group_window(void *context, const struct window_head *head, const char *account)
{
	struct group *g = context;
	uint64_t age = g->s->options.levels[g->level].age_ns;

	if (g->n && !belongs(g, head)) {
		g->complete = true;
		return 1;
	}
	if (head->number > g->floor || store_clock_age(&g->s->clock, head->clock_ns) <= (int64_t)(age & INT64_MAX)) {
		g->waiting = true;
		g->clock_ns = head->clock_ns;
		g->number = head->number;
		return 1;
	}
	if (head->level > g->level) {
		g->skipped = head->number;
		return 0;
	}
	g->heads[g->n] = *head;
	g->accounts[g->n] = account ? strdup(account) : NULL;
	if (account && !g->accounts[g->n])
		return -ENOMEM;
	g->n++;
	return 0;
}

static int load_group(struct group *g, struct segment *segment, struct window *sum)
{
	for (size_t i = 0; i < g->n; i++) {
		struct window w = {.head = g->heads[i], .account = g->accounts[i]};
		g->accounts[i] = NULL;
		int err = store_load(g->s, segment, &w);
		if (err == 0 && i && !window_same_shape(&sum->shape, &w.shape)) {
			g->n = i;
			window_deinit(&w);
			return 0;
		}
		if (err == 0 && i)
			err = window_add(sum, &w);
		if (err == 0 && !i) {
			*sum = w;
			continue;
		}
		window_deinit(&w);
		if (err < 0) {
			g->number = i; /* the one that failed */
			return err;
		}
	}
	return 0;
}

static int write_group(struct group *g, struct store_entry *entry, struct segment *segment, const struct window *sum)
{
	struct store *s = g->s;

	packing_clear(&s->raw);
	window_pack(sum, &s->raw);
	int err = compressor_compress(s->compressor, &s->raw, &s->packed);
	if (err == -E2BIG)
		return 0; /* they stay as they are */
	if (err == 0)
		err = store_check_room(s, s->packed.n + MERGE_BYTES);
	if (err == 0)
		err = segment_begin(segment, false);
	if (err == 0)
		err = segment_delete_windows(segment, g->heads[0].number, g->heads[g->n - 1].number);
	if (err == 0)
		err = segment_put_window(segment, &sum->head, sum->account, &s->packed);
	if (err == 0)
		err = segment_commit(segment);
	if (err < 0) {
		segment_rollback(segment);
		return err;
	}
	for (size_t i = 0; i < g->n; i++)
		entry->samples -= g->heads[i].samples;
	entry->samples += sum->n;
	entry->windows -= g->n - 1;
	if (entry->first == g->heads[0].number)
		entry->first = sum->head.number;
	entry->untidy = true;
	s->stats.windows_merged += g->n;
	return 0;
}

static int merge_group(struct group *g, struct store_entry *entry, struct segment *segment)
{
	struct window sum = {0};
	size_t n = g->n;

	int err = load_group(g, segment, &sum);
	if (err == 0 && g->n > 1) {
		sum.head.level = (uint32_t)g->level + 1;
		sum.head.number = g->heads[g->n - 1].number; /* so that no number is given twice */
		err = write_group(g, entry, segment, &sum);
	}
	window_deinit(&sum);
	if (err == 0)
		entry->progress[g->level].done = g->heads[g->n - 1].number;
	if (err == -EILSEQ)
		err = store_drop_window(g->s, entry, segment, &g->heads[g->number]);
	for (size_t i = 0; i < n; i++)
		free(g->accounts[i]);
	return err < 0 ? err : 1;
}

/* Is there something to do in this segment, as far as is known without opening it? */
static bool may_compact(struct store *s, const struct store_entry *entry, size_t level)
{
	const struct store_progress *p = &entry->progress[level];

	if (!entry->windows || p->done >= entry->last)
		return false;
	return !p->waiting || (store_clock_age(&s->clock, p->clock_ns) > (int64_t)(s->options.levels[level].age_ns & INT64_MAX) &&
			       p->number <= store_outbox_floor(s));
}

static int compact_segment(struct store *s, struct store_entry *entry, size_t level)
{
	struct group *g = calloc(1, sizeof(*g));
	struct segment *segment;

	if (!g)
		return -ENOMEM;
	*g = (struct group){.s = s, .level = level, .floor = store_outbox_floor(s)};
	bool active = entry == store_active_entry(s) && (s->active || s->reopen);
	struct store_progress *p = &entry->progress[level];
	int err = store_segment(s, entry, &segment, NULL);
	if (err == 0)
		err = segment_windows(segment, p->done + 1, group_window, g);
	if (err >= 0) {
		if (g->skipped && !g->n)
			p->done = g->skipped;
		p->waiting = g->waiting;
		p->clock_ns = g->clock_ns;
		p->number = g->number;
	}
	if (err >= 0 && g->n && !g->waiting && (g->complete || !active)) {
		err = merge_group(g, entry, segment);
	} else {
		for (size_t i = 0; i < g->n; i++)
			free(g->accounts[i]);
		/* All that there is, and old: the next window completes it. */
		if (err == 0 && active && g->n)
			*p = (struct store_progress){p->done, true, g->heads[g->n - 1].clock_ns, store_last_number(s) + 1};
		err = err < 0 ? err : g->skipped != 0;
	}
	free(g);
	return err;
}

static int compact(struct store *s)
{
	for (size_t i = 0; i < s->n_entries; i++) {
		for (size_t level = 0; level < STORE_LEVELS_MAX && s->options.levels[level].window_ns; level++) {
			if (!may_compact(s, &s->entries[i], level))
				continue;
			int err = compact_segment(s, &s->entries[i], level);
			if (err == -EBADMSG) {
				store_set_aside(s, i);
				return 1;
			}
			if (err != 0)
				return err;
		}
	}
	return 0;
}

/* ---- space ---- */

static int checkpoint(struct store *s)
{
	if (!s->active || segment_wal_bytes(s->active) < store_wal_limit(s))
		return 0;
	/* Without waiting for readers. They may keep it from being complete; then the journal grows, and the segment ends when it is too large. */
	return segment_checkpoint(s->active, false);
}

/* Pages that compaction and expiry left over, and journals of segments that have ended. The active segment fills its own. */
static int tidy(struct store *s)
{
	for (size_t i = 0; i < s->n_entries; i++) {
		struct store_entry *entry = &s->entries[i];
		struct segment *segment;
		bool active = i + 1 == s->n_entries && (s->active || s->reopen);
		if (!entry->untidy || active)
			continue;
		int err = store_segment(s, entry, &segment, NULL);
		if (err == 0)
			err = segment_seal(segment);
		if (err == 0)
			err = segment_vacuum(segment, VACUUM_PAGES);
		if (err == -EBUSY)
			continue; /* somebody reads it */
		if (err == 0)
			entry->untidy = false;
		if (err == -EBADMSG)
			store_set_aside(s, i);
		return err == -EBADMSG ? 1 : err < 0 ? err : 1;
	}
	return 0;
}

static int join(struct store *s)
{
	int err = store_join_chunks(s, STORE_CHUNKS_SMALL);

	return err == -ENOSPC ? 0 : err;
}

static int step(struct store *s)
{
	static int (*const steps[])(struct store *) = {checkpoint, join, expire, store_outbox_limit, compact, tidy};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int result = steps[i](s);
		/* The first two look at the active segment, the third at the oldest; the others set aside themselves. */
		if (result == -EBADMSG && s->n_entries && i < 3)
			result = store_set_aside(s, i < 2 ? s->n_entries - 1 : 0) < 0 ? result : 1;
		if (result)
			return result;
	}
	store_close_other(s);
	return 0;
}

int store_maintain(struct store *s, struct why *why)
{
	why->text[0] = '\0';
	int result = step(s);
	if (result == -ENOSPC)
		result = store_free_something(s, false, "no room to merge windows in") == 0 ? 1 : -ENOSPC;
	s->stats.bytes = folder_bytes(&s->folder);
	if (result < 0)
		why_set(why, result, "tidying the store in '%s': %s", s->folder.path, strerror(-result));
	if (s->notice.text[0])
		*why = s->notice;
	s->notice.text[0] = '\0';
	return result;
}
