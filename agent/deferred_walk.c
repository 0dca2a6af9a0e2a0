#include "agent/deferred_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/unwind_spaces.h"

#define PRIVATE_CHUNK UNWIND_CHUNKS_MAX /* chunk numbers from here on are the walker's own */

/* What bpf/unwind.h wants. */
#define UNWIND_INLINE static inline
#define UNWIND_LOAD_ROW(at) load_row(at)
#define UNWIND_READABLE(view, address, bytes) copied(view, address, bytes)

struct unwind_view {
	struct deferred_walker *walker;
	struct process *process;
	const struct deferred_record *record;
	const uint8_t *stack;
};

struct deferred_walker {
	struct image_table *images;
	struct unwind_images *tables;
	struct unwind_memory *memory;
	struct unwind_slot *slots;
	uint32_t n_slots;
	const uint32_t *epoch;
	struct unwind_vector vector;
	struct unwind_walk walk;
	struct deferred_walk_stats stats;
};

static inline uint32_t load_row(const void *at)
{
	uint32_t row;

	memcpy(&row, at, sizeof(row));
	return row & 0xffffff;
}

/* The copy may end in the middle of a window. */
static inline uint64_t copied(const struct unwind_view *view, uint64_t address, uint64_t bytes)
{
	uint64_t offset = address - view->record->stack;

	if (address < view->record->stack || offset >= view->record->n_bytes)
		return bytes;
	return bytes < view->record->n_bytes - offset ? bytes : view->record->n_bytes - offset;
}

/* Bytes of a file that the process maps: its code. */
static int read_code(const struct unwind_view *view, void *to, uint32_t bytes, uint64_t address)
{
	const struct mapping *mapping = mapset_find(view->process->mappings, address);
	const struct image *image =
		mapping && mapping->image != MAPPING_NO_IMAGE ? image_table_get(view->walker->images, mapping->image) : NULL;

	if (!image || image->fd < 0 || bytes > mapping->end - address)
		return -EFAULT;
	off_t offset = (off_t)(address - mapping->start + mapping->file_offset);
	return pread(image->fd, to, bytes, offset) == (ssize_t)bytes ? 0 : -EFAULT;
}

UNWIND_INLINE int unwind_read(struct unwind_view *view, void *to, uint32_t bytes, uint64_t address)
{
	uint64_t offset = address - view->record->stack;

	if (address >= view->record->stack && offset <= view->record->n_bytes && bytes <= view->record->n_bytes - offset) {
		memcpy(to, view->stack + offset, bytes);
		return 0;
	}
	return read_code(view, to, bytes, address);
}

/* The mappings of the walk lie in chunks of their own. A load may be at any masked offset, with the slack behind it. */
UNWIND_INLINE const void *unwind_chunk(struct unwind_view *view, uint32_t index)
{
	struct deferred_walker *walker = view->walker;

	if (index >= PRIVATE_CHUNK)
		return (const uint8_t *)walker->vector.mappings + (size_t)(index - PRIVATE_CHUNK) * UNWIND_CHUNK_BYTES;
	return unwind_memory_at(walker->memory, index, 0);
}

UNWIND_INLINE struct unwind_slot *unwind_slot_at(struct unwind_view *view, uint32_t index)
{
	return index < view->walker->n_slots ? &view->walker->slots[index] : NULL;
}

UNWIND_INLINE struct unwind_memo *unwind_memo_at(struct unwind_view *view, uint32_t index)
{
	(void)view;
	(void)index;
	return NULL;
}

#include "bpf/unwind.h"

int deferred_walker_create(struct image_table *images, struct unwind_images *tables, struct unwind_memory *memory,
			   struct unwind_slot *slots, uint32_t n_slots, const uint32_t *epoch,
			   struct deferred_walker **walker_out)
{
	struct deferred_walker *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->images = images;
	w->tables = tables;
	w->memory = memory;
	w->slots = slots;
	w->n_slots = n_slots;
	w->epoch = epoch;
	*walker_out = w;
	return 0;
}

static void begin(struct deferred_walker *w, const struct deferred_record *record)
{
	struct unwind_walk *walk = &w->walk;

	memset(walk, 0, sizeof(*walk));
	walk->pc = record->pc;
	walk->sp = record->registers[UNWIND_SP];
	walk->fp = record->registers[UNWIND_FP];
	walk->epoch = *w->epoch;
	walk->exact = true;
	walk->has_registers = true;
	memcpy(walk->registers, record->registers, sizeof(walk->registers));
	walk->mapset.n_parts = 0;
	for (size_t at = 0; at < w->vector.n && walk->mapset.n_parts < UNWIND_PARTS_MAX; at += UNWIND_PART_MAPPINGS) {
		size_t n = w->vector.n - at < UNWIND_PART_MAPPINGS ? w->vector.n - at : UNWIND_PART_MAPPINGS;
		walk->mapset.parts[walk->mapset.n_parts] = (struct unwind_part){
			.start = w->vector.mappings[at].start,
			.chunk = PRIVATE_CHUNK + walk->mapset.n_parts,
			.n = (uint32_t)n,
		};
		walk->mapset.n_parts++;
	}
}

/* A table that was given up: bring it back, at the cost of others. Returns whether it is there now. */
static bool load_table(struct deferred_walker *w, struct process *process)
{
	const struct mapping *mapping = mapset_find(process->mappings, w->walk.mapping.start);
	const struct image *image =
		mapping && mapping->image != MAPPING_NO_IMAGE ? image_table_get(w->images, mapping->image) : NULL;
	const struct unwind_entry *entry = image ? unwind_images_get(w->tables, image, true) : NULL;

	return entry && entry->resident && w->slots[w->walk.mapping.table].serial == w->walk.mapping.serial;
}

static void walk_by_tables(struct deferred_walker *w, struct unwind_view *view, struct deferred_stack *out)
{
	bool loaded = false;

	out->n = 0;
	out->frames[out->n++] = w->walk.pc;
	for (;;) {
		if (out->n == USER_FRAMES_MAX) {
			out->end = END_TOO_DEEP;
			return;
		}
		if (unwind_step(view, &w->walk)) {
			out->frames[out->n - 1] += out->n > 1 && w->walk.exact; /* see struct arena_entry */
			out->frames[out->n++] = w->walk.pc + w->walk.exact;
			loaded = false;
			continue;
		}
		out->end = (uint8_t)w->walk.end;
		if (out->end != END_NO_TABLE || loaded || !load_table(w, view->process))
			return;
		loaded = true; /* the same step again */
	}
}

void deferred_walk(struct deferred_walker *w, struct process *process, const struct deferred_record *record,
		   const uint8_t *stack, struct deferred_stack *out)
{
	struct unwind_view view = {w, process, record, stack};

	w->stats.walks++;
	out->n = 1;
	out->frames[0] = record->pc;
	out->end = END_NO_PROCESS;
	if (!process)
		return;
	if (unwind_vector_build(&w->vector, process->mappings, w->images, w->tables) < 0 || !w->vector.n)
		return;
	begin(w, record);
	walk_by_tables(w, &view, out);
	if (out->end == END_COMPLETE || out->end == END_FRAME_ZERO)
		w->stats.complete++;
}

void deferred_walk_stats(const struct deferred_walker *w, struct deferred_walk_stats *stats_out)
{
	*stats_out = w->stats;
}

void deferred_walker_destroy(struct deferred_walker *w)
{
	if (!w)
		return;
	unwind_vector_deinit(&w->vector);
	free(w);
}
