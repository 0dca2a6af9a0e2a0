/* A cursor over bytes that strangers wrote. A read past the end gives 0, sets failed, and all later reads give 0 too; so a
 * caller may check once after several reads. */
#ifndef HEARTH_SYMBOLIZER_BYTE_READER_H
#define HEARTH_SYMBOLIZER_BYTE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct byte_reader {
	const uint8_t *at, *end;
	bool failed;
};

static inline size_t byte_reader_left(const struct byte_reader *r)
{
	return (size_t)(r->end - r->at);
}

static inline bool byte_reader_fail(struct byte_reader *r)
{
	r->failed = true;
	r->at = r->end;
	return false;
}

static inline bool byte_reader_need(struct byte_reader *r, size_t bytes)
{
	return bytes <= byte_reader_left(r) || byte_reader_fail(r);
}

static inline void byte_reader_skip(struct byte_reader *r, uint64_t bytes)
{
	if (bytes > byte_reader_left(r))
		byte_reader_fail(r);
	else
		r->at += bytes;
}

#define BYTE_READER_LOAD(name, type)                                      \
	static inline type byte_reader_##name(struct byte_reader *r)      \
	{                                                                 \
		type value;                                               \
		if (!byte_reader_need(r, sizeof(value)))                  \
			return 0;                                         \
		memcpy(&value, r->at, sizeof(value));                     \
		r->at += sizeof(value);                                   \
		return value;                                             \
	}
BYTE_READER_LOAD(u8, uint8_t)
BYTE_READER_LOAD(u16, uint16_t)
BYTE_READER_LOAD(u32, uint32_t)
BYTE_READER_LOAD(u64, uint64_t)
#undef BYTE_READER_LOAD

/* Unsigned LEB128; more than 64 bits fail. Source: DWARF 5, 7.6. */
static inline uint64_t byte_reader_uleb(struct byte_reader *r)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte = byte_reader_u8(r);
		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	byte_reader_fail(r);
	return 0;
}

static inline int64_t byte_reader_sleb(struct byte_reader *r)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte = byte_reader_u8(r);
		if (shift == 63 && byte != 0 && byte != 0x7f)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (shift + 7 < 64 && byte & 0x40)
			value |= ~0ULL << (shift + 7);
		return (int64_t)value;
	}
	byte_reader_fail(r);
	return 0;
}

#endif
