#include "symbolizer/libunwind_walk.h"
#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/frame_entry.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <libunwind-x86_64.h>

#define PROGRAM_AT    (1ull << 60) /* where libunwind finds the CFI: above all user addresses */
#define PROGRAM_BYTES (2 * FRAME_ENTRY_BYTES_MAX + 256)
#define USER_TOP      (1ull << 56)
#define PAGE_BYTES    4096u
#define PAGES	      8

/* In <libunwind.h>'s internals; perf(1) names it the same way. */
extern int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t as, unw_word_t ip, unw_dyn_info_t *di, unw_proc_info_t *pi,
					      int need_unwind_info, void *context);

/* A page of the image at hand. */
struct page {
	uint64_t vaddr; /* UINT64_MAX: empty */
	uint32_t n;
	uint8_t bytes[PAGE_BYTES];
};

struct libunwind_walk {
	unw_addr_space_t space;
	unw_cursor_t cursor;
	struct libunwind_input input;
	uint64_t left_ns;     /* that its steps may still take */
	uint64_t deadline_ns; /* of the step at hand */
	uint32_t steps, reads;
	int err; /* the first one: libunwind tells less */
	bool is_over, left_signal_frame;
	/* The image of the frame at hand. */
	struct elf_file elf;
	struct elf_segment *segments;
	size_t n_segments;
	uint64_t bias;
	struct page pages[PAGES];
	struct frame_entry entry;
	/* Its CFI: a search table of one entry, a CIE, an FDE. */
	uint32_t n_program;
	uint8_t program[PROGRAM_BYTES] __attribute__((aligned(8)));
};

static int fail(struct libunwind_walk *w, int err)
{
	if (!w->err)
		w->err = err;
	w->is_over = true;
	return -UNW_ESTOPUNWIND; /* any other: libunwind would guess */
}

/* ---- the CFI of one function, written anew ---- */

static void put(struct libunwind_walk *w, const void *bytes, size_t n)
{
	memcpy(w->program + w->n_program, bytes, n);
	w->n_program += (uint32_t)n;
}

static void put_u8(struct libunwind_walk *w, uint8_t value)
{
	put(w, &value, sizeof(value));
}

static void put_u32(struct libunwind_walk *w, uint32_t value)
{
	put(w, &value, sizeof(value));
}

static void put_u64(struct libunwind_walk *w, uint64_t value)
{
	put(w, &value, sizeof(value));
}

static void put_uleb(struct libunwind_walk *w, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		put_u8(w, (uint8_t)(value | 0x80));
	put_u8(w, (uint8_t)value);
}

static void put_sleb(struct libunwind_walk *w, int64_t value)
{
	for (; value < -64 || value > 63; value >>= 7)
		put_u8(w, (uint8_t)(value | 0x80));
	put_u8(w, (uint8_t)(value & 0x7f));
}

/* Pad an entry, and write its length where it begins. */
static void end_entry(struct libunwind_walk *w, uint32_t begin)
{
	while (w->n_program % 8)
		put_u8(w, DW_CFA_nop);
	uint32_t length = w->n_program - begin - 4;
	memcpy(w->program + begin, &length, sizeof(length));
}

static void write_program(struct libunwind_walk *w)
{
	const struct frame_entry *e = &w->entry;

	w->n_program = 0;
	put_u32(w, 0); /* the function begins at di.start_ip + 0 */
	uint32_t fde_at = w->n_program;
	put_u32(w, 0);
	uint32_t cie = w->n_program;
	put_u32(w, 0);
	put_u32(w, 0);
	put_u8(w, 1);
	put(w, e->is_signal_frame ? "zS" : "z", e->is_signal_frame ? 3 : 2);
	put_uleb(w, e->code_align);
	put_sleb(w, e->data_align);
	put_u8(w, e->ra_register);
	put_u8(w, 0);
	put(w, e->initial.bytes, e->initial.n);
	end_entry(w, cie);
	uint32_t fde = w->n_program;
	memcpy(w->program + fde_at, &fde, sizeof(fde));
	put_u32(w, 0);
	put_u32(w, w->n_program - cie);
	put_u64(w, e->start + w->bias);
	put_u64(w, e->bytes);
	put_u8(w, 0);
	put(w, e->program.bytes, e->program.n);
	end_entry(w, fde);
}

static int take_image(struct libunwind_walk *w, uint64_t pc)
{
	uint64_t bias;
	int fd;

	int err = w->input.find_image(w->input.context, pc, &fd, &bias);
	if (err < 0)
		return err;
	if (w->segments && fd == w->elf.fd && bias == w->bias)
		return 0;
	free(w->segments);
	w->segments = NULL;
	w->n_segments = 0;
	for (size_t i = 0; i < PAGES; i++)
		w->pages[i].vaddr = UINT64_MAX;
	err = elf_file_open(fd, &w->elf);
	if (err == 0 && w->elf.machine != EM_X86_64)
		err = -EOPNOTSUPP;
	if (err == 0)
		err = elf_file_segments(&w->elf, &w->segments, &w->n_segments);
	w->bias = bias;
	return err;
}

static int find_proc_info(unw_addr_space_t space, unw_word_t pc, unw_proc_info_t *info, int need_unwind_info, void *context)
{
	struct libunwind_walk *w = context;

	int err = take_image(w, pc);
	if (err == 0)
		err = frame_entry_find(&w->elf, pc - w->bias, &w->entry);
	if (err < 0)
		return fail(w, err);
	write_program(w);
	w->left_signal_frame = w->entry.is_signal_frame;
	unw_dyn_info_t table = {
		.format = UNW_INFO_FORMAT_IP_OFFSET,
		.start_ip = w->entry.start + w->bias,
		.end_ip = w->entry.start + w->bias + w->entry.bytes,
		.u.rti = {.segbase = PROGRAM_AT, .table_data = PROGRAM_AT, .table_len = 1},
	};
	return UNW_OBJ(dwarf_search_unwind_table)(space, pc, &table, info, need_unwind_info, context);
}

static void put_unwind_info(unw_addr_space_t space, unw_proc_info_t *info, void *context)
{
	(void)space;
	(void)info;
	(void)context;
}

/* ---- memory and registers ---- */

static int load_page(struct libunwind_walk *w, uint64_t vaddr, struct page *page)
{
	uint64_t offset, left;

	page->vaddr = UINT64_MAX;
	for (size_t i = 0; i < w->n_segments; i++) {
		const struct elf_segment *s = &w->segments[i];
		/* What a process writes is not what its file holds. */
		if (s->type != PT_LOAD || s->flags & PF_W || vaddr - s->vaddr >= s->file_bytes)
			continue;
		offset = s->file_offset + (vaddr - s->vaddr);
		left = s->file_bytes - (vaddr - s->vaddr);
		size_t n = left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;
		int err = elf_file_read_some(&w->elf, offset, page->bytes, &n);
		if (err < 0)
			return err;
		page->vaddr = vaddr;
		page->n = (uint32_t)n;
		return 0;
	}
	return -EFAULT;
}

static int read_image(struct libunwind_walk *w, uint64_t address, uint64_t *word_out)
{
	uint64_t vaddr = address - w->bias, base = vaddr & ~(uint64_t)(PAGE_BYTES - 1);
	struct page *page = &w->pages[base / PAGE_BYTES % PAGES];

	int err = page->vaddr == base ? 0 : load_page(w, base, page);
	if (err < 0)
		return err;
	if (vaddr - base + sizeof(*word_out) > page->n)
		return -EFAULT;
	memcpy(word_out, page->bytes + (vaddr - base), sizeof(*word_out));
	return 0;
}

static bool copy_from(const uint8_t *bytes, uint64_t base, uint32_t n, uint64_t address, unw_word_t *word_out)
{
	if (address < base || address - base > n || n - (address - base) < sizeof(*word_out))
		return false;
	memcpy(word_out, bytes + (address - base), sizeof(*word_out));
	return true;
}

static int access_mem(unw_addr_space_t space, unw_word_t address, unw_word_t *value, int write, void *context)
{
	struct libunwind_walk *w = context;

	(void)space;
	if (write || w->is_over)
		return fail(w, -EPERM);
	if (++w->reads > LIBUNWIND_READS_MAX || (w->reads % 1024 == 0 && clock_ns(CLOCK_MONOTONIC) > w->deadline_ns))
		return fail(w, -ETIME);
	if (copy_from(w->program, PROGRAM_AT, w->n_program, address, value) ||
	    copy_from(w->input.stack, w->input.stack_address, w->input.stack_bytes, address, value))
		return 0;
	int err = w->segments && address < USER_TOP ? read_image(w, address, value) : -EFAULT;
	return err < 0 ? fail(w, err) : 0;
}

static int access_reg(unw_addr_space_t space, unw_regnum_t reg, unw_word_t *value, int write, void *context)
{
	const struct libunwind_walk *w = context;

	(void)space;
	if (write)
		return -UNW_EREADONLYREG;
	if (reg == UNW_X86_64_RIP)
		*value = w->input.pc;
	else if (reg >= 0 && reg < LIBUNWIND_REGISTERS)
		*value = w->input.registers[reg];
	else
		return -UNW_EBADREG;
	return 0;
}

/* What a walk has no use for. */
static int access_fpreg(unw_addr_space_t space, unw_regnum_t reg, unw_fpreg_t *value, int write, void *context)
{
	(void)space;
	(void)reg;
	(void)value;
	(void)write;
	(void)context;
	return -UNW_EBADREG;
}

static int get_dyn_info_list_addr(unw_addr_space_t space, unw_word_t *list, void *context)
{
	(void)space;
	(void)list;
	(void)context;
	return -UNW_ENOINFO;
}

static int resume(unw_addr_space_t space, unw_cursor_t *cursor, void *context)
{
	(void)space;
	(void)cursor;
	(void)context;
	return -UNW_EINVAL;
}

static int get_proc_name(unw_addr_space_t space, unw_word_t address, char *name, size_t bytes, unw_word_t *offset, void *context)
{
	(void)space;
	(void)address;
	(void)name;
	(void)bytes;
	(void)offset;
	(void)context;
	return -UNW_ENOINFO;
}

int libunwind_walk_create(struct libunwind_walk **walk_out)
{
	static unw_accessors_t accessors = {
		.find_proc_info = find_proc_info,
		.put_unwind_info = put_unwind_info,
		.get_dyn_info_list_addr = get_dyn_info_list_addr,
		.access_mem = access_mem,
		.access_reg = access_reg,
		.access_fpreg = access_fpreg,
		.resume = resume,
		.get_proc_name = get_proc_name,
	};
	struct libunwind_walk *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->is_over = true;
	w->space = unw_create_addr_space(&accessors, 0);
	if (!w->space) {
		free(w);
		return -ENOMEM;
	}
	unw_set_caching_policy(w->space, UNW_CACHE_NONE);
	*walk_out = w;
	return 0;
}

void libunwind_walk_rest(struct libunwind_walk *w)
{
	free(w->segments);
	w->segments = NULL;
}

int libunwind_walk_begin(struct libunwind_walk *w, const struct libunwind_input *input)
{
	libunwind_walk_rest(w);
	w->input = *input;
	w->left_ns = LIBUNWIND_NS_MAX;
	w->steps = w->reads = w->n_program = 0;
	w->err = 0;
	w->is_over = false;
	if (unw_init_remote(&w->cursor, w->space, w) < 0) {
		w->is_over = true;
		return -EBADMSG;
	}
	return 0;
}

static int step(struct libunwind_walk *w, struct libunwind_frame *frame_out)
{
	struct libunwind_frame frame;
	unw_word_t value;

	int more = unw_step(&w->cursor);
	if (w->is_over || more < 0) {
		fail(w, -EBADMSG);
		return w->err;
	}
	if (more == 0 || unw_get_reg(&w->cursor, UNW_REG_IP, &value) < 0 || !value) {
		w->is_over = true;
		return 0;
	}
	frame.pc = value;
	for (int i = 0; i < LIBUNWIND_REGISTERS; i++) {
		/* One whose place is not known, or that was saved where nothing was copied. */
		frame.registers[i] = unw_get_reg(&w->cursor, i, &value) < 0 ? 0 : value;
		if (w->is_over && i != UNW_X86_64_RSP) {
			w->is_over = false;
			w->err = 0;
		}
	}
	frame.exact = w->left_signal_frame;
	*frame_out = frame;
	return 1;
}

int libunwind_walk_step(struct libunwind_walk *w, struct libunwind_frame *frame_out)
{
	if (w->is_over)
		return w->err ? w->err : -EBADMSG;
	if (++w->steps > LIBUNWIND_STEPS_MAX || !w->left_ns) {
		fail(w, -ETIME);
		return -ETIME;
	}
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
	w->deadline_ns = begin_ns + w->left_ns;
	int more = step(w, frame_out);
	uint64_t ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
	w->left_ns -= ns < w->left_ns ? ns : w->left_ns;
	return more;
}

void libunwind_walk_destroy(struct libunwind_walk *w)
{
	if (!w)
		return;
	unw_destroy_addr_space(w->space);
	free(w->segments);
	free(w);
}

#else

int libunwind_walk_create(struct libunwind_walk **walk_out)
{
	(void)walk_out;
	return -EOPNOTSUPP;
}

int libunwind_walk_begin(struct libunwind_walk *w, const struct libunwind_input *input)
{
	(void)w;
	(void)input;
	return -EOPNOTSUPP;
}

int libunwind_walk_step(struct libunwind_walk *w, struct libunwind_frame *frame_out)
{
	(void)w;
	(void)frame_out;
	return -EOPNOTSUPP;
}

void libunwind_walk_rest(struct libunwind_walk *w)
{
	(void)w;
}

void libunwind_walk_destroy(struct libunwind_walk *w)
{
	(void)w;
}

#endif
