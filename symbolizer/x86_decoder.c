#include "symbolizer/x86_decoder.h"

#include <string.h>

#define INSTRUCTION_MAX 15

struct decoding {
	const uint8_t *code;
	size_t n, at;
	struct x86_instruction *i;
	uint8_t rex_r, rex_x, rex_b; /* 8 or 0 */
	bool is_evex;
};

static bool take(struct decoding *d, uint8_t *byte_out)
{
	if (d->at >= d->n || d->at >= INSTRUCTION_MAX)
		return false;
	*byte_out = d->code[d->at++];
	return true;
}

static bool take_signed(struct decoding *d, size_t bytes, int64_t *value_out)
{
	uint64_t value = 0;

	if (bytes > d->n - d->at || d->at + bytes > INSTRUCTION_MAX)
		return false;
	memcpy(&value, d->code + d->at, bytes);
	d->at += bytes;
	*value_out = bytes == 8 ? (int64_t)value : (int64_t)(value << (64 - 8 * bytes)) >> (64 - 8 * bytes);
	return true;
}

static bool take_prefixes(struct decoding *d, uint8_t *opcode_out)
{
	struct x86_instruction *i = d->i;
	uint8_t byte;

	for (;;) {
		if (!take(d, &byte))
			return false;
		if (byte == 0x66)
			i->operand_16 = true;
		else if (byte == 0xf2)
			i->has_f2 = true;
		else if (byte == 0xf3)
			i->has_f3 = true;
		else if (byte != 0xf0 && byte != 0x2e && byte != 0x36 && byte != 0x3e && byte != 0x26 && byte != 0x64 &&
			 byte != 0x65 && byte != 0x67)
			break;
	}
	if ((byte & 0xf0) == 0x40) {
		i->has_rex = true;
		i->is_wide = byte & 8;
		d->rex_r = (uint8_t)((byte & 4) << 1);
		d->rex_x = (uint8_t)((byte & 2) << 2);
		d->rex_b = (uint8_t)((byte & 1) << 3);
		if (!take(d, &byte))
			return false;
	}
	*opcode_out = byte;
	return true;
}

/* VEX and EVEX: the prefix's bits are inverted. first: c5, c4 or 62. */
static bool take_vex(struct decoding *d, uint8_t first)
{
	struct x86_instruction *i = d->i;
	uint8_t p0, p1, p2;

	if (i->has_rex || i->operand_16 || i->has_f2 || i->has_f3 || !take(d, &p0))
		return false;
	i->is_vex = true;
	d->is_evex = first == 0x62;
	d->rex_r = p0 & 0x80 ? 0 : 8;
	i->map = X86_0F;
	p1 = p0;
	if (first != 0xc5) {
		d->rex_x = p0 & 0x40 ? 0 : 8;
		d->rex_b = p0 & 0x20 ? 0 : 8;
		i->map = p0 & (d->is_evex ? 0x07 : 0x1f);
		if (!take(d, &p1))
			return false;
		i->is_wide = p1 & 0x80;
	}
	i->vvvv = (uint8_t)(~p1 >> 3 & 15);
	i->operand_16 = (p1 & 3) == 1;
	i->has_f3 = (p1 & 3) == 2;
	i->has_f2 = (p1 & 3) == 3;
	if (d->is_evex && !take(d, &p2))
		return false;
	return i->map >= X86_0F && i->map <= X86_0F3A && take(d, &i->opcode);
}

static bool take_modrm(struct decoding *d)
{
	struct x86_instruction *i = d->i;
	int64_t displacement = 0;
	uint8_t modrm, sib;

	if (!take(d, &modrm))
		return false;
	i->mod = modrm >> 6;
	i->reg = (modrm >> 3 & 7) | d->rex_r;
	i->rm = (modrm & 7) | d->rex_b;
	if (i->mod == 3)
		return true;
	i->base = i->rm;
	if ((modrm & 7) == 4) {
		if (!take(d, &sib))
			return false;
		bool has_index = ((sib >> 3 & 7) | d->rex_x) != 4;
		i->base = has_index ? X86_NO_REGISTER : ((sib & 7) | d->rex_b);
		if (i->mod == 0 && (sib & 7) == 5) {
			i->base = X86_NO_REGISTER;
			return take_signed(d, 4, &displacement);
		}
	} else if (i->mod == 0 && (modrm & 7) == 5) {
		i->base = X86_NO_REGISTER; /* rip */
		return take_signed(d, 4, &displacement);
	}
	if (i->mod && !take_signed(d, i->mod == 1 ? 1 : 4, &displacement))
		return false;
	i->displacement = (int32_t)displacement;
	/* EVEX scales an 8-bit one by the vector's length: nobody asks for those. */
	return true;
}

enum form { NONE, MODRM = 1, IMM8 = 2, IMM32 = 4, IMM16 = 8, BAD = 0x80 };

static unsigned one_byte_form(uint8_t op)
{
	static const uint8_t ALU[8] = {MODRM, MODRM, MODRM, MODRM, IMM8, IMM32, BAD, BAD};

	if (op < 0x40)
		return ALU[op & 7];
	if (op < 0x60 || (op >= 0x90 && op < 0xa0 && op != 0x9a))
		return NONE;
	if ((op >= 0x70 && op < 0x80) || (op >= 0xb0 && op < 0xb8) || (op >= 0xe0 && op < 0xe8))
		return IMM8;
	if ((op >= 0x84 && op < 0x90) || (op >= 0xd0 && op < 0xd4) || (op >= 0xd8 && op < 0xe0))
		return MODRM;
	if (op >= 0xb8 && op < 0xc0)
		return IMM32;
	switch (op) {
	case 0x63: case 0xfe: case 0xff: case 0xf6: case 0xf7:
		return MODRM;
	case 0x68: case 0xa9: case 0xe8: case 0xe9:
		return IMM32;
	case 0x69: case 0x81: case 0xc7:
		return MODRM | IMM32;
	case 0x6a: case 0xa8: case 0xcd: case 0xeb:
		return IMM8;
	case 0x6b: case 0x80: case 0x83: case 0xc0: case 0xc1: case 0xc6:
		return MODRM | IMM8;
	case 0xc2: case 0xca:
		return IMM16;
	case 0xa4: case 0xa5: case 0xa6: case 0xa7: case 0xaa: case 0xab: case 0xac: case 0xad: case 0xae: case 0xaf:
	case 0xc3: case 0xc9: case 0xcb: case 0xcc: case 0xcf: case 0xd7: case 0xec: case 0xed: case 0xee: case 0xef:
	case 0xf1: case 0xf4: case 0xf5: case 0xf8: case 0xf9: case 0xfa: case 0xfb: case 0xfc: case 0xfd:
		return NONE;
	default:
		return BAD; /* not in 64-bit mode, enter, or moves to absolute addresses */
	}
}

static unsigned two_byte_form(uint8_t op)
{
	if ((op & 0xf0) == 0x80)
		return IMM32;
	if ((op >= 0x30 && op < 0x38) || (op >= 0xc8 && op < 0xd0))
		return NONE;
	switch (op) {
	case 0x05: case 0x06: case 0x07: case 0x08: case 0x09: case 0x0b: case 0x0e: case 0x77: case 0xa0: case 0xa1: case 0xa2:
	case 0xa8: case 0xa9: case 0xaa:
		return NONE;
	case 0x0f: case 0x70: case 0x71: case 0x72: case 0x73: case 0xa4: case 0xac: case 0xba: case 0xc2: case 0xc4: case 0xc5:
	case 0xc6:
		return MODRM | IMM8;
	case 0x04: case 0x0a: case 0x0c: case 0x24: case 0x25: case 0x26: case 0x27: case 0x39: case 0x3b: case 0x3c: case 0x3d:
	case 0x3e: case 0x3f:
		return BAD;
	default:
		return MODRM;
	}
}

static unsigned form_of(const struct x86_instruction *i)
{
	switch (i->map) {
	case X86_ONE_BYTE:
		return one_byte_form(i->opcode);
	case X86_0F:
		return i->is_vex && (i->opcode & 0xf0) == 0x80 ? BAD :
		       i->is_vex && ((i->opcode >= 0x30 && i->opcode < 0x38) || i->opcode >= 0xc8) ? MODRM : two_byte_form(i->opcode);
	case X86_0F38:
		return MODRM;
	default:
		return MODRM | IMM8;
	}
}

static size_t immediate_bytes(const struct x86_instruction *i, unsigned form)
{
	bool is_branch = i->map == X86_ONE_BYTE ? i->opcode == 0xe8 || i->opcode == 0xe9 : i->map == X86_0F;

	if (form & IMM8)
		return 1;
	if (form & IMM16)
		return 2;
	if (i->map == X86_ONE_BYTE && i->opcode >= 0xb8 && i->opcode < 0xc0 && i->is_wide)
		return 8;
	/* f6 and f7: test has an immediate, the others of the group do not. */
	if (i->map == X86_ONE_BYTE && (i->opcode & 0xfe) == 0xf6 && (i->reg & 6) == 0)
		return i->opcode == 0xf6 ? 1 : i->operand_16 ? 2 : 4;
	return form & IMM32 ? i->operand_16 && !is_branch ? 2 : 4 : 0;
}

static bool take_opcode(struct decoding *d, uint8_t first)
{
	struct x86_instruction *i = d->i;

	if (first == 0xc4 || first == 0xc5 || first == 0x62)
		return take_vex(d, first);
	i->opcode = first;
	if (first != 0x0f)
		return true;
	i->map = X86_0F;
	if (!take(d, &i->opcode))
		return false;
	if (i->opcode != 0x38 && i->opcode != 0x3a)
		return true;
	i->map = i->opcode == 0x38 ? X86_0F38 : X86_0F3A;
	return take(d, &i->opcode);
}

bool x86_decode(const uint8_t *code, size_t n, struct x86_instruction *instruction_out)
{
	struct x86_instruction i = {.base = X86_NO_REGISTER, .vvvv = X86_NO_REGISTER};
	struct decoding d = {.code = code, .n = n, .i = &i};
	uint8_t first;

	if (!take_prefixes(&d, &first) || !take_opcode(&d, first))
		return false;
	unsigned form = form_of(&i);
	if (form & BAD)
		return false;
	i.has_modrm = form & MODRM;
	if (i.has_modrm && !take_modrm(&d))
		return false;
	size_t bytes = immediate_bytes(&i, form);
	if (bytes && !take_signed(&d, bytes, &i.immediate))
		return false;
	i.bytes = (uint8_t)d.at;
	if (!i.is_vex && i.map == X86_ONE_BYTE && !i.has_modrm && i.opcode >= 0x50 && i.opcode < 0xc0)
		i.rm = (i.opcode & 7) | d.rex_b;
	if (i.map == X86_0F && !i.has_modrm)
		i.rm = (i.opcode & 7) | d.rex_b;
	*instruction_out = i;
	return true;
}

/* ---- what it writes ---- */

#define WRITES_REG 1u
#define WRITES_RM  2u
#define WRITES_VVVV 4u
#define OPCODE_REG 8u /* the register is in the opcode */

static unsigned one_byte_writes(const struct x86_instruction *i)
{
	uint8_t op = i->opcode, extension = i->reg & 7;

	if (op < 0x38)
		return !i->has_modrm ? 0 : op & 2 ? WRITES_REG : WRITES_RM;
	if (op >= 0x91 && op < 0x98)
		return OPCODE_REG;
	if (op >= 0xb0 && op < 0xc0)
		return OPCODE_REG;
	switch (op) {
	case 0x63: case 0x69: case 0x6b: case 0x8a: case 0x8b: case 0x8d:
		return WRITES_REG;
	case 0x86: case 0x87:
		return WRITES_REG | WRITES_RM;
	case 0x80: case 0x81: case 0x83:
		return extension == 7 ? 0 : WRITES_RM;
	case 0x88: case 0x89: case 0x8c: case 0x8f: case 0xc0: case 0xc1: case 0xc6: case 0xc7: case 0xd0: case 0xd1: case 0xd2:
	case 0xd3:
		return WRITES_RM;
	case 0xf6: case 0xf7:
		return extension == 2 || extension == 3 ? WRITES_RM : 0;
	case 0xfe: case 0xff:
		return extension < 2 ? WRITES_RM : 0;
	default:
		return 0;
	}
}

/* The opcodes of the vector maps that have a general register as their result, too. */
static unsigned two_byte_writes(const struct x86_instruction *i)
{
	uint8_t op = i->opcode;

	if (op == 0x2c || op == 0x2d || op == 0x50 || op == 0xd7 || op == 0xc5)
		return WRITES_REG;
	if (op == 0x7e)
		return i->has_f3 ? 0 : WRITES_RM;
	if (i->is_vex)
		return op == 0x93 ? WRITES_REG : 0;
	if (op >= 0xc8 && op < 0xd0)
		return OPCODE_REG;
	if ((op >= 0x40 && op < 0x50) || op == 0x02 || op == 0x03 || op == 0xaf || op == 0xb6 || op == 0xb7 || op == 0xb8 ||
	    (op >= 0xbc && op < 0xc0))
		return WRITES_REG;
	if ((op >= 0x90 && op < 0xa0) || op <= 0x01 || (op >= 0x20 && op < 0x24) || op == 0xa4 || op == 0xa5 || op == 0xab ||
	    op == 0xac || op == 0xad || op == 0xae || op == 0xb0 || op == 0xb1 || op == 0xb3 || op == 0xba || op == 0xbb ||
	    op == 0xc7)
		return WRITES_RM;
	return op == 0xc0 || op == 0xc1 ? WRITES_REG | WRITES_RM : 0;
}

static unsigned three_byte_writes(const struct x86_instruction *i)
{
	uint8_t op = i->opcode;

	if (i->map == X86_0F3A)
		return op >= 0x14 && op <= 0x17 ? WRITES_RM : i->is_vex && op == 0xf0 ? WRITES_REG : 0;
	if (op < 0xf0)
		return 0;
	if (i->is_vex)
		return op == 0xf3 ? WRITES_VVVV : op == 0xf6 ? WRITES_REG | WRITES_VVVV : WRITES_REG;
	return WRITES_REG;
}

/* 8-bit operands: without REX, 4 to 7 are ah, ch, dh and bh. */
static bool is_byte_form(const struct x86_instruction *i)
{
	uint8_t op = i->opcode;

	if (i->is_vex || i->has_rex)
		return false;
	if (i->map == X86_0F)
		return (op >= 0x90 && op < 0xa0) || op == 0xb0 || op == 0xc0;
	if (i->map != X86_ONE_BYTE)
		return false;
	return (op < 0x40 && !(op & 1)) || (op >= 0xb0 && op < 0xb8) || op == 0x80 || op == 0x86 || op == 0x88 || op == 0x8a ||
	       op == 0xc0 || op == 0xc6 || op == 0xd0 || op == 0xd2 || op == 0xf6 || op == 0xfe;
}

uint16_t x86_writes(const struct x86_instruction *i)
{
	unsigned what = i->map == X86_ONE_BYTE ? one_byte_writes(i) : i->map == X86_0F ? two_byte_writes(i) : three_byte_writes(i);
	unsigned mask = 0;

	if (is_byte_form(i))
		return 0; /* a part of rsp or rbp has no such form */
	if (what & WRITES_REG)
		mask |= 1u << (i->reg & 15);
	if (what & WRITES_RM && i->has_modrm && i->mod == 3)
		mask |= 1u << (i->rm & 15);
	if (what & WRITES_VVVV)
		mask |= 1u << (i->vvvv & 15);
	if (what & OPCODE_REG)
		mask |= 1u << (i->rm & 15) | (i->opcode >= 0x91 && i->opcode < 0x98 && i->map == X86_ONE_BYTE);
	return (uint16_t)mask;
}
