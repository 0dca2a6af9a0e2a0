/* The tree behind a flame graph: frames that share their callers, with the sum of their samples. Behind pictures, the page, reports and comparisons. */
#ifndef HEARTH_PPROF_FLAME_TREE_H
#define HEARTH_PPROF_FLAME_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pprof/profile.h"

#define FLAME_DEPTH_MAX 2048 /* frames of a stack; the rest of a deeper one, at the leaf, is cut off and counted */

struct flame_options {
	const struct profile *base; /* to compare with; NULL: none. It has a sample type of the same name */
	const char *function;	    /* only stacks with a frame of this name, and of them what lies below its outermost frame (from_leaf: above its innermost): that
				     * frame is the first level, without process; NULL: whole stacks */
	bool from_leaf;		    /* from the leaf up: a frame's children are its callers */
	bool no_process;	    /* without the first level, the label "process" where samples have it */
	uint32_t max_nodes;	    /* 0: all; else the smallest subtrees are left out, and their values stay in their parents */
};

struct flame_node {
	uint32_t parent; /* index; the root's is itself */
	uint32_t name;	 /* indices into the tree's names, modules, files */
	uint32_t module; /* file of the mapping; 0: none */
	uint32_t file;	 /* source of the function, where it is known; 0: none */
	uint32_t depth;	 /* 0: the root */
	bool is_kernel;
	bool is_process; /* of the first level: the label */
	int64_t value, self; /* of this frame and all that it called; of itself */
	int64_t base_value, base_self;
	int64_t start; /* sum of the values left of it */
};

/* Owns all that it refers to: profile and base may go. */
struct flame_tree {
	struct flame_node *nodes; /* 0 is the root "all"; in pre-order: each node stands behind its parent, before its next sibling stand all its descendants; siblings by
				   * their names */
	size_t n_nodes;
	uint32_t *order; /* the nodes in the order of the samples that brought them, outer ones first */
	size_t n_left_out; /* nodes */
	size_t n_cut;	   /* stacks deeper than FLAME_DEPTH_MAX */
	uint32_t depth;	   /* of the deepest node */
	const char **names, **modules, **files; /* modules and files: 0 is "" */
	size_t n_names, n_modules, n_files;
	char *text; /* behind them */
};

/* Build the tree of one sample type; samples with a value of 0 or less are left out. Frames are one where parent, name, side (kernel or not) and module are, the module by the last part
 * of its path; with a base whatever the module. options: NULL: none. Returns 0, -EINVAL (no such sample type, here or in the base), -E2BIG (past 2^31 nodes), -ENOMEM. */
int flame_tree_create(const struct profile *profile, uint32_t value, const struct flame_options *options, struct flame_tree **tree_out);

/* NULL is legal. */
void flame_tree_destroy(struct flame_tree *tree);

#endif
