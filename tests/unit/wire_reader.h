/* Reads protobuf messages field by field, for tests of what is written; shares nothing with server-upload/wire_writer.c. */
#ifndef HEARTH_TESTS_WIRE_READER_H
#define HEARTH_TESTS_WIRE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

struct wire_field {
	uint32_t number;
	uint64_t value;	      /* varint or fixed64 */
	const uint8_t *bytes; /* NULL: a number */
	size_t n;
};

struct wire_reader {
	const uint8_t *at, *end;
};

static inline struct wire_reader read_bytes(const uint8_t *bytes, size_t n)
{
	return (struct wire_reader){bytes, bytes + n};
}

static inline struct wire_reader read_field(const struct wire_field *field)
{
	assert_non_null(field->bytes);
	return read_bytes(field->bytes, field->n);
}

static inline uint64_t read_varint(struct wire_reader *r)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		assert_true(r->at < r->end && shift < 70);
		uint8_t byte = *r->at++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
}

/* False at the end. Anything that is no field fails the test. */
static inline bool read_next(struct wire_reader *r, struct wire_field *field)
{
	if (r->at == r->end)
		return false;
	uint64_t tag = read_varint(r);
	*field = (struct wire_field){.number = (uint32_t)(tag >> 3)};
	assert_int_not_equal(field->number, 0);
	if ((tag & 7) == 0) {
		field->value = read_varint(r);
	} else if ((tag & 7) == 1) {
		assert_true(r->end - r->at >= 8);
		for (unsigned i = 0; i < 8; i++)
			field->value |= (uint64_t)*r->at++ << 8 * i;
	} else {
		assert_int_equal(tag & 7, 2);
		field->n = read_varint(r);
		assert_true(field->n <= (size_t)(r->end - r->at));
		field->bytes = r->at;
		r->at += field->n;
	}
	return true;
}

/* The nth field of a number, from 0. */
static inline bool read_nth(struct wire_reader r, uint32_t number, size_t nth, struct wire_field *field)
{
	while (read_next(&r, field))
		if (field->number == number && nth-- == 0)
			return true;
	return false;
}

static inline bool field_is(const struct wire_field *field, const char *text)
{
	return field->bytes && field->n == strlen(text) && memcmp(field->bytes, text, field->n) == 0;
}

#endif
