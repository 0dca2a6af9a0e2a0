/* The Firefox Profiler's processed profile format, version 48 (of 2023; newer ones of the profiler read it). A thread for each process name, and one for what has none; its stack
 * table is the flame tree below the process. Samples have no times here: each stands where those before it end, as in traces that the format describes. */
#include "pprof/render.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"
#include "base/scope.h"
#include "pprof/flame_tree.h"
#include "pprof/tree_frames.h"

#define FORMAT_VERSION	48
#define GECKO_VERSION	27
#define THREADS_VISIBLE 12
#define RESOURCE_LIBRARY 1
#define NONE		UINT32_MAX

enum { CATEGORY_OTHER, CATEGORY_USER, CATEGORY_KERNEL };

/* Nodes [begin, end) of the tree and, for the one without a process, what else is not below a process. */
struct thread {
	const char *name;
	uint32_t begin, end; /* end 0: all that lies below no process */
	int64_t value;
};

struct firefox {
	struct json_writer w;
	const struct profile *profile;
	const struct flame_tree *tree;
	struct tree_frames frames;
	const char *name;
	struct thread *threads;
	size_t n_threads;
	const char *weight_type;
	double scale; /* of values, for weights; of times too, but where weights are bytes */
	/* Of the thread at hand: */
	uint32_t *stacks;      /* of nodes; NONE: not of this thread */
	uint32_t *local;       /* of frames */
	uint32_t *functions;   /* frames by their local number */
	uint32_t *resource_of; /* of modules */
	uint32_t *modules;     /* by resource */
	size_t n_stacks, n_functions, n_resources;
};

static bool starts_thread(const struct flame_node *node)
{
	return node->depth == 1 && node->is_process;
}

static int by_value(const void *a, const void *b)
{
	const struct thread *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? 1 : -1;
	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static int find_threads(struct firefox *f)
{
	const struct flame_tree *t = f->tree;
	struct thread rest = {.name = f->name, .value = t->nodes[0].value};
	size_t n = 1;

	for (size_t i = 0; i < t->n_nodes; i++)
		n += starts_thread(&t->nodes[i]);
	f->threads = calloc(n, sizeof(f->threads[0]));
	if (!f->threads)
		return -ENOMEM;
	for (uint32_t i = 1; i < t->n_nodes; i++) {
		if (!starts_thread(&t->nodes[i]))
			continue;
		uint32_t end = i + 1;
		while (end < t->n_nodes && t->nodes[end].depth > 1)
			end++;
		f->threads[f->n_threads++] = (struct thread){.name = t->names[t->nodes[i].name], .begin = i, .end = end, .value = t->nodes[i].value};
		rest.value -= t->nodes[i].value;
	}
	if (rest.value || !f->n_threads)
		f->threads[f->n_threads++] = rest;
	qsort(f->threads, f->n_threads, sizeof(f->threads[0]), by_value);
	return 0;
}

/* --- one thread's tables ------------------------------------------------------------------------------------- */

static bool is_of_thread(const struct thread *thread, const struct flame_tree *t, uint32_t i, bool *elsewhere)
{
	if (thread->end)
		return i > thread->begin;
	if (t->nodes[i].depth == 1)
		*elsewhere = t->nodes[i].is_process;
	return i && !*elsewhere;
}

/* Call fn for each node of the thread, in order. */
static void for_each_node(struct firefox *f, const struct thread *thread, void (*fn)(struct firefox *f, uint32_t node))
{
	bool elsewhere = false;

	for (uint32_t i = thread->begin; i < (thread->end ? thread->end : f->tree->n_nodes); i++)
		if (is_of_thread(thread, f->tree, i, &elsewhere))
			fn(f, i);
}

static void take_node(struct firefox *f, uint32_t node)
{
	uint32_t frame = f->frames.of[node], module = f->frames.frames[frame].module;

	f->stacks[node] = (uint32_t)f->n_stacks++;
	if (f->local[frame] == NONE) {
		f->local[frame] = (uint32_t)f->n_functions;
		f->functions[f->n_functions++] = frame;
	}
	if (module && f->resource_of[module] == NONE) {
		f->resource_of[module] = (uint32_t)f->n_resources;
		f->modules[f->n_resources++] = module;
	}
}

static void take_nodes(struct firefox *f, const struct thread *thread)
{
	/* Tables of the thread before are undone by what is in them: threads may be many. */
	for (size_t i = 0; i < f->n_functions; i++)
		f->local[f->functions[i]] = NONE;
	for (size_t i = 0; i < f->n_resources; i++)
		f->resource_of[f->modules[i]] = NONE;
	f->n_stacks = f->n_functions = f->n_resources = 0;
	for_each_node(f, thread, take_node);
}

/* A column of n numbers. */
static void put_same(struct firefox *f, const char *key, size_t n, int64_t value)
{
	json_array_begin(&f->w, key);
	for (size_t i = 0; i < n; i++)
		json_int(&f->w, NULL, value);
	json_array_end(&f->w);
}

static void put_nulls(struct firefox *f, const char *key, size_t n)
{
	json_array_begin(&f->w, key);
	for (size_t i = 0; i < n; i++)
		json_null(&f->w, NULL);
	json_array_end(&f->w);
}

static void put_falses(struct firefox *f, const char *key, size_t n)
{
	json_array_begin(&f->w, key);
	for (size_t i = 0; i < n; i++)
		json_bool(&f->w, NULL, false);
	json_array_end(&f->w);
}

static int category(const struct tree_frame *frame)
{
	return frame->is_kernel ? CATEGORY_KERNEL : frame->module ? CATEGORY_USER : CATEGORY_OTHER;
}

static void put_stack_frame(struct firefox *f, uint32_t node)
{
	json_uint(&f->w, NULL, f->local[f->frames.of[node]]);
}

static void put_stack_category(struct firefox *f, uint32_t node)
{
	json_int(&f->w, NULL, category(&f->frames.frames[f->frames.of[node]]));
}

/* The first level hangs below the process, which is the thread itself, or below the root. */
static void put_stack_prefix(struct firefox *f, uint32_t node)
{
	const struct flame_node *parent = &f->tree->nodes[f->tree->nodes[node].parent];

	if (!parent->depth || starts_thread(parent))
		json_null(&f->w, NULL);
	else
		json_uint(&f->w, NULL, f->stacks[f->tree->nodes[node].parent]);
}

static void put_stack_table(struct firefox *f, const struct thread *thread)
{
	json_object_begin(&f->w, "stackTable");
	json_array_begin(&f->w, "frame");
	for_each_node(f, thread, put_stack_frame);
	json_array_end(&f->w);
	json_array_begin(&f->w, "prefix");
	for_each_node(f, thread, put_stack_prefix);
	json_array_end(&f->w);
	json_array_begin(&f->w, "category");
	for_each_node(f, thread, put_stack_category);
	json_array_end(&f->w);
	put_same(f, "subcategory", f->n_stacks, 0);
	json_uint(&f->w, "length", f->n_stacks);
	json_object_end(&f->w);
}

static double weight_of(const struct firefox *f, int64_t value)
{
	return (double)value * f->scale;
}

/* Samples of a process itself (without a stack) come first. */
static void put_samples(struct firefox *f, const struct thread *thread)
{
	const struct flame_tree *t = f->tree;
	uint32_t end = thread->end ? thread->end : (uint32_t)t->n_nodes;
	size_t n = 0;
	double at = 0;

	json_object_begin(&f->w, "samples");
	for (int column = 0; column < 3; column++) {
		static const char *const KEYS[] = {"stack", "time", "weight"};
		bool elsewhere = false;
		json_array_begin(&f->w, KEYS[column]);
		for (uint32_t i = thread->begin; i < end; i++) {
			bool inside = is_of_thread(thread, t, i, &elsewhere);
			if ((!inside && i != thread->begin) || !t->nodes[i].self)
				continue;
			double weight = weight_of(f, t->nodes[i].self);
			if (column == 0 && inside)
				json_uint(&f->w, NULL, f->stacks[i]);
			else if (column == 0)
				json_null(&f->w, NULL);
			else
				json_double(&f->w, NULL, column == 1 ? at : weight);
			at += column == 1 ? weight : 0;
			n += column == 0;
		}
		json_array_end(&f->w);
	}
	json_string(&f->w, "weightType", f->weight_type);
	json_uint(&f->w, "length", n);
	json_object_end(&f->w);
}

static void put_frame_table(struct firefox *f)
{
	size_t n = f->n_functions;

	json_object_begin(&f->w, "frameTable");
	put_same(f, "address", n, -1);
	put_same(f, "inlineDepth", n, 0);
	json_array_begin(&f->w, "category");
	for (size_t i = 0; i < n; i++)
		json_int(&f->w, NULL, category(&f->frames.frames[f->functions[i]]));
	json_array_end(&f->w);
	put_same(f, "subcategory", n, 0);
	json_array_begin(&f->w, "func");
	for (size_t i = 0; i < n; i++)
		json_uint(&f->w, NULL, i);
	json_array_end(&f->w);
	put_nulls(f, "nativeSymbol", n);
	put_same(f, "innerWindowID", n, 0);
	put_nulls(f, "implementation", n);
	put_nulls(f, "line", n);
	put_nulls(f, "column", n);
	json_uint(&f->w, "length", n);
	json_object_end(&f->w);
}

/* Strings of a thread: names of its functions, then their files, then names of its resources. */
static void put_function_table(struct firefox *f)
{
	size_t n = f->n_functions;

	json_object_begin(&f->w, "funcTable");
	put_falses(f, "isJS", n);
	put_falses(f, "relevantForJS", n);
	json_array_begin(&f->w, "name");
	for (size_t i = 0; i < n; i++)
		json_uint(&f->w, NULL, i);
	json_array_end(&f->w);
	json_array_begin(&f->w, "resource");
	for (size_t i = 0; i < n; i++) {
		uint32_t module = f->frames.frames[f->functions[i]].module;
		json_int(&f->w, NULL, module ? (int64_t)f->resource_of[module] : -1);
	}
	json_array_end(&f->w);
	json_array_begin(&f->w, "fileName");
	for (size_t i = 0; i < n; i++) {
		if (f->frames.frames[f->functions[i]].file)
			json_uint(&f->w, NULL, n + i);
		else
			json_null(&f->w, NULL);
	}
	json_array_end(&f->w);
	put_nulls(f, "lineNumber", n);
	put_nulls(f, "columnNumber", n);
	json_uint(&f->w, "length", n);
	json_object_end(&f->w);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static void put_strings(struct firefox *f)
{
	json_array_begin(&f->w, "stringArray");
	for (size_t i = 0; i < f->n_functions; i++)
		json_string(&f->w, NULL, f->tree->names[f->frames.frames[f->functions[i]].name]);
	for (size_t i = 0; i < f->n_functions; i++)
		json_string(&f->w, NULL, f->tree->files[f->frames.frames[f->functions[i]].file]);
	for (size_t i = 0; i < f->n_resources; i++)
		json_string(&f->w, NULL, base_name(f->tree->modules[f->modules[i]]));
	json_array_end(&f->w);
}

/* The profile's libraries are the tree's modules, without the first one, which is none. */
static void put_resources(struct firefox *f)
{
	json_object_begin(&f->w, "resourceTable");
	json_array_begin(&f->w, "lib");
	for (size_t i = 0; i < f->n_resources; i++)
		json_uint(&f->w, NULL, f->modules[i] - 1);
	json_array_end(&f->w);
	json_array_begin(&f->w, "name");
	for (size_t i = 0; i < f->n_resources; i++)
		json_uint(&f->w, NULL, 2 * f->n_functions + i);
	json_array_end(&f->w);
	put_nulls(f, "host", f->n_resources);
	put_same(f, "type", f->n_resources, RESOURCE_LIBRARY);
	json_uint(&f->w, "length", f->n_resources);
	json_object_end(&f->w);
}

/* A table that is there and has no rows. */
static void put_empty(struct firefox *f, const char *key, const char *const *columns, size_t n)
{
	json_object_begin(&f->w, key);
	for (size_t i = 0; i < n; i++) {
		json_array_begin(&f->w, columns[i]);
		json_array_end(&f->w);
	}
	json_uint(&f->w, "length", 0);
	json_object_end(&f->w);
}

static void put_thread(struct firefox *f, const struct thread *thread, size_t number)
{
	static const char *const MARKERS[] = {"data", "name", "startTime", "endTime", "phase", "category"};
	static const char *const SYMBOLS[] = {"libIndex", "address", "name", "functionSize"};

	take_nodes(f, thread);
	json_object_begin(&f->w, NULL);
	json_string(&f->w, "processType", "default");
	json_string(&f->w, "processName", thread->name);
	json_uint(&f->w, "processStartupTime", 0);
	json_null(&f->w, "processShutdownTime");
	json_uint(&f->w, "registerTime", 0);
	json_null(&f->w, "unregisterTime");
	json_array_begin(&f->w, "pausedRanges");
	json_array_end(&f->w);
	json_string(&f->w, "name", thread->name);
	json_bool(&f->w, "isMainThread", true);
	json_string(&f->w, "pid", thread->end ? thread->name : "");
	json_uint(&f->w, "tid", number + 1);
	put_samples(f, thread);
	put_empty(f, "markers", MARKERS, 6);
	put_stack_table(f, thread);
	put_frame_table(f);
	put_function_table(f);
	put_strings(f);
	put_resources(f);
	put_empty(f, "nativeSymbols", SYMBOLS, 4);
	json_object_end(&f->w);
}

/* --- the profile --------------------------------------------------------------------------------------------- */

static void put_categories(struct firefox *f)
{
	static const char *const CATEGORIES[][2] = {{"Other", "grey"}, {"User", "yellow"}, {"Kernel", "orange"}};

	json_array_begin(&f->w, "categories");
	for (size_t i = 0; i < 3; i++) {
		json_object_begin(&f->w, NULL);
		json_string(&f->w, "name", CATEGORIES[i][0]);
		json_string(&f->w, "color", CATEGORIES[i][1]);
		json_array_begin(&f->w, "subcategories");
		json_string(&f->w, NULL, "Other");
		json_array_end(&f->w);
		json_object_end(&f->w);
	}
	json_array_end(&f->w);
}

static void put_meta(struct firefox *f)
{
	const struct profile *p = f->profile;
	bool in_ns = strcmp(profile_string(p, p->period_type.unit), "nanoseconds") == 0;

	json_object_begin(&f->w, "meta");
	json_double(&f->w, "interval", in_ns && p->period > 0 ? (double)p->period / 1e6 : 1);
	json_int(&f->w, "startTime", p->time_ns / 1000000);
	json_uint(&f->w, "processType", 0);
	json_string(&f->w, "product", f->name);
	json_uint(&f->w, "stackwalk", 1);
	json_uint(&f->w, "version", GECKO_VERSION);
	json_uint(&f->w, "preprocessedProfileVersion", FORMAT_VERSION);
	json_string(&f->w, "importedFrom", "hearth " HEARTH_VERSION);
	json_bool(&f->w, "symbolicated", true);
	json_bool(&f->w, "symbolicationNotSupported", true);
	json_bool(&f->w, "usesOnlyOneStackType", true);
	json_bool(&f->w, "doesNotUseFrameImplementation", true);
	json_bool(&f->w, "sourceCodeIsNotOnSearchfox", true);
	put_categories(f);
	json_array_begin(&f->w, "markerSchema");
	json_array_end(&f->w);
	json_array_begin(&f->w, "initialVisibleThreads");
	for (size_t i = 0; i < f->n_threads && i < THREADS_VISIBLE; i++)
		json_uint(&f->w, NULL, i);
	json_array_end(&f->w);
	json_array_begin(&f->w, "initialSelectedThreads");
	json_uint(&f->w, NULL, 0);
	json_array_end(&f->w);
	json_object_end(&f->w);
}

static void put_libraries(struct firefox *f)
{
	json_array_begin(&f->w, "libs");
	for (size_t i = 1; i < f->tree->n_modules; i++) {
		const char *path = f->tree->modules[i];
		json_object_begin(&f->w, NULL);
		json_string(&f->w, "arch", "");
		json_string(&f->w, "name", base_name(path));
		json_string(&f->w, "path", path);
		json_string(&f->w, "debugName", base_name(path));
		json_string(&f->w, "debugPath", path);
		json_string(&f->w, "breakpadId", "");
		json_null(&f->w, "codeId");
		json_object_end(&f->w);
	}
	json_array_end(&f->w);
}

static void put_profile(struct firefox *f)
{
	json_object_begin(&f->w, NULL);
	put_meta(f);
	put_libraries(f);
	json_array_begin(&f->w, "pages");
	json_array_end(&f->w);
	json_array_begin(&f->w, "counters");
	json_array_end(&f->w);
	json_array_begin(&f->w, "threads");
	for (size_t i = 0; i < f->n_threads; i++)
		put_thread(f, &f->threads[i], i);
	json_array_end(&f->w);
	json_object_end(&f->w);
}

/* The units of weights are samples, milliseconds and bytes. */
static void choose_unit(struct firefox *f, const char *unit)
{
	static const struct {
		const char *unit, *type;
		double scale;
	} UNITS[] = {{"nanoseconds", "tracing-ms", 1e-6}, {"microseconds", "tracing-ms", 1e-3}, {"milliseconds", "tracing-ms", 1}, {"seconds", "tracing-ms", 1e3},
		     {"bytes", "bytes", 1}};

	f->weight_type = "samples";
	f->scale = 1;
	for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
		if (strcmp(unit, UNITS[i].unit) != 0)
			continue;
		f->weight_type = UNITS[i].type;
		f->scale = UNITS[i].scale;
	}
}

static uint32_t *numbers(size_t n)
{
	uint32_t *all = malloc((n + 1) * sizeof(*all));

	if (all)
		memset(all, 0xff, (n + 1) * sizeof(*all));
	return all;
}

static int prepare(struct firefox *f)
{
	int err = tree_frames_init(&f->frames, f->tree);
	if (err < 0)
		return err;
	f->stacks = numbers(f->tree->n_nodes);
	f->local = numbers(f->frames.n);
	f->functions = numbers(f->frames.n);
	f->resource_of = numbers(f->tree->n_modules);
	f->modules = numbers(f->tree->n_modules);
	if (!f->stacks || !f->local || !f->functions || !f->resource_of || !f->modules)
		return -ENOMEM;
	return find_threads(f);
}

static void firefox_deinit(struct firefox *f)
{
	tree_frames_deinit(&f->frames);
	free(f->threads);
	free(f->stacks);
	free(f->local);
	free(f->functions);
	free(f->resource_of);
	free(f->modules);
}

int profile_write_firefox(const struct profile *profile, const char *name, FILE *stream)
{
	struct flame_tree *tree = NULL;
	uint32_t value = profile_default_value(profile);

	int err = flame_tree_create(profile, value, NULL, &tree);
	if (err < 0)
		return err;
	struct firefox f = {.profile = profile, .tree = tree, .name = name};
	choose_unit(&f, profile_string(profile, profile->sample_types[value].unit));
	json_writer_init(&f.w, stream);
	err = prepare(&f);
	if (err == 0) {
		put_profile(&f);
		fputc('\n', stream);
	}
	firefox_deinit(&f);
	flame_tree_destroy(tree);
	errno = 0;
	return err < 0 ? err : fflush(stream) != 0 || ferror(stream) ? (errno ? -errno : -EIO) : 0;
}
