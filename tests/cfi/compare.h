/* An image's unwind tables against libdw's dwarf_cfi_addrframe(), row by row, FDE by FDE of libdw's own reader. */
#ifndef HEARTH_TESTS_CFI_COMPARE_H
#define HEARTH_TESTS_CFI_COMPARE_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "symbolizer/unwind_compiler.h"
#include "tests/cfi/values.h"

/* What a row is. All but the last one have a reason. */
enum row_class {
	ROW_IDENTICAL,
	ROW_CFA_NOT_EXPRESSED, /* by a rule that tables do not have: the deferred walk evaluates the CFI itself */
	ROW_RA_NOT_EXPRESSED, /* or withheld, where libgcc overwrites it */
	ROW_FP_NOT_EXPRESSED,  /* the walk goes on, unless it needs the frame pointer */
	ROW_CFA_INVALID,       /* for both: def_cfa_register or _offset behind an expression */
	ROW_BAD_FDE,	       /* for both: we leave out the FDE, libdw gives the rows before what it cannot run */
	ROW_REFUSED,	       /* of an FDE that libdw takes and we count as bad */
	ROW_ACCEPTED,	       /* of an FDE that libdw refuses */
	ROW_OVERRIDDEN,	       /* of .debug_frame where .eh_frame speaks, or of FDEs that overlap */
	ROW_RESTORER,	       /* of Go's signal restorer: a function for its .debug_frame, a signal frame for us, which it is */
	ROW_GO,		       /* of Go's .debug_frame, which does not say where the frame pointer is saved and where stacks are switched */
	ROW_DIFFERENT,
	ROW_CLASSES,
};

extern const char *const ROW_CLASS_NAMES[ROW_CLASSES];

struct comparison {
	const char *name; /* for messages */
	const struct unwind_image *image;
	uint16_t machine;
	uint64_t fde_rows_max; /* no more of one FDE: libdw is quadratic. 0: no limit */
	bool verbose; /* a line for each row that is not identical, not for the different ones alone */
	uint64_t rows[ROW_CLASSES];
	uint64_t lost_sections; /* that libdw cannot follow to their end */
	int printed;
};

/* The class of one row. rule: NULL where no table covers pc. */
enum row_class compare_row(Dwarf_Frame *frame, const struct unwind_rule *rule, uint64_t pc, uint16_t machine);

/* All rows of .eh_frame and .debug_frame of a file. Adds to c->rows; prints differences. */
void compare_elf(struct comparison *c, Elf *elf);

#endif
