/* The walk of a user stack: one C text for the kernel program and for user space, where the deferred walk and the unit tests use it.
 *
 * Each step finds the rule for a pc (mapping -> table -> row -> rule), computes the canonical frame address, and reads the return
 * address and the saved frame pointer from the stack. Where code has no CFI it follows the frame pointer.
 *
 * What includes this file defines before:
 *	struct unwind_tables_view;			whatever the functions below need
 *	int unwind_read(view, void *to, __u32 bytes, __u64 address)	user memory; 0 on success
 *	const void *unwind_chunk(view, __u32 index)	UNWIND_CHUNK_BYTES + UNWIND_CHUNK_SLACK bytes; NULL when there is none
 *	struct unwind_slot *unwind_slot_at(view, __u32 index)
 *	UNWIND_INLINE					how the functions here are declared
 * and may define:
 *	UNWIND_READABLE(view, address, bytes)		of these bytes of a stack, how many can be read
 *
 * No loops without a bound, no recursion, all state in struct unwind_walk. */
#ifndef HEARTH_BPF_UNWIND_H
#define HEARTH_BPF_UNWIND_H

#include <stdbool.h>

#include "bpf/records.h"
#include "bpf/unwind_table.h"

/* Loads from tables: their offsets are multiples of their size, rows aside. */
#ifndef UNWIND_LOAD_ROW
#define UNWIND_LOAD_ROW(at) (*(const __u32 *)(at) & 0xffffff)
#endif

#ifndef UNWIND_READABLE
#define UNWIND_READABLE(view, address, bytes) (bytes)
#endif

#define UNWIND_CHUNK_MASK (UNWIND_CHUNK_BYTES - 1)

/* Search steps. The bounds of a search lie in the walk and not in registers: the verifier would follow each combination of them.
 * A page has at most 4,096 rows, a part of a mapset at most UNWIND_PART_MAPPINGS mappings. */
#define UNWIND_ROW_STEPS     13
#define UNWIND_MAPPING_STEPS 16

UNWIND_INLINE __u32 unwind_load_u32(const void *chunk, __u64 offset)
{
	return *(const __u32 *)((const __u8 *)chunk + (offset & UNWIND_CHUNK_MASK));
}

UNWIND_INLINE __u64 unwind_load_u64(const void *chunk, __u64 offset)
{
	return *(const __u64 *)((const __u8 *)chunk + (offset & UNWIND_CHUNK_MASK));
}

/* Read up to a window of the stack from address on. It never crosses a page: the page above the outermost frame may not exist. */
UNWIND_INLINE bool unwind_read_window(struct unwind_view *view, struct unwind_walk *w, __u64 address)
{
	__u64 bytes = UNWIND_PAGE_BYTES - (address & (UNWIND_PAGE_BYTES - 1));

	if (bytes > UNWIND_WINDOW_BYTES)
		bytes = UNWIND_WINDOW_BYTES;
	bytes = UNWIND_READABLE(view, address, bytes);
	if (bytes < 8)
		bytes = 8;
	w->window_bytes = 0;
	if (address >= UNWIND_USER_TOP || unwind_read(view, w->window, (__u32)bytes, address))
		return false;
	w->window_base = address;
	w->window_bytes = bytes;
	return true;
}

/* A word of the stack. hint: the lowest address that is wanted next; where a new window begins. */
UNWIND_INLINE bool unwind_stack_word(struct unwind_view *view, struct unwind_walk *w, __u64 address, __u64 hint,
				     __u64 *word)
{
	__u64 offset = address - w->window_base;

	if (offset + 8 > w->window_bytes || offset > UNWIND_WINDOW_BYTES) {
		if (hint > address || address - hint > UNWIND_WINDOW_BYTES - 8 ||
		    (hint ^ (address + 7)) & ~(__u64)(UNWIND_PAGE_BYTES - 1))
			hint = address;
		if (!unwind_read_window(view, w, hint))
			return false;
		offset = address - hint;
	}
	if (offset > UNWIND_WINDOW_BYTES - 8 || offset + 8 > w->window_bytes)
		return false;
	/* The mask is for the verifier, of which each version follows comparisons in its own way. */
	asm volatile("" : "+r"(offset));
	*word = *(__u64 *)(void *)((__u8 *)w->window + (offset & (UNWIND_WINDOW_BYTES - 1)));
	return true;
}

/* The mapping that covers pc, into w->mapping. */
UNWIND_INLINE bool unwind_find_mapping(struct unwind_view *view, struct unwind_walk *w, __u64 pc)
{
	const struct unwind_mapset *set = &w->mapset;
	const struct unwind_part *part = &set->parts[0];
	volatile __u32 *low = &w->low, *high = &w->high;

	if (pc - w->mapping.start < w->mapping.bytes)
		return true;
	for (int i = 1; i < UNWIND_PARTS_MAX; i++)
		if ((__u32)i < set->n_parts && pc >= set->parts[i].start)
			part = &set->parts[i];
	const void *chunk = unwind_chunk(view, part->chunk);
	if (!chunk)
		return false;
	__u64 base = part->offset;
	*low = 0;
	*high = part->n;
	for (int i = 0; i < UNWIND_MAPPING_STEPS; i++) {
		__u32 from = *low, to = *high, middle = (from + to) >> 1;
		if (from >= to)
			break;
		if (unwind_load_u64(chunk, base + middle * sizeof(struct unwind_mapping)) <= pc)
			*low = middle + 1;
		else
			*high = middle;
	}
	if (!*low)
		return false;
	base += (*low - 1) * sizeof(struct unwind_mapping);
	__u64 start = unwind_load_u64(chunk, base), bytes = unwind_load_u64(chunk, base + 8);
	if (pc - start >= bytes)
		return false;
	w->mapping.start = start;
	w->mapping.bytes = bytes;
	w->mapping.bias = unwind_load_u64(chunk, base + 16);
	w->mapping.table = unwind_load_u32(chunk, base + 24);
	w->mapping.serial = unwind_load_u32(chunk, base + 28);
	return true;
}

/* The rule for a vaddr in a table, into w->rule. False: no table any more. */
UNWIND_INLINE bool unwind_search_table(struct unwind_view *view, struct unwind_walk *w, __u64 vaddr)
{
	struct unwind_slot *slot = unwind_slot_at(view, w->mapping.table);

	if (!slot || slot->serial != w->mapping.serial)
		return false;
	const void *chunk = unwind_chunk(view, slot->chunk);
	if (!chunk)
		return false;
	slot->used = w->epoch;
	w->rule.cfa = CFA_NONE;
	__u64 page = (vaddr - slot->vaddr) >> UNWIND_PAGE_BITS, rows = slot->rows, rules = slot->rules;
	if (page >= slot->n_pages)
		return true;
	__u64 pages = slot->pages + page * 4;
	volatile __u32 *low = &w->low, *high = &w->high;
	__u32 first = unwind_load_u32(chunk, pages);
	*low = first;
	*high = unwind_load_u32(chunk, pages + 4);
	__u32 in_page = vaddr & (UNWIND_PAGE_BYTES - 1);
	for (int i = 0; i < UNWIND_ROW_STEPS; i++) {
		__u32 from = *low, to = *high, middle = (from + to) >> 1;
		if (from >= to)
			break;
		__u32 row = UNWIND_LOAD_ROW((const __u8 *)chunk + ((rows + (__u64)middle * UNWIND_ROW_BYTES) & UNWIND_CHUNK_MASK));
		if (row >> UNWIND_RULE_BITS <= in_page)
			*low = middle + 1;
		else
			*high = middle;
	}
	if (!*low)
		return true;
	__u32 row = UNWIND_LOAD_ROW((const __u8 *)chunk + ((rows + (__u64)(*low - 1) * UNWIND_ROW_BYTES) & UNWIND_CHUNK_MASK));
	rules += (row & (UNWIND_RULES_MAX - 1)) * sizeof(struct unwind_rule);
	__u64 *rule = (__u64 *)&w->rule;
	rule[0] = unwind_load_u64(chunk, rules);
	rule[1] = unwind_load_u64(chunk, rules + 8);
	/* The steps of a row of an earlier page are over. */
	unwind_rule_expand(&w->rule, *low > first ? in_page - (row >> UNWIND_RULE_BITS) : UNWIND_RUN_BYTES);
	return true;
}

/* The rule for pc, into w->rule; w->end says why there is none. Return addresses repeat from sample to sample, so the rules found
 * last are kept by pc. */
UNWIND_INLINE bool unwind_find_rule(struct unwind_view *view, struct unwind_walk *w, __u64 pc)
{
#ifdef UNWIND_WITHOUT_MEMO /* to measure what it saves */
	struct unwind_memo *memo = 0;
#else
	struct unwind_memo *memo = unwind_memo_at(view, (__u32)((pc ^ pc >> 13 ^ w->mapset.serial) & (UNWIND_MEMOS - 1)));
#endif
	__u64 key = (__u64)w->epoch << 32 | w->mapset.serial;

	if (memo && memo->pc == pc && memo->key == key) {
		w->rule = memo->rule;
		return true;
	}
	w->end = w->by_frame_pointer ? END_BAD_FRAME : END_NO_MAPPING;
	if (!unwind_find_mapping(view, w, pc))
		return false;
	w->end = END_NO_TABLE;
	if (w->mapping.table == UNWIND_TABLE_NONE)
		w->rule.cfa = CFA_NONE;
	else if (!unwind_search_table(view, w, pc - w->mapping.bias))
		return false;
	if (memo) {
		memo->key = 0;
		memo->pc = pc;
		memo->rule = w->rule;
		memo->key = key;
	}
	return true;
}

/* The value of a register in the frame at hand, where it is known. */
UNWIND_INLINE bool unwind_register(const struct unwind_walk *w, __u32 reg, __u64 *value)
{
	if (reg == UNWIND_SP)
		*value = w->sp;
	else if (reg == UNWIND_FP)
		*value = w->fp;
	else if (!w->has_registers || reg >= UNWIND_REGISTERS)
		return false;
	else {
		/* The compiler must not take the mask for done by the comparison: older verifiers lose track of that. */
		asm volatile("" : "+r"(reg));
		*value = w->registers[reg & (UNWIND_REGISTERS - 1)];
	}
	return true;
}

/* Does a call end right before this pc? A return address is only one if it does.
 * Source: Intel SDM 2A, CALL: E8 rel32; FF /2 with a ModR/M byte of 2 to 7 bytes in all, prefixes aside. */
UNWIND_INLINE bool unwind_follows_call(struct unwind_view *view, struct unwind_walk *w, __u64 pc)
{
	__u8 *code = w->code;

	if (unwind_read(view, code, 8, pc - 8))
		return true; /* not resident: benefit of the doubt */
	if (code[3] == 0xe8)
		return true;
	if (code[6] == 0xff && (code[7] & 0x38) == 0x10)
		return true;
	if (code[5] == 0xff && (code[6] & 0xf8) == 0x50) /* disp8 */
		return true;
	if (code[5] == 0xff && code[6] == 0x14) /* SIB */
		return true;
	if (code[4] == 0xff && code[5] == 0x54) /* SIB, disp8 */
		return true;
	if (code[2] == 0xff && ((code[3] & 0xf8) == 0x90 || code[3] == 0x15)) /* disp32 */
		return true;
	return code[1] == 0xff && (code[2] == 0x94 || code[2] == 0x14); /* SIB, disp32 */
}

/* The innermost frame of code without CFI: has its prologue run? Reading the instructions at the pc tells for code that keeps
 * frame pointers. Returns how many words lie above the return address, -1: the frame is set up.
 * A jump through the GOT is a PLT entry's or a tail call, both with the return address on top.
 * Source: push %rbp = 55; mov %rsp,%rbp = 48 89 e5 or 48 8b ec; ret = c3; endbr64 = f3 0f 1e fa; jmp *disp32(%rip) = ff 25. */
UNWIND_INLINE int unwind_prologue(struct unwind_view *view, struct unwind_walk *w)
{
	__u8 *code = w->code;

	if (unwind_read(view, code, 8, w->pc - 1))
		return -1;
	if (code[1] == 0x55 || code[1] == 0xc3 || (code[1] == 0xff && code[2] == 0x25) ||
	    (code[1] == 0xf3 && code[2] == 0x0f && code[3] == 0x1e && code[4] == 0xfa))
		return 0;
	if (code[0] == 0x55 && code[1] == 0x48 && ((code[2] == 0x89 && code[3] == 0xe5) || (code[2] == 0x8b && code[3] == 0xec)))
		return 1;
	return -1;
}

/* Code without CFI: follow the frame pointer. [fp] is the caller's, [fp + 8] the return address.
 * Source: System V ABI AMD64, 3.2.2. */
UNWIND_INLINE bool unwind_step_frame_pointer(struct unwind_view *view, struct unwind_walk *w)
{
	__u64 fp = w->fp, next, pc;
	int words = -1;

	if (w->exact)
		words = unwind_prologue(view, w);
	if (words >= 0) {
		w->end = END_UNREADABLE;
		if (!unwind_stack_word(view, w, w->sp + 8 * (__u64)words, w->sp, &pc))
			return false;
		if (words && !unwind_stack_word(view, w, w->sp, w->sp, &w->fp))
			return false;
		w->sp += 8 * ((__u64)words + 1);
	} else {
		w->end = END_FRAME_ZERO;
		if (!fp)
			return false;
		w->end = END_BAD_FRAME;
		if (fp & 7 || fp < w->sp || fp >= UNWIND_USER_TOP)
			return false;
		w->end = END_UNREADABLE;
		if (!unwind_stack_word(view, w, fp, fp, &next) || !unwind_stack_word(view, w, fp + 8, fp, &pc))
			return false;
		w->fp = next;
		w->sp = fp + 16;
	}
	w->end = !pc && !w->fp ? END_FRAME_ZERO : END_BAD_FRAME;
	if (pc < UNWIND_PAGE_BYTES || pc >= UNWIND_USER_TOP)
		return false;
	/* A goroutine's outermost frame returns behind the no-op that runtime.goexit begins with; nothing called it. */
	if (!unwind_follows_call(view, w, pc) && (w->fp || w->code[7] != 0x90))
		return false;
	w->pc = pc;
	w->exact = false;
	w->has_registers = false;
	w->by_frame_pointer = true;
	return true;
}

/* The canonical frame address by w->rule. */
UNWIND_INLINE bool unwind_cfa(struct unwind_view *view, struct unwind_walk *w, __u64 *cfa)
{
	const struct unwind_rule *rule = &w->rule;
	__u32 add = (__u32)rule->cfa_add;
	__u64 base, index;

	w->end = END_UNSUPPORTED_RULE;
	if (!unwind_register(w, rule->cfa_register, &base))
		return false;
	base += (__u64)(__s64)rule->cfa_offset;
	switch (rule->cfa & CFA_KIND_MASK) {
	case CFA_REGISTER:
		break;
	case CFA_PLT:
		if ((w->pc & 15) >= (__u64)(__u32)rule->cfa_add)
			base += 8;
		break;
	case CFA_DEREF:
		w->end = END_UNREADABLE;
		if (!unwind_stack_word(view, w, base, base, &base))
			return false;
		base += (__u64)(__s64)rule->cfa_add;
		break;
	case CFA_INDEXED:
		if (!unwind_register(w, add >> CFA_INDEXED_SHIFT, &index))
			return false;
		base += 8 * index;
		w->end = END_UNREADABLE;
		if (!unwind_stack_word(view, w, base, base, &base))
			return false;
		base += add & CFA_INDEXED_ADD_MASK;
		break;
	default:
		return false;
	}
	*cfa = base;
	return true;
}

/* The value of a column: frame pointer or return address. */
UNWIND_INLINE bool unwind_column(struct unwind_view *view, struct unwind_walk *w, __u64 cfa, __u8 where, __s16 offset,
				 __u64 hint, __u64 *value)
{
	__u64 base = cfa;

	if (where & IN_REGISTER)
		return unwind_register(w, where & AT_REGISTER, value);
	if (where & AT_REGISTER_PLUS) {
		if (!unwind_register(w, where & AT_REGISTER, &base))
			return false;
	} else if (where != AT_CFA) {
		return false;
	}
	w->end = END_UNREADABLE;
	return unwind_stack_word(view, w, base + (__u64)(__s64)offset, hint, value);
}

/* A step by w->rule. */
UNWIND_INLINE bool unwind_step_rule(struct unwind_view *view, struct unwind_walk *w)
{
	struct unwind_rule rule = w->rule;
	__u64 cfa, fp = w->fp, pc = 0, hint;
	bool signal = rule.cfa & CFA_SIGNAL_FRAME;

	w->end = END_COMPLETE;
	if (rule.ra == AT_UNDEFINED)
		return false;
	w->end = END_UNRELIABLE_RULE;
	if (rule.ra == AT_UNRELIABLE)
		return false;
	if (!unwind_cfa(view, w, &cfa))
		return false;
	w->end = END_BAD_FRAME;
	/* A stack grows downwards; only what switches stacks says so itself. A return address in a register takes no room on it. */
	if (cfa >= UNWIND_USER_TOP ||
	    (cfa < w->sp + (rule.ra & IN_REGISTER ? 0 : 8) && !(rule.cfa & CFA_SWITCHES_STACK) &&
	     (rule.cfa & CFA_KIND_MASK) != CFA_DEREF))
		return false;
	/* The lower of the two words first: the window that is read then holds both. */
	hint = cfa - 8;
	if (rule.fp == AT_CFA && rule.fp_offset < 0)
		hint = cfa + (__u64)(__s64)rule.fp_offset;
	/* gcc saves the frame pointer of a realigned frame where the new one points to, and does not say when it was popped: then what
	 * the frame pointer points to is not in this frame. */
	if (rule.fp == (AT_REGISTER_PLUS | UNWIND_FP) && w->fp + (__u64)(__s64)rule.fp_offset - w->sp >= cfa - w->sp)
		rule.fp = IN_PLACE;
	w->end = END_UNSUPPORTED_RULE;
	if (rule.fp != IN_PLACE && rule.fp != AT_UNDEFINED &&
	    !unwind_column(view, w, cfa, rule.fp, rule.fp_offset, hint, &fp)) {
		/* The frame pointer may never be needed again. */
		if (w->end != END_UNSUPPORTED_RULE)
			return false;
		fp = 0;
	}
	if (rule.fp == AT_UNDEFINED)
		fp = 0;
	w->end = END_UNSUPPORTED_RULE;
	if (!unwind_column(view, w, cfa, rule.ra, rule.ra_offset, hint, &pc))
		return false;
	w->end = END_FRAME_ZERO;
	if (!pc)
		return false;
	w->end = END_BAD_FRAME;
	if (pc < UNWIND_PAGE_BYTES || pc >= UNWIND_USER_TOP)
		return false;
	w->pc = pc;
	w->sp = cfa;
	w->fp = fp;
	w->exact = signal;
	w->has_registers = false;
	w->by_frame_pointer = false;
	return true;
}

/* From one frame to its caller. Returns false at the end, with w->end set; else w->pc is the caller's. */
UNWIND_INLINE bool unwind_step(struct unwind_view *view, struct unwind_walk *w)
{
	/* A return address belongs to the call before it; an interrupted pc is where it says. */
	if (!unwind_find_rule(view, w, w->exact ? w->pc : w->pc - 1))
		return false;
	if ((w->rule.cfa & CFA_KIND_MASK) == CFA_NONE)
		return unwind_step_frame_pointer(view, w);
	return unwind_step_rule(view, w);
}

#endif
