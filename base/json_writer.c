#include "base/json_writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_clean.h"

#define PIECE_BYTES 256

void json_writer_init(struct json_writer *w, FILE *stream)
{
	*w = (struct json_writer){.stream = stream};
}

static void write_escaped(struct json_writer *w, const char *text)
{
	fputc('"', w->stream);
	for (const char *at = text; *at; at++) {
		unsigned char byte = (unsigned char)*at;
		if (byte == '"' || byte == '\\')
			fprintf(w->stream, "\\%c", byte);
		else if (byte == '\n')
			fputs("\\n", w->stream);
		else if (byte == '\t')
			fputs("\\t", w->stream);
		else if (byte < 0x20)
			fprintf(w->stream, "\\u%04x", byte);
		else
			fputc(byte, w->stream);
	}
	fputc('"', w->stream);
}

static void write_text(struct json_writer *w, const char *text)
{
	size_t length = strlen(text);
	char small[PIECE_BYTES];
	char *clean = small, *large = NULL;

	/* A line break or tab that was there is escaped, not replaced: only texts with other bytes need cleaning. */
	if (text_is_utf8(text, length)) {
		write_escaped(w, text);
		return;
	}
	if (3 * length + 1 > sizeof(small)) {
		large = malloc(3 * length + 1);
		clean = large ? large : small;
	}
	text_clean(text, length, clean, large ? 3 * length + 1 : sizeof(small));
	write_escaped(w, clean);
	free(large);
}

static void begin_value(struct json_writer *w, const char *key)
{
	if (w->needs_comma)
		fputc(',', w->stream);
	w->needs_comma = true;
	if (!key)
		return;
	write_text(w, key);
	fputc(':', w->stream);
}

static void begin_group(struct json_writer *w, const char *key, char bracket)
{
	begin_value(w, key);
	fputc(bracket, w->stream);
	w->needs_comma = false;
}

static void end_group(struct json_writer *w, char bracket)
{
	fputc(bracket, w->stream);
	w->needs_comma = true;
}

void json_object_begin(struct json_writer *w, const char *key)
{
	begin_group(w, key, '{');
}

void json_object_end(struct json_writer *w)
{
	end_group(w, '}');
}

void json_array_begin(struct json_writer *w, const char *key)
{
	begin_group(w, key, '[');
}

void json_array_end(struct json_writer *w)
{
	end_group(w, ']');
}

void json_string(struct json_writer *w, const char *key, const char *text)
{
	begin_value(w, key);
	write_text(w, text);
}

void json_uint(struct json_writer *w, const char *key, uint64_t value)
{
	begin_value(w, key);
	fprintf(w->stream, "%" PRIu64, value);
}

void json_int(struct json_writer *w, const char *key, int64_t value)
{
	begin_value(w, key);
	fprintf(w->stream, "%" PRId64, value);
}

void json_double(struct json_writer *w, const char *key, double value)
{
	begin_value(w, key);
	if (isfinite(value))
		fprintf(w->stream, "%.9g", value);
	else
		fputs("null", w->stream);
}

void json_bool(struct json_writer *w, const char *key, bool value)
{
	begin_value(w, key);
	fputs(value ? "true" : "false", w->stream);
}

void json_null(struct json_writer *w, const char *key)
{
	begin_value(w, key);
	fputs("null", w->stream);
}
