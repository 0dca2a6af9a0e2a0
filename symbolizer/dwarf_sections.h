/* The DWARF sections of one file: found by name, unpacked where they are compressed, read with bounds.
 *
 * Compressed sections (SHF_COMPRESSED with zlib or zstd, and the older .zdebug_*) are unpacked whole into memory, within a budget that
 * is checked before the first byte is unpacked (SAFETY 4). Others are read with pread: small ones, and those that are looked at here and there,
 * whole; large ones window by window, so that a debug file of several GiB is read within a few MiB. All of it when a section is first looked at:
 * what nobody asks for costs nothing. Nothing is mmapped (SAFETY 7).
 * Source: DWARF 5, 7.3 and 7.4; ELF gABI, "Compressed sections". Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_DWARF_SECTIONS_H
#define HEARTH_SYMBOLIZER_DWARF_SECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbolizer/elf_file.h"

enum dwarf_section {
	DWARF_INFO,
	DWARF_TYPES, /* DWARF 4's .debug_types */
	DWARF_ABBREV,
	DWARF_LINE,
	DWARF_LINE_STR,
	DWARF_STR,
	DWARF_STR_OFFSETS,
	DWARF_ADDR,
	DWARF_RANGES,
	DWARF_RNGLISTS,
	DWARF_ARANGES,
	DWARF_CU_INDEX, /* of a .dwp */
	DWARF_TU_INDEX,
	DWARF_SECTIONS
};

/* Memory that the sections of one compilation, over all its files, may take. */
struct dwarf_budget {
	uint64_t left; /* bytes */
	uint64_t refused; /* sections that did not fit */
};

struct dwarf_sections;

/* elf: borrowed until dwarf_sections_close(), with its descriptor; of a .dwo or .dwp opened with elf_file_open_debug(). is_dwo: the sections
 * have the suffix ".dwo". Of several sections of one name the first counts that is in no group: type units are in groups.
 * budget: borrowed; gets back all that was taken when the sections and their views are closed. A file without DWARF has sections of 0 bytes.
 * Relocatable files' relocations are not applied. Returns 0, -ENOMEM, -E2BIG, -EBADMSG or the errno of a failed read. */
int dwarf_sections_open(const struct elf_file *elf, bool is_dwo, struct dwarf_budget *budget, struct dwarf_sections **sections_out);

/* How many bytes the packed sections of a file claim to become, together; UINT64_MAX when that is more. 0 when there are none, or on any error.
 * Sections of other names (.debug_loclists) do not count. */
uint64_t dwarf_sections_packed_bytes(const struct elf_file *elf);

/* The file that they are in. */
const struct elf_file *dwarf_sections_elf(const struct dwarf_sections *s);

/* Bytes of a section (unpacked); 0 when the file has none, or one that is damaged or over the budget. Unpacks it, to know. */
uint64_t dwarf_section_bytes(struct dwarf_sections *s, enum dwarf_section section);

/* A place to look at a section from. Several of one section are independent of each other. */
struct dwarf_view {
	struct dwarf_sections *sections;
	enum dwarf_section section;
	uint8_t *buffer; /* NULL while the section lies in memory whole */
	size_t capacity;
	uint64_t offset; /* of buffer[0] in the section */
	size_t bytes;	 /* in buffer */
	bool is_scattered; /* set by the caller behind dwarf_view_init(): looked at here and there, so that little is read around what is asked for */
	size_t window;	 /* bytes to read at the next miss at least: more and more while the section is read in order */
};

void dwarf_view_init(struct dwarf_view *view, struct dwarf_sections *sections, enum dwarf_section section);

/* Bytes [offset, +bytes) of the section. bytes_out: borrowed until the next call with this view.
 * Returns 0, -EBADMSG (not all in the section), -E2BIG (over the budget), -ENOMEM, or the errno of a failed read. */
int dwarf_view_get(struct dwarf_view *view, uint64_t offset, size_t bytes, const uint8_t **bytes_out);

/* As above, of as many bytes as there are, at least one, at most *bytes. */
int dwarf_view_some(struct dwarf_view *view, uint64_t offset, size_t *bytes, const uint8_t **bytes_out);

/* The string that begins at offset, without its NUL; cut at max bytes. Borrowed as above. -EBADMSG when the section ends before it. */
int dwarf_view_string(struct dwarf_view *view, uint64_t offset, size_t max, const char **text_out, size_t *bytes_out);

void dwarf_view_deinit(struct dwarf_view *view);

/* NULL is legal. Views of it are deinitialised before. */
void dwarf_sections_close(struct dwarf_sections *s);

#endif
