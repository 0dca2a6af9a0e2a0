/* Texts as numbers: equal ones are one. Texts are borrowed. Not thread-safe. */
#ifndef HEARTH_PPROF_STRING_SET_H
#define HEARTH_PPROF_STRING_SET_H

#include <stddef.h>
#include <stdint.h>

struct string_set {
	const char **texts; /* borrowed, but for those of string_set_copy() */
	uint32_t *hashes;
	size_t n, capacity;
	uint32_t *slots; /* number + 1; 0: free */
	size_t n_slots;
	uint64_t seed;
	char **copies;
	size_t n_copies, copies_capacity;
};

/* Number 0 is "". Returns 0, -EIO (no random seed), -ENOMEM. */
int string_set_init(struct string_set *s);
void string_set_deinit(struct string_set *s);

/* The number of a text, which is added when it is new: it must live as long as the set. Returns it, -ENOMEM, -E2BIG (past 2^31). */
int64_t string_set_add(struct string_set *s, const char *text);
/* As string_set_add(), with a copy. */
int64_t string_set_copy(struct string_set *s, const char *text);
/* Returns the number of a text, or -ENOENT. */
int64_t string_set_find(const struct string_set *s, const char *text);

#endif
