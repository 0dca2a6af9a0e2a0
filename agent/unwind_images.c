#include "agent/unwind_images.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/scope.h"
#include "symbolizer/unwind_image.h"

#define ENTRIES_MAX 8192 /* files that came and went; beyond it those whose tables are not there are forgotten */

struct node {
	struct unwind_entry entry; /* image_id is the key */
	bool failed;
	uint32_t refused; /* epoch in which its tables last found no room */
	uint32_t late;	  /* epoch in which there was no time to compile it */
	UT_hash_handle hh;
};

struct unwind_images {
	struct symbolizer *symbolizer;
	struct unwind_memory *memory;
	struct unwind_slot *slots;
	uint32_t n_slots, next_slot;
	uint32_t next_serial;
	const uint32_t *epoch;
	void (*settle)(void *context);
	void *context;
	struct node *nodes;
	struct unwind_images_stats stats;
};

int unwind_images_create(struct symbolizer *symbolizer, struct unwind_memory *memory, struct unwind_slot *slots,
			 uint32_t n_slots, const uint32_t *epoch, void (*settle)(void *context), void *context,
			 struct unwind_images **images_out)
{
	struct unwind_images *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	*u = (struct unwind_images){.symbolizer = symbolizer, .memory = memory, .slots = slots, .n_slots = n_slots,
				    .next_serial = 1, .epoch = epoch, .settle = settle, .context = context};
	*images_out = u;
	return 0;
}

static bool is_free(const struct unwind_images *u, uint32_t slot)
{
	return !u->slots[slot].serial && !u->slots[slot].reserved;
}

/* A slot that no entry has. reserved marks those that are taken while their tables are away. */
static int64_t take_slot(struct unwind_images *u)
{
	for (uint32_t i = 0; i < u->n_slots; i++) {
		uint32_t slot = (u->next_slot + i) % u->n_slots;
		if (!is_free(u, slot))
			continue;
		u->slots[slot].reserved = 1;
		u->next_slot = slot + 1;
		return slot;
	}
	return -ENOSPC;
}

/* The kernel sees the table from the moment on that its serial is there. */
static void publish(struct unwind_images *u, struct unwind_piece *piece, const struct unwind_table *table)
{
	struct unwind_slot *slot = &u->slots[piece->slot];
	uint32_t rows = piece->range.offset + 4 * (table->n_pages + 1);
	uint32_t rules = piece->range.offset + table->n_bytes - table->n_rules * (uint32_t)sizeof(struct unwind_rule);

	memcpy(unwind_memory_at(u->memory, piece->range.chunk, piece->range.offset), table->bytes, table->n_bytes);
	slot->vaddr = table->vaddr;
	slot->n_pages = table->n_pages;
	slot->chunk = piece->range.chunk;
	slot->pages = piece->range.offset;
	slot->rows = rows;
	slot->rules = rules;
	slot->used = *u->epoch;
	__atomic_store_n(&slot->serial, piece->serial, __ATOMIC_RELEASE);
	piece->resident = true;
	u->stats.table_bytes += piece->range.bytes;
}

static void unpublish(struct unwind_images *u, struct unwind_piece *piece)
{
	if (!piece->resident)
		return;
	__atomic_store_n(&u->slots[piece->slot].serial, 0, __ATOMIC_RELEASE);
	unwind_memory_free(u->memory, &piece->range);
	piece->resident = false;
	u->stats.table_bytes -= piece->range.bytes;
}

static void unload(struct unwind_images *u, struct node *node)
{
	if (!node->entry.resident)
		return;
	for (uint32_t i = 0; i < node->entry.n_pieces; i++)
		unpublish(u, &node->entry.pieces[i]);
	node->entry.resident = false;
	u->stats.resident--;
}

/* The epoch in which an image was last sampled. */
static uint32_t last_used(const struct unwind_images *u, const struct unwind_entry *entry)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < entry->n_pieces; i++)
		if (entry->pieces[i].resident && u->slots[entry->pieces[i].slot].used > used)
			used = u->slots[entry->pieces[i].slot].used;
	return used;
}

/* Least recently sampled first; what was sampled in this window stays: to load one hot executable for another would never end. */
static bool evict_other(struct unwind_images *u, const struct node *keep)
{
	struct node *victim = NULL;
	uint32_t oldest = *u->epoch;

	for (struct node *node = u->nodes; node; node = node->hh.next) {
		if (!node->entry.resident || node == keep || last_used(u, &node->entry) >= oldest)
			continue;
		victim = node;
		oldest = last_used(u, &node->entry);
	}
	if (!victim)
		return false;
	unload(u, victim);
	u->stats.evicted++;
	return true;
}

static int alloc(struct unwind_images *u, const struct node *node, uint32_t bytes, bool wanted, struct unwind_range *range)
{
	int err;

	while ((err = unwind_memory_alloc(u->memory, bytes, range)) == -ENOSPC) {
		if (!unwind_memory_is_settled(u->memory))
			u->settle(u->context);
		else if (!wanted || !evict_other(u, node))
			break;
	}
	return err;
}

static int load(struct unwind_images *u, struct node *node, const struct unwind_image *image, bool wanted)
{
	struct unwind_entry *entry = &node->entry;
	int err = 0;

	entry->resident = true;
	u->stats.resident++;
	for (uint32_t i = 0; err == 0 && i < entry->n_pieces; i++) {
		struct unwind_piece *piece = &entry->pieces[i];
		err = alloc(u, node, image->tables[i].n_bytes, wanted, &piece->range);
		if (err == 0)
			publish(u, piece, &image->tables[i]);
	}
	if (err < 0) {
		unload(u, node);
		if (wanted) {
			u->stats.refused++;
			node->refused = *u->epoch;
		}
		return err;
	}
	u->stats.loaded++;
	return 0;
}

static int add_pieces(struct unwind_images *u, struct unwind_entry *entry, const struct unwind_image *image)
{
	entry->pieces = calloc(image->n_tables + 1, sizeof(entry->pieces[0]));
	if (!entry->pieces)
		return -ENOMEM;
	for (size_t i = 0; i < image->n_tables; i++) {
		const struct unwind_table *table = &image->tables[i];
		int64_t slot = take_slot(u);
		if (slot < 0)
			return (int)slot;
		entry->pieces[entry->n_pieces++] = (struct unwind_piece){
			.vaddr = table->start,
			.end = table->end,
			.slot = (uint32_t)slot,
			.serial = u->next_serial++,
		};
	}
	return 0;
}

static void drop_pieces(struct unwind_images *u, struct unwind_entry *entry)
{
	for (uint32_t i = 0; i < entry->n_pieces; i++)
		u->slots[entry->pieces[i].slot].reserved = 0;
	free(entry->pieces);
	entry->pieces = NULL;
	entry->n_pieces = 0;
}

static void drop_node(struct unwind_images *u, struct node *node)
{
	unload(u, node);
	drop_pieces(u, &node->entry);
	HASH_DEL(u->nodes, node);
	free(node);
	u->stats.entries--;
}

/* Entries whose tables are away: of files without CFI, evicted ones, and files that no process has any more. */
static void forget_absent(struct unwind_images *u)
{
	struct node *node, *next;

	HASH_ITER(hh, u->nodes, node, next)
		if (!node->entry.resident)
			drop_node(u, node);
}

static int compile(struct unwind_images *u, struct node *node, const struct image *image, bool wanted)
{
	struct unwind_image *compiled = NULL;

	int err = symbolizer_unwind(u->symbolizer, image->fd, image->debug_fd, &compiled);
	if (err == -EBUSY) {
		node->late = *u->epoch;
		return 0;
	}
	if (err < 0) {
		/* Not tried again (SAFETY 12); its code is walked by frame pointers. */
		node->failed = true;
		u->stats.failed++;
		return err == -ENOMEM ? err : 0;
	}
	if (!node->entry.pieces)
		err = add_pieces(u, &node->entry, compiled);
	if (err == 0 && node->entry.n_pieces == compiled->n_tables && compiled->n_tables)
		load(u, node, compiled, wanted); /* without room: tried again when a sample wants it */
	unwind_image_free(compiled);
	return err;
}

/* Nothing to be done for this image now. One that finds no room is not compiled again before others may give way: in the next epoch. */
static bool is_settled(const struct unwind_images *u, const struct node *node, bool wanted)
{
	const struct unwind_entry *entry = &node->entry;

	if (node->failed || entry->resident || node->late == *u->epoch)
		return true;
	return entry->pieces && (!entry->n_pieces || !wanted || node->refused == *u->epoch);
}

const struct unwind_entry *unwind_images_get(struct unwind_images *u, const struct image *image, bool wanted)
{
	uint32_t id = image->id;
	struct node *node;

	HASH_FIND(hh, u->nodes, &id, sizeof(id), node);
	if (node && is_settled(u, node, wanted))
		return &node->entry;
	if (image->fd < 0)
		return node ? &node->entry : NULL;
	if (!node) {
		if (u->stats.entries >= ENTRIES_MAX)
			forget_absent(u);
		node = calloc(1, sizeof(*node));
		if (!node)
			return NULL;
		node->entry.image_id = id;
		HASH_ADD(hh, u->nodes, entry.image_id, sizeof(id), node);
		u->stats.entries++;
	}
	if (compile(u, node, image, wanted) < 0) {
		drop_node(u, node);
		return NULL;
	}
	return &node->entry;
}

bool unwind_images_evict(struct unwind_images *u)
{
	return evict_other(u, NULL);
}

void unwind_images_stats(const struct unwind_images *u, struct unwind_images_stats *stats_out)
{
	*stats_out = u->stats;
}

void unwind_images_destroy(struct unwind_images *u)
{
	struct node *node, *next;

	if (!u)
		return;
	HASH_ITER(hh, u->nodes, node, next)
		drop_node(u, node);
	free(u);
}
