/* The bytes of a name table (symbolizer/name_table.h); docs/naming.md tells why they are as they are.
 *
 *   head | blocks | sections | checksums, little-endian; sections begin at multiples of 8.
 *
 * STREAM: what holds from which vaddr on, as changes in the order of vaddrs: another node, another line, or both. Cut into blocks of
 * BLOCK_ENTRIES; BLOCK_VADDRS (uint64_t) and BLOCK_OFFSETS (uint32_t, in STREAM, one more than blocks) find a block.
 * A block begins with its first entry's state, as LEB128 numbers:
 *     node + 1 (0: none), vaddr - start of the outermost function's range, file, line, column
 * and each further entry is
 *     tag: bits 0-1 enum entry_line, bit 2 another node, bit 3 another outermost function's range begins, bits 4-7 vaddr's advance, 0: it follows
 *     [advance] [node's difference, zigzag] [line: difference or number; before it for LINE_EXPLICIT the file; behind it the column]
 * Columns are left out everywhere when NAME_TABLE_HAS_COLUMNS is not set.
 *
 * NODES, SITES, FUNCTIONS, FILES are tables of bit fields, of a width for each column, which section_head.bits tells:
 *     NODES      {its number - its parent's, 0: no parent; site}    numbered as they are first met, parents first
 *     SITES      {function, file, line, column of the call}
 *     FUNCTIONS  {name: offset in STRINGS, file, line, 1: only a symbol}
 *     FILES      {directory, name: offsets in STRINGS}
 * STRINGS are packed with the DICTIONARY (symbolizer/name_text.h).
 *
 * Every CHECKED_BYTES behind the head have a checksum (XXH3, 64 bits), looked at when the first byte of them is. */
#ifndef HEARTH_SYMBOLIZER_NAME_TABLE_FORMAT_H
#define HEARTH_SYMBOLIZER_NAME_TABLE_FORMAT_H

#include <stdint.h>

#define NAME_TABLE_MAGIC "hearthNT"
#define NAME_TABLE_HAS_COLUMNS 1u
#define BLOCK_ENTRIES 24u
#define CHECKED_BYTES (64u << 10)
#define PACKED_COLUMNS 4
#define PACKED_SLACK 8u /* bytes behind a table of bit fields: fields are loaded as 8 bytes */

enum name_table_section { SECTION_STREAM, SECTION_BLOCK_VADDRS, SECTION_BLOCK_OFFSETS, SECTION_NODES, SECTION_SITES, SECTION_FUNCTIONS,
			  SECTION_FILES, SECTION_DICTIONARY, SECTION_STRINGS, NAME_TABLE_SECTIONS };

enum entry_line {
	LINE_SAME,
	LINE_STEP,     /* difference to the line before, in the same file; zigzag */
	LINE_OF_NODE,  /* in the file of the node's function: difference to its declaration; zigzag */
	LINE_EXPLICIT, /* file and line */
};
#define ENTRY_LINE 3u
#define ENTRY_NODE 4u
#define ENTRY_FUNCTION 8u
#define ENTRY_ADVANCE_SHIFT 4

struct section_head {
	uint64_t offset, bytes;	      /* in the table */
	uint32_t n;		      /* rows; blocks */
	uint8_t bits[PACKED_COLUMNS]; /* 0 to 32 */
};

struct name_table_head {
	char magic[8];
	uint32_t version;
	uint32_t flags;
	uint64_t checksum; /* of this head, with 0 here, and the checksums */
	uint64_t bytes;	   /* of all */
	uint64_t checksums_offset;
	uint64_t n_checksums;
	struct section_head sections[NAME_TABLE_SECTIONS];
};
_Static_assert(sizeof(struct section_head) == 24 && sizeof(struct name_table_head) == 264, "a file format");

static inline uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static inline int64_t unzigzag(uint64_t value)
{
	return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static inline unsigned uleb_bytes(uint64_t value)
{
	unsigned n = 1;

	for (; value >= 0x80; value >>= 7)
		n++;
	return n;
}

static inline uint8_t *uleb_put(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

#endif
