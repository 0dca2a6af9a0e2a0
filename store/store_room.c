/* The budget: what may be written, and what goes for it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/store_state.h"

#define DISK_RESERVE (256u << 10) /* what a new segment's first pages take, and SQLite's own */
#define WAL_MIN	     (128u << 10)
#define WAL_MAX	     (4u << 20)

uint64_t store_limit(const struct store *s)
{
	uint64_t own = folder_bytes(&s->folder), free_bytes = folder_free_bytes(&s->folder), all;

	if (__builtin_add_overflow(own, free_bytes, &all))
		all = UINT64_MAX;
	all -= all > DISK_RESERVE ? DISK_RESERVE : all;
	return all < s->options.bytes_max ? all : s->options.bytes_max;
}

uint64_t store_segment_limit(const struct store *s)
{
	uint64_t limit = store_limit(s) / STORE_SEGMENTS_IN;

	return limit > STORE_SEGMENT_MIN ? limit : STORE_SEGMENT_MIN;
}

uint64_t store_wal_limit(const struct store *s)
{
	uint64_t limit = s->options.bytes_max / 64;

	return limit < WAL_MIN ? WAL_MIN : limit > WAL_MAX ? WAL_MAX : limit;
}

/* What is committed goes to the journal, and from there to the file, which may grow by all that the journal has. */
int store_check_room(struct store *s, uint64_t bytes)
{
	const struct store_entry *active = store_active_entry(s);
	uint64_t wal = active ? folder_file_bytes(&s->folder, active->sequence, "-wal") : 0;
	uint64_t other = s->other ? folder_file_bytes(&s->folder, s->other_sequence, "-wal") : 0;

	s->stats.bytes = folder_bytes(&s->folder);
	uint64_t wanted = s->stats.bytes + wal + other + 2 * bytes;
	s->over_budget = wanted > s->options.bytes_max;
	return wanted <= store_limit(s) ? 0 : -ENOSPC;
}

static void forget_entry(struct store *s, size_t i)
{
	struct store_entry *entry = &s->entries[i];

	if (i + 1 == s->n_entries) {
		segment_close(s->active);
		dictionary_destroy(s->dictionary);
		s->active = NULL;
		s->dictionary = NULL;
		s->reopen = false;
	}
	if (s->other_sequence == entry->sequence)
		store_close_other(s);
	store_outbox_pass(s, entry->last);
	memmove(entry, entry + 1, (s->n_entries - i - 1) * sizeof(*entry));
	s->n_entries--;
}

int store_remove(struct store *s, size_t i)
{
	uint64_t sequence = s->entries[i].sequence;

	forget_entry(s, i);
	return folder_remove(&s->folder, sequence);
}

int store_set_aside(struct store *s, size_t i)
{
	uint64_t sequence = s->entries[i].sequence, windows = s->entries[i].windows;
	char name[FOLDER_NAME_MAX];

	forget_entry(s, i);
	folder_name(sequence, "", name);
	int err = folder_set_aside(&s->folder, sequence);
	if (err < 0) {
		store_say(s, "'%s/%s' is damaged, and could not be set aside: %s", s->folder.path, name, strerror(-err));
		return err;
	}
	s->stats.damaged++;
	store_say(s, "'%s/%s' is damaged (%" PRIu64 " windows): it was set aside as '%s.damaged'; hearth goes on without it", s->folder.path,
		  name, windows, name);
	return 0;
}

int store_drop_window(struct store *s, struct store_entry *entry, struct segment *segment, const struct window_head *head)
{
	int err = segment_begin(segment, false);

	if (err == 0)
		err = segment_delete_windows(segment, head->number, head->number);
	if (err == 0)
		err = segment_commit(segment);
	if (err < 0) {
		segment_rollback(segment);
		return err;
	}
	entry->windows -= entry->windows ? 1 : 0;
	entry->samples -= head->samples < entry->samples ? head->samples : entry->samples;
	s->stats.damaged_windows++;
	for (size_t i = 0; i < s->n_sinks; i++) {
		struct store_sink *sink = &s->sinks[i];
		if (s->marks[sink->mark].number >= head->number || !sink->windows)
			continue;
		sink->windows--;
		sink->bytes -= head->bytes < sink->bytes ? head->bytes : sink->bytes;
		sink->dropped++;
	}
	store_say(s, "window %" PRIu64 " is damaged: it was removed", head->number);
	return 0;
}

static bool remove_damaged(struct store *s)
{
	struct folder_list list;

	if (folder_list(&s->folder, &list) < 0)
		return false;
	bool removed = list.n_damaged && folder_remove_damaged(&s->folder, list.damaged[0]) == 0;
	if (removed)
		store_say(s, "%s: 'windows-%06" PRIu64 ".db.damaged' was removed", "room was needed", list.damaged[0]);
	folder_list_deinit(&list);
	return removed;
}

/* May the oldest segment go? Windows that were reported as written are worth more than those that come: without an older one a full disk gets none of them. The budget is a promise, too:
 * for that the active segment goes, when it holds more than the smallest one. */
static bool may_go(const struct store *s, bool budget)
{
	const struct store_entry *entry = &s->entries[0];
	bool active = s->n_entries == 1 && (s->active || s->reopen);

	for (size_t i = 1; i < s->n_entries; i++)
		if (s->entries[i].windows)
			return true;
	if (!active && (budget || !entry->windows))
		return true;
	return budget && folder_file_bytes(&s->folder, entry->sequence, "") + folder_file_bytes(&s->folder, entry->sequence, "-wal") > STORE_SEGMENT_MIN;
}

int store_free_something(struct store *s, bool budget, const char *reason)
{
	if (remove_damaged(s))
		return 0;
	if (!s->n_entries || !may_go(s, budget))
		return -ENOSPC;
	uint64_t windows = s->entries[0].windows;
	int err = store_remove(s, 0);
	if (err < 0)
		return err;
	s->stats.windows_evicted += windows;
	store_say(s, "%s: the oldest %" PRIu64 " windows were removed", reason, windows);
	return 0;
}
