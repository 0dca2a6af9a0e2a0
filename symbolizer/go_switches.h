/* Where Go's runtime leaves the stack that its CFI describes.
 *
 * Go's linker writes .debug_frame from what the assembler knows of the stack pointer: pushes, pops, additions. The few functions of the
 * runtime that load it with another stack's (systemstack, mcall, morestack, asmcgocall, gogo, the callers of the vDSO and of C) have
 * rows as if nothing had happened. The compiler never does that, so the functions are found by their instructions.
 * Source: Go's runtime/asm_amd64.s and sys_linux_amd64.s, 1.18 to 1.26. */
#ifndef HEARTH_SYMBOLIZER_GO_SWITCHES_H
#define HEARTH_SYMBOLIZER_GO_SWITCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/unwind_table.h"
#include "symbolizer/elf_file.h"

/* From vaddr on a function's rows do not hold. */
struct go_switch {
	uint64_t vaddr; /* UINT64_MAX: it does not switch */
	bool has_frame; /* the frame pointer still points into this function's frame, on whichever stack that is */
};

struct go_switches; /* of one image */

/* elf: borrowed until go_switches_close(). switches_out: NULL when it is no Go program for x86-64 or has no section headers.
 * Returns 0, -ENOMEM, or the errno of a failed read. */
int go_switches_open(const struct elf_file *elf, struct go_switches **switches_out);

/* The first switch of the function at vaddrs [start, end). Functions are best asked for in the order of their addresses. switches: NULL is
 * legal. What cannot be read, or is too long for the runtime's assembly, does not switch. */
struct go_switch go_switches_find(struct go_switches *switches, uint64_t start, uint64_t end);

/* The rule that holds instead of the one in .debug_frame. */
void go_switch_apply(const struct go_switch *go_switch, struct unwind_rule *rule);

/* NULL is legal. */
void go_switches_close(struct go_switches *switches);

#endif
