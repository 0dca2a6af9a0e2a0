/* Address spaces in the kernel: which table speaks for which range of a process's addresses. Processes that were forked and did not
 * change share one. Not thread-safe. */
#ifndef HEARTH_AGENT_UNWIND_SPACES_H
#define HEARTH_AGENT_UNWIND_SPACES_H

#include "agent/mapset.h"
#include "agent/process_table.h"
#include "agent/unwind_images.h"

/* Mappings in the kernel's form. Grows on use; free with unwind_vector_deinit(). */
struct unwind_vector {
	struct unwind_mapping *mappings;
	size_t n, capacity;
	bool incomplete; /* out of memory, or over what a mapset holds: counted */
};

/* The mappings of a set, split where an image's tables meet. Tables that are not there are not loaded at another's cost. */
int unwind_vector_build(struct unwind_vector *v, struct mapset *mappings, struct image_table *images,
			struct unwind_images *tables);
void unwind_vector_deinit(struct unwind_vector *v);

struct unwind_spaces_stats {
	uint64_t mapsets;     /* in the kernel */
	uint64_t mapset_bytes;
	uint64_t built;
	uint64_t evicted;
	uint64_t refused;     /* mapsets that found no room */
	uint64_t cut;	      /* mapsets with more mappings than one holds */
};

struct unwind_spaces_options {
	struct image_table *images;
	struct unwind_images *tables;
	struct unwind_memory *memory;
	struct unwind_mapset *slots; /* shared with the kernel program */
	uint32_t n_slots;
	int processes_fd; /* the map; -1: none, in unit tests */
	const uint32_t *epoch;
	void (*settle)(void *context);
	void *context;
};

struct unwind_spaces;

/* options: all borrowed. */
int unwind_spaces_create(const struct unwind_spaces_options *options, struct unwind_spaces **spaces_out);

/* Put the mappings of a process into the kernel, as they are now.
 * exec_pages: deferred_record.exec_pages of the sample that asked. Returns 0, -ENOSPC, -ENOMEM, or the error of the map's update. */
int unwind_spaces_load(struct unwind_spaces *s, struct process *process, uint32_t exec_id, uint32_t exec_pages);

/* The same, with the mapset built anew: for a table that it does not find. */
int unwind_spaces_reload(struct unwind_spaces *s, struct process *process, uint32_t exec_id, uint32_t exec_pages);

/* The mappings that a stack was walked by (arena_entry.walk below WALK_DEFERRED); NULL: not known any more. Kept until the second
 * unwind_spaces_end_drain() after they were given up. Borrowed until then. */
struct mapset *unwind_spaces_mappings(const struct unwind_spaces *s, uint32_t serial);
void unwind_spaces_end_drain(struct unwind_spaces *s);

/* A process's mappings changed, or it ended: the kernel forgets them. */
void unwind_spaces_unload(struct unwind_spaces *s, struct process *process);

/* Give up mapsets that no process was sampled with for a while. */
void unwind_spaces_end_window(struct unwind_spaces *s);

void unwind_spaces_stats(const struct unwind_spaces *s, struct unwind_spaces_stats *stats_out);

/* NULL is legal. */
void unwind_spaces_destroy(struct unwind_spaces *s);

#endif
