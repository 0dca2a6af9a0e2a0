#include "symbolizer/frame_screen.h"

#include <dwarf.h>

#define REMEMBER_MAX 64

/* Operands of an operation; false: not one that is let through. */
static bool skip_operation(struct byte_reader *r)
{
	uint8_t op = byte_reader_u8(r);

	if ((op >= DW_OP_lit0 && op <= DW_OP_lit31) || (op >= DW_OP_eq && op <= DW_OP_ne))
		return true;
	if (op >= DW_OP_breg0 && op <= DW_OP_breg31) {
		byte_reader_sleb(r);
		return true;
	}
	switch (op) {
	case DW_OP_const1u:
	case DW_OP_const1s:
	case DW_OP_pick:
	case DW_OP_deref_size:
		byte_reader_skip(r, 1);
		return true;
	case DW_OP_const2u:
	case DW_OP_const2s:
		byte_reader_skip(r, 2);
		return true;
	case DW_OP_const4u:
	case DW_OP_const4s:
		byte_reader_skip(r, 4);
		return true;
	case DW_OP_const8u:
	case DW_OP_const8s:
		byte_reader_skip(r, 8);
		return true;
	case DW_OP_constu:
	case DW_OP_plus_uconst:
		byte_reader_uleb(r);
		return true;
	case DW_OP_consts:
		byte_reader_sleb(r);
		return true;
	case DW_OP_bregx:
		byte_reader_uleb(r);
		byte_reader_sleb(r);
		return true;
	case DW_OP_deref:
	case DW_OP_dup:
	case DW_OP_drop:
	case DW_OP_over:
	case DW_OP_swap:
	case DW_OP_rot:
	case DW_OP_abs:
	case DW_OP_and:
	case DW_OP_minus:
	case DW_OP_mul:
	case DW_OP_neg:
	case DW_OP_not:
	case DW_OP_or:
	case DW_OP_plus:
	case DW_OP_shl:
	case DW_OP_shr:
	case DW_OP_shra:
	case DW_OP_xor:
	case DW_OP_nop:
		return true;
	default:
		return false;
	}
}

static bool is_safe_expression(struct byte_reader *r)
{
	uint64_t bytes = byte_reader_uleb(r);

	if (r->failed || bytes > byte_reader_left(r))
		return false;
	struct byte_reader expression = {r->at, r->at + bytes, false};
	while (expression.at < expression.end)
		if (!skip_operation(&expression))
			return false;
	byte_reader_skip(r, bytes);
	return !expression.failed;
}

static bool skip_instruction(struct byte_reader *r, unsigned *remembered)
{
	uint8_t op = byte_reader_u8(r);

	if (op & 0xc0) {
		if ((op & 0xc0) == DW_CFA_offset)
			byte_reader_uleb(r);
		return true;
	}
	switch (op) {
	case DW_CFA_nop:
		return true;
	case DW_CFA_remember_state:
		return ++*remembered <= REMEMBER_MAX;
	case DW_CFA_restore_state:
		return (*remembered)-- > 0;
	case DW_CFA_advance_loc1:
		byte_reader_skip(r, 1);
		return true;
	case DW_CFA_advance_loc2:
		byte_reader_skip(r, 2);
		return true;
	case DW_CFA_advance_loc4:
		byte_reader_skip(r, 4);
		return true;
	case DW_CFA_restore_extended:
	case DW_CFA_undefined:
	case DW_CFA_same_value:
	case DW_CFA_def_cfa_register:
	case DW_CFA_def_cfa_offset:
	case DW_CFA_def_cfa_offset_sf:
	case DW_CFA_GNU_args_size:
		byte_reader_uleb(r);
		return true;
	case DW_CFA_offset_extended:
	case DW_CFA_register:
	case DW_CFA_def_cfa:
	case DW_CFA_def_cfa_sf:
	case DW_CFA_offset_extended_sf:
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
	case DW_CFA_GNU_negative_offset_extended:
		byte_reader_uleb(r);
		byte_reader_uleb(r);
		return true;
	case DW_CFA_def_cfa_expression:
		return is_safe_expression(r);
	case DW_CFA_expression:
	case DW_CFA_val_expression:
		byte_reader_uleb(r);
		return is_safe_expression(r);
	default:
		return false;
	}
}

bool frame_program_is_safe(struct byte_reader program)
{
	unsigned remembered = 0;

	while (program.at < program.end)
		if (!skip_instruction(&program, &remembered) || program.failed)
			return false;
	return true;
}
