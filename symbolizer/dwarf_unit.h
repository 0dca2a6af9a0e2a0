/* The units of one file, and how the DIEs of a unit are read. Source: DWARF 5, 7.5.1; DWARF 4, 7.5.1; GNU: DebugFission.
 * Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_DWARF_UNIT_H
#define HEARTH_SYMBOLIZER_DWARF_UNIT_H

#include "symbolizer/dwarf_abbrev.h"
#include "symbolizer/dwarf_line.h"
#include "symbolizer/dwarf_sections.h"
#include "symbolizer/offset_map.h"

#define DWARF_UNITS_MAX	   (1u << 20)	/* of one file */
#define DWARF_WINDOW_BYTES (32u << 20) /* of a unit that are read at once; longer ones window by window */
#define DWARF_REFERENCE_WORK (1ull << 30) /* bytes of DIEs that one file's references may make us read */
#define DWARF_CONTEXTS_MAX 32		/* units that others refer to, kept at hand */

/* The head of a unit. Offsets are in the file's .debug_info. */
struct dwarf_unit {
	uint64_t offset;
	uint64_t dies; /* where the first DIE begins */
	uint64_t end;
	uint64_t abbrevs; /* offset in .debug_abbrev */
	uint64_t id;	  /* of a skeleton or split unit of DWARF 5 */
	struct dwarf_shape shape;
	uint8_t type; /* DW_UT_* */
};

struct dwarf_file;

/* A unit and what its first DIE says of how to read the others. */
struct dwarf_context {
	struct dwarf_file *file;
	struct dwarf_unit unit;
	struct dwarf_abbrev_table *table;
	/* Whose .debug_addr and .debug_ranges: of a split unit, the file with its skeleton; else file. */
	struct dwarf_file *code;
	uint64_t str_offsets_base, addr_base, rnglists_base;
	uint64_t ranges_base;	  /* GNU: added to offsets in .debug_ranges */
	uint64_t gnu_ranges_base; /* what a skeleton says that it is for its split unit */
	uint64_t low_pc;
	/* The line table that file indices mean: of a split unit, its skeleton's. */
	struct dwarf_context *lines; /* NULL: its own */
	bool has_lines;
	uint64_t stmt_list;
	char *directory, *name; /* NULL: unknown, or not wanted; for the names of files and of split units */
	bool files_read;
	uint32_t *files; /* index -> file of the name table */
	size_t n_files;
	uint64_t used_at;
	/* Bytes of .debug_info that the walk has before it; window_bytes is 0 when it is not walked. */
	const uint8_t *window;
	uint64_t window_offset;
	size_t window_bytes;
};

struct dwarf_file {
	const struct elf_file *elf;
	struct dwarf_budget *budget;
	struct dwarf_sections *sections;
	struct dwarf_abbrevs *abbrevs;
	struct dwarf_line_reader *lines; /* NULL until one is needed */
	struct dwarf_view info;		 /* of the unit that is walked */
	struct dwarf_view refs;		 /* of other DIEs */
	struct dwarf_view str, line_str, str_offsets, addr, ranges, rnglists;
	struct offset_map strings;   /* .debug_str -> string of the name table */
	struct offset_map local;     /* DIE of the unit that is walked -> function of the name table */
	struct offset_map functions; /* other DIEs -> function */
	struct dwarf_unit *units;    /* in their order, as far as they are read */
	size_t n_units, units_capacity;
	uint64_t next_unit;
	uint64_t reference_work; /* bytes left of DWARF_REFERENCE_WORK */
	uint64_t bad_units; /* whose heads make no sense, or that are too many */
	struct dwarf_context *contexts[DWARF_CONTEXTS_MAX];
	uint64_t clock;
	struct dwarf_file *alt; /* dwz's alternate file; NULL: none */
	int fd;			/* of dwarf_file_open(), else -1 */
	struct elf_file own_elf;
};

/* A DIE that was read. Values' texts are borrowed from its view. */
struct dwarf_die {
	uint64_t offset;
	const struct dwarf_abbrev *abbrev;
	uint32_t slots; /* 1 << enum dwarf_slot: which values are there */
	struct dwarf_value values[DWARF_SLOTS];
};

static inline bool dwarf_die_has(const struct dwarf_die *die, enum dwarf_slot slot)
{
	return die->slots >> slot & 1;
}

/* elf: copied, its descriptor is borrowed. budget: borrowed. is_dwo: its sections are ".dwo". Returns 0, -ENOENT (no .debug_info), or an error of dwarf_sections_open(). */
int dwarf_file_create(const struct elf_file *elf, bool is_dwo, struct dwarf_budget *budget, struct dwarf_file **file_out);

/* A file that was asked for. fd: owned by the file, and closed when this fails. Returns 0 or an error as above, also of elf_file_open(). */
int dwarf_file_open(int fd, bool is_dwo, struct dwarf_budget *budget, struct dwarf_file **file_out);

/* NULL is legal. Destroys the alternate file too. */
void dwarf_file_destroy(struct dwarf_file *file);

/* The index-th unit. unit_out: borrowed until the next call. Units with bad heads are passed over and counted, as far as their length makes sense.
 * Returns 0, -ENOENT (there are no more), -ENOMEM or the errno of a failed read. */
int dwarf_unit_nth(struct dwarf_file *file, size_t index, const struct dwarf_unit **unit_out);

/* The unit at an offset that somebody told. Returns 0, -EBADMSG, or the errno of a failed read. */
int dwarf_unit_at(struct dwarf_file *file, uint64_t offset, struct dwarf_unit *unit_out);

/* The unit whose DIEs hold an offset. Returns as above; -ENOENT: none. */
int dwarf_unit_find(struct dwarf_file *file, uint64_t offset, const struct dwarf_unit **unit_out);

/* Read the attributes of one DIE that matter. r stands behind the code, and then behind the DIE. False: bad, or r ended. */
bool dwarf_die_read(const struct dwarf_context *c, const struct dwarf_abbrev *abbrev, struct byte_reader *r, struct dwarf_die *die_out);

/* The DIE at an offset of .debug_info, that is in the context's unit. Texts of die_out are borrowed until the next call.
 * Returns 0, -EBADMSG, -ENOENT (no DIE there: the end of a list), -E2BIG, -ENOMEM or the errno of a failed read. */
int dwarf_die_at(struct dwarf_context *c, uint64_t offset, struct dwarf_die *die_out);

/* A context for a unit. presets: what a split unit has of its skeleton and its part of a .dwp (code, lines, low_pc and the bases); else NULL.
 * root_out: its first DIE. c is closed by dwarf_context_close() in any case. Returns 0, or an error as of dwarf_die_at(). */
int dwarf_context_open(struct dwarf_file *file, const struct dwarf_unit *unit, const struct dwarf_context *presets,
		       struct dwarf_context *c, struct dwarf_die *root_out);
void dwarf_context_close(struct dwarf_context *c);

/* The context of the unit that holds an offset: for references into other units. c_out: borrowed until the next call. */
int dwarf_context_of(struct dwarf_file *file, uint64_t offset, struct dwarf_context **c_out);

/* A string's bytes. text_out: borrowed until the view moves. -ENOENT: the form is none of a string. */
int dwarf_string(struct dwarf_context *c, const struct dwarf_value *value, const char **text_out, size_t *bytes_out);

/* Where in .debug_str it lies. -ENOENT: it does not lie there. */
int dwarf_string_offset(struct dwarf_context *c, const struct dwarf_value *value, uint64_t *offset_out);

/* An address: DW_FORM_addr, or an index of .debug_addr. Returns 0, -EBADMSG, or the errno of a failed read. */
int dwarf_address(struct dwarf_context *c, const struct dwarf_value *value, uint64_t *vaddr_out);
int dwarf_address_nth(struct dwarf_context *c, uint64_t index, uint64_t *vaddr_out);

#endif
