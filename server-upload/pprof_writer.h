/* Writes pprof profiles of parts of a window: sample by sample, with only the strings, functions, mappings and locations that those need. The size is
 * known after each sample, so that a part ends before it is too large. Not thread-safe. */
#ifndef HEARTH_SERVER_UPLOAD_PPROF_WRITER_H
#define HEARTH_SERVER_UPLOAD_PPROF_WRITER_H

#include "server-upload/shape_series.h"
#include "server-upload/wire_writer.h"

struct pprof_writer;

/* series: borrowed. Returns 0, -ENOMEM. */
int pprof_writer_create(const struct shape_series *series, struct pprof_writer **writer_out);

/* Add a sample to the part. Returns 0; -EFBIG: the part would be larger than bytes_max, and is as it was before; -ENOMEM, -E2BIG (shape.h). */
int pprof_writer_add(struct pprof_writer *w, const struct shape_entry *entry, size_t bytes_max);
uint32_t pprof_writer_samples(const struct pprof_writer *w);
size_t pprof_writer_bytes(const struct pprof_writer *w); /* uncompressed */

/* The part, gzip-compressed; the next one begins. bytes_out: borrowed until the next end. */
int pprof_writer_end(struct pprof_writer *w, const uint8_t **bytes_out, size_t *n_out);

/* NULL is legal. */
void pprof_writer_destroy(struct pprof_writer *w);

#endif
