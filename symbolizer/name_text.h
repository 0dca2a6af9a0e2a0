/* Strings that resemble each other, packed one by one: each can be unpacked alone.
 *
 * A packed string is copies from a dictionary, which is common to all strings and holds some of them, and bytes of its own:
 *     its bytes (LEB128), then until there are so many:
 *     0 to 63: 1 to 64 bytes follow; 64 to 255: copy of 5 to 196 bytes from the dictionary at the offset that follows (2 bytes, 3 when the dictionary
 *     has more than 64 KiB).
 * Mangled names become a fifth, about as with zlib in pieces of 4 KiB, and unpack in some 80 ns.
 * After: Hoobin, Puglisi, Zobel, "Relative Lempel-Ziv Factorization", VLDB 2011. */
#ifndef HEARTH_SYMBOLIZER_NAME_TEXT_H
#define HEARTH_SYMBOLIZER_NAME_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbolizer/name_pool.h"

#define NAME_DICTIONARY_MAX (1u << 20)
#define NAME_TEXT_SLACK 32u
#define NAME_TEXT_PACKED_MAX(bytes) ((bytes) + (bytes) / 64 + 8)

struct text_packer;

/* order: n ids of strings, each of them once: what will be packed. strings: borrowed for the call. */
int text_packer_create(const struct name_strings *strings, const uint32_t *order, size_t n, struct text_packer **packer_out);
const uint8_t *text_packer_dictionary(const struct text_packer *packer, size_t *bytes_out);
/* out: NAME_TEXT_PACKED_MAX(bytes) bytes. Returns how many it took. */
size_t text_pack(const struct text_packer *packer, const char *text, size_t bytes, uint8_t *out);
/* NULL is legal. */
void text_packer_destroy(struct text_packer *packer);

/* The bytes of a packed string, and where its pieces begin. False: damaged, or more than max bytes. */
bool text_unpack_head(const uint8_t **at, const uint8_t *end, size_t max, size_t *bytes_out);
/* out: bytes of them, a NUL is added, and NAME_TEXT_SLACK more may be written over. at: from text_unpack_head(). False: damaged. */
bool text_unpack(const uint8_t *dictionary, size_t dictionary_bytes, const uint8_t *at, const uint8_t *end, char *out, size_t bytes);

#endif
