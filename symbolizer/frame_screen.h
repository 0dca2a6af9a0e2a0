/* Which CFA programs an evaluator may be given. */
#ifndef HEARTH_SYMBOLIZER_FRAME_SCREEN_H
#define HEARTH_SYMBOLIZER_FRAME_SCREEN_H

#include "symbolizer/byte_reader.h"

/* Whether all instructions are known ones, with all their operands, and no expression of them branches (it may loop), divides (by
 * zero, or INT64_MIN by -1: SIGFPE) or does what has no place in CFI. Source: DWARF 5, 6.4.2, 7.24, 2.5. */
bool frame_program_is_safe(struct byte_reader program);

#endif
