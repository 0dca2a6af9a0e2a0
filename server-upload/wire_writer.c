#include "server-upload/wire_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VARINT_BYTES_MAX 10
#define FIRST_BYTES	 256

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2 };

size_t wire_varint_size(uint64_t value)
{
	size_t n = 1;

	for (; value >= 0x80; value >>= 7)
		n++;
	return n;
}

static bool reserve(struct wire *w, size_t n)
{
	if (w->error)
		return false;
	if (n <= w->capacity - w->n)
		return true;
	if (n > WIRE_BYTES_MAX - w->n) {
		w->error = -E2BIG;
		return false;
	}
	size_t capacity = w->capacity ? w->capacity : FIRST_BYTES;
	while (capacity < w->n + n)
		capacity *= 2;
	uint8_t *grown = realloc(w->bytes, capacity);
	if (!grown) {
		w->error = -ENOMEM;
		return false;
	}
	w->bytes = grown;
	w->capacity = capacity;
	return true;
}

static size_t encode_varint(uint8_t *to, uint64_t value)
{
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		to[n++] = (uint8_t)(value | 0x80);
	to[n++] = (uint8_t)value;
	return n;
}

void wire_raw(struct wire *w, const void *bytes, size_t n)
{
	if (!n || !reserve(w, n))
		return;
	memcpy(w->bytes + w->n, bytes, n);
	w->n += n;
}

void wire_varint(struct wire *w, uint64_t value)
{
	if (reserve(w, VARINT_BYTES_MAX))
		w->n += encode_varint(w->bytes + w->n, value);
}

static void put_tag(struct wire *w, uint32_t field, enum wire_type type)
{
	wire_varint(w, (uint64_t)field << 3 | type);
}

void wire_number(struct wire *w, uint32_t field, uint64_t value)
{
	if (!value)
		return;
	put_tag(w, field, WIRE_VARINT);
	wire_varint(w, value);
}

void wire_fixed64(struct wire *w, uint32_t field, uint64_t value)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	put_tag(w, field, WIRE_FIXED64);
	wire_raw(w, bytes, sizeof(bytes));
}

void wire_bytes(struct wire *w, uint32_t field, const void *bytes, size_t n)
{
	put_tag(w, field, WIRE_LENGTH);
	wire_varint(w, n);
	wire_raw(w, bytes, n);
}

void wire_text(struct wire *w, uint32_t field, const char *text)
{
	wire_bytes(w, field, text, strlen(text));
}

/* One byte is kept for the length: most messages are shorter than 128 bytes, the others are moved once. */
size_t wire_open(struct wire *w, uint32_t field)
{
	put_tag(w, field, WIRE_LENGTH);
	wire_raw(w, "", 1);
	return w->n;
}

void wire_close(struct wire *w, size_t at)
{
	if (w->error)
		return;
	size_t length = w->n - at, more = wire_varint_size(length) - 1;
	if (!reserve(w, more))
		return;
	if (more)
		memmove(w->bytes + at + more, w->bytes + at, length);
	encode_varint(w->bytes + at - 1, length);
	w->n += more;
}

int wire_error(const struct wire *w)
{
	return w->error;
}

void wire_reset(struct wire *w)
{
	w->n = 0;
	w->error = 0;
}

void wire_deinit(struct wire *w)
{
	free(w->bytes);
	*w = (struct wire){0};
}
