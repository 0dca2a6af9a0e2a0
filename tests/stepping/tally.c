#include "tests/stepping/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

static const char *const VERDICT_NAMES[] = {"exact", "truncated", "wrong"};
static const char *const CATEGORY_NAMES[] = {"prologue", "body", "epilogue", "plt", "signal", "stack switch", "without CFI"};
static const char *const END_NAMES[] = {"no user stack", "complete", "frame zero",   "bad frame",  "unreadable", "too deep",
					"32-bit",	 "no registers", "no process", "no mapping", "no table",   "unsupported rule"};

/* A step that went wrong. */
struct group_key {
	const char *path;
	uint64_t vaddr;
	enum verdict verdict;
	enum category category; /* of the sample */
	uint32_t end;
	uint32_t depth; /* of the frame: 0 the leaf, 1 its caller, 2 any other */
};

struct group {
	struct group_key key;
	uint64_t count;
	bool overwritten; /* the return address is not on the stack any more */
	struct place leaf;
	struct place expected, found;
	UT_hash_handle hh;
};

struct tally {
	uint64_t counts[CATEGORIES][VERDICTS];
	struct group *groups;
};

struct tally *tally_create(void)
{
	return calloc(1, sizeof(struct tally));
}

static enum verdict judge(const struct walked *walked, const struct truth_frame *truth, size_t n_truth, bool complete, size_t *at_out)
{
	size_t n = walked->n < n_truth ? walked->n : n_truth;
	bool ended = walked->end == END_COMPLETE || walked->end == END_FRAME_ZERO;

	for (size_t i = 1; i < n; i++)
		if (walked->frames[i] != truth[i].pc) {
			*at_out = i - 1;
			return WRONG;
		}
	*at_out = n - 1;
	if (walked->n < n_truth)
		return TRUNCATED;
	if (!complete)
		return EXACT;
	if (walked->n > n_truth)
		return WRONG;
	return ended ? EXACT : TRUNCATED;
}

static void group(struct tally *t, const struct walker *walker, const struct walked *walked, const struct truth_frame *truth,
		  size_t n_truth, size_t at, enum verdict verdict, enum category category)
{
	struct place place = walker_place(walker, truth[at].pc);
	struct group_key key;
	struct group *g;
	uint64_t slot;

	memset(&key, 0, sizeof(key));
	key.path = place.path;
	key.vaddr = place.vaddr;
	key.verdict = verdict;
	key.category = category;
	key.end = verdict == TRUNCATED ? walked->end : 0;
	key.depth = at < 2 ? (uint32_t)at : 2;
	HASH_FIND(hh, t->groups, &key, sizeof(key), g);
	if (!g) {
		g = calloc(1, sizeof(*g));
		if (!g)
			return;
		g->key = key;
		g->leaf = walker_place(walker, truth[0].pc);
		g->expected = walker_place(walker, at + 1 < n_truth ? truth[at + 1].pc : 0);
		g->found = walker_place(walker, at + 1 < walked->n ? walked->frames[at + 1] : 0);
		if (at + 1 < n_truth && walker_read(walker, &slot, sizeof(slot), truth[at + 1].slot) == 0)
			g->overwritten = slot != truth[at + 1].pc;
		HASH_ADD(hh, t->groups, key, sizeof(g->key), g);
	}
	g->count++;
}

void tally_judge(struct tally *t, const struct walker *walker, const struct walked *walked, const struct truth_frame *truth,
		 size_t n_truth, bool complete, enum category category)
{
	size_t at;
	enum verdict verdict = judge(walked, truth, n_truth, complete, &at);

	t->counts[category][verdict]++;
	if (verdict != EXACT)
		group(t, walker, walked, truth, n_truth, at, verdict, category);
}

static int by_count(const struct group *a, const struct group *b)
{
	if (a->key.verdict != b->key.verdict)
		return a->key.verdict > b->key.verdict ? -1 : 1;
	return a->count > b->count ? -1 : a->count < b->count;
}

static const char *file_of(const struct place *place)
{
	const char *slash = strrchr(place->path, '/');

	return slash ? slash + 1 : place->path;
}

static void print_group(const struct group *g)
{
	static const char *const WHOSE[] = {"the leaf", "its caller", "a frame"};

	printf("    %-9s x %" PRIu64 ", %s, the caller of %s of %s+0x%" PRIx64 ": ", VERDICT_NAMES[g->key.verdict], g->count,
	       CATEGORY_NAMES[g->key.category], WHOSE[g->key.depth], file_of(&g->leaf), g->leaf.vaddr);
	printf("%s+0x%" PRIx64 "; true: %s+0x%" PRIx64 "%s", file_of(&(struct place){.path = g->key.path}), g->key.vaddr,
	       file_of(&g->expected), g->expected.vaddr, g->overwritten ? " (not on the stack any more)" : "");
	if (g->key.verdict == WRONG)
		printf("; found: %s+0x%" PRIx64 "\n", file_of(&g->found), g->found.vaddr);
	else
		printf("; ended: %s\n", END_NAMES[g->key.end]);
}

void tally_print(const struct tally *t, size_t show)
{
	uint64_t sums[VERDICTS] = {0};

	printf("%-14s%12s%12s%12s\n", "", VERDICT_NAMES[0], VERDICT_NAMES[1], VERDICT_NAMES[2]);
	for (size_t i = 0; i < CATEGORIES; i++) {
		printf("%-14s%12" PRIu64 "%12" PRIu64 "%12" PRIu64 "\n", CATEGORY_NAMES[i], t->counts[i][EXACT], t->counts[i][TRUNCATED],
		       t->counts[i][WRONG]);
		for (size_t j = 0; j < VERDICTS; j++)
			sums[j] += t->counts[i][j];
	}
	printf("%-14s%12" PRIu64 "%12" PRIu64 "%12" PRIu64 "\n", "all", sums[EXACT], sums[TRUNCATED], sums[WRONG]);
	struct group *groups = t->groups;
	HASH_SORT(groups, by_count);
	for (const struct group *g = groups; g && show; g = g->hh.next, show--)
		print_group(g);
}

void tally_destroy(struct tally *t)
{
	struct group *g, *next;

	if (!t)
		return;
	HASH_ITER(hh, t->groups, g, next) {
		HASH_DEL(t->groups, g);
		free(g);
	}
	free(t);
}
