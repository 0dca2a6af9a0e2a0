#include "agent/code_walk.h"

#include <errno.h>
#include <string.h>

#define CALL_BYTES 5 /* of a direct call: e8 rel32 */

static bool read_word(const struct code_walk *w, uint64_t address, uint64_t *word_out)
{
	return w->read(w->context, word_out, sizeof(*word_out), address) == 0;
}

/* Where a direct branch of this opcode at an address leads. */
static bool read_branch(const struct code_walk *w, uint64_t address, uint8_t opcode, uint64_t *target_out)
{
	uint8_t code[CALL_BYTES];
	int32_t distance;

	if (w->read(w->context, code, sizeof(code), address) < 0 || code[0] != opcode)
		return false;
	memcpy(&distance, code + 1, sizeof(distance));
	*target_out = address + CALL_BYTES + (uint64_t)(int64_t)distance;
	return true;
}

/* A PLT entry leads anywhere; a jump to the function leads there.
 * Source: endbr64 = f3 0f 1e fa; bnd = f2; jmp *disp(%rip) = ff 25; push $imm32 = 68; jmp = e9. */
static bool leads_to(const struct code_walk *w, uint64_t target, uint64_t function)
{
	static const uint8_t ENDBR64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	uint8_t code[8];
	uint64_t next;

	if (w->read(w->context, code, sizeof(code), target) < 0)
		return false;
	size_t at = memcmp(code, ENDBR64, sizeof(ENDBR64)) == 0 ? sizeof(ENDBR64) : 0;
	at += code[at] == 0xf2;
	if ((code[at] == 0xff && code[at + 1] == 0x25) || code[at] == 0x68)
		return true;
	return read_branch(w, target + at, 0xe9, &next) && next == function;
}

static bool is_direct_call_to(const struct code_walk *w, uint64_t pc, uint64_t function)
{
	uint64_t target;

	return read_branch(w, pc - CALL_BYTES, 0xe8, &target) && target == function;
}

/* Source: Intel SDM 2A, CALL: ff /2 with a ModR/M byte; lengths of 2, 3, 4, 6 and 7. */
static bool is_indirect_call(const uint8_t code[8])
{
	static const struct {
		uint8_t bytes, mod, is_sib;
	} FORMS[] = {{2, 3, 0}, {2, 0, 0}, {3, 1, 0}, {3, 0, 1}, {4, 1, 1}, {6, 2, 0}, {7, 2, 1}, {7, 0, 1}, {6, 0, 0}};

	for (size_t i = 0; i < sizeof(FORMS) / sizeof(FORMS[0]); i++) {
		const uint8_t *at = code + 8 - FORMS[i].bytes;
		uint8_t mod = at[1] >> 6, rm = at[1] & 7;
		if (at[0] != 0xff || (at[1] >> 3 & 7) != 2 || mod != FORMS[i].mod)
			continue;
		if (mod != 3 && (rm == 4) != FORMS[i].is_sib)
			continue;
		/* Without a displacement, 5 means one of 32 bits. */
		if (mod == 0 && !FORMS[i].is_sib && (rm == 5) != (FORMS[i].bytes == 6))
			continue;
		if (mod == 0 && FORMS[i].is_sib && ((at[2] & 7) == 5) != (FORMS[i].bytes == 7))
			continue;
		return true;
	}
	return false;
}

/* May the call before this pc have led to the function? */
static bool is_call_to(const struct code_walk *w, uint64_t pc, uint64_t function)
{
	uint8_t code[8];
	uint64_t target;

	if (w->read(w->context, code, sizeof(code), pc - sizeof(code)) < 0)
		return false;
	if (read_branch(w, pc - CALL_BYTES, 0xe8, &target) && (target == function || leads_to(w, target, function)))
		return true;
	return is_indirect_call(code);
}

static int find_function(const struct code_walk *w, const struct code_image *image, const struct code_place *at,
			 struct symbolizer_function *function_out)
{
	return symbolizer_code_frame(w->symbolizer, image->id, image->fd, at->pc - image->bias, !at->exact, function_out);
}

/* 0: not known. */
static uint64_t caller_fp(const struct code_walk *w, const struct code_frame *frame, uint64_t cfa, uint64_t fp)
{
	uint64_t saved;

	if (frame->fp == FP_IN_PLACE)
		return fp;
	if (frame->fp == FP_SAVED && read_word(w, cfa + (uint64_t)(int64_t)frame->fp_offset, &saved))
		return saved;
	return 0;
}

int code_walk_by_code(const struct code_walk *w, const struct code_image *image, const struct code_place *at,
		      struct code_place *caller_out)
{
	struct symbolizer_function function;
	struct code_place caller = {0};

	if (find_function(w, image, at, &function) < 0 || !function.has_frame || !function.frame.has_cfa)
		return -ENOENT;
	const struct code_frame *frame = &function.frame;
	caller.sp = (frame->by_frame_pointer ? at->fp : at->sp) + (uint64_t)(int64_t)frame->cfa_offset;
	if (caller.sp <= at->sp || !read_word(w, caller.sp - 8, &caller.pc))
		return -ENOENT;
	caller.fp = caller_fp(w, frame, caller.sp, at->fp);
	if (!is_call_to(w, caller.pc, function.start + image->bias))
		return -ENOENT;
	*caller_out = caller;
	return 0;
}

int code_walk_by_scan(const struct code_walk *w, const struct code_image *image, const struct code_place *at,
		      struct code_place *caller_out)
{
	struct symbolizer_function function;
	struct code_place caller = {0};
	uint64_t pc, begin = (at->sp + 7) & ~7ull;

	if (find_function(w, image, at, &function) < 0)
		return -ENOENT;
	for (uint64_t place = begin; place - begin < CODE_WALK_SCAN_BYTES && read_word(w, place, &pc); place += 8) {
		if (!is_direct_call_to(w, pc, function.start + image->bias))
			continue;
		if (caller.pc)
			return -ENOENT; /* an older call's may still lie there: which one is it? */
		caller.pc = pc;
		caller.sp = place + 8;
	}
	if (!caller.pc)
		return -ENOENT;
	if (function.has_frame)
		caller.fp = caller_fp(w, &function.frame, caller.sp, at->fp);
	*caller_out = caller;
	return 0;
}
