/* view_write_json(): the same as the text, for machines. */
#include "agent/view_labels.h"
#include "agent/view_page.h"

#include <errno.h>
#include <stdlib.h>

#include "base/json_writer.h"
#include "base/scope.h"
#include "pprof/flame_tree.h"
#include "pprof/function_table.h"

static void write_part(struct json_writer *w, const char *key, const struct profile *p, uint32_t value, const char *subject)
{
	json_object_begin(w, key);
	json_string(w, "of", subject);
	json_int(w, "time_ns", p->time_ns);
	json_int(w, "duration_ns", p->duration_ns);
	json_int(w, "total", profile_total(p, value));
	json_uint(w, "samples", p->n_samples);
	json_array_begin(w, "comments");
	for (size_t i = 0; i < p->n_comments; i++)
		json_string(w, NULL, profile_string(p, p->comments[i]));
	json_array_end(w);
	json_object_end(w);
}

static int write_functions(const struct view_page *page, struct json_writer *w)
{
	AUTO_FREE struct function_row *rows = NULL;
	uint64_t most = page->options->rows;
	size_t n = 0;

	int err = function_table_create(page->profile, page->base, page->value, &rows, &n);
	if (err < 0)
		return err;
	json_uint(w, "n", n);
	json_array_begin(w, "functions");
	for (size_t i = 0; i < n && (!most || i < most); i++) {
		json_object_begin(w, NULL);
		json_string(w, "name", rows[i].name);
		json_string(w, "module", rows[i].module);
		json_string(w, "file", rows[i].file);
		json_bool(w, "kernel", rows[i].is_kernel);
		json_int(w, "self", rows[i].self);
		json_int(w, "total", rows[i].total);
		if (page->base) {
			json_int(w, "base_self", rows[i].base_self);
			json_int(w, "base_total", rows[i].base_total);
		}
		json_object_end(w);
	}
	json_array_end(w);
	return 0;
}

static int write_labels(const struct view_page *page, struct json_writer *w)
{
	AUTO_FREE struct label_row *rows = NULL;
	uint64_t most = page->options->rows;
	size_t n = 0;

	int err = label_table_create(page->profile, page->value, page->base, page->base_value, page->options->by, &rows, &n);
	if (err < 0)
		return err;
	json_string(w, "by", page->options->by);
	json_uint(w, "n", n);
	json_array_begin(w, "values");
	for (size_t i = 0; i < n && (!most || i < most); i++) {
		json_object_begin(w, NULL);
		json_string(w, "value", rows[i].text);
		if (*rows[i].process)
			json_string(w, "process", rows[i].process);
		json_int(w, "total", rows[i].value);
		if (page->base)
			json_int(w, "base_total", rows[i].base_value);
		json_object_end(w);
	}
	json_array_end(w);
	return 0;
}

static int write_lines(const struct view_page *page, struct json_writer *w)
{
	AUTO_FREE struct line_row *rows = NULL;
	uint64_t most = page->options->rows;
	size_t n = 0;

	int err = line_table_create(page->profile, page->value, page->function, &rows, &n);
	if (err < 0)
		return err;
	json_uint(w, "n", n);
	json_array_begin(w, "lines");
	for (size_t i = 0; i < n && (!most || i < most); i++) {
		json_object_begin(w, NULL);
		json_string(w, "file", rows[i].file);
		json_int(w, "line", rows[i].line);
		json_int(w, "self", rows[i].self);
		json_int(w, "total", rows[i].total);
		json_object_end(w);
	}
	json_array_end(w);
	return 0;
}

/* Nodes lie in pre-order; depth tells which are children of which. No recursion: a stranger's stacks may be deep. */
static void write_nodes(const struct view_page *page, const struct flame_tree *t, struct json_writer *w)
{
	double least = page->options->min_share * (double)profile_total(page->profile, page->value);
	uint32_t skipped = UINT32_MAX, open = 0; /* skipped: deeper nodes are below one that is too small */

	for (size_t i = 0; i < t->n_nodes; i++) {
		const struct flame_node *n = &t->nodes[i];
		if (n->depth > skipped)
			continue;
		skipped = i && (double)n->value < least ? n->depth : UINT32_MAX;
		if (skipped != UINT32_MAX)
			continue;
		for (; open > n->depth; open--) {
			json_array_end(w);
			json_object_end(w);
		}
		json_object_begin(w, i ? NULL : "tree");
		json_string(w, "name", t->names[n->name]);
		json_string(w, "module", t->modules[n->module]);
		json_bool(w, "kernel", n->is_kernel);
		json_int(w, "total", n->value);
		json_int(w, "self", n->self);
		json_array_begin(w, "children");
		open = n->depth + 1;
	}
	for (; open > 0; open--) {
		json_array_end(w);
		json_object_end(w);
	}
}

static int write_tree(const struct view_page *page, struct json_writer *w)
{
	const struct flame_options options = {
		.function = page->options->form == VIEW_TREE ? NULL : page->function,
		.from_leaf = page->options->form == VIEW_CALLERS,
	};
	struct flame_tree *tree = NULL;

	int err = flame_tree_create(page->profile, page->value, &options, &tree);
	if (err == 0)
		write_nodes(page, tree, w);
	flame_tree_destroy(tree);
	return err;
}

int view_write_json(const struct view_page *page, FILE *stream)
{
	const struct profile *p = page->profile;
	const struct profile_value_type *type = &p->sample_types[page->value];
	struct json_writer writer, *w = &writer;
	char only[256];
	int err;

	view_options_describe(page->options, only, sizeof(only));
	json_writer_init(w, stream);
	json_object_begin(w, NULL);
	json_string(w, "type", profile_string(p, type->type));
	json_string(w, "unit", profile_string(p, type->unit));
	json_string(w, "only", only);
	write_part(w, "profile", p, page->value, page->subject);
	if (page->base)
		write_part(w, "base", page->base, page->base_value, page->base_subject);
	if (page->function)
		json_string(w, "function", page->function);
	if (page->options->form == VIEW_BY)
		err = write_labels(page, w);
	else if (page->options->form == VIEW_TOP || page->base)
		err = write_functions(page, w);
	else if (page->options->form == VIEW_LINES)
		err = write_lines(page, w);
	else
		err = write_tree(page, w);
	json_object_end(w);
	fputc('\n', stream);
	if (err < 0)
		return err;
	errno = 0;
	return fflush(stream) != 0 || ferror(stream) ? (errno ? -errno : -EIO) : 0;
}
