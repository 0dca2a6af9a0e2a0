/* Functions or processes that `hearth top` saw, each once, numbered in the order in which they came. Keys are strangers': the hash is seeded (SAFETY 29). */
#ifndef HEARTH_AGENT_TOP_NAMES_H
#define HEARTH_AGENT_TOP_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOP_NAME_NONE UINT32_MAX

struct top_key {
	const char *name, *module;
	const char *container; /* not part of what is compared: the first one stays */
	int64_t number;
	bool is_kernel;
};

struct top_name;

/* Zeroed but for the seed: empty. */
struct top_names {
	uint64_t seed;
	struct top_name *entries;
	uint32_t n, capacity;
	uint32_t n_swept; /* that the last sweep left */
	uint32_t *slots;  /* number + 1; 0: free */
	uint32_t n_slots;
	size_t text_bytes;
};

/* The number of a key, whose texts are copied when it is new. Returns it, or -ENOMEM. */
int64_t top_names_put(struct top_names *t, const struct top_key *key);

/* The number, or TOP_NAME_NONE. */
uint32_t top_names_find(const struct top_names *t, const struct top_key *key);

/* Borrowed until the next sweep. */
struct top_key top_names_get(const struct top_names *t, uint32_t number);

/* Forget those whose mark is 0, and put the new numbers in the place of the marks. marks: one for each. Returns 0, or -ENOMEM: nothing changed. */
int top_names_sweep(struct top_names *t, uint32_t *marks);

size_t top_names_bytes(const struct top_names *t);

/* Empties it; the seed stays. */
void top_names_deinit(struct top_names *t);

#endif
