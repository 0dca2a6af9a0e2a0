#include "symbolizer/name_pool.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define SLOTS_MIN 1024u
#define IDS_MAX	  (UINT32_MAX - 1) /* the last number says "none" */

int name_memory_grow(struct name_memory *memory, void *array, size_t *capacity, size_t item_bytes, size_t n)
{
	void *old, *grown;

	if (n <= *capacity)
		return 0;
	memcpy(&old, array, sizeof(old));
	size_t wanted = *capacity + *capacity / 2;
	if (wanted < n)
		wanted = n;
	if (wanted < 64)
		wanted = 64;
	if (wanted > SIZE_MAX / 2 / item_bytes)
		return -E2BIG;
	/* Near the limit: what is asked for, without reserve. */
	if ((wanted - *capacity) * item_bytes > memory->limit - memory->used)
		wanted = n;
	if ((wanted - *capacity) * item_bytes > memory->limit - memory->used)
		return -E2BIG;
	grown = realloc(old, wanted * item_bytes);
	if (!grown)
		return -ENOMEM;
	memcpy(array, &grown, sizeof(grown));
	memory->used += (wanted - *capacity) * item_bytes;
	*capacity = wanted;
	return 0;
}

/* --- ids by hash ------------------------------------------------------------------------------------------------- */

static uint64_t slot_value(uint64_t hash, uint64_t id)
{
	return (hash & ~(uint64_t)UINT32_MAX) | (id + 1);
}

/* The upper half of the hash is kept in the slot, so that a table can be enlarged without the keys: its place comes from there too. */
static size_t slot_place(uint64_t hash, size_t n_slots)
{
	return (size_t)(hash >> 32) & (n_slots - 1);
}

static void slots_put(struct name_slots *index, uint64_t value)
{
	size_t at = slot_place(value, index->n_slots);

	while (index->slots[at])
		at = (at + 1) & (index->n_slots - 1);
	index->slots[at] = value;
}

/* Room for one more id than n. */
static int slots_reserve(struct name_slots *index, struct name_memory *memory, size_t n)
{
	if (index->n_slots && n < index->n_slots - index->n_slots / 4)
		return 0;
	struct name_slots grown = {.n_slots = index->n_slots ? 2 * index->n_slots : SLOTS_MIN};
	uint64_t bytes = grown.n_slots * sizeof(uint64_t);
	if (bytes > memory->limit - memory->used)
		return -E2BIG;
	grown.slots = calloc(grown.n_slots, sizeof(uint64_t));
	if (!grown.slots)
		return -ENOMEM;
	for (size_t i = 0; i < index->n_slots; i++)
		if (index->slots[i])
			slots_put(&grown, index->slots[i]);
	memory->used += bytes - index->n_slots * sizeof(uint64_t);
	free(index->slots);
	*index = grown;
	return 0;
}

void name_slots_deinit(struct name_slots *index)
{
	free(index->slots);
	*index = (struct name_slots){0};
}

/* --- strings ----------------------------------------------------------------------------------------------------- */

int name_strings_init(struct name_strings *strings, struct name_memory *memory)
{
	*strings = (struct name_strings){.memory = memory};
	int64_t id = name_strings_add(strings, "", 0);
	return id < 0 ? (int)id : 0;
}

const char *name_strings_text(const struct name_strings *strings, uint32_t id, size_t *bytes_out)
{
	uint64_t end = id + 1 < strings->n ? strings->offsets[id + 1] : strings->n_bytes;

	*bytes_out = (size_t)(end - strings->offsets[id]) - 1;
	return strings->bytes + strings->offsets[id];
}

static bool strings_find(const struct name_strings *strings, uint64_t hash, const char *text, size_t bytes, uint32_t *id_out)
{
	const struct name_slots *index = &strings->index;

	for (size_t at = slot_place(hash, index->n_slots); index->slots[at]; at = (at + 1) & (index->n_slots - 1)) {
		uint32_t id = (uint32_t)index->slots[at] - 1;
		size_t other_bytes;
		if (index->slots[at] >> 32 != hash >> 32)
			continue;
		const char *other = name_strings_text(strings, id, &other_bytes);
		if (other_bytes == bytes && memcmp(other, text, bytes) == 0) {
			*id_out = id;
			return true;
		}
	}
	return false;
}

int64_t name_strings_add(struct name_strings *strings, const char *text, size_t bytes)
{
	uint64_t hash = XXH3_64bits_withSeed(text, bytes, strings->memory->seed);
	uint32_t id;

	int err = slots_reserve(&strings->index, strings->memory, strings->n);
	if (err < 0)
		return err;
	if (strings_find(strings, hash, text, bytes, &id))
		return id;
	if (strings->n == IDS_MAX || bytes >= SIZE_MAX / 2)
		return -E2BIG;
	err = name_memory_grow(strings->memory, &strings->offsets, &strings->capacity, sizeof(*strings->offsets), strings->n + 1);
	if (err == 0)
		err = name_memory_grow(strings->memory, &strings->bytes, &strings->bytes_capacity, 1, strings->n_bytes + bytes + 1);
	if (err < 0)
		return err;
	if (bytes)
		memcpy(strings->bytes + strings->n_bytes, text, bytes);
	strings->bytes[strings->n_bytes + bytes] = 0;
	strings->offsets[strings->n] = strings->n_bytes;
	strings->n_bytes += bytes + 1;
	slots_put(&strings->index, slot_value(hash, strings->n));
	return (int64_t)strings->n++;
}

void name_strings_deinit(struct name_strings *strings)
{
	free(strings->bytes);
	free(strings->offsets);
	name_slots_deinit(&strings->index);
	*strings = (struct name_strings){0};
}

/* --- tuples ------------------------------------------------------------------------------------------------------ */

void name_tuples_init(struct name_tuples *tuples, struct name_memory *memory, uint32_t width)
{
	*tuples = (struct name_tuples){.memory = memory, .width = width};
}

int64_t name_tuples_add(struct name_tuples *tuples, const uint32_t *values)
{
	size_t bytes = tuples->width * sizeof(*values);
	uint64_t hash = XXH3_64bits_withSeed(values, bytes, tuples->memory->seed);
	struct name_slots *index = &tuples->index;

	int err = slots_reserve(index, tuples->memory, tuples->n);
	if (err < 0)
		return err;
	for (size_t at = slot_place(hash, index->n_slots); index->slots[at]; at = (at + 1) & (index->n_slots - 1)) {
		uint32_t id = (uint32_t)index->slots[at] - 1;
		if (index->slots[at] >> 32 == hash >> 32 && memcmp(name_tuples_get(tuples, id), values, bytes) == 0)
			return id;
	}
	if (tuples->n == IDS_MAX)
		return -E2BIG;
	err = name_memory_grow(tuples->memory, &tuples->values, &tuples->capacity, bytes, tuples->n + 1);
	if (err < 0)
		return err;
	memcpy(tuples->values + tuples->n * tuples->width, values, bytes);
	slots_put(index, slot_value(hash, tuples->n));
	return (int64_t)tuples->n++;
}

void name_tuples_deinit(struct name_tuples *tuples)
{
	free(tuples->values);
	name_slots_deinit(&tuples->index);
	*tuples = (struct name_tuples){0};
}
