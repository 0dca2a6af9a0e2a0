/* Disjoint ranges of addresses, painted one over the other: what was put later hides what it covers.
 *
 * For code that a JIT makes, moves and replaces. Kept as a sorted list of blocks: an addition costs a search and a move inside one block, whatever was
 * there before; what is hidden altogether is gone. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_JIT_RANGES_H
#define HEARTH_SYMBOLIZER_JIT_RANGES_H

#include <stddef.h>
#include <stdint.h>

#define JIT_RANGES_MAX (1U << 20) /* 16 MiB */

struct jit_range {
	uint64_t start;
	uint32_t bytes;
	uint32_t code; /* the caller's */
};

struct jit_block;

/* All zero: empty. */
struct jit_ranges {
	struct jit_block **blocks; /* sorted, none of them empty */
	size_t n_blocks, capacity;
	size_t n; /* ranges */
};

/* Paint start .. +bytes. Returns 0, -EINVAL (no bytes, or beyond the end of the address space), -E2BIG (JIT_RANGES_MAX; nothing was
 * changed) or -ENOMEM (what was covered may be hidden, or not). */
int jit_ranges_put(struct jit_ranges *r, uint64_t start, uint32_t bytes, uint32_t code);

/* The range that covers pc, or NULL. Borrowed until the next change. */
const struct jit_range *jit_ranges_find(const struct jit_ranges *r, uint64_t pc);

size_t jit_ranges_bytes(const struct jit_ranges *r);
/* Empty again. */
void jit_ranges_clear(struct jit_ranges *r);

#endif
