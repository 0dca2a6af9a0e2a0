#include "server-upload/intern_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "server-upload/wire_writer.h"

#define BYTES_MAX     ((size_t)1 << 30)
#define NUMBERS_MAX   (1u << 30) /* slots are at most twice as many, and numbered with 32 bits */
#define FIRST_SLOTS   64u
#define FIRST_BYTES   4096u
#define ALIGNMENT     8u

struct intern_entry {
	size_t offset;
	uint32_t length, hash;
};

static size_t wire_size(size_t n)
{
	return 1 + wire_varint_size(n) + n;
}

static size_t padded(size_t n)
{
	return (n + 1 + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

/* In the order of their numbers: so that the last ones can be taken out again without leaving a gap in a chain. */
static int rehash(struct intern_table *t, uint32_t n_slots)
{
	uint32_t *slots = calloc(n_slots, sizeof(slots[0]));

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t at = t->entries[i].hash & (n_slots - 1);
		while (slots[at])
			at = (at + 1) & (n_slots - 1);
		slots[at] = i + 1;
	}
	free(t->slots);
	t->slots = slots;
	t->n_slots = n_slots;
	return 0;
}

static int reserve(struct intern_table *t, size_t n)
{
	if (t->n >= NUMBERS_MAX || n > BYTES_MAX || padded(n) > BYTES_MAX - t->n_bytes)
		return -E2BIG;
	if (t->n == t->capacity) {
		uint32_t capacity = t->capacity ? 2 * t->capacity : FIRST_SLOTS;
		struct intern_entry *grown = realloc(t->entries, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->entries = grown;
		t->capacity = capacity;
	}
	if (padded(n) > t->bytes_capacity - t->n_bytes) {
		size_t capacity = t->bytes_capacity ? t->bytes_capacity : FIRST_BYTES;
		while (capacity - t->n_bytes < padded(n))
			capacity *= 2;
		uint8_t *grown = realloc(t->bytes, capacity);
		if (!grown)
			return -ENOMEM;
		t->bytes = grown;
		t->bytes_capacity = capacity;
	}
	if (2 * (t->n + 1) > t->n_slots)
		return rehash(t, t->n_slots ? 2 * t->n_slots : FIRST_SLOTS);
	return 0;
}

int64_t intern_table_put(struct intern_table *t, const void *bytes, size_t n)
{
	int err = reserve(t, n);

	if (err < 0)
		return err;
	uint64_t hash64 = n ? XXH3_64bits_withSeed(bytes, n, t->seed) : t->seed;
	uint32_t hash = (uint32_t)(hash64 ^ hash64 >> 32);
	uint32_t at = hash & (t->n_slots - 1);
	for (; t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
		const struct intern_entry *known = &t->entries[t->slots[at] - 1];
		if (known->hash == hash && known->length == n && (!n || memcmp(t->bytes + known->offset, bytes, n) == 0))
			return t->slots[at] - 1;
	}
	t->entries[t->n] = (struct intern_entry){.offset = t->n_bytes, .length = (uint32_t)n, .hash = hash};
	if (n)
		memcpy(t->bytes + t->n_bytes, bytes, n);
	t->bytes[t->n_bytes + n] = 0;
	t->n_bytes += padded(n);
	t->wire_bytes += wire_size(n);
	t->slots[at] = ++t->n;
	return t->n - 1;
}

const void *intern_table_get(const struct intern_table *t, uint32_t number, size_t *n_out)
{
	const struct intern_entry *entry = &t->entries[number];

	if (n_out)
		*n_out = entry->length;
	return t->bytes + entry->offset;
}

void intern_table_cut(struct intern_table *t, uint32_t n)
{
	while (t->n > n) {
		const struct intern_entry *last = &t->entries[t->n - 1];
		uint32_t at = last->hash & (t->n_slots - 1);
		while (t->slots[at] != t->n)
			at = (at + 1) & (t->n_slots - 1);
		t->slots[at] = 0;
		t->n_bytes = last->offset;
		t->wire_bytes -= wire_size(last->length);
		t->n--;
	}
}

void intern_table_deinit(struct intern_table *t)
{
	free(t->bytes);
	free(t->entries);
	free(t->slots);
	*t = (struct intern_table){0};
}
