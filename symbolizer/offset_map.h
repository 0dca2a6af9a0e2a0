/* Remembers an id for an offset, so that a string or a DIE that is referred to again and again is read once.
 *
 * It only remembers: when its memory is used up it forgets, and whoever asks works the answer out again. Offsets come from strangers' files, so the
 * hash is seeded (SAFETY 29). Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_OFFSET_MAP_H
#define HEARTH_SYMBOLIZER_OFFSET_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OFFSET_MAP_ENTRIES_MAX (2u << 20) /* 64 MiB when it is full */

struct dwarf_budget;

struct offset_map_entry {
	uint64_t offset;
	uint32_t generation; /* another one than the map's: free */
	uint32_t id;
};

struct offset_map {
	struct dwarf_budget *budget; /* borrowed */
	struct offset_map_entry *entries;
	uint64_t seed;
	uint32_t bits; /* entries: 1 << bits */
	uint32_t n;
	uint32_t generation;
};

void offset_map_init(struct offset_map *map, struct dwarf_budget *budget);

bool offset_map_find(const struct offset_map *map, uint64_t offset, uint32_t *id_out);

/* offset: not in the map. Without memory it is not remembered. */
void offset_map_add(struct offset_map *map, uint64_t offset, uint32_t id);

/* Forget all; costs nothing, however large the map is. */
void offset_map_reset(struct offset_map *map);

void offset_map_deinit(struct offset_map *map);

#endif
