#include "symbolizer/cfi_expression.h"

#include <dwarf.h>

#define REGISTERS 32

/* A constant operand of "plus", "and", "ge": any of the forms that compilers and assemblers write. */
static bool read_constant(struct byte_reader *r, uint8_t op, int64_t *value_out)
{
	if (op >= DW_OP_lit0 && op <= DW_OP_lit31)
		*value_out = op - DW_OP_lit0;
	else if (op == DW_OP_const1u)
		*value_out = byte_reader_u8(r);
	else if (op == DW_OP_const1s)
		*value_out = (int8_t)byte_reader_u8(r);
	else if (op == DW_OP_const2u)
		*value_out = byte_reader_u16(r);
	else if (op == DW_OP_const2s)
		*value_out = (int16_t)byte_reader_u16(r);
	else if (op == DW_OP_const4s)
		*value_out = (int32_t)byte_reader_u32(r);
	else if (op == DW_OP_consts)
		*value_out = byte_reader_sleb(r);
	else if (op == DW_OP_constu)
		*value_out = (int64_t)byte_reader_uleb(r);
	else
		return false;
	return !r->failed;
}

/* [constant plus | constant minus | plus_uconst] ... to the end; the sum. */
static bool read_sum(struct byte_reader *r, int64_t *sum_out)
{
	int64_t sum = 0, value;

	while (r->at < r->end) {
		uint8_t op = byte_reader_u8(r);
		if (op == DW_OP_plus_uconst) {
			value = (int64_t)byte_reader_uleb(r);
		} else {
			if (!read_constant(r, op, &value))
				return false;
			op = byte_reader_u8(r);
			if (op == DW_OP_minus)
				value = -(value & INT32_MAX);
			else if (op != DW_OP_plus)
				return false;
		}
		if (r->failed || value > INT32_MAX || value < INT32_MIN)
			return false;
		sum += value;
		if (sum > INT32_MAX || sum < INT32_MIN)
			return false;
	}
	*sum_out = sum;
	return true;
}

/* Behind "breg7 8": breg16 0, litA, and, litN, ge, lit3, shl, plus. The linker's .plt has N = 11; with IBT, 9 or 10. */
static bool read_plt(struct byte_reader r, int32_t *threshold_out)
{
	int64_t offset, mask, threshold, shift;

	if (byte_reader_u8(&r) != DW_OP_breg16)
		return false;
	offset = byte_reader_sleb(&r);
	if (!read_constant(&r, byte_reader_u8(&r), &mask) || byte_reader_u8(&r) != DW_OP_and ||
	    !read_constant(&r, byte_reader_u8(&r), &threshold) || byte_reader_u8(&r) != DW_OP_ge ||
	    !read_constant(&r, byte_reader_u8(&r), &shift) || byte_reader_u8(&r) != DW_OP_shl ||
	    byte_reader_u8(&r) != DW_OP_plus || r.failed || r.at != r.end)
		return false;
	*threshold_out = (int32_t)threshold;
	return offset == 0 && mask == 15 && shift == 3 && threshold >= 0 && threshold < 16;
}

/* Behind "breg7 8": bregN 0, lit8, mul, plus, deref, sum. OpenSSL's Montgomery multiplication keeps the stack pointer behind its numbers,
 * whose length is in a register. */
static bool read_indexed(struct byte_reader r, struct expression *e)
{
	uint8_t op = byte_reader_u8(&r);
	int64_t scale, sum;

	if (op < DW_OP_breg0 || op > DW_OP_breg31 || byte_reader_sleb(&r) != 0 || !read_constant(&r, byte_reader_u8(&r), &scale) ||
	    scale != 8 || byte_reader_u8(&r) != DW_OP_mul || byte_reader_u8(&r) != DW_OP_plus || byte_reader_u8(&r) != DW_OP_deref ||
	    r.failed || !read_sum(&r, &sum))
		return false;
	e->index = op - DW_OP_breg0;
	e->add = (int32_t)sum;
	return true;
}

/* The register and offset that all known expressions begin with. */
static bool read_base(struct byte_reader *r, struct expression *e)
{
	uint8_t op = byte_reader_u8(r);
	uint64_t reg = op - (uint64_t)DW_OP_breg0;

	if (op == DW_OP_bregx)
		reg = byte_reader_uleb(r);
	else if (op < DW_OP_breg0 || op > DW_OP_breg31)
		return false;
	int64_t offset = byte_reader_sleb(r);
	if (r->failed || reg >= REGISTERS || offset > INT32_MAX || offset < INT32_MIN)
		return false;
	e->reg = (uint8_t)reg;
	e->offset = (int32_t)offset;
	return true;
}

struct expression expression_classify(struct byte_reader r)
{
	struct expression e = {.kind = EXPRESSION_OTHER};
	struct byte_reader rest;
	int64_t sum;

	if (!read_base(&r, &e))
		return e;
	if (read_plt(r, &e.add)) {
		e.kind = EXPRESSION_PLT;
		return e;
	}
	if (read_indexed(r, &e)) {
		e.kind = EXPRESSION_INDEXED;
		return e;
	}
	rest = r;
	if (read_sum(&rest, &sum) && sum + e.offset <= INT32_MAX && sum + e.offset >= INT32_MIN) {
		e.kind = EXPRESSION_ADDRESS;
		e.offset = (int32_t)(sum + e.offset);
		return e;
	}
	rest = r;
	if (byte_reader_u8(&rest) == DW_OP_deref && !rest.failed && read_sum(&rest, &sum)) {
		e.kind = EXPRESSION_DEREF;
		e.add = (int32_t)sum;
	}
	return e;
}
