/* Sinks that take pprof profiles: each series in one, or in several where it is large. Source: PROTOCOLS.md. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "server-upload/pprof_writer.h"
#include "server-upload/shape_output.h"

/* What a request has besides names, values and profiles: field numbers and lengths. */
#define SERIES_BYTES 32
#define LABEL_BYTES  16

struct requests_writer {
	struct shape_output *out;
	struct pprof_writer *profile;
	struct wire body, labels;
	size_t uncompressed; /* of the body */
	uint32_t series_field;	/* of the request */
	bool nested_labels;	/* labels are a message LabelSet, not repeated */
	bool normalized;	/* WriteRawRequest.normalized: addresses are those of the file */
	bool bare;		/* the body is the profile */
};

/* ---- URL parameters ---- */

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

/* Source: RFC 3986, 2.1 and 2.3. */
static void put_encoded(struct wire *to, const char *text)
{
	for (; *text; text++) {
		static const char hex[] = "0123456789ABCDEF";
		unsigned char c = (unsigned char)*text;
		const char triple[3] = {'%', hex[c >> 4], hex[c & 15]};
		wire_raw(to, is_unreserved(*text) ? text : triple, is_unreserved(*text) ? 1 : 3);
	}
}

static int make_query(const struct shape_series *x, char **query_out)
{
	AUTO_WIRE struct wire text = {0};

	for (size_t i = 0; i < x->n_base; i++) {
		wire_raw(&text, i ? "&" : "?", 1);
		put_encoded(&text, shape_series_text(x, x->base[i].name));
		wire_raw(&text, "=", 1);
		put_encoded(&text, shape_series_text(x, x->base[i].value));
	}
	wire_raw(&text, "", 1);
	if (wire_error(&text) < 0)
		return wire_error(&text);
	*query_out = x->n_base ? (char *)take_ptr(text.bytes) : NULL;
	return 0;
}

/* ---- requests ---- */

static int end_request(struct requests_writer *w)
{
	char *query = NULL;

	if (!w->body.n)
		return wire_error(&w->body);
	int err = w->bare ? make_query(w->out->series, &query) : 0;
	if (err == 0)
		err = shape_output_add(w->out, &w->body, w->uncompressed, query);
	w->uncompressed = 0;
	return err;
}

/* The labels of a series, as they are in each of its parts. Returns their size as the limits see it. */
static size_t put_labels(struct requests_writer *w, uint32_t series)
{
	const struct shape_series *x = w->out->series;
	const struct shape_label *labels;
	size_t n, size = SERIES_BYTES;
	int64_t pid;

	shape_series_labels(x, series, &pid, &labels, &n);
	wire_reset(&w->labels);
	size_t set = w->nested_labels ? wire_open(&w->labels, 1) : 0;
	for (size_t i = 0; i < n; i++) {
		const char *name = shape_series_text(x, labels[i].name), *value = shape_series_text(x, labels[i].value);
		size_t at = wire_open(&w->labels, 1);
		wire_text(&w->labels, 1, name);
		wire_text(&w->labels, 2, value);
		wire_close(&w->labels, at);
		size += LABEL_BYTES + strlen(name) + strlen(value);
	}
	if (w->nested_labels)
		wire_close(&w->labels, set);
	return size;
}

/* The profile that was begun becomes part of the request. */
static int end_part(struct requests_writer *w, size_t label_bytes)
{
	size_t plain = pprof_writer_bytes(w->profile), n;
	const uint8_t *bytes;

	if (!pprof_writer_samples(w->profile))
		return 0;
	int err = pprof_writer_end(w->profile, &bytes, &n);
	if (err < 0)
		return err;
	w->uncompressed += plain + label_bytes;
	if (w->bare) {
		wire_raw(&w->body, bytes, n);
		return end_request(w);
	}
	if (!w->body.n)
		wire_number(&w->body, 3, w->normalized);
	size_t series = wire_open(&w->body, w->series_field);
	wire_raw(&w->body, w->labels.bytes, w->labels.n);
	size_t sample = wire_open(&w->body, 2);
	wire_bytes(&w->body, 1, bytes, n);
	wire_close(&w->body, sample);
	wire_close(&w->body, series);
	return wire_error(&w->body);
}

static size_t room(const struct requests_writer *w, size_t label_bytes)
{
	size_t used = w->uncompressed + label_bytes;

	return used < w->out->request_bytes ? w->out->request_bytes - used : 0;
}

/* Where the sample does not fit: into a new request; and where it does not fit that either: away. */
static int add_entry(struct requests_writer *w, const struct shape_entry *entry, size_t label_bytes)
{
	int err = 0;

	if (pprof_writer_samples(w->profile) == w->out->samples_max)
		err = end_part(w, label_bytes);
	if (err == 0)
		err = pprof_writer_add(w->profile, entry, room(w, label_bytes));
	if (err == -EFBIG && (w->body.n || pprof_writer_samples(w->profile))) {
		err = end_part(w, label_bytes);
		if (err == 0)
			err = end_request(w);
		if (err == 0)
			err = pprof_writer_add(w->profile, entry, room(w, label_bytes));
	}
	if (err == 0)
		shape_output_written(w->out, entry);
	if (err != -EFBIG)
		return err;
	shape_output_pruned(w->out, entry);
	return 0;
}

static int add_series(struct requests_writer *w, uint32_t number)
{
	const struct shape_serie *series = &w->out->series->series[number];
	size_t label_bytes = put_labels(w, number);
	int err = wire_error(&w->labels);

	for (uint32_t i = 0; err == 0 && i < series->n_entries; i++) {
		const struct shape_entry *entry = &w->out->series->entries[series->first_entry + i];
		if (entry->rank >= w->out->keep)
			shape_output_pruned(w->out, entry);
		else
			err = add_entry(w, entry, label_bytes);
	}
	return err < 0 ? err : end_part(w, label_bytes);
}

static int write_series(struct requests_writer *w)
{
	int err = pprof_writer_create(w->out->series, &w->profile);

	for (uint32_t i = 0; err == 0 && i < w->out->series->keys.n; i++)
		err = add_series(w, i);
	if (err == 0)
		err = end_request(w);
	pprof_writer_destroy(w->profile);
	wire_deinit(&w->body);
	wire_deinit(&w->labels);
	return err;
}

int shape_write_pyroscope(struct shape_output *out)
{
	return write_series(&(struct requests_writer){.out = out, .series_field = 1});
}

int shape_write_parca(struct shape_output *out)
{
	return write_series(&(struct requests_writer){.out = out, .series_field = 2, .nested_labels = true, .normalized = true});
}

int shape_write_http(struct shape_output *out)
{
	return write_series(&(struct requests_writer){.out = out, .bare = true});
}
