/* The DWARF expressions that occur in CFI and that an unwind rule can express. Source: DWARF 5, 2.5. */
#ifndef HEARTH_SYMBOLIZER_CFI_EXPRESSION_H
#define HEARTH_SYMBOLIZER_CFI_EXPRESSION_H

#include <stdbool.h>

#include "symbolizer/byte_reader.h"

enum expression_kind {
	EXPRESSION_OTHER,   /* none of those below */
	EXPRESSION_ADDRESS, /* reg + offset */
	EXPRESSION_DEREF,   /* *(reg + offset) + add */
	EXPRESSION_INDEXED, /* *(reg + offset + 8 * index) + add */
	EXPRESSION_PLT,	    /* reg + offset + ((pc & 15) >= add ? 8 : 0) */
};

struct expression {
	enum expression_kind kind;
	uint8_t reg, index; /* registers */
	int32_t offset, add;
};

/* Recognize an expression. bytes: the expression's own. Never fails: what is damaged is EXPRESSION_OTHER. */
struct expression expression_classify(struct byte_reader bytes);

#endif
