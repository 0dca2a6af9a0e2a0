#include "pprof/tree_frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/scope.h"

static bool same(const struct tree_frame *frame, const struct flame_node *node)
{
	return frame->name == node->name && frame->module == node->module && frame->is_kernel == node->is_kernel && frame->is_process == node->is_process;
}

/* slots: frame + 1; 0: free; more than twice as many as there can be frames. */
static void number_frames(struct tree_frames *t, const struct flame_tree *tree, uint32_t *slots, size_t n_slots, uint64_t seed)
{
	for (size_t i = 0; i < tree->n_nodes; i++) {
		const struct flame_node *node = &tree->nodes[i];
		uint32_t key[3] = {node->name, node->module, (uint32_t)node->is_kernel << 1 | node->is_process};
		size_t at = XXH3_64bits_withSeed(key, sizeof(key), seed) & (n_slots - 1);
		while (slots[at] && !same(&t->frames[slots[at] - 1], node))
			at = (at + 1) & (n_slots - 1);
		if (!slots[at]) {
			t->frames[t->n++] = (struct tree_frame){node->name, node->module, node->file, node->is_kernel, node->is_process};
			slots[at] = (uint32_t)t->n;
		}
		t->of[i] = slots[at] - 1;
	}
}

int tree_frames_init(struct tree_frames *t, const struct flame_tree *tree)
{
	size_t n_slots = 64;
	uint64_t seed;

	while (n_slots < 2 * tree->n_nodes)
		n_slots *= 2;
	AUTO_FREE uint32_t *slots = calloc(n_slots, sizeof(*slots));
	*t = (struct tree_frames){.frames = malloc(tree->n_nodes * sizeof(t->frames[0])), .of = malloc(tree->n_nodes * sizeof(t->of[0]))};
	int err = slots && t->frames && t->of ? 0 : -ENOMEM;
	if (err == 0 && getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		err = -EIO;
	if (err < 0) {
		tree_frames_deinit(t);
		return err;
	}
	number_frames(t, tree, slots, n_slots, seed);
	return 0;
}

void tree_frames_deinit(struct tree_frames *t)
{
	free(t->frames);
	free(t->of);
	*t = (struct tree_frames){0};
}
