/* pprof files: decoding, of any producer. */
#ifndef HEARTH_PPROF_DECODE_H
#define HEARTH_PPROF_DECODE_H

#include "pprof/profile.h"

#define PROFILE_MAX_BYTES (512u << 20) /* uncompressed; a gzip bomb ends here */

/* Decode a pprof file, gzip-compressed or plain.
 * Every index and id is checked; ids may be sparse and in any order, as the format allows.
 * Returns 0, -EBADMSG (not a valid profile; *why_out says what is wrong, a string constant), -E2BIG (over
 * max_bytes uncompressed; 0 means PROFILE_MAX_BYTES), -ENOMEM. why_out may be NULL. */
int profile_decode(const uint8_t *bytes, size_t n_bytes, size_t max_bytes, struct profile **profile_out,
		   const char **why_out);

#endif
