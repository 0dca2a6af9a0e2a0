#include "tests/stepping/instruction.h"

#include <string.h>

#define RSP 4
#define RBP 5

struct modrm {
	uint8_t mod, reg, rm;
	bool reg_extended, rm_extended;
};

static bool is_prefix(uint8_t byte)
{
	return memchr("\x66\xf2\xf3\x2e\x36\x3e\x26\x64\x65\xf0", byte, 10);
}

static void moves(struct instruction *i, enum truth_move move, enum instruction_part part)
{
	i->move = move;
	i->part = part;
}

static void decode_move(struct instruction *i, uint8_t op, struct modrm m)
{
	bool to_sp = op == 0x89 ? m.mod == 3 && m.rm == RSP && !m.rm_extended : m.reg == RSP && !m.reg_extended;
	bool from_sp = m.mod == 3 && (op == 0x89 ? m.reg == RSP && m.rm == RBP : op == 0x8b && m.rm == RSP && m.reg == RBP) &&
		       !m.reg_extended && !m.rm_extended;

	if (to_sp)
		moves(i, op == 0x8b && m.mod != 3 ? MOVE_MEMORY : MOVE_REGISTER, PART_EPILOGUE);
	else if (from_sp)
		i->part = PART_PROLOGUE;
}

static void decode_group(struct instruction *i, uint8_t op, struct modrm m)
{
	if (op == 0xff) {
		i->is_call = m.reg == 2;
		i->is_jump_away = m.reg == 2 || m.reg == 4;
		if (m.reg == 6)
			i->part = PART_PROLOGUE;
	} else if (m.mod == 3 && m.rm == RSP && !m.rm_extended) { /* 81, 83: arithmetic on rsp */
		if (m.reg == 5)
			i->part = PART_PROLOGUE;
		else if (m.reg == 0)
			i->part = PART_EPILOGUE;
	}
}

static void decode_plain(struct instruction *i, uint8_t op, bool extended)
{
	if (op == 0xe8)
		i->is_call = true;
	else if (op == 0xc3 || op == 0xc2)
		i->is_jump_away = true, i->part = PART_EPILOGUE;
	else if (op == 0xc9)
		moves(i, MOVE_REGISTER, PART_EPILOGUE);
	else if (op == 0x5c && !extended)
		moves(i, MOVE_MEMORY, PART_EPILOGUE);
	else if (op == 0x94 && !extended) /* xchg %rax,%rsp */
		i->move = MOVE_MEMORY;
	else if (op >= 0x50 && op <= 0x57)
		i->part = PART_PROLOGUE;
	else if (op >= 0x58 && op <= 0x5f)
		i->part = PART_EPILOGUE;
}

struct instruction instruction_decode(const uint8_t *bytes)
{
	struct instruction i = {.move = MOVE_LOCAL};
	const uint8_t *at = bytes, *end = bytes + INSTRUCTION_MAX - 2;
	uint8_t rex = 0;

	if (memcmp(bytes, "\xf3\x0f\x1e\xfa", 4) == 0) { /* endbr64 */
		i.part = PART_PROLOGUE;
		return i;
	}
	while (at < end && is_prefix(*at))
		at++;
	if (at < end && (*at & 0xf0) == 0x40)
		rex = *at++;
	struct modrm m = {at[1] >> 6, at[1] >> 3 & 7, at[1] & 7, rex & 4, rex & 1};
	if (at[0] == 0x0f && at[1] == 0x05)
		i.is_syscall = true, i.move = MOVE_MEMORY;
	else if (at[0] == 0x89 || at[0] == 0x8b || at[0] == 0x8d)
		decode_move(&i, at[0], m);
	else if (at[0] == 0xff || at[0] == 0x81 || at[0] == 0x83)
		decode_group(&i, at[0], m);
	else if (at[0] == 0x87 && (m.reg == RSP || (m.mod == 3 && m.rm == RSP)))
		i.move = MOVE_MEMORY;
	else
		decode_plain(&i, at[0], rex & 1);
	return i;
}
