/* What a name table's builder keeps: strings and tuples of numbers, each of them once, within a limit of memory.
 * The hashes are seeded: strangers choose what is hashed (SAFETY 29). Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_NAME_POOL_H
#define HEARTH_SYMBOLIZER_NAME_POOL_H

#include <stddef.h>
#include <stdint.h>

/* Shared by all arrays of one builder. */
struct name_memory {
	uint64_t limit, used; /* bytes */
	uint64_t seed;
};

/* Make room for n items. array: of *capacity items; grown by half at least.
 * Returns 0, -E2BIG (over the limit) or -ENOMEM; then nothing has changed. */
int name_memory_grow(struct name_memory *memory, void *array, size_t *capacity, size_t item_bytes, size_t n);

/* Ids by hash: twice as many slots as ids, each with 32 bits of the hash and the id + 1. */
struct name_slots {
	uint64_t *slots;
	size_t n_slots; /* 0, or a power of two */
};

/* Nothing is added any more. */
void name_slots_deinit(struct name_slots *index);

struct name_strings {
	struct name_memory *memory;
	char *bytes; /* each with its NUL */
	size_t n_bytes, bytes_capacity;
	uint64_t *offsets; /* by id */
	size_t n, capacity;
	struct name_slots index;
};

/* The id of "" is 0. */
int name_strings_init(struct name_strings *strings, struct name_memory *memory);
/* text: without NUL in it. Returns an id, -E2BIG or -ENOMEM. */
int64_t name_strings_add(struct name_strings *strings, const char *text, size_t bytes);
const char *name_strings_text(const struct name_strings *strings, uint32_t id, size_t *bytes_out);
void name_strings_deinit(struct name_strings *strings);

#define NAME_TUPLE_MAX 4

struct name_tuples {
	struct name_memory *memory;
	uint32_t width; /* numbers in one: 1 to NAME_TUPLE_MAX */
	uint32_t *values;
	size_t n, capacity;
	struct name_slots index;
};

void name_tuples_init(struct name_tuples *tuples, struct name_memory *memory, uint32_t width);
/* Returns an id, -E2BIG or -ENOMEM. */
int64_t name_tuples_add(struct name_tuples *tuples, const uint32_t *values);
static inline const uint32_t *name_tuples_get(const struct name_tuples *tuples, uint32_t id)
{
	return tuples->values + (size_t)id * tuples->width;
}
void name_tuples_deinit(struct name_tuples *tuples);

#endif
