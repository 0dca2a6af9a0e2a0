/* Copies of files. Both from the beginning, to where the other is. Return 0 or a negative errno. */
#ifndef HEARTH_WEB_GZIP_COPY_H
#define HEARTH_WEB_GZIP_COPY_H

#include <stddef.h>
#include <stdint.h>

/* Compressed, at the fastest level: JSON of a flame graph becomes a sixth. */
int gzip_copy(int from, int to);
int plain_copy(int from, int to);

/* What gzip -9 made of our own bytes, whole. bytes_out: owned by the caller, n of them. Returns 0, -EBADMSG or -ENOMEM. */
int gzip_expand(const void *packed, size_t packed_bytes, size_t n, uint8_t **bytes_out);

#endif
