/* The distinct frames of a flame tree: what formats want that list frames once and number them. */
#ifndef HEARTH_PPROF_TREE_FRAMES_H
#define HEARTH_PPROF_TREE_FRAMES_H

#include "pprof/flame_tree.h"

struct tree_frame {
	uint32_t name, module, file; /* the tree's */
	bool is_kernel, is_process;
};

struct tree_frames {
	struct tree_frame *frames;
	size_t n;
	uint32_t *of; /* each node's */
};

/* Returns 0, -EIO, -ENOMEM. */
int tree_frames_init(struct tree_frames *t, const struct flame_tree *tree);
void tree_frames_deinit(struct tree_frames *t);

#endif
