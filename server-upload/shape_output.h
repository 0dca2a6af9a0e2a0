/* Between shape.h and what encodes for one kind of sinks. */
#ifndef HEARTH_SERVER_UPLOAD_SHAPE_OUTPUT_H
#define HEARTH_SERVER_UPLOAD_SHAPE_OUTPUT_H

#include "server-upload/shape_series.h"
#include "server-upload/wire_writer.h"

struct shape_output {
	const struct shape_series *series;
	size_t request_bytes; /* uncompressed: at most this */
	uint32_t samples_max; /* of a profile */
	uint64_t bytes_left;  /* of the window, uncompressed */
	uint32_t keep;	      /* entries whose rank is below are written, as far as they fit; UINT32_MAX: all */
	uint32_t n_written;
	uint64_t samples, value, pruned;
	struct shape_requests *requests;
	size_t capacity;
};

/* Each returns 0; -EOVERFLOW: bytes_left is used up, after n_written entries; -ENOMEM; -E2BIG. */
int shape_write_pyroscope(struct shape_output *out);
int shape_write_parca(struct shape_output *out);
int shape_write_http(struct shape_output *out);
int shape_write_otlp(struct shape_output *out); /* shape_otlp.c */

/* Count an entry as written; as pruned. */
void shape_output_written(struct shape_output *out, const struct shape_entry *entry);
void shape_output_pruned(struct shape_output *out, const struct shape_entry *entry);
/* Hand out a request; body is empty afterwards. query: taken over. */
int shape_output_add(struct shape_output *out, struct wire *body, size_t uncompressed, char *query);

#endif
