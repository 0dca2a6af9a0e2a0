#include "pprof/string_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#define SLOTS_MIN 256
#define TEXTS_MAX (1u << 31)

int string_set_init(struct string_set *s)
{
	*s = (struct string_set){.n_slots = SLOTS_MIN};
	if (getrandom(&s->seed, sizeof(s->seed), 0) != (ssize_t)sizeof(s->seed))
		return -EIO;
	s->slots = calloc(SLOTS_MIN, sizeof(s->slots[0]));
	int64_t empty = s->slots ? string_set_add(s, "") : -ENOMEM;
	if (empty < 0)
		string_set_deinit(s);
	return (int)empty;
}

void string_set_deinit(struct string_set *s)
{
	for (size_t i = 0; i < s->n_copies; i++)
		free(s->copies[i]);
	free(s->copies);
	free(s->texts);
	free(s->hashes);
	free(s->slots);
	*s = (struct string_set){0};
}

static size_t slot_of(const struct string_set *s, const char *text, uint32_t hash)
{
	size_t at = hash & (s->n_slots - 1);

	for (; s->slots[at]; at = (at + 1) & (s->n_slots - 1)) {
		uint32_t i = s->slots[at] - 1;
		if (s->hashes[i] == hash && strcmp(s->texts[i], text) == 0)
			break;
	}
	return at;
}

static int reserve(struct string_set *s)
{
	if (s->n < s->capacity)
		return 0;
	if (s->n >= TEXTS_MAX)
		return -E2BIG;
	size_t capacity = s->capacity ? 2 * s->capacity : SLOTS_MIN / 2;
	const char **texts = realloc(s->texts, capacity * sizeof(*texts));
	s->texts = texts ? texts : s->texts;
	uint32_t *hashes = realloc(s->hashes, capacity * sizeof(*hashes));
	s->hashes = hashes ? hashes : s->hashes;
	uint32_t *slots = calloc(2 * capacity, sizeof(*slots));
	if (!texts || !hashes || !slots) {
		free(slots);
		return -ENOMEM;
	}
	free(s->slots);
	s->slots = slots;
	s->n_slots = 2 * capacity;
	s->capacity = capacity;
	for (uint32_t i = 0; i < s->n; i++) {
		size_t at = hashes[i] & (s->n_slots - 1);
		while (slots[at])
			at = (at + 1) & (s->n_slots - 1);
		slots[at] = i + 1;
	}
	return 0;
}

static uint32_t hash_of(const struct string_set *s, const char *text)
{
	return (uint32_t)XXH3_64bits_withSeed(text, strlen(text), s->seed);
}

int64_t string_set_add(struct string_set *s, const char *text)
{
	uint32_t hash = hash_of(s, text);

	int err = reserve(s);
	if (err < 0)
		return err;
	size_t slot = slot_of(s, text, hash);
	if (s->slots[slot])
		return s->slots[slot] - 1;
	s->texts[s->n] = text;
	s->hashes[s->n] = hash;
	s->slots[slot] = (uint32_t)++s->n;
	return (int64_t)s->n - 1;
}

int64_t string_set_copy(struct string_set *s, const char *text)
{
	int64_t known = string_set_find(s, text);

	if (known >= 0)
		return known;
	if (s->n_copies == s->copies_capacity) {
		size_t capacity = s->copies_capacity ? 2 * s->copies_capacity : 64;
		char **copies = realloc(s->copies, capacity * sizeof(*copies));
		if (!copies)
			return -ENOMEM;
		s->copies = copies;
		s->copies_capacity = capacity;
	}
	char *copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	s->copies[s->n_copies++] = copy;
	return string_set_add(s, copy);
}

int64_t string_set_find(const struct string_set *s, const char *text)
{
	size_t slot = slot_of(s, text, hash_of(s, text));

	return s->slots[slot] ? (int64_t)s->slots[slot] - 1 : -ENOENT;
}
