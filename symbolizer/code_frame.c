#include "symbolizer/code_frame.h"
#include "base/scope.h"
#include "symbolizer/x86_decoder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RSP	  4
#define RBP	  5
#define PENDING_MAX 512 /* branch targets that wait */
#define DEPTH_MAX (1 << 24)

/* Before an instruction. depth: CFA - rsp. */
struct state {
	uint8_t is_reached;
	uint8_t sp_known;
	uint8_t fp_is_base; /* rbp = CFA - base_depth */
	uint8_t fp;	    /* as in struct code_frame */
	int32_t depth, base_depth;
	int32_t fp_depth; /* FP_SAVED: at CFA - fp_depth */
};

struct analysis {
	const uint8_t *code;
	size_t n;
	struct state *states; /* by offset */
	uint32_t pending[PENDING_MAX];
	size_t n_pending;
};

/* A way to an offset. False: another way came there with another frame, or there are too many. */
static bool reach(struct analysis *a, int64_t to, const struct state *state)
{
	if (to < 0 || to >= (int64_t)a->n)
		return true; /* leaves the function: a tail call */
	struct state *known = &a->states[to];
	if (known->is_reached)
		return memcmp(known, state, sizeof(*state)) == 0;
	*known = *state;
	known->is_reached = 1;
	if (a->n_pending == PENDING_MAX)
		return false;
	a->pending[a->n_pending++] = (uint32_t)to;
	return true;
}

static bool move_sp(struct state *s, int64_t down)
{
	int64_t depth = s->depth + down;

	if (!s->sp_known)
		return true;
	if (depth < 8 || depth > DEPTH_MAX)
		return false; /* above its own return address: not a function's entry, after all */
	s->depth = (int32_t)depth;
	return true;
}

static void lose_fp(struct state *s)
{
	s->fp_is_base = 0;
	s->base_depth = 0;
	if (s->fp == FP_IN_PLACE)
		s->fp = FP_LOST;
}

static void restore_fp(struct state *s)
{
	s->fp_is_base = 0;
	s->base_depth = 0;
	s->fp = FP_IN_PLACE;
	s->fp_depth = 0;
}

static void save_fp(struct state *s, int64_t depth)
{
	if (s->fp != FP_IN_PLACE || s->fp_is_base || !s->sp_known || depth < 8 || depth > DEPTH_MAX)
		return;
	s->fp = FP_SAVED;
	s->fp_depth = (int32_t)depth;
}

/* rbp gets a place of this frame. */
static void set_base(struct state *s, int64_t depth)
{
	if (!s->sp_known || depth < 8 || depth > DEPTH_MAX) {
		lose_fp(s);
		return;
	}
	if (s->fp == FP_IN_PLACE)
		s->fp = FP_LOST;
	s->fp_is_base = 1;
	s->base_depth = (int32_t)depth;
}

static bool push(struct state *s, bool is_fp)
{
	if (!move_sp(s, 8))
		return false;
	if (is_fp)
		save_fp(s, s->depth);
	return true;
}

static bool pop(struct state *s, uint8_t reg)
{
	int32_t depth = s->depth;

	if (reg == RSP || !move_sp(s, -8))
		return false;
	if (reg != RBP)
		return true;
	if (s->fp == FP_SAVED && s->sp_known && depth == s->fp_depth)
		restore_fp(s);
	else
		lose_fp(s);
	return true;
}

/* rsp = rbp - bytes */
static bool set_sp_from_base(struct state *s, int64_t down)
{
	if (!s->fp_is_base) {
		s->sp_known = 0;
		s->depth = 0;
		return true;
	}
	s->sp_known = 1;
	s->depth = s->base_depth;
	return move_sp(s, down);
}

/* lea and mov that have rsp or rbp as their result. 1: done; 0: another instruction; -1: not understood. */
static int set_register(struct state *s, const struct x86_instruction *i)
{
	bool is_lea = i->opcode == 0x8d, from_rm = i->opcode == 0x8b;
	uint8_t to = i->opcode == 0x89 ? i->rm : i->reg, from = i->opcode == 0x89 ? i->reg : is_lea ? i->base : i->rm;
	int64_t offset = is_lea ? i->displacement : 0;

	if (!i->is_wide || i->operand_16 || !(is_lea || ((from_rm || i->opcode == 0x89) && i->mod == 3)))
		return 0;
	if (to == RSP && from == RSP)
		return move_sp(s, -offset) ? 1 : -1;
	if (to == RSP && from == RBP)
		return set_sp_from_base(s, -offset) ? 1 : -1;
	if (to == RBP && from == RSP) {
		set_base(s, s->depth - offset);
		return 1;
	}
	return 0;
}

/* mov between rbp and a word of the frame. */
static bool move_fp(struct state *s, const struct x86_instruction *i)
{
	if (!i->is_wide || i->operand_16 || i->mod == 3 || i->reg != RBP || i->base != RSP || !s->sp_known)
		return false;
	int64_t depth = (int64_t)s->depth - i->displacement;
	if (i->opcode == 0x89)
		save_fp(s, depth);
	else if (i->opcode == 0x8b && s->fp == FP_SAVED && depth == s->fp_depth)
		restore_fp(s);
	else
		return false;
	return true;
}

/* add, sub, and of an immediate to rsp. */
static int add_to_sp(struct state *s, const struct x86_instruction *i)
{
	if ((i->opcode != 0x81 && i->opcode != 0x83) || i->mod != 3 || i->rm != RSP || (i->reg & 7) == 7)
		return 0;
	if (!i->is_wide || i->operand_16)
		return -1;
	switch (i->reg & 7) {
	case 0:
		return move_sp(s, -i->immediate) ? 1 : -1;
	case 5:
		return move_sp(s, i->immediate) ? 1 : -1;
	case 4: /* aligned at run time */
		s->sp_known = 0;
		s->depth = 0;
		return 1;
	default:
		return -1;
	}
}

static int apply_one_byte(struct state *s, const struct x86_instruction *i)
{
	uint8_t op = i->opcode;

	if (op >= 0x50 && op < 0x58)
		return !i->operand_16 && push(s, i->rm == RBP) ? 1 : -1;
	if (op >= 0x58 && op < 0x60)
		return !i->operand_16 && pop(s, i->rm) ? 1 : -1;
	if (op == 0x68 || op == 0x6a || op == 0x9c || (op == 0xff && (i->reg & 7) == 6))
		return !i->operand_16 && push(s, false) ? 1 : -1;
	if (op == 0x9d || op == 0x8f)
		return !i->operand_16 && pop(s, op == 0x8f && i->mod == 3 ? i->rm : X86_NO_REGISTER) ? 1 : -1;
	if (op == 0xc9)
		return set_sp_from_base(s, 0) && pop(s, RBP) ? 1 : -1;
	int done = add_to_sp(s, i);
	if (!done)
		done = set_register(s, i);
	return done ? done : move_fp(s, i);
}

/* What an instruction makes of the frame. False: not understood. */
static bool apply(struct state *s, const struct x86_instruction *i)
{
	if (i->map == X86_ONE_BYTE) {
		int done = apply_one_byte(s, i);
		if (done)
			return done > 0;
	}
	uint16_t writes = x86_writes(i);
	if (writes & 1 << RBP)
		lose_fp(s);
	if (writes & 1 << RSP) {
		s->sp_known = 0;
		s->depth = 0;
	}
	return true;
}

enum flow { FLOW_ON, FLOW_BRANCH, FLOW_JUMP, FLOW_CALL, FLOW_END };

static enum flow flow_of(const struct x86_instruction *i)
{
	uint8_t op = i->opcode;

	if (i->is_vex)
		return FLOW_ON;
	if (i->map == X86_0F)
		return (op & 0xf0) == 0x80 ? FLOW_BRANCH : op == 0x0b ? FLOW_END : FLOW_ON;
	if (i->map != X86_ONE_BYTE)
		return FLOW_ON;
	if ((op >= 0x70 && op < 0x80) || (op >= 0xe0 && op < 0xe4))
		return FLOW_BRANCH;
	if (op == 0xe9 || op == 0xeb)
		return FLOW_JUMP;
	if (op == 0xe8)
		return FLOW_CALL;
	if (op == 0xff && ((i->reg & 7) == 4 || (i->reg & 7) == 5))
		return FLOW_END;
	return op == 0xc2 || op == 0xc3 || op == 0xca || op == 0xcb || op == 0xcf || op == 0xf4 || op == 0xcc ? FLOW_END : FLOW_ON;
}

static bool follow(struct analysis *a, uint32_t at)
{
	struct state s = a->states[at];
	struct x86_instruction i;

	if (!x86_decode(a->code + at, a->n - at, &i))
		return false;
	int64_t next = (int64_t)at + i.bytes, target = next + (int32_t)i.immediate;
	switch (flow_of(&i)) {
	case FLOW_END:
		return true;
	case FLOW_JUMP:
		return reach(a, target, &s);
	case FLOW_BRANCH:
		return reach(a, target, &s) && reach(a, next, &s);
	case FLOW_CALL:
		/* Into itself: to learn where it is, or by another entry. */
		return (target <= 0 || target >= (int64_t)a->n) && reach(a, next, &s);
	default:
		return apply(&s, &i) && reach(a, next, &s);
	}
}

static int answer(const struct state *s, struct code_frame *frame_out)
{
	if (!s->is_reached)
		return -ENOENT;
	*frame_out = (struct code_frame){
		.has_cfa = s->sp_known || s->fp_is_base,
		.by_frame_pointer = !s->sp_known && s->fp_is_base,
		.cfa_offset = s->sp_known ? s->depth : s->base_depth,
		.fp = s->fp,
		.fp_offset = -s->fp_depth,
	};
	return 0;
}

int code_frame_at(const uint8_t *code, size_t n, size_t at, struct code_frame *frame_out)
{
	struct analysis a = {.code = code, .n = n};
	struct state entry = {.is_reached = 1, .sp_known = 1, .fp = FP_IN_PLACE, .depth = 8};

	if (n > CODE_FRAME_BYTES_MAX)
		return -E2BIG;
	if (at >= n)
		return -ENOENT;
	AUTO_FREE struct state *states = calloc(n, sizeof(*states));
	if (!states)
		return -ENOMEM;
	a.states = states;
	bool told = reach(&a, 0, &entry);
	while (told && a.n_pending)
		told = follow(&a, a.pending[--a.n_pending]);
	return told ? answer(&states[at], frame_out) : -ENOENT;
}
