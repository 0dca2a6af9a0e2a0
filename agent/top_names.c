#include "agent/top_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SLOTS_MIN   1024
#define ENTRIES_MAX (1u << 28)

struct top_name {
	char *text; /* name, module and container, each with its NUL */
	size_t name_bytes, module_bytes, text_bytes; /* with their NULs */
	uint64_t hash;
	int64_t number;
	bool is_kernel;
};

static uint64_t hash_of(const struct top_names *t, const struct top_key *key)
{
	uint64_t parts[4] = {
		XXH3_64bits_withSeed(key->name, strlen(key->name), t->seed),
		XXH3_64bits_withSeed(key->module, strlen(key->module), t->seed),
		(uint64_t)key->number,
		key->is_kernel,
	};

	return XXH3_64bits_withSeed(parts, sizeof(parts), t->seed);
}

struct top_key top_names_get(const struct top_names *t, uint32_t number)
{
	const struct top_name *e = &t->entries[number];

	return (struct top_key){
		.name = e->text,
		.module = e->text + e->name_bytes,
		.container = e->text + e->name_bytes + e->module_bytes,
		.number = e->number,
		.is_kernel = e->is_kernel,
	};
}

/* Where a key is, or goes. */
static uint32_t slot_of(const struct top_names *t, const struct top_key *key, uint64_t hash)
{
	uint32_t at = (uint32_t)hash & (t->n_slots - 1);

	for (; t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
		const struct top_name *e = &t->entries[t->slots[at] - 1];
		if (e->hash == hash && e->number == key->number && e->is_kernel == key->is_kernel && strcmp(e->text, key->name) == 0 &&
		    strcmp(e->text + e->name_bytes, key->module) == 0)
			break;
	}
	return at;
}

static void fill_slots(const struct top_name *entries, uint32_t n, uint32_t *slots, uint32_t n_slots)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = (uint32_t)entries[i].hash & (n_slots - 1);
		while (slots[at])
			at = (at + 1) & (n_slots - 1);
		slots[at] = i + 1;
	}
}

/* Room for one more. */
static int reserve(struct top_names *t)
{
	if (t->n == ENTRIES_MAX)
		return -ENOMEM;
	if (t->n == t->capacity) {
		uint32_t capacity = t->capacity ? 2 * t->capacity : SLOTS_MIN / 2;
		void *grown = realloc(t->entries, capacity * sizeof(t->entries[0]));
		if (!grown)
			return -ENOMEM;
		t->entries = grown;
		t->capacity = capacity;
	}
	if (2 * (t->n + 1) <= t->n_slots)
		return 0;
	uint32_t n_slots = t->n_slots ? 2 * t->n_slots : SLOTS_MIN;
	uint32_t *slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	fill_slots(t->entries, t->n, slots, n_slots);
	free(t->slots);
	t->slots = slots;
	t->n_slots = n_slots;
	return 0;
}

int64_t top_names_put(struct top_names *t, const struct top_key *key)
{
	struct top_name e = {.name_bytes = strlen(key->name) + 1, .module_bytes = strlen(key->module) + 1,
			     .hash = hash_of(t, key), .number = key->number, .is_kernel = key->is_kernel};
	size_t container_bytes = strlen(key->container) + 1;

	int err = reserve(t);
	if (err < 0)
		return err;
	uint32_t slot = slot_of(t, key, e.hash);
	if (t->slots[slot])
		return (int64_t)t->slots[slot] - 1;
	e.text_bytes = e.name_bytes + e.module_bytes + container_bytes;
	e.text = malloc(e.text_bytes);
	if (!e.text)
		return -ENOMEM;
	memcpy(e.text, key->name, e.name_bytes);
	memcpy(e.text + e.name_bytes, key->module, e.module_bytes);
	memcpy(e.text + e.name_bytes + e.module_bytes, key->container, container_bytes);
	t->text_bytes += e.text_bytes;
	t->entries[t->n] = e;
	t->slots[slot] = ++t->n;
	return t->n - 1;
}

uint32_t top_names_find(const struct top_names *t, const struct top_key *key)
{
	if (!t->n)
		return TOP_NAME_NONE;
	uint32_t number = t->slots[slot_of(t, key, hash_of(t, key))];
	return number ? number - 1 : TOP_NAME_NONE;
}

int top_names_sweep(struct top_names *t, uint32_t *marks)
{
	uint32_t kept = 0, *slots = t->n_slots ? calloc(t->n_slots, sizeof(*slots)) : NULL;

	if (t->n_slots && !slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->n; i++) {
		if (marks[i]) {
			marks[i] = kept;
			t->entries[kept++] = t->entries[i];
		} else {
			t->text_bytes -= t->entries[i].text_bytes;
			free(t->entries[i].text);
		}
	}
	t->n = t->n_swept = kept;
	if (slots)
		fill_slots(t->entries, t->n, slots, t->n_slots);
	free(t->slots);
	t->slots = slots;
	return 0;
}

size_t top_names_bytes(const struct top_names *t)
{
	return t->text_bytes + t->capacity * sizeof(t->entries[0]) + t->n_slots * sizeof(t->slots[0]);
}

void top_names_deinit(struct top_names *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		free(t->entries[i].text);
	free(t->entries);
	free(t->slots);
	*t = (struct top_names){.seed = t->seed};
}
