/* Numbers packed into bytes (LEB128; zigzag for signed ones), and zstd around them. */
#ifndef HEARTH_STORE_PACKING_H
#define HEARTH_STORE_PACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKING_RAW_MAX (64u << 20) /* of one compressed blob, unpacked */

/* Bytes that grow. Out of memory is remembered in failed: look once, at the end. */
struct packing {
	uint8_t *bytes;
	size_t n, capacity;
	bool failed;
};

void packing_u64(struct packing *p, uint64_t value);
void packing_s64(struct packing *p, int64_t value);
void packing_raw(struct packing *p, const void *bytes, size_t n);
/* The memory stays, for the next use. */
void packing_clear(struct packing *p);
void packing_deinit(struct packing *p);

/* Reading: what is not there is 0, and remembered in bad. */
struct unpacking {
	const uint8_t *at, *end;
	bool bad;
};

uint64_t unpacking_long_u64(struct unpacking *u);
static inline uint64_t unpacking_u64(struct unpacking *u)
{
	return u->at < u->end && *u->at < 0x80 ? *u->at++ : unpacking_long_u64(u); /* most numbers are small */
}
int64_t unpacking_s64(struct unpacking *u);
/* A number below limit; another one is bad, and 0. */
uint32_t unpacking_below(struct unpacking *u, uint64_t limit);
/* A count of things of which each takes at least one byte: never more than there are bytes. */
uint32_t unpacking_count(struct unpacking *u);
/* n bytes, borrowed; NULL and bad when there are fewer. */
const uint8_t *unpacking_raw(struct unpacking *u, size_t n);

/* zstd with a checksum of the content. Not thread-safe. */
struct compressor;

int compressor_create(struct compressor **compressor_out);
/* Both replace what is in out. compress: 0, -ENOMEM, -E2BIG (over PACKING_RAW_MAX). decompress: 0, -EBADMSG, -ENOMEM. */
int compressor_compress(struct compressor *c, const struct packing *raw, struct packing *out);
int compressor_decompress(struct compressor *c, const void *bytes, size_t n, struct packing *out);
/* NULL is legal. */
void compressor_destroy(struct compressor *c);

#endif
