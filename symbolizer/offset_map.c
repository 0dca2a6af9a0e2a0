#include "symbolizer/offset_map.h"
#include "symbolizer/dwarf_sections.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_BITS 10

void offset_map_init(struct offset_map *map, struct dwarf_budget *budget)
{
	*map = (struct offset_map){ .budget = budget, .generation = 1 };
	/* Without entropy early at boot a constant must do: then only speed can be attacked. */
	if (getrandom(&map->seed, sizeof(map->seed), GRND_NONBLOCK) != sizeof(map->seed))
		map->seed = 0x9e3779b97f4a7c15;
	map->seed |= 1;
}

/* Multiply and shift with a random odd factor: two keys meet at most twice as often as by chance. */
static uint32_t slot_of(const struct offset_map *map, uint64_t offset)
{
	return (uint32_t)(offset * map->seed >> (64 - map->bits));
}

static struct offset_map_entry *probe(const struct offset_map *map, uint64_t offset)
{
	uint32_t mask = (1u << map->bits) - 1, at = slot_of(map, offset);

	while (map->entries[at].generation == map->generation && map->entries[at].offset != offset)
		at = (at + 1) & mask;
	return &map->entries[at];
}

bool offset_map_find(const struct offset_map *map, uint64_t offset, uint32_t *id_out)
{
	if (!map->n)
		return false;
	const struct offset_map_entry *entry = probe(map, offset);
	if (entry->generation != map->generation)
		return false;
	*id_out = entry->id;
	return true;
}

static bool grow(struct offset_map *map)
{
	uint32_t bits = map->entries ? map->bits + 1 : FIRST_BITS, old_n = map->entries ? 1u << map->bits : 0;
	struct offset_map_entry *old = map->entries;
	uint64_t bytes = sizeof(*old) << bits;

	if ((1u << bits) / 2 > OFFSET_MAP_ENTRIES_MAX || bytes > map->budget->left)
		return false;
	struct offset_map_entry *entries = calloc((size_t)1 << bits, sizeof(*entries));
	if (!entries)
		return false;
	map->budget->left -= bytes;
	map->entries = entries;
	map->bits = bits;
	for (uint32_t i = 0; i < old_n; i++)
		if (old[i].generation == map->generation)
			*probe(map, old[i].offset) = old[i];
	map->budget->left += sizeof(*old) * (uint64_t)old_n;
	free(old);
	return true;
}

void offset_map_add(struct offset_map *map, uint64_t offset, uint32_t id)
{
	if (!map->entries || map->n >= (1u << map->bits) / 2) {
		if (!grow(map)) {
			if (!map->entries)
				return;
			offset_map_reset(map);
		}
	}
	*probe(map, offset) = (struct offset_map_entry){ offset, map->generation, id };
	map->n++;
}

void offset_map_reset(struct offset_map *map)
{
	map->n = 0;
	if (++map->generation)
		return;
	map->generation = 1;
	if (map->entries)
		memset(map->entries, 0, sizeof(*map->entries) << map->bits);
}

void offset_map_deinit(struct offset_map *map)
{
	if (map->entries)
		map->budget->left += sizeof(*map->entries) << map->bits;
	free(map->entries);
	map->entries = NULL;
	map->n = 0;
}
