#include "store/packing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define LEVEL 3 /* 6 and 9 save 2 and 3 % for 3 and 6 times the time (docs/storing.md) */

struct compressor {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *decompress;
};

/* Room for more bytes behind n. */
static bool grow(struct packing *p, size_t more)
{
	if (p->failed || more > SIZE_MAX / 2 - p->n) {
		p->failed = true;
		return false;
	}
	if (p->n + more <= p->capacity)
		return true;
	size_t wanted = p->capacity + p->capacity / 2 + 256;
	if (wanted < p->n + more)
		wanted = p->n + more;
	uint8_t *grown = realloc(p->bytes, wanted);
	if (!grown) {
		p->failed = true;
		return false;
	}
	p->bytes = grown;
	p->capacity = wanted;
	return true;
}

void packing_u64(struct packing *p, uint64_t value)
{
	if (!grow(p, 10))
		return;
	for (; value >= 0x80; value >>= 7)
		p->bytes[p->n++] = (uint8_t)(value | 0x80);
	p->bytes[p->n++] = (uint8_t)value;
}

void packing_s64(struct packing *p, int64_t value)
{
	packing_u64(p, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

void packing_raw(struct packing *p, const void *bytes, size_t n)
{
	if (!n || !grow(p, n))
		return;
	memcpy(p->bytes + p->n, bytes, n);
	p->n += n;
}

void packing_clear(struct packing *p)
{
	p->n = 0;
	p->failed = false;
}

void packing_deinit(struct packing *p)
{
	free(p->bytes);
	*p = (struct packing){0};
}

const uint8_t *unpacking_long_u64(const uint8_t *at, const uint8_t *end, uint64_t *value_out)
{
	uint64_t value = 0;

	for (unsigned shift = 0; at < end; shift += 7) {
		uint8_t byte = *at++;
		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*value_out = value;
			return at;
		}
	}
	return NULL;
}

uint32_t unpacking_count(struct unpacking *u)
{
	uint64_t value = unpacking_u64(u);

	if (value > (uint64_t)(u->end - u->at)) {
		u->bad = true;
		return 0;
	}
	return (uint32_t)value;
}

const uint8_t *unpacking_raw(struct unpacking *u, size_t n)
{
	const uint8_t *at = u->at;

	if (n > (size_t)(u->end - u->at)) {
		u->bad = true;
		return NULL;
	}
	u->at += n;
	return at;
}

int compressor_create(struct compressor **compressor_out)
{
	struct compressor *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->compress = ZSTD_createCCtx();
	c->decompress = ZSTD_createDCtx();
	if (!c->compress || !c->decompress || ZSTD_isError(ZSTD_CCtx_setParameter(c->compress, ZSTD_c_compressionLevel, LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(c->compress, ZSTD_c_checksumFlag, 1))) {
		compressor_destroy(c);
		return -ENOMEM;
	}
	*compressor_out = c;
	return 0;
}

int compressor_compress(struct compressor *c, const struct packing *raw, struct packing *out)
{
	if (raw->failed)
		return -ENOMEM;
	if (raw->n > PACKING_RAW_MAX)
		return -E2BIG;
	packing_clear(out);
	if (!grow(out, ZSTD_compressBound(raw->n)))
		return -ENOMEM;
	size_t n = ZSTD_compress2(c->compress, out->bytes, out->capacity, raw->bytes, raw->n);
	if (ZSTD_isError(n))
		return -ENOMEM;
	out->n = n;
	return 0;
}

int compressor_decompress(struct compressor *c, const void *bytes, size_t n, struct packing *out)
{
	unsigned long long size = ZSTD_getFrameContentSize(bytes, n);

	packing_clear(out);
	if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR || size > PACKING_RAW_MAX)
		return -EBADMSG;
	if (!grow(out, (size_t)size + 1))
		return -ENOMEM;
	size_t unpacked = ZSTD_decompressDCtx(c->decompress, out->bytes, (size_t)size, bytes, n);
	if (ZSTD_isError(unpacked) || unpacked != size)
		return -EBADMSG;
	out->n = unpacked;
	return 0;
}

void compressor_destroy(struct compressor *c)
{
	if (!c)
		return;
	ZSTD_freeCCtx(c->compress);
	ZSTD_freeDCtx(c->decompress);
	free(c);
}
