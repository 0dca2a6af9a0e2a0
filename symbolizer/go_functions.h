/* The functions of a Go program by its own table, .gopclntab, which stripping leaves.
 * Source: Go's runtime/symtab.go (pcHeader, functab), 1.18 to 1.26. Input is untrusted; every read is bounds-checked. */
#ifndef HEARTH_SYMBOLIZER_GO_FUNCTIONS_H
#define HEARTH_SYMBOLIZER_GO_FUNCTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "symbolizer/elf_file.h"
#include "symbolizer/go_switches.h"

#define GO_FUNCTIONS_MAX (2u << 20) /* kubectl has 60,000 */

/* Vaddrs at which the frame pointer, or behind its pop the stack pointer, finds the frame. */
struct go_part {
	uint64_t start, end;
	bool is_popped;
};

/* The parts of all functions that switch stacks and keep their frame, for a program without .debug_frame. What has no rows is walked by
 * its frame pointer, which leads to these functions and no further.
 * parts_out: in the order of their vaddrs. n_out: 0 when the table is missing, older or damaged.
 * Returns 0, -ENOMEM, or the errno of a failed read. */
int go_functions_switching(const struct elf_file *elf, struct go_switches *switches, struct go_part *parts_out, size_t max, size_t *n_out);

#endif
