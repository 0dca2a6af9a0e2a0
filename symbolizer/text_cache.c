#include "symbolizer/text_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define CHUNK_BYTES (64u << 10)
#define SLOTS_MIN   1024u

struct chunk {
	struct chunk *next;
	char text[];
};

struct slot {
	uint32_t key;
	const char *text; /* NULL: free */
};

struct text_cache {
	uint64_t seed; /* odd */
	size_t budget, used;
	struct chunk *chunks; /* the first is being filled */
	size_t at, room;      /* in it */
	struct slot *slots;
	size_t n, n_slots; /* n_slots: a power of two */
};

int text_cache_create(size_t budget_bytes, struct text_cache **cache_out)
{
	struct text_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->budget = budget_bytes;
	if (getrandom(&cache->seed, sizeof(cache->seed), GRND_NONBLOCK) != sizeof(cache->seed))
		cache->seed = (uintptr_t)cache * 0x9e3779b97f4a7c15ULL; /* as random as the kernel has placed it */
	cache->seed |= 1;
	cache->n_slots = SLOTS_MIN;
	cache->slots = calloc(SLOTS_MIN, sizeof(*cache->slots));
	if (!cache->slots) {
		free(cache);
		return -ENOMEM;
	}
	*cache_out = cache;
	return 0;
}

/* Keys are a stranger's: multiplied by a random number, so that nobody knows which of them meet. */
static struct slot *slot_of(const struct text_cache *cache, struct slot *slots, size_t n_slots, uint32_t key)
{
	size_t at = (key * cache->seed) >> 32 & (n_slots - 1);

	while (slots[at].text && slots[at].key != key)
		at = (at + 1) & (n_slots - 1);
	return &slots[at];
}

const char *text_cache_find(const struct text_cache *cache, uint32_t key)
{
	return slot_of(cache, cache->slots, cache->n_slots, key)->text;
}

static int reserve_slot(struct text_cache *cache)
{
	size_t n = 2 * cache->n_slots;

	if (2 * (cache->n + 1) <= cache->n_slots)
		return 0;
	struct slot *slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < cache->n_slots; i++)
		if (cache->slots[i].text)
			*slot_of(cache, slots, n, cache->slots[i].key) = cache->slots[i];
	free(cache->slots);
	cache->slots = slots;
	cache->n_slots = n;
	return 0;
}

static int reserve_text(struct text_cache *cache, size_t bytes)
{
	size_t wanted = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;

	if (bytes <= cache->room - cache->at)
		return 0;
	if (wanted > cache->budget - cache->used)
		return -E2BIG;
	struct chunk *chunk = malloc(sizeof(*chunk) + wanted);
	if (!chunk)
		return -ENOMEM;
	chunk->next = cache->chunks;
	cache->chunks = chunk;
	cache->used += wanted;
	cache->room = wanted;
	cache->at = 0;
	return 0;
}

char *text_cache_add(struct text_cache *cache, uint32_t key, size_t bytes)
{
	if (reserve_slot(cache) < 0 || reserve_text(cache, bytes) < 0)
		return NULL;
	char *text = cache->chunks->text + cache->at;
	cache->at += bytes;
	*slot_of(cache, cache->slots, cache->n_slots, key) = (struct slot){key, text};
	cache->n++;
	return text;
}

void text_cache_destroy(struct text_cache *cache)
{
	if (!cache)
		return;
	while (cache->chunks) {
		struct chunk *next = cache->chunks->next;
		free(cache->chunks);
		cache->chunks = next;
	}
	free(cache->slots);
	free(cache);
}
