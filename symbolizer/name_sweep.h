/* From claims that overlap to segments that do not: at every byte the claim that goes before the others has it. */
#ifndef HEARTH_SYMBOLIZER_NAME_SWEEP_H
#define HEARTH_SYMBOLIZER_NAME_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Vaddrs [start, start + bytes) for an owner. Not empty, and does not wrap. */
struct name_claim {
	uint64_t start;
	uint32_t bytes;
	uint32_t owner;
};

struct name_segment {
	uint64_t start, end;
	uint32_t owner;
};

/* Sort by start; claims of equal start stay in their order. scratch: n claims. */
void name_claims_sort(struct name_claim *claims, struct name_claim *scratch, size_t n);

struct name_sweep {
	const struct name_claim *claims; /* sorted; borrowed */
	size_t n, next;
	uint32_t *heap; /* of claims that have begun; room for n; borrowed */
	size_t n_heap;
	uint64_t at;
	uint64_t overlaps; /* claims that began inside a rival's */
	/* Does claim a go before claim b? A total order. */
	bool (*before)(const void *context, uint32_t a, uint32_t b);
	/* Do owners a and b compete, or belong together? */
	bool (*rivals)(const void *context, uint32_t a, uint32_t b);
	const void *context;
};

/* The next segment, in the order of vaddrs; neighbours may have one owner. n log n steps for all, whatever the claims are. */
bool name_sweep_next(struct name_sweep *sweep, struct name_segment *segment_out);

#endif
