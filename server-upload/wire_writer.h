/* Writes protobuf messages, field by field, into one growing buffer. The messages of upload have few fields, and what is in them is made on the
 * way: no tree of structs is built first. Errors stick: after a failed malloc nothing more is written, and wire_error() says so at the end.
 * Source: protobuf.dev, "Encoding". */
#ifndef HEARTH_SERVER_UPLOAD_WIRE_WRITER_H
#define HEARTH_SERVER_UPLOAD_WIRE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_BYTES_MAX (1u << 30)

/* Zeroed: empty. */
struct wire {
	uint8_t *bytes;
	size_t n, capacity;
	int error;
};

/* Bytes that a varint takes: 1 to 10. */
size_t wire_varint_size(uint64_t value);

void wire_raw(struct wire *w, const void *bytes, size_t n);
void wire_varint(struct wire *w, uint64_t value);
/* A number; 0 is left out, as proto3 does. */
void wire_number(struct wire *w, uint32_t field, uint64_t value);
void wire_fixed64(struct wire *w, uint32_t field, uint64_t value);
/* bytes, string, or a message that is encoded already. Written also when it is empty. */
void wire_bytes(struct wire *w, uint32_t field, const void *bytes, size_t n);
void wire_text(struct wire *w, uint32_t field, const char *text);

/* What is written between the two is a message, or packed numbers: size_t at = wire_open(w, 2); ... wire_close(w, at); */
size_t wire_open(struct wire *w, uint32_t field);
void wire_close(struct wire *w, size_t at);

/* 0, -ENOMEM, -E2BIG (over WIRE_BYTES_MAX). */
int wire_error(const struct wire *w);
/* Empty it, and keep the memory. */
void wire_reset(struct wire *w);
void wire_deinit(struct wire *w);

#define AUTO_WIRE __attribute__((cleanup(wire_deinit)))

#endif
