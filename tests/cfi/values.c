#include "tests/cfi/values.h"

#include <dwarf.h>

#define STACK_MAX 64

/* An expression being evaluated. */
struct evaluation {
	uint64_t stack[STACK_MAX + 1];
	size_t depth;
	uint64_t cfa, pc;
	const struct value_registers *registers;
	bool is_value;	  /* the top is the value itself, not its address */
	bool is_register; /* the value is that of a register, and on the top */
};

/* Contents of memory: any function of the address that is no simple one. */
static uint64_t memory_at(uint64_t address)
{
	uint64_t hash = (address ^ 0x5bd1e995) * 0x9e3779b97f4a7c15ULL;

	return (hash ^ hash >> 29) & 0xffffffffffULL;
}

static uint64_t register_at(uint64_t reg, uint64_t pc, const struct value_registers *registers)
{
	return registers->pc >= 0 && reg == (uint64_t)registers->pc ? pc : 0x7f0000000000ULL + memory_at(reg * 8 + 1) % 0x100000 * 16;
}

bool value_equal(struct value a, struct value b)
{
	return a.kind == b.kind && (a.kind != VALUE || a.value == b.value);
}

static bool push(struct evaluation *e, uint64_t value)
{
	e->stack[e->depth++] = value;
	return e->depth <= STACK_MAX;
}

static bool binary(struct evaluation *e, uint8_t op)
{
	if (e->depth < 2)
		return false;
	uint64_t y = e->stack[--e->depth], x = e->stack[e->depth - 1];
	switch (op) {
	case DW_OP_plus:
		x += y;
		break;
	case DW_OP_minus:
		x -= y;
		break;
	case DW_OP_mul:
		x *= y;
		break;
	case DW_OP_and:
		x &= y;
		break;
	case DW_OP_shl:
		x <<= y & 63;
		break;
	case DW_OP_ge:
		x = (int64_t)x >= (int64_t)y;
		break;
	default:
		return false;
	}
	e->stack[e->depth - 1] = x;
	return true;
}

static bool operate(struct evaluation *e, const Dwarf_Op *op)
{
	uint8_t atom = op->atom;

	if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31)
		return push(e, (uint64_t)(atom - DW_OP_lit0));
	if (atom >= DW_OP_breg0 && atom <= DW_OP_breg31)
		return push(e, register_at((uint64_t)(atom - DW_OP_breg0), e->pc, e->registers) + op->number);
	if (atom >= DW_OP_reg0 && atom <= DW_OP_reg31) {
		e->is_register = true;
		return push(e, register_at((uint64_t)(atom - DW_OP_reg0), e->pc, e->registers));
	}
	switch (atom) {
	case DW_OP_regx:
		e->is_register = true;
		return push(e, register_at(op->number, e->pc, e->registers));
	case DW_OP_bregx:
		return push(e, register_at(op->number, e->pc, e->registers) + op->number2);
	case DW_OP_call_frame_cfa:
		return push(e, e->cfa);
	case DW_OP_stack_value:
		e->is_value = true;
		return true;
	case DW_OP_const1u ... DW_OP_consts: /* of each size, and LEB128 */
		return push(e, op->number);
	case DW_OP_plus_uconst:
		return push(e, op->number) && binary(e, DW_OP_plus);
	case DW_OP_deref:
		if (!e->depth)
			return false;
		e->stack[e->depth - 1] = memory_at(e->stack[e->depth - 1]);
		return true;
	default:
		return binary(e, atom);
	}
}

static struct value evaluate(struct evaluation *e, const Dwarf_Op *ops, size_t n)
{
	static const struct value UNKNOWN = {.kind = VALUE_UNKNOWN};

	for (size_t i = 0; i < n; i++)
		if (!operate(e, &ops[i]))
			return UNKNOWN;
	if (!e->depth || (e->is_register && n > 1))
		return UNKNOWN;
	uint64_t top = e->stack[e->depth - 1];
	return (struct value){VALUE, e->is_value || e->is_register ? top : memory_at(top)};
}

struct value value_of_cfa(Dwarf_Frame *frame, uint64_t pc, const struct value_registers *registers)
{
	struct evaluation e = {.pc = pc, .registers = registers, .is_value = true};
	Dwarf_Op *ops;
	size_t n;

	if (dwarf_frame_cfa(frame, &ops, &n) != 0)
		return (struct value){.kind = VALUE_UNKNOWN};
	return evaluate(&e, ops, n);
}

struct value value_of_register(Dwarf_Frame *frame, int reg, uint64_t cfa, uint64_t pc, const struct value_registers *registers)
{
	struct evaluation e = {.cfa = cfa, .pc = pc, .registers = registers};
	Dwarf_Op memory[3], *ops;
	size_t n;

	if (dwarf_frame_register(frame, reg, memory, &ops, &n) != 0)
		return (struct value){.kind = VALUE_UNKNOWN};
	if (n == 0)
		return (struct value){.kind = ops == memory ? VALUE_UNDEFINED : VALUE_SAME};
	return evaluate(&e, ops, n);
}

struct value value_of_rule_cfa(const struct unwind_rule *rule, uint64_t pc, const struct value_registers *registers)
{
	uint64_t base = register_at(rule->cfa_register, pc, registers) + (uint64_t)(int64_t)rule->cfa_offset;

	switch (rule->cfa & CFA_KIND_MASK) {
	case CFA_REGISTER:
		break;
	case CFA_DEREF:
		base = memory_at(base) + (uint64_t)(int64_t)rule->cfa_add;
		break;
	case CFA_INDEXED:
		base += 8 * register_at((uint32_t)rule->cfa_add >> CFA_INDEXED_SHIFT, pc, registers);
		base = memory_at(base) + ((uint32_t)rule->cfa_add & CFA_INDEXED_ADD_MASK);
		break;
	case CFA_PLT:
		base += (pc & 15) >= (uint64_t)rule->cfa_add ? 8 : 0;
		break;
	default:
		return (struct value){.kind = VALUE_UNKNOWN};
	}
	return (struct value){VALUE, base};
}

struct value value_of_column(uint8_t where, int16_t offset, uint64_t cfa, uint64_t pc, const struct value_registers *registers)
{
	uint64_t reg = where & AT_REGISTER;

	if (where & IN_REGISTER)
		return (struct value){VALUE, register_at(reg, pc, registers)};
	if (where & AT_REGISTER_PLUS)
		return (struct value){VALUE, memory_at(register_at(reg, pc, registers) + (uint64_t)(int64_t)offset)};
	if (where == AT_CFA)
		return (struct value){VALUE, memory_at(cfa + (uint64_t)(int64_t)offset)};
	return (struct value){.kind = where == IN_PLACE	      ? VALUE_SAME
				      : where == AT_UNDEFINED ? VALUE_UNDEFINED
							      : VALUE_UNKNOWN};
}
