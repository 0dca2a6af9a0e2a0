/* A small streaming JSON writer. Text is made valid: control characters are escaped, bytes that are no UTF-8 become U+FFFD.
 * Errors stay in the stream (ferror). Source: RFC 8259. */
#ifndef HEARTH_BASE_JSON_WRITER_H
#define HEARTH_BASE_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json_writer {
	FILE *stream;
	bool needs_comma;
};

void json_writer_init(struct json_writer *w, FILE *stream);

/* key: NULL at the top and inside arrays. */
void json_object_begin(struct json_writer *w, const char *key);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w, const char *key);
void json_array_end(struct json_writer *w);
void json_string(struct json_writer *w, const char *key, const char *text);
void json_uint(struct json_writer *w, const char *key, uint64_t value);
void json_int(struct json_writer *w, const char *key, int64_t value);
/* Not a number and infinite: null. */
void json_double(struct json_writer *w, const char *key, double value);
void json_bool(struct json_writer *w, const char *key, bool value);
void json_null(struct json_writer *w, const char *key);
/* text: a value that is JSON already. */
void json_raw(struct json_writer *w, const char *key, const char *text, size_t n);

#endif
