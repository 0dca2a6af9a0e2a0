/* pprof files: encoding. Source: PROTOCOLS.md, "pprof". */
#ifndef HEARTH_PPROF_ENCODE_H
#define HEARTH_PPROF_ENCODE_H

#include "pprof/profile.h"

/* Encode as a gzip-compressed protobuf message (profile.proto).
 * bytes_out: owned by the caller, free(). Returns 0, -ENOMEM, -E2BIG (over 2 GiB). */
int profile_encode(const struct profile *profile, uint8_t **bytes_out, size_t *n_bytes_out);
/* The same, not compressed. */
int profile_encode_plain(const struct profile *profile, uint8_t **bytes_out, size_t *n_bytes_out);

#endif
