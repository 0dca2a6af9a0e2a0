#include "web/answer_cache.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	void *answer, *key; /* key NULL: none */
	size_t n;
	uint64_t bytes, made_ns, used;
};

struct answer_cache {
	uint64_t budget_bytes, turn;
	void (*destroy)(void *context, void *answer);
	void *context;
	struct entry list[ANSWER_CACHE_ENTRIES_MAX];
	struct answer_cache_stats stats;
};

int answer_cache_create(uint64_t budget_bytes, void (*destroy)(void *context, void *answer), void *context, struct answer_cache **cache_out)
{
	struct answer_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->budget_bytes = budget_bytes;
	c->destroy = destroy;
	c->context = context;
	*cache_out = c;
	return 0;
}

static void drop(struct answer_cache *c, struct entry *e)
{
	c->destroy(c->context, e->answer);
	free(e->key);
	c->stats.bytes -= e->bytes;
	c->stats.entries--;
	*e = (struct entry){.key = NULL};
}

static struct entry *find(struct answer_cache *c, const void *key, size_t n)
{
	for (size_t i = 0; i < ANSWER_CACHE_ENTRIES_MAX; i++)
		if (c->list[i].key && c->list[i].n == n && memcmp(c->list[i].key, key, n) == 0)
			return &c->list[i];
	return NULL;
}

void *answer_cache_find(struct answer_cache *c, const void *key, size_t n, uint64_t now_ns)
{
	struct entry *e = find(c, key, n);

	if (e && now_ns >= e->made_ns + ANSWER_CACHE_AGE_NS) {
		drop(c, e);
		e = NULL;
	}
	if (!e) {
		c->stats.misses++;
		return NULL;
	}
	e->used = ++c->turn;
	c->stats.hits++;
	return e->answer;
}

void *answer_cache_peek(struct answer_cache *c, const void *key, size_t n)
{
	struct entry *e = find(c, key, n);

	return e ? e->answer : NULL;
}

/* A free place, made where there is none or where there are too many bytes. */
static struct entry *make_room(struct answer_cache *c, uint64_t bytes)
{
	for (;;) {
		struct entry *oldest = NULL, *empty = NULL;
		for (size_t i = 0; i < ANSWER_CACHE_ENTRIES_MAX; i++) {
			struct entry *e = &c->list[i];
			if (!e->key)
				empty = e;
			else if (!oldest || e->used < oldest->used)
				oldest = e;
		}
		if (empty && c->stats.bytes + bytes <= c->budget_bytes)
			return empty;
		drop(c, oldest);
		c->stats.evicted++;
	}
}

int answer_cache_add(struct answer_cache *c, const void *key, size_t n, void *answer, uint64_t bytes, uint64_t now_ns)
{
	uint64_t all = bytes + n;

	if (all < bytes || all > c->budget_bytes / 4)
		return -E2BIG;
	void *copy = malloc(n ? n : 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, key, n);
	struct entry *e = find(c, key, n);
	if (e)
		drop(c, e);
	e = make_room(c, all);
	*e = (struct entry){.answer = answer, .key = copy, .n = n, .bytes = all, .made_ns = now_ns, .used = ++c->turn};
	c->stats.bytes += all;
	c->stats.entries++;
	return 0;
}

void answer_cache_stats(const struct answer_cache *c, struct answer_cache_stats *stats_out)
{
	*stats_out = c->stats;
}

void answer_cache_destroy(struct answer_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < ANSWER_CACHE_ENTRIES_MAX; i++)
		if (c->list[i].key)
			drop(c, &c->list[i]);
	free(c);
}
