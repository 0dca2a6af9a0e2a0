/* What one run of dwarf_compile() works with; shared by its parts only. */
#ifndef HEARTH_SYMBOLIZER_DWARF_COMPILER_H
#define HEARTH_SYMBOLIZER_DWARF_COMPILER_H

#include "symbolizer/dwarf_compile.h"
#include "symbolizer/dwarf_unit.h"
#include "symbolizer/linker_names.h"
#include "symbolizer/symbol_ranges.h"

#define DWARF_RANGES_MAX     (1u << 16)	   /* of one DIE */
#define DWARF_RANGES_WORK    (64ull << 20)  /* entries of range lists in one file */
#define DWARF_CHAIN_MAX	     32		   /* of abstract origins and specifications; compilers write 3 */
#define DWARF_FUNCTIONS_MAX  256	   /* functions and inlined calls inside each other, on the walk's stack */
#define DWARF_DIES_MAX	     (1ull << 29)  /* 10 times a debug build of clang */

struct dwarf_range {
	uint64_t start, end; /* vaddrs */
};

struct dwarf_compiler {
	const struct dwarf_input *input;
	struct name_table_builder *builder;
	struct dwarf_stats stats;
	struct dwarf_file *file;	/* of input->elf */
	struct code_range *code;	/* executable bytes; none are known: n_code is 0 */
	size_t n_code;
	struct dwarf_range *ranges;	/* of the DIE that was looked at last */
	size_t n_ranges, ranges_capacity;
	uint64_t dies_left, ranges_left; /* of the limits */
	struct dwarf_split *split;	/* NULL until a skeleton is met */
	struct linker_names *linker_names; /* NULL until a function has only a plain name */
	unsigned asks;			/* files asked for */
	int fatal;			/* why no unit can be read any more: memory, the builder's limit, a failed read */
};

/* Is it an error that ends everything? One of damage or over a limit costs a unit or a DIE. */
bool dwarf_is_fatal(int err);

/* --- dwarf_ranges.c */

/* Is this an address of code that the linker kept? */
bool dwarf_is_code(const struct dwarf_compiler *d, uint64_t vaddr);

/* Put a DIE's ranges into d->ranges: those with code. Returns 0, -EBADMSG or -E2BIG (some may be there), or a fatal error. */
int dwarf_ranges_read(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *die);

/* Does one of d->ranges hold a wanted vaddr? True when all are wanted. */
bool dwarf_ranges_wanted(const struct dwarf_compiler *d);

/* --- dwarf_function.c */

/* A function of the name table for a DIE that is one, or is an instance of one; d->ranges are those of the DIE. Returns 0 or a fatal error. */
int dwarf_function_of(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *die, bool is_inlined, uint32_t *function_out);

/* A file of the name table for a unit's file index. Returns 0 or a fatal error. */
int dwarf_file_of(struct dwarf_compiler *d, struct dwarf_context *c, uint64_t index, uint32_t *file_out);

/* The rows of the unit's line table, when no unit before has added them. Returns 0 or a fatal error. */
int dwarf_lines_add(struct dwarf_compiler *d, struct dwarf_context *c);

/* --- dwarf_walk.c */

/* Add a unit's functions. root: its first DIE. Returns 0, -EBADMSG or -E2BIG (what was added until then stays), or a fatal error. */
int dwarf_walk(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *root);

/* --- dwarf_split.c */

struct dwarf_split;

/* A skeleton's split unit. c, root: of the skeleton. Returns 0, -ENOENT (nobody has it), -EBADMSG, -E2BIG, or a fatal error. */
int dwarf_split_walk(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *root);
void dwarf_split_destroy(struct dwarf_split *split);

/* --- dwarf_alt.c */

/* The file that DW_FORM_GNU_ref_alt and the like mean, when there is a link to one: file->alt. Returns 0 (also when nobody has it: counted) or a fatal
 * error. */
int dwarf_alt_open(struct dwarf_compiler *d, struct dwarf_file *file);

#endif
