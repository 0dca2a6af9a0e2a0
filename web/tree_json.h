/* A tree as JSON: columns, one number for each node, in pre-order. */
#ifndef HEARTH_WEB_TREE_JSON_H
#define HEARTH_WEB_TREE_JSON_H

#include <stdbool.h>

#include "base/json_writer.h"
#include "pprof/flame_tree.h"

/* Members of the object at hand: "left_out", "names", "modules", "files", "nodes"; of texts those that nodes refer to. with_base: also "base_total", "base_self" of nodes. Returns 0 or
 * -ENOMEM: then nothing was written. */
int tree_json_write(struct json_writer *json, const struct flame_tree *tree, bool with_base);

#endif
