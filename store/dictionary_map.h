/* The numbers of one dictionary in another one, into which what is wanted of it is taken over. */
#ifndef HEARTH_STORE_DICTIONARY_MAP_H
#define HEARTH_STORE_DICTIONARY_MAP_H

#include "store/dictionary.h"

#define DICTIONARY_WANTED (PROFILE_NONE - 1)

/* All 0: empty. By the number in from: PROFILE_NONE, DICTIONARY_WANTED, or the number in to. */
struct dictionary_map {
	uint32_t *tables[DICTIONARY_TABLES];
	size_t capacity[DICTIONARY_TABLES];
	struct profile_line *lines; /* of the locations at hand */
	size_t lines_capacity;
};

/* Nothing is wanted yet. Memory of another dictionary's map is used on. Returns 0 or -ENOMEM. */
int dictionary_map_begin(struct dictionary_map *m, const struct dictionary *from);
/* One string, at once. Returns its number in to, or a negative errno as dictionary_string(). */
int64_t dictionary_map_string(struct dictionary_map *m, const struct dictionary *from, struct dictionary *to, uint32_t string);
/* All that the series that are wanted refer to is wanted, too. */
void dictionary_map_want(struct dictionary_map *m, const struct dictionary *from);
/* Take over the series that are wanted (m->tables[DICTIONARY_SERIES]), and all that they refer to. What from has twice, against its rules, to may have twice too. Returns 0, or a
 * negative errno as dictionary_string(); then to has a part of it. */
int dictionary_map_take(struct dictionary_map *m, const struct dictionary *from, struct dictionary *to);
void dictionary_map_deinit(struct dictionary_map *m);

#endif
