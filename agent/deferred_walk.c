#include "agent/deferred_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/code_walk.h"
#include "agent/unwind_spaces.h"
#include "base/clock.h"
#include "symbolizer/symbolizer.h"

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
	uint16_t inferred;	  /* as in struct deferred_stack */
	uint16_t scanned;	  /* the same, found by a search of the stack */
	uint8_t scanned_end;	  /* what ended the walk before it */
};

struct deferred_walker {
	struct symbolizer *symbolizer;
	struct image_table *images;
	struct unwind_images *tables;
	struct unwind_memory *memory;
	struct unwind_slot *slots;
	uint32_t n_slots;
	const uint32_t *epoch;
	struct unwind_vector vector;
	struct unwind_walk walk;
	struct symbolizer_walk request; /* of the walk at hand, for libunwind */
	uint32_t n_imaged;		/* frames whose images are in it */
	uint32_t libunwind_epoch;
	uint64_t libunwind_ns; /* in that epoch */
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

int deferred_walker_create(struct symbolizer *symbolizer, struct image_table *images, struct unwind_images *tables, struct unwind_memory *memory,
			   struct unwind_slot *slots, uint32_t n_slots, const uint32_t *epoch,
			   struct deferred_walker **walker_out)
{
	struct deferred_walker *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->symbolizer = symbolizer;
	w->images = images;
	w->tables = tables;
	w->memory = memory;
	w->slots = slots;
	w->n_slots = n_slots;
	w->epoch = epoch;
	*walker_out = w;
	return 0;
}

static void begin_request(struct deferred_walker *w, const struct deferred_record *record, const uint8_t *stack)
{
	struct symbolizer_walk *request = &w->request;

	request->number = 0;
	request->n_images = 0;
	w->n_imaged = 0;
	request->stack_address = record->stack;
	request->stack = stack;
	request->stack_bytes = record->n_bytes;
	memcpy(request->registers, record->registers, sizeof(request->registers));
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

/* The image that a pc lies in. */
static int find_image(const struct unwind_view *view, uint64_t pc, int *fd_out, uint64_t *bias_out)
{
	const struct mapping *mapping = mapset_find(view->process->mappings, pc);
	const struct image *image =
		mapping && mapping->image != MAPPING_NO_IMAGE ? image_table_get(view->walker->images, mapping->image) : NULL;
	uint64_t vaddr;

	if (!image || image->fd < 0 || !image_vaddr(image, pc - mapping->start + mapping->file_offset, &vaddr))
		return -ENOENT;
	*fd_out = image->fd;
	*bias_out = pc - vaddr;
	return 0;
}

/* The image of a frame, where it is not there yet. Whether libunwind looks for an interrupted pc or for the call before a return address,
 * it lies in the same mapping. */
static void add_walk_image(const struct unwind_view *view, struct symbolizer_walk *walk, uint64_t pc)
{
	struct symbolizer_walk_image image;

	for (size_t i = 0; i < walk->n_images; i++)
		if (pc >= walk->images[i].start && pc < walk->images[i].end)
			return;
	const struct mapping *mapping = mapset_find(view->process->mappings, pc);
	if (walk->n_images == SYMBOLIZER_WALK_IMAGES || find_image(view, pc, &image.fd, &image.bias) < 0)
		return;
	image.start = mapping->start;
	image.end = mapping->end;
	walk->images[walk->n_images++] = image;
}

/* One step that the tables cannot do: they do not express the rule, it needs a register that they do not follow, or there was no
 * room for them. The walk by tables goes on from there, now with all registers. Sets w->walk.end when there is no caller. */
static bool step_by_libunwind(struct deferred_walker *w, struct unwind_view *view, const struct deferred_stack *out)
{
	struct unwind_walk *walk = &w->walk;
	struct symbolizer_walk *request = &w->request;
	struct symbolizer_caller caller;

	/* Of an image without tables it is the callers too that only libunwind knows. */
	request->n_wanted = walk->end == END_NO_TABLE ? SYMBOLIZER_CALLERS_MAX : 1;
	request->n_frames = out->n;
	request->frames = out->frames;
	for (; w->n_imaged < out->n; w->n_imaged++)
		add_walk_image(view, request, out->frames[w->n_imaged] - (w->n_imaged > 0));
	int more = symbolizer_walk_step(w->symbolizer, request, &caller);
	if (more == 0)
		walk->end = END_COMPLETE;
	if (more == -EFAULT)
		walk->end = END_UNREADABLE;
	if (more <= 0 || caller.pc < UNWIND_PAGE_BYTES || caller.pc >= UNWIND_USER_TOP)
		return false;
	memcpy(walk->registers, caller.registers, sizeof(caller.registers));
	walk->pc = caller.pc;
	walk->sp = caller.registers[UNWIND_SP];
	walk->fp = caller.registers[UNWIND_FP];
	walk->exact = caller.exact;
	walk->has_registers = true;
	walk->by_frame_pointer = false;
	return true;
}

static bool may_use_libunwind(struct deferred_walker *w)
{
	if (w->libunwind_epoch != *w->epoch) {
		w->libunwind_epoch = *w->epoch;
		w->libunwind_ns = 0;
	}
	return w->libunwind_ns < LIBUNWIND_EPOCH_NS;
}

static bool try_libunwind(struct deferred_walker *w, struct unwind_view *view, const struct deferred_stack *out)
{
	if (!may_use_libunwind(w)) {
		w->stats.libunwind_refused++;
		return false;
	}
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
	bool done = step_by_libunwind(w, view, out);
	uint64_t ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
	w->libunwind_ns += ns;
	w->stats.libunwind_ns += ns;
	w->stats.by_libunwind += done;
	return done;
}

static int read_for_code(void *context, void *to, uint32_t bytes, uint64_t address)
{
	return unwind_read(context, to, bytes, address);
}

static bool find_code(struct unwind_view *view, const struct unwind_walk *walk, struct code_image *image_out)
{
	uint64_t pc = walk->exact ? walk->pc : walk->pc - 1;
	const struct mapping *mapping = mapset_find(view->process->mappings, pc);

	if (find_image(view, pc, &image_out->fd, &image_out->bias) < 0)
		return false;
	image_out->id = image_table_get(view->walker->images, mapping->image)->id;
	return true;
}

static void take_place(struct unwind_walk *walk, const struct code_place *place)
{
	walk->pc = place->pc;
	walk->sp = place->sp;
	walk->fp = place->fp;
	walk->exact = false;
	walk->has_registers = false;
	walk->by_frame_pointer = false;
}

/* A frame of a file's code without CFI. Its instructions come before the frame pointer: in code that does not keep one, it is
 * some caller's, and leads past those between. Where both say the same, nothing is inferred. */
static bool step_by_code(struct deferred_walker *w, struct unwind_view *view, const struct deferred_stack *out, bool by_scan)
{
	struct unwind_walk *walk = &w->walk, plain = *walk;
	struct code_walk code = {w->symbolizer, read_for_code, view};
	struct code_place at = {walk->pc, walk->sp, walk->fp, walk->exact}, caller;
	struct code_image image;

	if (!find_code(view, walk, &image))
		return false;
	if (by_scan) {
		if (view->scanned || code_walk_by_scan(&code, &image, &at, &caller) < 0)
			return false;
		view->scanned = out->n;
		view->scanned_end = (uint8_t)walk->end;
	} else if (code_walk_by_code(&code, &image, &at, &caller) < 0) {
		return false;
	} else if (unwind_step_frame_pointer(view, &plain) && plain.pc == caller.pc && plain.sp == caller.sp) {
		*walk = plain;
		return true;
	}
	take_place(walk, &caller);
	if (!view->inferred)
		view->inferred = out->n;
	return true;
}

static bool is_without_cfi(struct unwind_view *view, struct unwind_walk *walk)
{
	return unwind_find_rule(view, walk, walk->exact ? walk->pc : walk->pc - 1) &&
	       (walk->rule.cfa & CFA_KIND_MASK) == CFA_NONE;
}

/* Returns whether w->walk is at the caller; else w->walk.end says why not. */
static bool step(struct deferred_walker *w, struct unwind_view *view, const struct deferred_stack *out)
{
	struct unwind_walk *walk = &w->walk;

	if (is_without_cfi(view, walk))
		return step_by_code(w, view, out, false) || unwind_step_frame_pointer(view, walk) ||
		       step_by_code(w, view, out, true);
	if (unwind_step(view, walk))
		return true;
	if (walk->end == END_NO_TABLE && load_table(w, view->process) && unwind_step(view, walk))
		return true;
	return (walk->end == END_NO_TABLE || walk->end == END_UNSUPPORTED_RULE) && try_libunwind(w, view, out);
}

static void walk_frames(struct deferred_walker *w, struct unwind_view *view, struct deferred_stack *out)
{
	const struct unwind_walk *walk = &w->walk;

	out->n = 0;
	out->frames[out->n++] = walk->pc;
	while (step(w, view, out)) {
		if (out->n == USER_FRAMES_MAX) {
			out->end = END_TOO_DEEP;
			return;
		}
		out->frames[out->n - 1] += out->n > 1 && walk->exact; /* see struct arena_entry */
		out->frames[out->n++] = walk->pc + walk->exact;
	}
	out->end = (uint8_t)walk->end;
}

/* What a search of the stack found counts only if it led to the outermost frame. */
static void keep_inferred(struct deferred_walker *w, const struct unwind_view *view, struct deferred_stack *out)
{
	out->inferred = view->inferred;
	if (view->scanned && out->end != END_COMPLETE && out->end != END_FRAME_ZERO) {
		out->n = view->scanned;
		out->end = view->scanned_end;
		if (out->inferred >= out->n)
			out->inferred = 0;
	}
	w->stats.inferred += out->inferred != 0;
}

void deferred_walk(struct deferred_walker *w, struct process *process, const struct deferred_record *record,
		   const uint8_t *stack, struct deferred_stack *out)
{
	struct unwind_view view = {.walker = w, .process = process, .record = record, .stack = stack};

	w->stats.walks++;
	out->n = 1;
	out->inferred = 0;
	out->frames[0] = record->pc;
	out->end = END_NO_PROCESS;
	if (!process)
		return;
	if (unwind_vector_build(&w->vector, process->mappings, w->images, w->tables) < 0 || !w->vector.n)
		return;
	begin(w, record);
	begin_request(w, record, stack);
	walk_frames(w, &view, out);
	keep_inferred(w, &view, out);
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
