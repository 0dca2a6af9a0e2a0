/* The first half of a flame tree: samples become nodes. flame_tree.c lays them out. */
#ifndef HEARTH_PPROF_FLAME_BUILD_H
#define HEARTH_PPROF_FLAME_BUILD_H

#include "pprof/flame_tree.h"
#include "pprof/frame_set.h"

/* Where the child of a node for a frame is: open addressing; node 0 (the root, nobody's child): free. Packed, because there is one for each node and a half, and
 * memory is what looking one up costs. */
struct __attribute__((packed)) flame_slot {
	uint32_t parent, frame, node;
};

struct flame_node_key {
	uint32_t parent, frame;
};

/* Nodes in the order in which they were made: parents before their children. */
struct flame_build {
	struct frame_set frames;
	struct flame_node_key *keys;
	uint32_t *makers; /* the sample that made each; those of the base count on */
	int64_t *self, *base_self; /* base_self: NULL without a base */
	bool has_base;
	size_t n, capacity;
	size_t n_cut;
	struct flame_slot *slots;
	size_t n_slots; /* a power of two */
	uint64_t seed, factor;
};

/* Returns 0, -EINVAL (the base has no such sample type), -EIO, -ENOMEM, -E2BIG. After a failure too: flame_build_deinit(). */
int flame_build_init(struct flame_build *b, const struct profile *profile, uint32_t value, const struct flame_options *options);
void flame_build_deinit(struct flame_build *b);

#endif
