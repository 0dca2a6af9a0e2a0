/* Unwind tables of images: compiled once for each file, kept in the memory that the kernel program searches, given up least recently
 * sampled first, one executable at a time. Not thread-safe. */
#ifndef HEARTH_AGENT_UNWIND_IMAGES_H
#define HEARTH_AGENT_UNWIND_IMAGES_H

#include "agent/image_table.h"
#include "agent/unwind_memory.h"

/* Where in an image a table lies. Ranges of an image are sorted and disjoint. */
struct unwind_piece {
	uint64_t vaddr, end;
	uint32_t slot;	 /* index */
	uint32_t serial; /* that the slot has while the table is there */
	bool resident;
	struct unwind_range range;
};

/* What is known of one image. */
struct unwind_entry {
	uint32_t image_id;
	uint32_t n_pieces; /* 0: a file without CFI, or one that cannot be read */
	bool resident;
	struct unwind_piece *pieces;
};

struct unwind_images_stats {
	uint64_t entries;
	uint64_t resident;     /* images whose tables are there */
	uint64_t table_bytes;  /* of these */
	uint64_t loaded;       /* times that tables were put there */
	uint64_t evicted;      /* images given up for the budget */
	uint64_t refused;      /* tables that found no room: everything that is there was sampled in this window */
	uint64_t failed;       /* files whose CFI could not be read */
};

struct unwind_images;

/* slots: n_slots of them, zeroed, shared with the kernel program. All borrowed. epoch: the current one, kept up to date by the caller.
 * settle: makes sure that no kernel program reads what was given up before. */
int unwind_images_create(struct symbolizer *symbolizer, struct unwind_memory *memory, struct unwind_slot *slots,
			 uint32_t n_slots, const uint32_t *epoch, void (*settle)(void *context), void *context,
			 struct unwind_images **images_out);

/* The entry of an image; compiles it at first sight, and loads its tables when that costs nobody else's place, or at any price when
 * wanted. Borrowed until the next call. NULL: out of memory, or not known: the file is not open. */
const struct unwind_entry *unwind_images_get(struct unwind_images *u, const struct image *image, bool wanted);

/* Free room for something else than tables. Returns whether anything was given up. */
bool unwind_images_evict(struct unwind_images *u);

void unwind_images_stats(const struct unwind_images *u, struct unwind_images_stats *stats_out);

/* NULL is legal. */
void unwind_images_destroy(struct unwind_images *u);

#endif
