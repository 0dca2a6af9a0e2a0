/* What one x86-64 instruction does to the stack, as far as stepping needs it. Source: Intel SDM 2, opcode maps. */
#ifndef HEARTH_STEPPING_INSTRUCTION_H
#define HEARTH_STEPPING_INSTRUCTION_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/stepping/truth.h"

#define INSTRUCTION_MAX 15 /* bytes */

enum instruction_part { PART_BODY, PART_PROLOGUE, PART_EPILOGUE };

struct instruction {
	bool is_call, is_syscall;
	bool is_jump_away; /* ret, or a jump or call to where a register or memory says */
	enum truth_move move;
	enum instruction_part part; /* builds a frame, or takes it down */
};

/* bytes: INSTRUCTION_MAX. */
struct instruction instruction_decode(const uint8_t *bytes);

#endif
