#include "tests/stepping/walker.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "agent/proc_maps.h"
#include "base/scope.h"
#include "symbolizer/unwind_compiler.h"

#define IMAGES_MAX   256
#define MAPPINGS_MAX 4096
#define SLOTS_MAX    1024
#define PLTS_MAX     4
#define MAPPINGS_CHUNK SLOTS_MAX

/* A file's tables. They stay when it is unmapped. */
struct image {
	char *path;
	uint64_t inode;
	struct elf_segment *segments;
	size_t n_segments;
	struct unwind_image *unwind;
	uint32_t first_slot;
	struct {
		uint64_t start, end;
	} plts[PLTS_MAX];
};

/* An executable mapping. */
struct region {
	uint64_t start, end, file_offset;
	const struct image *image; /* NULL: anonymous */
	uint64_t bias;
};

struct walker {
	pid_t pid;
	bool damage;
	struct image images[IMAGES_MAX];
	size_t n_images;
	struct region regions[MAPPINGS_MAX];
	size_t n_regions;
	struct unwind_slot slots[SLOTS_MAX];
	uint8_t *chunks[SLOTS_MAX];
	uint32_t n_slots;
	uint8_t *mappings; /* a chunk */
	uint32_t n_mappings;
	struct unwind_walk walk;
};

struct unwind_view {
	struct walker *walker;
};

#define UNWIND_INLINE static inline
#define UNWIND_LOAD_ROW(at) load_row(at)

static inline uint32_t load_row(const void *at)
{
	uint32_t row;

	memcpy(&row, at, sizeof(row));
	return row & 0xffffff;
}

UNWIND_INLINE int unwind_read(struct unwind_view *view, void *to, uint32_t bytes, uint64_t address)
{
	return walker_read(view->walker, to, bytes, address);
}

UNWIND_INLINE const void *unwind_chunk(struct unwind_view *view, uint32_t index)
{
	const struct walker *w = view->walker;

	return index == MAPPINGS_CHUNK ? w->mappings : index < w->n_slots ? w->chunks[index] : NULL;
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

int walker_create(pid_t pid, bool damage, struct walker **walker_out)
{
	struct walker *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->pid = pid;
	w->damage = damage;
	w->mappings = calloc(1, UNWIND_CHUNK_BYTES + UNWIND_CHUNK_SLACK);
	if (!w->mappings) {
		free(w);
		return -ENOMEM;
	}
	*walker_out = w;
	return 0;
}

int walker_read(const struct walker *w, void *to, size_t bytes, uint64_t address)
{
	struct iovec local = {to, bytes}, remote = {(void *)address, bytes}; // NOLINT: an address of another process

	return process_vm_readv(w->pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes ? 0 : -EFAULT;
}

/* Every frame of two words gets three. */
static void damage(uint8_t *bytes, const struct unwind_table *table)
{
	struct unwind_rule *rules = (struct unwind_rule *)(void *)(bytes + table->n_bytes) - table->n_rules;

	for (uint32_t i = 0; i < table->n_rules; i++)
		if (rules[i].cfa == CFA_REGISTER && rules[i].cfa_register == X86_64_SP && rules[i].cfa_offset == 16)
			rules[i].cfa_offset = 24;
}

static int add_tables(struct walker *w, struct image *image)
{
	image->first_slot = w->n_slots;
	for (size_t i = 0; i < image->unwind->n_tables; i++) {
		const struct unwind_table *table = &image->unwind->tables[i];
		uint32_t index = w->n_slots;
		if (index == SLOTS_MAX)
			return -E2BIG;
		w->chunks[index] = calloc(1, UNWIND_CHUNK_BYTES + UNWIND_CHUNK_SLACK);
		if (!w->chunks[index])
			return -ENOMEM;
		memcpy(w->chunks[index], table->bytes, table->n_bytes);
		if (w->damage)
			damage(w->chunks[index], table);
		w->slots[index] = (struct unwind_slot){
			.vaddr = table->vaddr,
			.n_pages = table->n_pages,
			.chunk = index,
			.rows = 4 * (table->n_pages + 1),
			.rules = table->n_bytes - table->n_rules * (uint32_t)sizeof(struct unwind_rule),
			.serial = index + 1,
		};
		w->n_slots++;
	}
	return 0;
}

static void find_plts(struct image *image, const struct elf_file *elf)
{
	static const char *const NAMES[PLTS_MAX] = {".plt", ".plt.sec", ".plt.got", ".iplt"};
	AUTO_FREE struct elf_section *sections = NULL;
	size_t n, at = 0;

	if (elf_file_sections(elf, &sections, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < PLTS_MAX && at < PLTS_MAX; j++)
			if (elf_file_section_is(elf, sections, n, &sections[i], NAMES[j])) {
				image->plts[at].start = sections[i].vaddr;
				image->plts[at++].end = sections[i].vaddr + sections[i].bytes;
			}
}

static int read_image(struct walker *w, struct image *image, int fd)
{
	struct elf_file elf;

	int err = elf_file_open(fd, &elf);
	if (err == 0)
		err = elf_file_segments(&elf, &image->segments, &image->n_segments);
	if (err == 0)
		err = unwind_image_compile(&elf, NULL, &image->unwind);
	if (err < 0)
		return err;
	find_plts(image, &elf);
	return add_tables(w, image);
}

/* The vDSO's bytes in a file of their own. */
static int copy_to_file(const struct walker *w, uint64_t start, uint64_t end)
{
	AUTO_FREE uint8_t *bytes = malloc(end - start);
	AUTO_CLOSE int fd = memfd_create("vdso", MFD_CLOEXEC);

	if (!bytes || fd < 0 || walker_read(w, bytes, end - start, start) < 0 ||
	    write(fd, bytes, end - start) != (ssize_t)(end - start))
		return -EIO;
	return take_fd(&fd);
}

static struct image *image_of(struct walker *w, const struct proc_mapping *mapping)
{
	bool is_vdso = strcmp(mapping->path, "[vdso]") == 0;

	if (!is_vdso && mapping->path[0] != '/')
		return NULL;
	for (size_t i = 0; i < w->n_images; i++)
		if (w->images[i].inode == mapping->inode && strcmp(w->images[i].path, mapping->path) == 0)
			return &w->images[i];
	if (w->n_images == IMAGES_MAX)
		return NULL;
	AUTO_CLOSE int fd = is_vdso ? copy_to_file(w, mapping->start, mapping->end) : open(mapping->path, O_RDONLY | O_CLOEXEC);
	struct image *image = &w->images[w->n_images];
	image->path = strdup(mapping->path);
	image->inode = mapping->inode;
	if (!image->path || fd < 0 || read_image(w, image, fd) < 0)
		return NULL;
	w->n_images++;
	return image;
}

static void put_mapping(struct walker *w, uint64_t start, uint64_t end, uint64_t bias, uint32_t table)
{
	struct unwind_mapping mapping = {.start = start, .bytes = end - start, .bias = bias, .table = table, .serial = 1};

	if (start >= end || w->n_mappings == UNWIND_PART_MAPPINGS)
		return;
	if (table != UNWIND_TABLE_NONE)
		mapping.serial = w->slots[table].serial;
	memcpy(w->mappings + w->n_mappings++ * sizeof(mapping), &mapping, sizeof(mapping));
}

static void put_region(struct walker *w, const struct region *region)
{
	uint64_t at = region->start;

	for (size_t i = 0; region->image && i < region->image->unwind->n_tables; i++) {
		const struct unwind_table *table = &region->image->unwind->tables[i];
		uint64_t from = table->start + region->bias, to = table->end + region->bias;
		from = from > at ? from : at;
		to = to < region->end ? to : region->end;
		if (from >= to)
			continue;
		put_mapping(w, at, from, 0, UNWIND_TABLE_NONE);
		put_mapping(w, from, to, region->bias, region->image->first_slot + (uint32_t)i);
		at = to;
	}
	put_mapping(w, at, region->end, 0, UNWIND_TABLE_NONE);
}

static int add_region(void *context, const struct proc_mapping *mapping)
{
	struct walker *w = context;
	struct region *region = &w->regions[w->n_regions];

	if (!mapping->executable || w->n_regions == MAPPINGS_MAX)
		return 0;
	*region = (struct region){mapping->start, mapping->end, mapping->file_offset, image_of(w, mapping), 0};
	for (size_t i = 0; region->image && i < region->image->n_segments; i++) {
		const struct elf_segment *segment = &region->image->segments[i];
		if (segment->type == PT_LOAD && segment->flags & PF_X && mapping->file_offset < segment->file_offset + segment->file_bytes &&
		    segment->file_offset < mapping->file_offset + (mapping->end - mapping->start))
			region->bias = mapping->start - mapping->file_offset + segment->file_offset - segment->vaddr;
	}
	put_region(w, region);
	w->n_regions++;
	return 0;
}

int walker_refresh(struct walker *w)
{
	w->n_regions = 0;
	w->n_mappings = 0;
	return proc_maps_read(w->pid, add_region, w, NULL);
}

static const struct region *region_of(const struct walker *w, uint64_t pc)
{
	for (size_t i = 0; i < w->n_regions; i++)
		if (pc - w->regions[i].start < w->regions[i].end - w->regions[i].start)
			return &w->regions[i];
	return NULL;
}

bool walker_knows(const struct walker *w, uint64_t pc)
{
	return region_of(w, pc);
}

struct place walker_place(const struct walker *w, uint64_t pc)
{
	const struct region *region = region_of(w, pc);
	struct place place = {.path = region ? "anonymous" : "?", .vaddr = pc};

	if (!region || !region->image)
		return place;
	place.path = region->image->path;
	place.vaddr = pc - region->bias;
	struct unwind_rule rule;
	place.has_cfi = unwind_image_find(region->image->unwind, place.vaddr, &rule) == 0 && (rule.cfa & CFA_KIND_MASK) != CFA_NONE;
	for (size_t i = 0; i < PLTS_MAX; i++)
		place.in_plt |= place.vaddr - region->image->plts[i].start < region->image->plts[i].end - region->image->plts[i].start;
	return place;
}

static void begin(struct walker *w, const struct user_regs_struct *r)
{
	struct unwind_walk *walk = &w->walk;
	/* By DWARF's numbers. Source: System V ABI AMD64, figure 3.36. */
	const uint64_t registers[] = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8,
				      r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->rip};

	memset(walk, 0, sizeof(*walk));
	memcpy(walk->registers, registers, sizeof(registers));
	walk->pc = r->rip;
	walk->sp = r->rsp;
	walk->fp = r->rbp;
	walk->exact = true;
	walk->has_registers = true;
	walk->mapset.n_parts = 1;
	walk->mapset.parts[0] = (struct unwind_part){.chunk = MAPPINGS_CHUNK, .n = w->n_mappings};
}

void walker_walk(struct walker *w, const struct user_regs_struct *registers, struct walked *out)
{
	struct unwind_view view = {w};

	begin(w, registers);
	out->n = 0;
	out->frames[out->n++] = w->walk.pc;
	while (unwind_step(&view, &w->walk)) {
		if (out->n == USER_FRAMES_MAX) {
			out->end = END_TOO_DEEP;
			return;
		}
		out->frames[out->n++] = w->walk.pc;
	}
	out->end = w->walk.end;
}

void walker_destroy(struct walker *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n_images; i++) {
		free(w->images[i].path);
		free(w->images[i].segments);
		unwind_image_free(w->images[i].unwind);
	}
	for (uint32_t i = 0; i < w->n_slots; i++)
		free(w->chunks[i]);
	free(w->mappings);
	free(w);
}
