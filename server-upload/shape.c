#include "server-upload/shape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server-upload/shape_output.h"

#define WINDOW_BYTES_DEFAULT (64u << 20)
#define REQUEST_BYTES_MIN    1024u
#define REQUEST_BYTES_MAX    (512u << 20)
#define KEEP_OF_8	     7 /* how many of the samples that fitted are tried next: other ones may be larger */

void shape_output_written(struct shape_output *out, const struct shape_entry *entry)
{
	const struct profile *p = out->series->window;
	uint32_t value = profile_default_value(p);

	out->n_written++;
	out->samples += entry->count;
	out->value += (uint64_t)out->series->values[entry->values * p->n_sample_types + value];
}

void shape_output_pruned(struct shape_output *out, const struct shape_entry *entry)
{
	out->pruned += entry->count;
}

int shape_output_add(struct shape_output *out, struct wire *body, size_t uncompressed, char *query)
{
	struct shape_requests *r = out->requests;
	int err = wire_error(body);

	if (err == 0 && uncompressed > out->bytes_left)
		err = -EOVERFLOW;
	if (err == 0 && r->n == out->capacity) {
		size_t capacity = out->capacity ? 2 * out->capacity : 4;
		struct shape_request *grown = realloc(r->requests, capacity * sizeof(*grown));
		if (grown) {
			r->requests = grown;
			out->capacity = capacity;
		} else {
			err = -ENOMEM;
		}
	}
	if (err < 0) {
		free(query);
		return err;
	}
	out->bytes_left -= uncompressed;
	r->requests[r->n++] = (struct shape_request){.bytes = body->bytes, .n_bytes = body->n, .n_plain = uncompressed, .query = query};
	*body = (struct wire){0};
	return 0;
}

static size_t or_default(size_t value, size_t otherwise)
{
	return value ? value : otherwise;
}

static size_t request_bytes(const struct shape_series *series)
{
	size_t n = or_default(series->options->request_bytes_max, series->kind->request_bytes);

	return n < REQUEST_BYTES_MIN ? REQUEST_BYTES_MIN : n > REQUEST_BYTES_MAX ? REQUEST_BYTES_MAX : n;
}

static int write_requests(enum sink_kind kind, struct shape_output *out)
{
	switch (kind) {
	case SINK_PYROSCOPE:
		return shape_write_pyroscope(out);
	case SINK_PARCA:
		return shape_write_parca(out);
	case SINK_OTLP_HTTP:
	case SINK_OTLP_GRPC:
		return shape_write_otlp(out);
	case SINK_HTTP:
		return shape_write_http(out);
	case SINK_DIR:
	case SINK_KINDS:
		break;
	}
	return -EINVAL;
}

/* Write all; when that is too much, fewer and fewer of the smallest. */
static int write_what_fits(enum sink_kind kind, struct shape_series *series, struct shape_requests *requests)
{
	const struct shape_options *o = series->options;
	uint32_t keep = UINT32_MAX;

	for (;;) {
		struct shape_output out = {
			.series = series,
			.request_bytes = request_bytes(series),
			.samples_max = (uint32_t)or_default(o->samples_max, or_default(series->kind->samples, UINT32_MAX)),
			.bytes_left = o->window_bytes_max ? o->window_bytes_max : WINDOW_BYTES_DEFAULT,
			.keep = keep,
			.requests = requests,
		};
		int err = write_requests(kind, &out);
		requests->counts.samples = out.samples;
		requests->counts.value = out.value;
		requests->counts.samples_pruned = out.pruned;
		if (err != -EOVERFLOW)
			return err;
		shape_requests_deinit(requests);
		if (keep == UINT32_MAX)
			err = shape_series_rank(series);
		else
			err = 0;
		if (err < 0)
			return err;
		keep = (uint32_t)((uint64_t)out.n_written * KEEP_OF_8 / 8);
	}
}

int shape_window(enum sink_kind kind, const struct profile *window, const struct shape_options *options, struct shape_requests *requests_out)
{
	const struct shape_kind *k = shape_kind(kind);
	struct shape_requests requests = {0};
	struct shape_series series;

	if (!k)
		return -EINVAL;
	int err = shape_series_init(&series, k, window, options);
	if (err == 0 && series.n_entries)
		err = write_what_fits(kind, &series, &requests);
	uint64_t samples = requests.counts.samples, value = requests.counts.value, pruned = requests.counts.samples_pruned;
	requests.counts = series.counts;
	requests.counts.samples = samples;
	requests.counts.value = value;
	requests.counts.samples_pruned = pruned;
	shape_series_deinit(&series);
	if (err < 0) {
		shape_requests_deinit(&requests);
		return err;
	}
	*requests_out = requests;
	return 0;
}

void shape_requests_deinit(struct shape_requests *requests)
{
	for (size_t i = 0; i < requests->n; i++) {
		free(requests->requests[i].bytes);
		free(requests->requests[i].query);
	}
	free(requests->requests);
	*requests = (struct shape_requests){0};
}
