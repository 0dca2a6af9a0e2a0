/* The tree behind a flame graph: frames that share their callers, with the sum of their samples. */
#ifndef HEARTH_PPROF_FLAME_TREE_H
#define HEARTH_PPROF_FLAME_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pprof/profile.h"

struct flame_node {
	uint32_t parent;   /* index; the root's is itself */
	uint32_t name;	   /* index into names */
	uint32_t module;   /* profile_str of the mapping's file; 0: none */
	uint32_t depth;	   /* 0: the root */
	bool is_kernel;
	int64_t value; /* of this frame and all that it called */
	int64_t start; /* sum of the values left of it; siblings lie in the order of their names */
};

struct flame_tree {
	struct flame_node *nodes; /* 0 is the root "all"; a parent stands before its children */
	size_t n_nodes;
	char **names;
	size_t n_names;
	uint32_t depth; /* of the deepest node */
};

/* Build the tree of one sample type; samples with a value of 0 or less are left out. The first level is the label "process" where samples
 * have it. Returns 0, -EINVAL (no such sample type), -ENOMEM. */
int flame_tree_create(const struct profile *profile, uint32_t value, struct flame_tree **tree_out);

/* NULL is legal. */
void flame_tree_destroy(struct flame_tree *tree);

#endif
