/* Byte strings, each once, numbered in the order in which they came. Keys are strangers' (names, labels): the hash is seeded (SAFETY 29). */
#ifndef HEARTH_SERVER_UPLOAD_INTERN_TABLE_H
#define HEARTH_SERVER_UPLOAD_INTERN_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct intern_entry;

/* Zeroed but for the seed: empty. */
struct intern_table {
	uint64_t seed;
	uint8_t *bytes;
	size_t n_bytes, bytes_capacity;
	struct intern_entry *entries;
	uint32_t n, capacity;
	uint32_t *slots; /* number + 1; 0: free */
	uint32_t n_slots;
	size_t wire_bytes; /* of all of them as a repeated field whose number is below 16 */
};

/* The number of a byte string; when it was n before the call, the string is new. -ENOMEM, -E2BIG (2^31 strings, 1 GiB). */
int64_t intern_table_put(struct intern_table *t, const void *bytes, size_t n);
/* Borrowed until the next put; aligned for uint64_t; a NUL follows. */
const void *intern_table_get(const struct intern_table *t, uint32_t number, size_t *n_out);
/* Forget those from number n on. */
void intern_table_cut(struct intern_table *t, uint32_t n);
void intern_table_deinit(struct intern_table *t);

#endif
