/* Where a Go program's tables are: .gopclntab, the text that it counts from, and go:func.*, which has the inline trees.
 *
 * The table is found by its section's name, else by its magic in the sections where a linker may have merged it (a program linked by the C
 * linker with -buildmode=pie). The addresses that its header does not have (any more) are in runtime.firstmoduledata: a section of its own since
 * Go 1.26, before that found in the data by its first words, which point into the table; in a position-independent program those words
 * are read from the relocations. Which of its words is go:func.* depends on the version: a word is taken only if the inline trees that it leads to make
 * sense for the functions that refer to them, so that a wrong guess costs inlined calls, not truth.
 * Source: Go's runtime/symtab.go, 1.18 to 1.26. Input is untrusted. */
#ifndef HEARTH_SYMBOLIZER_GO_IMAGE_H
#define HEARTH_SYMBOLIZER_GO_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbolizer/elf_file.h"

#define GO_TABLE_BYTES_MAX    (128U << 20) /* hyperkube has 40 MiB */
#define GO_FUNCTION_COUNT_MAX (2U << 20)

struct go_image {
	uint8_t *bytes; /* the table */
	size_t n_bytes;
	uint64_t vaddr; /* of the table */
	uint64_t text;	/* vaddr that functions count from */
	uint64_t n_functions;
	uint64_t names, units, files, pcs, functions; /* offsets in bytes; in it */
	unsigned pointer_bytes, quantum;
	bool has_start_lines; /* Go 1.20 and up: functions and inlined calls have them, and calls refer to their parents by position alone */
	const uint8_t *trees; /* go:func.*; NULL: not found */
	size_t n_trees;
	uint8_t *own_trees;
};

/* One function of the table. */
struct go_record {
	uint64_t start, end; /* offsets from text */
	uint32_t name;
	uint32_t pc_file, pc_line, pc_tree; /* offsets in pcs; 0: none */
	uint32_t unit;
	uint32_t start_line;
	uint32_t tree; /* offset in go:func.*; UINT32_MAX: none */
};

/* An inlined call, decoded from either version. */
struct go_call {
	uint32_t name;
	uint32_t parent_pc; /* from the function's start: where the call is */
	uint32_t start_line;
};

/* image_out: go_image_deinit() frees. Returns 0, -ENOENT (no Go program, or another version), -EBADMSG, -E2BIG, -ENOMEM, or the errno of a failed read. */
int go_image_open(const struct elf_file *elf, struct go_image *image_out);
void go_image_deinit(struct go_image *image);

/* False: damaged, or a hole. */
bool go_image_record(const struct go_image *image, uint64_t i, struct go_record *record_out);
bool go_image_call(const struct go_image *image, const struct go_record *record, uint32_t index, struct go_call *call_out);
/* The text at an offset from one of the offsets above; "" when it is not in the table. */
const char *go_image_text(const struct go_image *image, uint64_t base, uint64_t offset);

#endif
