/* Where Go's runtime leaves the stack that its CFI describes.
 *
 * Go's linker writes .debug_frame from what the assembler knows of the stack pointer: pushes, pops, additions. The few functions of the
 * runtime that load it with another stack's (systemstack, mcall, morestack, asmcgocall, gogo, the callers of the vDSO and of C) have
 * rows as if nothing had happened. The compiler never does that, so the functions are found by their instructions. Across a switch the
 * frame pointer leads to the caller, and .debug_frame does not say either where functions save it: their prologues do.
 * Source: Go's runtime/asm_amd64.s and sys_linux_amd64.s, 1.18 to 1.26. */
#ifndef HEARTH_SYMBOLIZER_GO_SWITCHES_H
#define HEARTH_SYMBOLIZER_GO_SWITCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/unwind_table.h"
#include "symbolizer/elf_file.h"

struct go_switches; /* of one image */

/* What the rows of a function do not say. */
struct go_function {
	struct go_switches *switches; /* borrowed; NULL: not Go's, the rows are right */
	uint64_t behind_switch;	      /* the rows do not hold from this vaddr on; UINT64_MAX: it does not switch */
	bool has_frame; /* behind the switch the frame pointer still points to this function's frame, on whichever stack that is */
	bool is_decided, saves_fp; /* it saves the frame pointer at CFA - 16, below the return address */
};

/* elf: borrowed until go_switches_close(). switches_out: NULL when it is no Go program for x86-64 or has no section headers.
 * Returns 0, -ENOMEM, or the errno of a failed read. */
int go_switches_open(const struct elf_file *elf, struct go_switches **switches_out);

/* The function at vaddrs [start, end). Functions, and a function's rows, are best asked for in the order of their addresses: the file is read
 * window by window. switches: NULL is legal. What cannot be read, or is too long for the runtime's assembly, does not switch. */
struct go_function go_switches_find(struct go_switches *switches, uint64_t start, uint64_t end);

/* The ret behind the first pop %rbp in [vaddr, end), which lie in one function; end: there is none. */
uint64_t go_switches_return(struct go_switches *switches, uint64_t vaddr, uint64_t end);

/* The rule that holds from start on instead of the one in .debug_frame. A function's first row is asked for first, and a row that has the switch
 * inside in two parts. */
void go_function_rule(struct go_function *function, uint64_t start, struct unwind_rule *rule);

/* The frame pointer finds the frame, on whichever stack it is. */
extern const struct unwind_rule GO_FRAME_RULE;

/* NULL is legal. */
void go_switches_close(struct go_switches *switches);

#endif
