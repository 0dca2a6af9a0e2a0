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

/* A number of more than three bytes, or near the end. Returns what follows it; NULL: it is bad. */
const uint8_t *unpacking_long_u64(const uint8_t *at, const uint8_t *end, uint64_t *value_out);

/* Inline: reading numbers is a third of a query's time, and most take one to three bytes. */
static inline uint64_t unpacking_u64(struct unpacking *u)
{
	const uint8_t *at = u->at;
	uint64_t value;

	if (u->end - at >= 3) {
		value = at[0] & 0x7f;
		if (at[0] < 0x80) {
			u->at = at + 1;
			return value;
		}
		value |= (uint64_t)(at[1] & 0x7f) << 7;
		if (at[1] < 0x80) {
			u->at = at + 2;
			return value;
		}
		if (at[2] < 0x80) {
			u->at = at + 3;
			return value | (uint64_t)at[2] << 14;
		}
	}
	at = unpacking_long_u64(at, u->end, &value);
	u->bad |= !at;
	u->at = at ? at : u->end;
	return at ? value : 0;
}

static inline int64_t unpacking_s64(struct unpacking *u)
{
	uint64_t value = unpacking_u64(u);

	return (int64_t)(value >> 1 ^ -(value & 1));
}

/* A number below limit; another one is bad, and 0. */
static inline uint32_t unpacking_below(struct unpacking *u, uint64_t limit)
{
	uint64_t value = unpacking_u64(u);

	if (value >= limit || value > UINT32_MAX) {
		u->bad = true;
		return 0;
	}
	return (uint32_t)value;
}

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
