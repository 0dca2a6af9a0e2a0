/* The code that JITs made in one process, over time: pc -> name, file and line.
 *
 * Filled by the readers of perf maps (symbolizer/perf_map.h) and jitdumps (symbolizer/jitdump.h). Later code hides earlier code where they
 * overlap. Additions with a time wait until a look-up has come that far, so that a sample gets the code that lay there when it was taken:
 * ask in the order of times. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_JIT_TABLE_H
#define HEARTH_SYMBOLIZER_JIT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define JIT_NAME_MAX   4096	   /* bytes; longer names are cut */
#define JIT_CODES_MAX  (1U << 20)  /* distinct names, and pieces of code with lines, of a process */
#define JIT_TEXT_MAX   (32U << 20) /* bytes of names */
#define JIT_LINES_MAX  (1U << 20)
#define JIT_EVENTS_MAX (1U << 19)  /* additions that wait for their time */
#define JIT_TABLE_MAX_BYTES (64U << 20) /* of all this, about */

struct jit_table;

/* Where the source lines of a piece of code begin, in the order of addresses. */
struct jit_line {
	uint32_t offset; /* from the start of the code */
	uint32_t line;
	uint32_t file; /* of jit_table_text() */
};

struct jit_match {
	const char *name; /* ends in NUL; as the file has it: any bytes but NUL. Borrowed until the next change */
	const char *file; /* "": unknown */
	uint32_t line;	  /* 0: unknown */
	uint64_t start;	  /* the addresses for which name holds */
	uint64_t end;
};

int jit_table_create(struct jit_table **table_out);

/* Keep a text, once: returns its number, -E2BIG (JIT_TEXT_MAX) or -ENOMEM. name: n bytes, cut at JIT_NAME_MAX and at a NUL. */
int64_t jit_table_text(struct jit_table *t, const char *name, size_t n);

/* Code lies at start .. +bytes from time_ns on; 0: from now on, whatever is asked. Times that go back count as the latest before them.
 * lines: n_lines of them, copied. Returns 0, -EINVAL (no bytes, or beyond the end of the address space), -E2BIG (over a limit above, or
 * JIT_RANGES_MAX) or -ENOMEM. */
int jit_table_load(struct jit_table *t, uint64_t time_ns, uint64_t start, uint32_t bytes, const char *name, size_t n,
		   const struct jit_line *lines, size_t n_lines);

/* The code that lay at old_start lies at new_start from time_ns on, too. Unknown code is left out. Returns as jit_table_load(). */
int jit_table_move(struct jit_table *t, uint64_t time_ns, uint64_t old_start, uint64_t new_start, uint32_t bytes);

/* Let everything happen that has a time up to this one. UINT64_MAX: everything. */
void jit_table_advance(struct jit_table *t, uint64_t time_ns);

/* What lies at pc now. Returns 0 or -ENOENT. */
int jit_table_find(const struct jit_table *t, uint64_t pc, struct jit_match *match_out);

/* Additions that were lost in jit_table_advance(): JIT_RANGES_MAX, memory. */
uint64_t jit_table_lost(const struct jit_table *t);
size_t jit_table_bytes(const struct jit_table *t);
/* Empty again; what jit_table_lost() tells stays. */
void jit_table_clear(struct jit_table *t);
/* NULL is legal. */
void jit_table_destroy(struct jit_table *t);

#endif
