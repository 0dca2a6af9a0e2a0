#include "server-upload/wire_scan.h"

#include <errno.h>
#include <stdbool.h>

#include "base/text_clean.h"

#define VARINT_BITS 64

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };

static bool scan_varint(struct wire_scan *scan, uint64_t *value_out)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < VARINT_BITS && scan->at < scan->end; shift += 7) {
		uint8_t byte = *scan->at++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*value_out = value;
			return true;
		}
	}
	return false;
}

static bool scan_fixed(struct wire_scan *scan, unsigned n, uint64_t *value_out)
{
	uint64_t value = 0;

	if ((size_t)(scan->end - scan->at) < n)
		return false;
	for (unsigned i = 0; i < n; i++)
		value |= (uint64_t)*scan->at++ << 8 * i;
	*value_out = value;
	return true;
}

static bool scan_length(struct wire_scan *scan, struct wire_scan_field *field)
{
	uint64_t n;

	if (!scan_varint(scan, &n) || n > (size_t)(scan->end - scan->at))
		return false;
	field->bytes = scan->at;
	field->n = (size_t)n;
	scan->at += n;
	return true;
}

static bool scan_value(struct wire_scan *scan, unsigned type, struct wire_scan_field *field)
{
	switch (type) {
	case WIRE_VARINT:
		return scan_varint(scan, &field->value);
	case WIRE_FIXED64:
		return scan_fixed(scan, 8, &field->value);
	case WIRE_FIXED32:
		return scan_fixed(scan, 4, &field->value);
	case WIRE_LENGTH:
		return scan_length(scan, field);
	default:
		return false;
	}
}

int wire_scan_next(struct wire_scan *scan, struct wire_scan_field *field_out)
{
	struct wire_scan_field field = {.number = 0};
	uint64_t tag;

	if (scan->at == scan->end)
		return 0;
	bool ok = scan_varint(scan, &tag) && tag >> 3 && tag >> 3 < 1u << 29;
	if (ok) {
		field.number = (uint32_t)(tag >> 3);
		ok = scan_value(scan, (unsigned)(tag & 7), &field);
	}
	if (!ok) {
		scan->at = scan->end;
		return -EBADMSG;
	}
	*field_out = field;
	return 1;
}

int wire_scan_text(const struct wire_scan_field *field, char *text, size_t text_bytes)
{
	if (!field->bytes)
		return -EBADMSG;
	text_clean((const char *)field->bytes, field->n, text, text_bytes);
	return 0;
}
