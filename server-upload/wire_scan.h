/* Reads a protobuf message of a stranger, field by field: every length is checked against what is there. Source: protobuf.dev, "Encoding". */
#ifndef HEARTH_SERVER_UPLOAD_WIRE_SCAN_H
#define HEARTH_SERVER_UPLOAD_WIRE_SCAN_H

#include <stddef.h>
#include <stdint.h>

struct wire_scan {
	const uint8_t *at, *end;
};

struct wire_scan_field {
	uint32_t number;
	uint64_t value;	      /* varint, fixed32 or fixed64; 0 with bytes */
	const uint8_t *bytes; /* string, bytes, message: inside of what is scanned; NULL: a number */
	size_t n;
};

/* Returns 1, 0 (the end), -EBADMSG (not a message; the scan has ended). Groups, which proto3 has not, are -EBADMSG too. */
int wire_scan_next(struct wire_scan *scan, struct wire_scan_field *field_out);

/* Copy a text field, clean (base/text_clean.h) and cut to text_bytes. A field that is a number is -EBADMSG. */
int wire_scan_text(const struct wire_scan_field *field, char *text, size_t text_bytes);

#endif
