/* Writes a name table's bytes in their order, a checksum for each CHECKED_BYTES, and the head at last. Errors stay: the first one is told by
 * every later call, so that a caller may look once at the end. */
#ifndef HEARTH_SYMBOLIZER_TABLE_FILE_H
#define HEARTH_SYMBOLIZER_TABLE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "symbolizer/name_table_format.h"

struct table_file;

/* fd: borrowed. head_bytes: left free at the beginning. */
int table_file_create(int fd, size_t head_bytes, struct table_file **file_out);
/* Where the next byte goes. */
uint64_t table_file_offset(const struct table_file *file);
int table_file_put(struct table_file *file, const void *bytes, size_t n);
/* Zeros up to a multiple of 8. */
int table_file_align(struct table_file *file);
/* The checksums and the head, whose last fields are filled in here. */
int table_file_finish(struct table_file *file, struct name_table_head *head);
/* NULL is legal. */
void table_file_destroy(struct table_file *file);

/* Bit fields, lowest bits first. */
struct bit_writer {
	struct table_file *file;
	uint64_t bits;
	unsigned n;
};
void bit_writer_init(struct bit_writer *bits, struct table_file *file);
/* width: 0 to 32. */
void bit_writer_put(struct bit_writer *bits, uint32_t value, unsigned width);
void bit_writer_flush(struct bit_writer *bits);

#endif
