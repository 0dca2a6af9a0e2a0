/* Lengths and operands of x86-64 instructions, as far as the shape of a stack frame needs them.
 * Source: Intel SDM 2, chapter 2 and appendix A. */
#ifndef HEARTH_SYMBOLIZER_X86_DECODER_H
#define HEARTH_SYMBOLIZER_X86_DECODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum x86_map { X86_ONE_BYTE, X86_0F, X86_0F38, X86_0F3A };

#define X86_NO_REGISTER 0xff

struct x86_instruction {
	uint8_t bytes; /* length */
	uint8_t map;   /* enum x86_map */
	uint8_t opcode;
	bool is_vex;	  /* VEX or EVEX: map is as of the legacy opcode */
	bool is_wide;	  /* REX.W */
	bool has_rex;
	bool operand_16;  /* 66 */
	bool has_f2, has_f3;
	bool has_modrm;
	uint8_t mod, reg, rm; /* reg, rm: extended; rm is a register only where mod is 3 */
	uint8_t vvvv;	      /* of VEX */
	uint8_t base;	      /* of the memory operand, without an index; X86_NO_REGISTER: another form */
	int32_t displacement;
	int64_t immediate; /* sign-extended; also a branch's distance */
};

/* Decode one instruction. False: not one that is known here, or cut. */
bool x86_decode(const uint8_t *code, size_t n, struct x86_instruction *instruction_out);

/* The general registers that it writes, as a mask, apart from push, pop, leave, enter, call and ret; and only those that may be rsp or
 * rbp: implicit results in rax, rdx and so on are left out. */
uint16_t x86_writes(const struct x86_instruction *i);

#endif
