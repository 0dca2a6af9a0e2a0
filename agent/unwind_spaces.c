#include "agent/unwind_spaces.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define MAPSET_MAPPINGS_MAX (UNWIND_PARTS_MAX * UNWIND_PART_MAPPINGS)
#define PAST_SPACES_MAX	    16384
#define IDLE_EPOCHS	    6 /* windows after which a mapset that nobody was sampled with goes */

/* A mapset in the kernel. */
struct space {
	struct mapset *source; /* key; a reference */
	uint32_t slot;
	uint32_t serial;
	uint32_t holders; /* processes that it was loaded for; those that inherited it in a fork are not counted */
	uint32_t n_ranges;
	struct unwind_range ranges[UNWIND_PARTS_MAX];
	UT_hash_handle hh, hh_serial;
};

/* What an address space was, for the samples that were walked by it and are not drained yet. */
struct past_space {
	uint32_t serial;
	struct mapset *source; /* a reference */
	uint64_t drain;	       /* in which it was dropped */
	UT_hash_handle hh;
};

struct unwind_spaces {
	struct unwind_spaces_options options;
	uint32_t next_serial, next_slot;
	struct space *spaces;	/* by source, oldest first */
	struct space *serials;	/* the same by serial */
	struct space **by_slot; /* n_slots */
	struct past_space *past; /* oldest first */
	uint64_t drain;
	struct unwind_vector vector;
	struct unwind_spaces_stats stats;
};

static int push(struct unwind_vector *v, const struct unwind_mapping *mapping)
{
	if (!mapping->bytes)
		return 0;
	if (v->n == MAPSET_MAPPINGS_MAX) {
		v->incomplete = true;
		return 0;
	}
	if (v->n == v->capacity) {
		size_t capacity = v->capacity ? 2 * v->capacity : 64;
		struct unwind_mapping *grown = realloc(v->mappings, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		v->mappings = grown;
		v->capacity = capacity;
	}
	v->mappings[v->n++] = *mapping;
	return 0;
}

static int push_plain(struct unwind_vector *v, uint64_t start, uint64_t end, bool is_file)
{
	struct unwind_mapping plain = {.start = start, .bytes = end - start, .table = UNWIND_TABLE_NONE, .serial = is_file};

	return push(v, &plain);
}

struct filling {
	struct unwind_vector *vector;
	struct image_table *images;
	struct unwind_images *tables;
	int err;
};

static uint64_t max_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* pcs [start, end) lie in one segment: split them by the tables that cover it. */
static int push_segment(struct unwind_vector *v, const struct unwind_entry *entry, uint64_t start, uint64_t end,
			uint64_t bias)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && entry && i < entry->n_pieces && start < end; i++) {
		const struct unwind_piece *piece = &entry->pieces[i];
		uint64_t from = max_of(start, piece->vaddr + bias), to = min_of(end, piece->end + bias);
		if (from >= to)
			continue;
		struct unwind_mapping covered = {.start = from, .bytes = to - from, .bias = bias, .table = piece->slot,
						 .serial = piece->serial};
		err = push_plain(v, start, from, true);
		if (err == 0)
			err = push(v, &covered);
		start = to;
	}
	return err == 0 && start < end ? push_plain(v, start, end, true) : err;
}

static int push_image(struct filling *f, const struct mapping *mapping, const struct image *image)
{
	const struct unwind_entry *entry = image->state == IMAGE_READ ? unwind_images_get(f->tables, image, false) : NULL;
	uint64_t at = mapping->start, file_end = mapping->file_offset + (mapping->end - mapping->start);
	int err = 0;

	for (uint8_t i = 0; err == 0 && i < image->n_segments; i++) {
		const struct image_segment *segment = &image->segments[i];
		uint64_t from = max_of(mapping->file_offset, segment->file_offset);
		uint64_t to = min_of(file_end, segment->file_offset + segment->file_bytes);
		if (from >= to)
			continue;
		uint64_t start = mapping->start + (from - mapping->file_offset);
		uint64_t end = mapping->start + (to - mapping->file_offset);
		if (start < at)
			continue; /* segments that overlap: the first one counts, as in image_vaddr() */
		err = push_plain(f->vector, at, start, true);
		if (err == 0)
			err = push_segment(f->vector, entry, start, end, start - (segment->vaddr + (from - segment->file_offset)));
		at = end;
	}
	return err == 0 ? push_plain(f->vector, at, mapping->end, true) : err;
}

static void fill(void *context, const struct mapping *mapping)
{
	struct filling *f = context;
	const struct image *image = mapping->image == MAPPING_NO_IMAGE ? NULL : image_table_get(f->images, mapping->image);

	if (f->err < 0)
		return;
	f->err = image ? push_image(f, mapping, image) : push_plain(f->vector, mapping->start, mapping->end, false);
}

int unwind_vector_build(struct unwind_vector *v, struct mapset *mappings, struct image_table *images,
			struct unwind_images *tables)
{
	struct filling f = {v, images, tables, 0};

	v->n = 0;
	v->incomplete = false;
	mapset_each(mappings, fill, &f);
	return f.err;
}

void unwind_vector_deinit(struct unwind_vector *v)
{
	free(v->mappings);
	*v = (struct unwind_vector){0};
}

int unwind_spaces_create(const struct unwind_spaces_options *options, struct unwind_spaces **spaces_out)
{
	struct unwind_spaces *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->by_slot = calloc(options->n_slots, sizeof(s->by_slot[0]));
	if (!s->by_slot) {
		free(s);
		return -ENOMEM;
	}
	s->options = *options;
	s->next_serial = 1;
	*spaces_out = s;
	return 0;
}

static void forget_past(struct unwind_spaces *s, struct past_space *past)
{
	HASH_DEL(s->past, past);
	mapset_unref(past->source);
	free(past);
}

/* Takes over the reference. Without memory for it, names go by what the process has mapped at the end. */
static void keep_past(struct unwind_spaces *s, uint32_t serial, struct mapset *source)
{
	struct past_space *past = HASH_COUNT(s->past) < PAST_SPACES_MAX ? calloc(1, sizeof(*past)) : NULL;

	if (!past) {
		mapset_unref(source);
		return;
	}
	past->serial = serial;
	past->source = source;
	past->drain = s->drain;
	HASH_ADD(hh, s->past, serial, sizeof(past->serial), past);
}

static void drop_space(struct unwind_spaces *s, struct space *space)
{
	__atomic_store_n(&s->options.slots[space->slot].serial, 0, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < space->n_ranges; i++) {
		s->stats.mapset_bytes -= space->ranges[i].bytes;
		unwind_memory_free(s->options.memory, &space->ranges[i]);
	}
	s->by_slot[space->slot] = NULL;
	HASH_DEL(s->spaces, space);
	HASH_DELETE(hh_serial, s->serials, space);
	keep_past(s, space->serial, space->source);
	free(space);
	s->stats.mapsets--;
}

/* Give up the mapset that was sampled longest ago, in no case one of this window. */
static bool evict_space(struct unwind_spaces *s)
{
	struct space *victim = NULL;
	uint32_t oldest = *s->options.epoch;

	for (struct space *space = s->spaces; space; space = space->hh.next) {
		uint32_t used = s->options.slots[space->slot].used;
		if (used >= oldest)
			continue;
		victim = space;
		oldest = used;
	}
	if (!victim)
		return false;
	drop_space(s, victim);
	s->stats.evicted++;
	return true;
}

static int64_t take_slot(struct unwind_spaces *s)
{
	do {
		for (uint32_t i = 0; i < s->options.n_slots; i++) {
			uint32_t slot = (s->next_slot + i) % s->options.n_slots;
			if (s->options.slots[slot].serial)
				continue;
			s->next_slot = slot + 1;
			return slot;
		}
	} while (evict_space(s));
	return -ENOSPC;
}

static int alloc(struct unwind_spaces *s, uint32_t bytes, struct unwind_range *range)
{
	int err;

	while ((err = unwind_memory_alloc(s->options.memory, bytes, range)) == -ENOSPC) {
		if (!unwind_memory_is_settled(s->options.memory))
			s->options.settle(s->options.context);
		else if (!evict_space(s) && !unwind_images_evict(s->options.tables))
			break;
	}
	return err;
}

/* Copy the mappings into chunks, in parts. */
static int write_parts(struct unwind_spaces *s, struct space *space, struct unwind_mapset *mapset)
{
	const struct unwind_vector *v = &s->vector;

	for (size_t at = 0; at < v->n || !mapset->n_parts; at += UNWIND_PART_MAPPINGS) {
		size_t n = min_of(v->n - at, UNWIND_PART_MAPPINGS);
		struct unwind_range *range = &space->ranges[space->n_ranges];
		int err = alloc(s, (uint32_t)(n * sizeof(v->mappings[0])), range);
		if (err < 0)
			return err;
		space->n_ranges++;
		s->stats.mapset_bytes += range->bytes;
		if (n)
			memcpy(unwind_memory_at(s->options.memory, range->chunk, range->offset), v->mappings + at,
			       n * sizeof(v->mappings[0]));
		mapset->parts[mapset->n_parts++] = (struct unwind_part){
			.start = n ? v->mappings[at].start : 0,
			.chunk = range->chunk,
			.offset = range->offset,
			.n = (uint32_t)n,
		};
	}
	return 0;
}

static void publish(struct unwind_spaces *s, const struct space *space, const struct unwind_mapset *mapset)
{
	struct unwind_mapset *slot = &s->options.slots[space->slot];

	memcpy(slot->parts, mapset->parts, sizeof(slot->parts));
	slot->n_parts = mapset->n_parts;
	slot->used = *s->options.epoch;
	__atomic_store_n(&slot->serial, space->serial, __ATOMIC_RELEASE);
}

static int build_space(struct unwind_spaces *s, struct mapset *source, struct space **space_out)
{
	struct unwind_mapset mapset = {0};

	int err = unwind_vector_build(&s->vector, source, s->options.images, s->options.tables);
	if (err < 0)
		return err;
	s->stats.cut += s->vector.incomplete;
	int64_t slot = take_slot(s);
	if (slot < 0)
		return (int)slot;
	struct space *space = calloc(1, sizeof(*space));
	if (!space)
		return -ENOMEM;
	space->source = mapset_ref(source);
	space->slot = (uint32_t)slot;
	space->serial = s->next_serial++;
	s->options.slots[slot].used = *s->options.epoch; /* or room for it would be made by giving it up */
	HASH_ADD_PTR(s->spaces, source, space);
	HASH_ADD(hh_serial, s->serials, serial, sizeof(space->serial), space);
	s->by_slot[slot] = space;
	s->stats.mapsets++;
	err = write_parts(s, space, &mapset);
	if (err < 0) {
		drop_space(s, space);
		s->stats.refused++;
		return err;
	}
	publish(s, space, &mapset);
	s->stats.built++;
	*space_out = space;
	return 0;
}

/* A process holds one space, or none. One that nobody holds any more goes: who inherited it asks again. */
static void hold(struct unwind_spaces *s, struct process *process, struct space *space)
{
	struct space *held = process->space ? s->by_slot[process->space - 1] : NULL;

	if (held && held->serial != process->space_serial)
		held = NULL;
	if (held == space)
		return;
	process->space = 0;
	if (space) {
		space->holders++;
		process->space = space->slot + 1;
		process->space_serial = space->serial;
	}
	if (held && --held->holders == 0)
		drop_space(s, held);
}

int unwind_spaces_load(struct unwind_spaces *s, struct process *process, uint32_t exec_id, uint32_t exec_pages)
{
	struct mapset *source = process->mappings;
	uint32_t tgid = (uint32_t)process->tgid;
	struct space *space;

	mapset_count(source); /* merges what was added: the set is the same object from here on */
	HASH_FIND_PTR(s->spaces, &source, space);
	if (!space) {
		int err = build_space(s, source, &space);
		if (err < 0)
			return err;
	}
	struct unwind_process value = {
		.exec_id = exec_id, .mapset = space->slot, .serial = space->serial, .exec_pages = exec_pages};
	if (s->options.processes_fd >= 0 && bpf_map_update_elem(s->options.processes_fd, &tgid, &value, BPF_ANY) < 0)
		return -errno;
	process->in_kernel = true;
	hold(s, process, space);
	return 0;
}

int unwind_spaces_reload(struct unwind_spaces *s, struct process *process, uint32_t exec_id, uint32_t exec_pages)
{
	struct mapset *source = process->mappings;
	struct space *space;

	HASH_FIND_PTR(s->spaces, &source, space);
	if (space)
		drop_space(s, space);
	return unwind_spaces_load(s, process, exec_id, exec_pages);
}

void unwind_spaces_unload(struct unwind_spaces *s, struct process *process)
{
	uint32_t tgid = (uint32_t)process->tgid;

	process->in_kernel = false;
	hold(s, process, NULL);
	if (s->options.processes_fd >= 0)
		bpf_map_delete_elem(s->options.processes_fd, &tgid);
}

void unwind_spaces_end_window(struct unwind_spaces *s)
{
	struct space *space, *next;

	HASH_ITER(hh, s->spaces, space, next)
		if (s->options.slots[space->slot].used + IDLE_EPOCHS < *s->options.epoch)
			drop_space(s, space);
}

struct mapset *unwind_spaces_mappings(const struct unwind_spaces *s, uint32_t serial)
{
	struct past_space *past;
	struct space *space;

	HASH_FIND(hh_serial, s->serials, &serial, sizeof(serial), space);
	if (space)
		return space->source;
	HASH_FIND(hh, s->past, &serial, sizeof(serial), past);
	return past ? past->source : NULL;
}

void unwind_spaces_end_drain(struct unwind_spaces *s)
{
	/* A sample may be drained one drain after its space was dropped. */
	while (s->past && s->past->drain < s->drain)
		forget_past(s, s->past);
	s->drain++;
}

void unwind_spaces_stats(const struct unwind_spaces *s, struct unwind_spaces_stats *stats_out)
{
	*stats_out = s->stats;
}

void unwind_spaces_destroy(struct unwind_spaces *s)
{
	struct space *space, *next;

	if (!s)
		return;
	HASH_ITER(hh, s->spaces, space, next)
		drop_space(s, space);
	while (s->past)
		forget_past(s, s->past);
	unwind_vector_deinit(&s->vector);
	free(s->by_slot);
	free(s);
}
