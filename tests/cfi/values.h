/* One frame's values, computed from libdw's answer and from an unwind rule over the same made-up registers and memory: two spellings
 * of one rule give one value, and two rules that differ hardly ever do. */
#ifndef HEARTH_TESTS_CFI_VALUES_H
#define HEARTH_TESTS_CFI_VALUES_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/unwind_table.h"

/* The registers by which a machine's frames are compared: DWARF numbers. */
struct value_registers {
	int fp, ra;
	int pc; /* what an expression may read as the program counter; -1: none */
};

struct value {
	enum value_kind {
		VALUE,
		VALUE_SAME,	 /* the register still holds it */
		VALUE_UNDEFINED, /* nowhere */
		VALUE_UNKNOWN,	 /* a rule or an expression that is not understood */
	} kind;
	uint64_t value;
};

bool value_equal(struct value a, struct value b);

/* libdw's. -1 of dwarf_frame_cfa() or dwarf_frame_register() is VALUE_UNKNOWN. */
struct value value_of_cfa(Dwarf_Frame *frame, uint64_t pc, const struct value_registers *registers);
struct value value_of_register(Dwarf_Frame *frame, int reg, uint64_t cfa, uint64_t pc, const struct value_registers *registers);

/* Of a rule. */
struct value value_of_rule_cfa(const struct unwind_rule *rule, uint64_t pc, const struct value_registers *registers);
struct value value_of_column(uint8_t where, int16_t offset, uint64_t cfa, uint64_t pc, const struct value_registers *registers);

#endif
