/* The stack frame of code without CFI, from its instructions.
 *
 * All paths from a function's entry are followed, with what each instruction does to rsp and rbp. Only where every path gives the same
 * answer, and no instruction is unknown on the way, is there an answer. x86-64 only. */
#ifndef HEARTH_SYMBOLIZER_CODE_FRAME_H
#define HEARTH_SYMBOLIZER_CODE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODE_FRAME_BYTES_MAX 16384 /* of a function */

/* At one instruction. The return address is at CFA - 8. */
struct code_frame {
	bool has_cfa;	       /* else only the following of fp is known: rsp was aligned at run time */
	bool by_frame_pointer; /* CFA = rbp + cfa_offset, else rsp + cfa_offset */
	int32_t cfa_offset;
	enum { FP_IN_PLACE, FP_SAVED, FP_LOST } fp; /* the caller's rbp */
	int32_t fp_offset;			    /* FP_SAVED: it is at CFA + fp_offset */
};

/* code: a function from its entry to its end, n bytes. at: offset of an instruction of it; also that behind a call.
 * Returns 0, -ENOENT (the code does not tell), -E2BIG, -ENOMEM. */
int code_frame_at(const uint8_t *code, size_t n, size_t at, struct code_frame *frame_out);

#endif
