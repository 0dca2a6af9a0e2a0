#include "agent/frame_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#define SLOTS_MIN 1024

int frame_table_init(struct frame_table *t)
{
	*t = (struct frame_table){0};
	if (getrandom(&t->seed, sizeof(t->seed), 0) != (ssize_t)sizeof(t->seed))
		return -EIO;
	t->slots = calloc(SLOTS_MIN, sizeof(t->slots[0]));
	if (!t->slots)
		return -ENOMEM;
	t->n_slots = SLOTS_MIN;
	return 0;
}

static size_t slot_of(const struct frame_table *t, size_t n_slots, uint8_t kind, uint32_t image, uint64_t address)
{
	uint64_t words[2] = {address, (uint64_t)kind << 32 | image};

	return XXH3_64bits_withSeed(words, sizeof(words), t->seed) & (n_slots - 1);
}

static int grow_slots(struct frame_table *t)
{
	size_t n_slots = 2 * t->n_slots;
	uint32_t *slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		const struct frame *f = &t->frames[i];
		size_t at = slot_of(t, n_slots, f->kind, f->image, f->address);
		while (slots[at])
			at = (at + 1) & (n_slots - 1);
		slots[at] = (uint32_t)i + 1;
	}
	free(t->slots);
	t->slots = slots;
	t->n_slots = n_slots;
	return 0;
}

static int grow_frames(struct frame_table *t)
{
	size_t capacity = t->capacity ? 2 * t->capacity : 512;
	struct frame *frames = realloc(t->frames, capacity * sizeof(*frames));

	if (!frames)
		return -ENOMEM;
	t->frames = frames;
	t->capacity = capacity;
	return 0;
}

int64_t frame_table_add(struct frame_table *t, enum frame_kind kind, uint32_t image, uint64_t address)
{
	size_t at = slot_of(t, t->n_slots, (uint8_t)kind, image, address);

	for (; t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
		const struct frame *f = &t->frames[t->slots[at] - 1];
		if (f->address == address && f->image == image && f->kind == kind)
			return t->slots[at] - 1;
	}
	if (t->n == t->capacity && grow_frames(t) < 0)
		return -ENOMEM;
	if (2 * (t->n + 1) > t->n_slots) {
		if (grow_slots(t) < 0)
			return -ENOMEM;
		at = slot_of(t, t->n_slots, (uint8_t)kind, image, address);
		while (t->slots[at])
			at = (at + 1) & (t->n_slots - 1);
	}
	t->frames[t->n] = (struct frame){.address = address, .image = image, .kind = (uint8_t)kind};
	t->slots[at] = (uint32_t)++t->n;
	return (int64_t)t->n - 1;
}

void frame_table_clear(struct frame_table *t)
{
	t->n = 0;
	memset(t->slots, 0, t->n_slots * sizeof(t->slots[0]));
}

void frame_table_deinit(struct frame_table *t)
{
	free(t->frames);
	free(t->slots);
	*t = (struct frame_table){0};
}
