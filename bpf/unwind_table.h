/* Unwind tables: what the CFI compiler (symbolizer/) writes and the walk (bpf/unwind.h) searches, in the kernel and in user space.
 *
 * A table covers a range of an image's vaddrs, in pages of 4 KiB:
 *
 *	__u32 pages[n_pages + 1]   index of the first row at or behind the page's start; the last one is n_rows
 *	__u8 rows[n_rows][3]	   sorted; little-endian: address in its page << 12 | index of a rule
 *	(to a multiple of 8)
 *	struct unwind_rule rules[n_rules]
 *
 * A row holds from its address to the next row, over page borders. The first row's address is the table's start, so that the row in
 * force at a page's start is the one before pages[page].
 *
 * Pushes and pops follow each other by a byte or two, and each moves the CFA by 8: a row may stand for the whole run of them (CFA_RUN).
 * That is three of five rows of a machine full of programs. The steps of a run are in its row's page.
 *
 * Fixed-width types, no pointers, sizes asserted on both sides. */
#ifndef HEARTH_BPF_UNWIND_TABLE_H
#define HEARTH_BPF_UNWIND_TABLE_H

#include <linux/types.h>

#define UNWIND_PAGE_BITS  12
#define UNWIND_PAGE_BYTES (1u << UNWIND_PAGE_BITS)
#define UNWIND_ROW_BYTES  3
#define UNWIND_RULE_BITS  12
#define UNWIND_RULES_MAX  (1u << UNWIND_RULE_BITS) /* of one table; 19 of 2,054 files have more, and several tables */
#define UNWIND_TABLE_MAX_BYTES (1u << 20) /* a larger image has several tables */

/* Registers that the walk follows, by their DWARF numbers.
 * Source: System V ABI AMD64, figure 3.36; DWARF for the Arm 64-bit Architecture, 4.1. */
#define X86_64_RCX 2
#define X86_64_FP 6  /* rbp */
#define X86_64_SP 7  /* rsp */
#define X86_64_RA 16 /* rip */
#define ARM64_FP  29
#define ARM64_RA  30
#define ARM64_SP  31

/* How the canonical frame address (the caller's stack pointer) is computed. */
enum unwind_cfa {
	CFA_NONE,	 /* no CFI covers this address */
	CFA_REGISTER,	 /* reg + cfa_offset */
	CFA_DEREF,	 /* *(reg + cfa_offset) + cfa_add */
	CFA_PLT,	 /* reg + cfa_offset + ((pc & 15) >= cfa_add ? 8 : 0): a lazy PLT entry that pushes its index */
	CFA_INDEXED,	 /* *(reg + cfa_offset + 8 * index) + add; cfa_add is add and the register index << CFA_INDEXED_SHIFT */
	CFA_RUN,	 /* reg + cfa_offset and 8 for each step so far: unwind_rule_expand() makes CFA_REGISTER of it */
	CFA_UNSUPPORTED, /* CFI that these rules do not express: the deferred walk evaluates it */
};
#define CFA_INDEXED_SHIFT    16
#define CFA_INDEXED_ADD_MASK 0xffff
#define CFA_KIND_MASK	   0x3f
#define CFA_SWITCHES_STACK 0x40 /* the caller's frame is on another stack, which may lie below this one */
#define CFA_SIGNAL_FRAME   0x80 /* the caller was interrupted, it did not call: all its registers were saved */

/* Where the caller's value of a register is. The lower six bits are a register's number where one is needed. */
#define AT_MASK	      0xc0
#define AT_REGISTER   0x3f
#define IN_PLACE      0x00 /* the register still holds it */
#define AT_CFA	      0x01 /* at CFA + offset */
#define AT_UNDEFINED  0x02 /* nowhere. Of the return address: this frame is the outermost one */
#define AT_UNKNOWN    0x03 /* by a rule that is not expressed here */
#define AT_UNRELIABLE 0x04 /* where the CFI says, but that is being overwritten: nobody can tell */
#define AT_REGISTER_PLUS	      0x40 /* | register: at register + offset */
#define IN_REGISTER   0x80 /* | register */

struct unwind_rule {
	__s32 cfa_offset;
	__s32 cfa_add;
	__s16 fp_offset;
	__s16 ra_offset;
	__u8 cfa; /* enum unwind_cfa, CFA_SWITCHES_STACK, CFA_SIGNAL_FRAME */
	__u8 cfa_register;
	__u8 fp; /* AT_... */
	__u8 ra;
};
_Static_assert(sizeof(struct unwind_rule) == 16, "unwind_rule is a wire format");

/* cfa_add of a run: bit n: a step, n bytes behind the row's address (bit 0: never); the number of the step, from 1, with which the frame
 * pointer is saved at fp or, in a run down, is in place again (0: fp holds in the whole run); and that steps are by -8. */
#define UNWIND_RUN_BYTES   16
#define UNWIND_RUN_MASK	   0xffffu
#define UNWIND_RUN_FP_BITS 16
#define UNWIND_RUN_FP_MASK 0xfu
#define UNWIND_RUN_DOWN	   (1u << 20)

/* The rule of a run that holds so many bytes behind its row's address. Other rules are left as they are. */
static inline __attribute__((always_inline)) void unwind_rule_expand(struct unwind_rule *rule, __u32 bytes)
{
	__u32 run = (__u32)rule->cfa_add, steps = run & UNWIND_RUN_MASK, fp_step = run >> UNWIND_RUN_FP_BITS & UNWIND_RUN_FP_MASK;

	if (rule->cfa != CFA_RUN)
		return;
	if (bytes < UNWIND_RUN_BYTES - 1)
		steps &= (2u << bytes) - 1;
	/* Their number. Source: Hacker's Delight, 5-1. */
	steps -= steps >> 1 & 0x5555;
	steps = (steps & 0x3333) + (steps >> 2 & 0x3333);
	steps = (steps + (steps >> 4)) & 0x0f0f;
	steps = (steps + (steps >> 8)) & 0x1f;
	_Bool down = run & UNWIND_RUN_DOWN;
	rule->cfa = CFA_REGISTER;
	rule->cfa_offset += down ? -8 * (__s32)steps : 8 * (__s32)steps;
	rule->cfa_add = 0;
	if (fp_step && (steps >= fp_step) == down) {
		rule->fp = IN_PLACE;
		rule->fp_offset = 0;
	}
}

#endif
