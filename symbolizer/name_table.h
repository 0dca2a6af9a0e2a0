/* Name tables: what debug information says of the addresses of one image, in a form that is looked up in microseconds.
 *
 * A builder takes functions, inlined calls, line rows and plain symbols in any order, and writes one block of bytes: in a sealed
 * memfd, later in a file of the cache. A reader finds an address's frames in such a block without unpacking it.
 * The block may be damaged or written by a stranger (the compiler that made it parsed a stranger's file): every offset is
 * checked where it is used, and checksums find damage. Its version is part of its head: another version is "no table".
 *
 * Words: vaddr is an ELF virtual address. A node is a function, or an inlined call inside a node. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_NAME_TABLE_H
#define HEARTH_SYMBOLIZER_NAME_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_TABLE_VERSION     1
#define NAME_TABLE_DEPTH_MAX   64     /* inlined calls inside each other; deeper ones are left out and counted (SAFETY 13) */
#define NAME_TABLE_STRING_MAX  8192   /* bytes of one string; a longer one is cut */
#define NAME_TABLE_NONE	       UINT32_MAX

/* --- writing ---------------------------------------------------------------------------------------------------- */

struct name_table_builder;

struct name_table_limits {
	uint64_t bytes; /* of memory while building; 0: 256 MiB */
};

struct name_table_stats {
	uint64_t functions, nodes, ranges, rows, symbols, strings;
	uint64_t too_deep; /* inlined calls left out */
	uint64_t overlaps; /* ranges that lost against others */
	uint64_t cut;	   /* strings */
};

/* limits: NULL for defaults. */
int name_table_builder_create(const struct name_table_limits *limits, struct name_table_builder **builder_out);

/* All of these return an id (0 and up), or -E2BIG (over the limit of memory) or -ENOMEM. Equal strings and files have one id; callers
 * that know where a string comes from (an offset in .debug_str) do best to remember its id. The id of "" is 0. */
int64_t name_table_add_string(struct name_table_builder *b, const char *text, size_t bytes);

/* A source file: directory may be "" or relative, name may be absolute (then directory is ignored). File 0 is "unknown". */
int64_t name_table_add_file(struct name_table_builder *b, const char *directory, const char *name);

/* name: as the linker saw it (DW_AT_linkage_name) where that is known, else as the source has it: demangled when it is read.
 * file, line: of the declaration; 0, 0 when unknown. */
int64_t name_table_add_function(struct name_table_builder *b, uint32_t name, uint32_t file, uint32_t line);

/* parent: the node that it was inlined into, NAME_TABLE_NONE for a function that stands by itself. call_file, call_line, call_column: of the call in
 * the parent; 0 when unknown. A child's ranges outside its parent's are as they are: the deepest node wins.
 * Deeper than NAME_TABLE_DEPTH_MAX: returns the parent. Ids that nobody gave out are -EINVAL, here and below. */
int64_t name_table_add_node(struct name_table_builder *b, uint32_t parent, uint32_t function, uint32_t call_file, uint32_t call_line,
			    uint32_t call_column);

/* Vaddrs [start, end) of a node. Of functions that claim the same bytes the one added first wins; empty ranges are ignored,
 * and so are those of 4 GiB and more (counted as overlaps). Add a function's ranges before what is inlined into it: of functions with the very same
 * ranges (linkers keep one instance of a template, and the debug information of all) only the first is kept, with what is in it. */
int name_table_add_range(struct name_table_builder *b, uint32_t node, uint64_t start, uint64_t end);

/* One sequence of a line table, in the order of vaddrs (else -EINVAL); end: the first vaddr behind it. Of rows at one vaddr the last counts.
 * Of sequences that cover the same bytes the one that begins last wins, then the one added first. */
struct name_table_row {
	uint64_t vaddr;
	uint32_t file, line, column;
};
int name_table_add_rows(struct name_table_builder *b, const struct name_table_row *rows, size_t n, uint64_t end);

/* A symbol of a symbol table: names what no node covers. Of several at one start, the best alias is for the caller to choose. */
int name_table_add_symbol(struct name_table_builder *b, uint64_t start, uint64_t end, uint32_t name);

/* Write the table. fd: an empty memfd or file, open for writing, borrowed. bytes_out: how long it became. The builder is spent: it can only be destroyed. */
int name_table_write(struct name_table_builder *b, int fd, uint64_t *bytes_out, struct name_table_stats *stats_out);

/* NULL is legal. */
void name_table_builder_destroy(struct name_table_builder *b);

/* --- reading ---------------------------------------------------------------------------------------------------- */

struct name_table;

/* One frame, innermost first. Texts are borrowed until name_table_close(), valid UTF-8 or not, and end in NUL.
 * line, column: where execution is in this frame: of the line table for the innermost, of the call for the others. 0 when unknown. */
struct name_table_frame {
	const char *name; /* "": only the line table knew of the vaddr (n is 1 then): a symbol table may have the name */
	const char *directory; /* of the source file; "" when unknown or part of file */
	const char *file;      /* "" when unknown */
	const char *declared_directory, *declared_file; /* of the function's declaration */
	uint32_t line;
	uint32_t column;
	uint32_t start_line; /* of the function's declaration */
	bool is_symbol;	     /* the name is a symbol table's; file and line are known all the same where a line table has them (assembly) */
};

struct name_table_match {
	uint64_t start, end; /* vaddrs around the one asked for, with the same nodes (not the same lines); there may be more of them */
	uint64_t function_start; /* where the range of the outermost function begins that holds the vaddr */
	size_t n;
	struct name_table_frame frames[NAME_TABLE_DEPTH_MAX + 1];
};

/* fd: a sealed memfd, or a file that only we can write (it is mapped, not read); borrowed for the call.
 * Returns 0, -EBADMSG (damaged, not a table), -ENOTSUP (another version), or the errno of fstat or mmap. */
int name_table_open(int fd, struct name_table **table_out);

/* Returns 0, -ENOENT (nothing covers vaddr), or -EBADMSG (damaged there; the rest may still be read). */
int name_table_find(struct name_table *t, uint64_t vaddr, struct name_table_match *match_out);

size_t name_table_bytes(const struct name_table *t);

/* NULL is legal. */
void name_table_close(struct name_table *t);

#endif
