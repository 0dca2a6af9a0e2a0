/* Frames as addr2line and llvm-symbolizer print them, so that programs that read their output can read hearth's.
 * Errors stay in the stream (ferror). Source: binutils 2.40's and LLVM 14's programs and manual pages. */
#ifndef HEARTH_AGENT_FRAME_PRINTER_H
#define HEARTH_AGENT_FRAME_PRINTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "symbolizer/symbolizer.h"

#define FRAME_PRINTER_BYTES (32u << 10)

enum frame_style {
	FRAME_STYLE_GNU,  /* addr2line: FUNCTION, FILE:LINE; ?? and 0 when nothing is known, a line that is not known is "?" */
	FRAME_STYLE_LLVM, /* llvm-symbolizer: with the column, and an empty line behind each address */
	FRAME_STYLE_JSON, /* llvm-symbolizer's objects */
};

struct frame_printer {
	FILE *stream;
	enum frame_style style;
	const char *module;   /* of JSON: the file */
	uint8_t address_bytes; /* of the file: 4 or 8 */
	bool addresses, functions, inlines, basenames, pretty;
	bool is_array; /* of JSON: one array of all, else an object a line */
	uint64_t printed;
	size_t n; /* bytes of text that the stream has not got yet */
	char text[FRAME_PRINTER_BYTES];
};

/* frames: n of them, innermost first; 0: nothing is known of the address. */
void frame_printer_address(struct frame_printer *p, uint64_t address, const struct symbolizer_frame *frames, size_t n);

/* What was printed goes to the stream, and out of it. */
void frame_printer_flush(struct frame_printer *p);

/* Behind the last address; flushes too. */
void frame_printer_end(struct frame_printer *p);

#endif
