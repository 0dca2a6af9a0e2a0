/* The executable mappings of one address space. Shared between a process and its forked children until one of them changes it.
 *
 * New mappings are only appended; they are merged into the sorted ones at the next look-up, so that a process that maps 100,000
 * times costs n log n, not n squared. A newer mapping hides what it overlaps. */
#ifndef HEARTH_AGENT_MAPSET_H
#define HEARTH_AGENT_MAPSET_H

#include <stddef.h>
#include <stdint.h>

#define MAPPING_NO_IMAGE UINT32_MAX /* anonymous memory */
#define MAPSET_MAX	 131072	    /* mappings kept of one process: twice vm.max_map_count's default */

struct mapping {
	uint64_t start, end;
	uint64_t file_offset;
	uint32_t image; /* index into the image table, or MAPPING_NO_IMAGE */
};

struct mapset;

/* A set with one reference; NULL when out of memory. */
struct mapset *mapset_create(void);
struct mapset *mapset_ref(struct mapset *set);
/* NULL is legal. */
void mapset_unref(struct mapset *set);

/* Add a mapping to *set, which is replaced by a copy when others share it.
 * Returns 0, -ENOMEM, -E2BIG over MAPSET_MAX, -EINVAL when end <= start; *set is as before then. */
int mapset_add(struct mapset **set, const struct mapping *mapping);

/* The mapping that covers a pc, or NULL. Borrowed until the next call on this set. */
const struct mapping *mapset_find(struct mapset *set, uint64_t pc);

size_t mapset_count(struct mapset *set);
size_t mapset_bytes(const struct mapset *set);
/* Call fn for each mapping, in address order. */
void mapset_each(struct mapset *set, void (*fn)(void *context, const struct mapping *mapping), void *context);

#endif
