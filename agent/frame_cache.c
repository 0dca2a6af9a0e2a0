#include "agent/frame_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/scope.h"

#define ENTRY_BYTES 512 /* what an entry with its share of strings is reckoned to need: the size of the hash tables follows */
#define STRINGS_PER_ENTRY 2
#define PAGE_BYTES 4096u

struct entry {
	struct frame_key key;
	size_t n;
	struct symbolizer_frame frames[];
};

/* Entries and strings, one behind the other, in memory that the kernel gives page by page as it is used. */
struct generation {
	uint8_t *arena;
	size_t used;
	uint32_t *entries; /* offset in the arena / 8 + 1; 0: free */
	uint32_t *strings; /* offset in the arena + 1; 0: free */
	size_t n_entries, n_strings;
};

struct frame_cache {
	struct generation generations[2];
	unsigned young; /* index of the younger one */
	size_t arena_bytes;
	size_t n_slots; /* of entries: a power of two; of strings: STRINGS_PER_ENTRY times as many */
	uint64_t seed;
	struct frame_cache_stats stats;
};

static void *map_bytes(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static size_t table_bytes(const struct frame_cache *c)
{
	return c->n_slots * sizeof(uint32_t) * (1 + STRINGS_PER_ENTRY);
}

int frame_cache_create(uint64_t budget_bytes, struct frame_cache **cache_out)
{
	if (budget_bytes < FRAME_CACHE_BYTES_MIN || budget_bytes > UINT32_MAX)
		return -EINVAL;
	struct frame_cache *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	size_t half = (size_t)budget_bytes / 2;
	c->n_slots = 64;
	while (c->n_slots * 2 * ENTRY_BYTES <= half)
		c->n_slots *= 2;
	c->arena_bytes = (half - table_bytes(c)) / PAGE_BYTES * PAGE_BYTES;
	int err = getrandom(&c->seed, sizeof(c->seed), 0) == (ssize_t)sizeof(c->seed) ? 0 : -EIO;
	for (size_t i = 0; err == 0 && i < 2; i++) {
		struct generation *g = &c->generations[i];
		g->arena = map_bytes(c->arena_bytes);
		g->entries = calloc(c->n_slots, sizeof(uint32_t));
		g->strings = calloc(c->n_slots * STRINGS_PER_ENTRY, sizeof(uint32_t));
		err = g->arena && g->entries && g->strings ? 0 : -ENOMEM;
	}
	if (err < 0) {
		frame_cache_destroy(c);
		return err;
	}
	*cache_out = c;
	return 0;
}

static struct entry *entry_at(const struct generation *g, uint32_t slot)
{
	return (struct entry *)(void *)(g->arena + (size_t)(slot - 1) * 8);
}

static bool same_key(const struct frame_key *a, const struct frame_key *b)
{
	return a->vaddr == b->vaddr && a->image == b->image && a->serial == b->serial;
}

/* The slot of a key: its own, or the free one where it would be. */
static uint32_t *slot_of(const struct frame_cache *c, const struct generation *g, const struct frame_key *key, uint64_t hash)
{
	size_t at = hash & (c->n_slots - 1);

	while (g->entries[at] && !same_key(&entry_at(g, g->entries[at])->key, key))
		at = (at + 1) & (c->n_slots - 1);
	return &g->entries[at];
}

static void clear(struct frame_cache *c, struct generation *g)
{
	/* The pages go back to the kernel: the budget is a limit, not what is always taken. */
	madvise(g->arena, c->arena_bytes, MADV_DONTNEED);
	memset(g->entries, 0, c->n_slots * sizeof(uint32_t));
	memset(g->strings, 0, c->n_slots * STRINGS_PER_ENTRY * sizeof(uint32_t));
	g->used = g->n_entries = g->n_strings = 0;
}

/* Room in the arena of a generation; NULL: it is full. */
static void *take_room(const struct frame_cache *c, struct generation *g, size_t bytes, size_t alignment)
{
	size_t at = (g->used + alignment - 1) & ~(alignment - 1);

	if (at > c->arena_bytes || bytes > c->arena_bytes - at)
		return NULL;
	g->used = at + bytes;
	return g->arena + at;
}

static const char *take_string(struct frame_cache *c, struct generation *g, const char *text)
{
	size_t bytes = strlen(text), mask = c->n_slots * STRINGS_PER_ENTRY - 1;
	size_t at = XXH3_64bits_withSeed(text, bytes, c->seed) & mask;

	for (; g->strings[at]; at = (at + 1) & mask) {
		const char *known = (const char *)g->arena + g->strings[at] - 1;
		if (strcmp(known, text) == 0)
			return known;
	}
	if (4 * (g->n_strings + 1) > 3 * (mask + 1))
		return NULL;
	char *copy = take_room(c, g, bytes + 1, 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, bytes + 1);
	g->strings[at] = (uint32_t)(copy - (char *)g->arena) + 1;
	g->n_strings++;
	return copy;
}

/* False: the generation is full. What was taken of it until then stays unused. */
static bool insert(struct frame_cache *c, struct generation *g, const struct frame_key *key, uint64_t hash,
		   const struct symbolizer_frame *frames, size_t n, const struct entry **entry_out)
{
	if (4 * (g->n_entries + 1) > 3 * c->n_slots)
		return false;
	struct entry *entry = take_room(c, g, sizeof(*entry) + n * sizeof(entry->frames[0]), 8);
	if (!entry)
		return false;
	entry->key = *key;
	entry->n = n;
	for (size_t i = 0; i < n; i++) {
		entry->frames[i] = frames[i];
		entry->frames[i].name = take_string(c, g, frames[i].name);
		entry->frames[i].system_name = take_string(c, g, frames[i].system_name);
		entry->frames[i].file = take_string(c, g, frames[i].file);
		if (!entry->frames[i].name || !entry->frames[i].system_name || !entry->frames[i].file)
			return false;
	}
	*slot_of(c, g, key, hash) = (uint32_t)(((uint8_t *)entry - g->arena) / 8) + 1;
	g->n_entries++;
	*entry_out = entry;
	return true;
}

/* Put into the younger generation; when that is full it becomes the older one. */
static void put(struct frame_cache *c, const struct frame_key *key, uint64_t hash, const struct symbolizer_frame *frames, size_t n)
{
	const struct entry *entry;

	if (insert(c, &c->generations[c->young], key, hash, frames, n, &entry))
		return;
	/* An answer that does not fit into an empty generation does not cost the others their places. */
	size_t bytes = sizeof(*entry) + 8 + n * sizeof(frames[0]);
	for (size_t i = 0; i < n; i++)
		bytes += strlen(frames[i].name) + strlen(frames[i].system_name) + strlen(frames[i].file) + 3;
	if (bytes > c->arena_bytes || 3 * n > c->n_slots) {
		c->stats.too_large++;
		return;
	}
	c->young ^= 1;
	clear(c, &c->generations[c->young]);
	c->stats.generations++;
	insert(c, &c->generations[c->young], key, hash, frames, n, &entry);
}

static uint64_t hash_of(const struct frame_cache *c, const struct frame_key *key)
{
	return XXH3_64bits_withSeed(key, sizeof(*key), c->seed);
}

bool frame_cache_find(struct frame_cache *c, const struct frame_key *key, const struct symbolizer_frame **frames_out, size_t *n_out)
{
	struct generation *young = &c->generations[c->young], *old = &c->generations[c->young ^ 1];
	uint64_t hash = hash_of(c, key);
	uint32_t slot = *slot_of(c, young, key, hash);
	const struct entry *entry = NULL;

	if (slot) {
		entry = entry_at(young, slot);
	} else {
		slot = *slot_of(c, old, key, hash);
		if (slot) {
			/* It moves while there is room; the old generation goes when someone adds, not while answers are borrowed. */
			const struct entry *was = entry_at(old, slot);
			if (!insert(c, young, key, hash, was->frames, was->n, &entry))
				entry = was;
		}
	}
	if (!entry) {
		c->stats.misses++;
		return false;
	}
	c->stats.hits++;
	*frames_out = entry->frames;
	*n_out = entry->n;
	return true;
}

void frame_cache_add(struct frame_cache *c, const struct frame_key *key, const struct symbolizer_frame *frames, size_t n)
{
	uint64_t hash = hash_of(c, key);

	if (!*slot_of(c, &c->generations[c->young], key, hash))
		put(c, key, hash, frames, n);
}

void frame_cache_stats(const struct frame_cache *c, struct frame_cache_stats *stats_out)
{
	*stats_out = c->stats;
	for (size_t i = 0; i < 2; i++) {
		stats_out->bytes += c->generations[i].used + table_bytes(c);
		stats_out->entries += c->generations[i].n_entries;
	}
}

void frame_cache_destroy(struct frame_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < 2; i++) {
		if (c->generations[i].arena)
			munmap(c->generations[i].arena, c->arena_bytes);
		free(c->generations[i].entries);
		free(c->generations[i].strings);
	}
	free(c);
}
