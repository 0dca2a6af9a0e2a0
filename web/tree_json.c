#include "web/tree_json.h"

#include <errno.h>
#include <stdlib.h>

#include "base/scope.h"

/* Texts that are referred to, numbered anew. */
struct used {
	uint32_t *numbers; /* + 1; 0: nobody refers to it */
	uint32_t n;
};

enum column { NAMES, MODULES, FILES, COLUMNS };

static uint32_t text_of(const struct flame_node *node, enum column column)
{
	return column == NAMES ? node->name : column == MODULES ? node->module : node->file;
}

static int number_texts(struct used *used, const struct flame_tree *tree, enum column column, size_t n_texts)
{
	used->numbers = calloc(n_texts + 1, sizeof(*used->numbers));
	used->n = 0;
	if (!used->numbers)
		return -ENOMEM;
	for (size_t i = 0; i < tree->n_nodes; i++) {
		uint32_t *number = &used->numbers[text_of(&tree->nodes[i], column)];
		if (!*number)
			*number = ++used->n;
	}
	return 0;
}

static int write_texts(struct json_writer *json, const char *key, const struct used *used, const char *const *texts, size_t n_texts)
{
	AUTO_FREE const char **order = malloc((used->n + 1) * sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < n_texts; i++)
		if (used->numbers[i])
			order[used->numbers[i] - 1] = texts[i];
	json_array_begin(json, key);
	for (uint32_t i = 0; i < used->n; i++)
		json_string(json, NULL, order[i]);
	json_array_end(json);
	return 0;
}

static void write_column(struct json_writer *json, const char *key, const struct flame_tree *tree, const struct used *used, enum column column)
{
	json_array_begin(json, key);
	for (size_t i = 0; i < tree->n_nodes; i++)
		json_uint(json, NULL, used->numbers[text_of(&tree->nodes[i], column)] - 1);
	json_array_end(json);
}

#define WRITE_NUMBERS(json, tree, key, field)                                                                                                          \
	do {                                                                                                                                           \
		json_array_begin(json, key);                                                                                                           \
		for (size_t i_ = 0; i_ < (tree)->n_nodes; i_++)                                                                                        \
			json_int(json, NULL, (tree)->nodes[i_].field);                                                                                 \
		json_array_end(json);                                                                                                                  \
	} while (0)

static void write_nodes(struct json_writer *json, const struct flame_tree *tree, const struct used used[COLUMNS], bool with_base)
{
	json_object_begin(json, "nodes");
	WRITE_NUMBERS(json, tree, "depth", depth);
	write_column(json, "name", tree, &used[NAMES], NAMES);
	write_column(json, "module", tree, &used[MODULES], MODULES);
	write_column(json, "file", tree, &used[FILES], FILES);
	WRITE_NUMBERS(json, tree, "kernel", is_kernel);
	WRITE_NUMBERS(json, tree, "total", value);
	WRITE_NUMBERS(json, tree, "self", self);
	if (with_base) {
		WRITE_NUMBERS(json, tree, "base_total", base_value);
		WRITE_NUMBERS(json, tree, "base_self", base_self);
	}
	json_object_end(json);
}

int tree_json_write(struct json_writer *json, const struct flame_tree *tree, bool with_base)
{
	const char *const *texts[COLUMNS] = {tree->names, tree->modules, tree->files};
	const size_t n_texts[COLUMNS] = {tree->n_names, tree->n_modules, tree->n_files};
	static const char *const keys[COLUMNS] = {"names", "modules", "files"};
	struct used used[COLUMNS] = {0};
	int err = 0;

	for (int c = 0; c < COLUMNS && err == 0; c++)
		err = number_texts(&used[c], tree, (enum column)c, n_texts[c]);
	if (err == 0) {
		json_uint(json, "left_out", tree->n_left_out);
		json_uint(json, "cut", tree->n_cut);
	}
	for (int c = 0; c < COLUMNS && err == 0; c++)
		err = write_texts(json, keys[c], &used[c], texts[c], n_texts[c]);
	if (err == 0)
		write_nodes(json, tree, used, with_base);
	for (int c = 0; c < COLUMNS; c++)
		free(used[c].numbers);
	return err;
}
