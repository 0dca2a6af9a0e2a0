/* Forms: how an attribute's value is written. Source: DWARF 5, 7.5.6; DWARF 4, 7.5.4; GNU: dwz and split DWARF. */
#ifndef HEARTH_SYMBOLIZER_DWARF_FORM_H
#define HEARTH_SYMBOLIZER_DWARF_FORM_H

#include <stdbool.h>
#include <stdint.h>

#include "symbolizer/byte_reader.h"

/* What of its unit decides how long a form is. */
struct dwarf_shape {
	uint8_t offset_bytes;  /* 4, or 8 in 64-bit DWARF */
	uint8_t address_bytes; /* 4 or 8 */
	uint8_t version;       /* 2 to 5 */
};

enum dwarf_form_kind {
	FORM_UNKNOWN,
	FORM_FIXED, /* bytes_out of them */
	FORM_LEB,
	FORM_STRING,
	FORM_BLOCK1,
	FORM_BLOCK2,
	FORM_BLOCK4,
	FORM_BLOCK,
	FORM_INDIRECT,
};

struct dwarf_value {
	uint16_t form; /* never DW_FORM_indirect */
	union {
		uint64_t number; /* signed ones are sign-extended */
		const uint8_t *text; /* DW_FORM_string: ends in NUL, borrowed from the reader's bytes */
	};
};

enum dwarf_form_kind dwarf_form_kind(uint64_t form, struct dwarf_shape shape, uint32_t *bytes_out);

/* Move behind a value. False: the bytes end before it (the reader has failed), or the form is unknown. */
bool dwarf_form_skip(struct byte_reader *r, uint64_t form, struct dwarf_shape shape);

/* Read a value. constant: of DW_FORM_implicit_const. Blocks and 16-byte data are skipped, with number 0. False: as above. */
bool dwarf_form_read(struct byte_reader *r, uint64_t form, struct dwarf_shape shape, int64_t constant, struct dwarf_value *value_out);

#endif
