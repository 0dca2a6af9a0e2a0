#include "pprof/render.h"

#include <errno.h>
#include <string.h>

#include "base/json_writer.h"
#include "base/scope.h"
#include "pprof/flame_tree.h"
#include "pprof/tree_frames.h"

/* Of speedscope's units those that pprof files have; all else is "none". */
static const char *unit_of(const char *unit)
{
	static const char *const UNITS[] = {"nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"};

	for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++)
		if (strcmp(unit, UNITS[i]) == 0)
			return UNITS[i];
	return "none";
}

static void write_frames(struct json_writer *w, const struct flame_tree *tree, const struct tree_frames *frames)
{
	json_object_begin(w, "shared");
	json_array_begin(w, "frames");
	for (size_t i = 0; i < frames->n; i++) {
		const struct tree_frame *frame = &frames->frames[i];
		const char *file = frame->file ? tree->files[frame->file] : tree->modules[frame->module];
		json_object_begin(w, NULL);
		json_string(w, "name", tree->names[frame->name]);
		if (*file)
			json_string(w, "file", file);
		json_object_end(w);
	}
	json_array_end(w);
	json_object_end(w);
}

/* The stack that ends in a node, the outermost frame first, without the root. */
static void write_stack(struct json_writer *w, const struct flame_tree *tree, const struct tree_frames *frames, uint32_t node)
{
	uint32_t stack[FLAME_DEPTH_MAX + 2], n = 0;

	for (; node; node = tree->nodes[node].parent)
		stack[n++] = frames->of[node];
	json_array_begin(w, NULL);
	while (n-- > 0)
		json_uint(w, NULL, stack[n]);
	json_array_end(w);
}

static void write_samples(struct json_writer *w, const struct flame_tree *tree, const struct tree_frames *frames)
{
	json_array_begin(w, "samples");
	for (uint32_t i = 0; i < tree->n_nodes; i++)
		if (tree->nodes[i].self)
			write_stack(w, tree, frames, i);
	json_array_end(w);
	json_array_begin(w, "weights");
	for (size_t i = 0; i < tree->n_nodes; i++)
		if (tree->nodes[i].self)
			json_int(w, NULL, tree->nodes[i].self);
	json_array_end(w);
}

int profile_write_speedscope(const struct profile *profile, const char *name, FILE *stream)
{
	struct flame_tree *tree = NULL;
	struct tree_frames frames;
	struct json_writer w;
	uint32_t value = profile_default_value(profile);

	int err = flame_tree_create(profile, value, NULL, &tree);
	if (err == 0)
		err = tree_frames_init(&frames, tree);
	if (err < 0) {
		flame_tree_destroy(tree);
		return err;
	}
	json_writer_init(&w, stream);
	json_object_begin(&w, NULL);
	json_string(&w, "$schema", "https://www.speedscope.app/file-format-schema.json");
	json_string(&w, "exporter", "hearth " HEARTH_VERSION);
	json_string(&w, "name", name);
	json_uint(&w, "activeProfileIndex", 0);
	write_frames(&w, tree, &frames);
	json_array_begin(&w, "profiles");
	json_object_begin(&w, NULL);
	json_string(&w, "type", "sampled");
	json_string(&w, "name", name);
	json_string(&w, "unit", unit_of(profile_string(profile, profile->sample_types[value].unit)));
	json_uint(&w, "startValue", 0);
	json_int(&w, "endValue", tree->nodes[0].value);
	write_samples(&w, tree, &frames);
	json_object_end(&w);
	json_array_end(&w);
	json_object_end(&w);
	fputc('\n', stream);
	tree_frames_deinit(&frames);
	flame_tree_destroy(tree);
	errno = 0;
	return fflush(stream) != 0 || ferror(stream) ? (errno ? -errno : -EIO) : 0;
}
