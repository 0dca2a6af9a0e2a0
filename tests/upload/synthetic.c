#include "tests/upload/synthetic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pprof/profile_builder.h"

#define PERIOD_NS   (1000000000 / 19)
#define DEPTH_MAX   128
#define NAME_MAX_   1024
#define FUNCTIONS_MIN 40 /* of a process; else a tenth of its stacks */

struct maker {
	const struct synthetic *shape;
	struct profile_builder *builder;
	uint32_t kernel, image; /* mappings */
	uint64_t window;
};

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = a * 0x9e3779b97f4a7c15ull + b;

	x = (x ^ (x >> 31)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static profile_str string(struct profile_builder *b, const char *text)
{
	int64_t id = profile_builder_string(b, text, strlen(text));

	return id < 0 ? 0 : (profile_str)id;
}

static int64_t frame(const struct maker *m, uint32_t process, uint64_t function, bool kernel)
{
	char name[NAME_MAX_];
	uint64_t address = 0x1000 + function * 64;
	int n = kernel ? snprintf(name, sizeof(name), "kernel_%" PRIu64, function)
		       : snprintf(name, sizeof(name), "app%u::function_%" PRIu64 "(int, char const*)", process, function);

	while (n >= 0 && (uint32_t)n < m->shape->name_bytes && n + 1 < NAME_MAX_)
		name[n++] = '_';
	name[n] = '\0';
	if (!kernel && function % 10 == 9)
		return profile_builder_location(m->builder, m->image, address, NULL, 0);
	struct profile_function f = {.name = string(m->builder, name), .system_name = string(m->builder, name),
				     .filename = string(m->builder, kernel ? "" : "src/work.cc"), .start_line = 10};
	int64_t id = profile_builder_function(m->builder, &f);
	if (id < 0)
		return id;
	return profile_builder_location(m->builder, kernel ? m->kernel : m->image, kernel ? 0 : address,
					&(struct profile_line){.function = (uint32_t)id, .line = 10 + (int64_t)(function % 90)}, 1);
}

static struct profile_label text_label(const struct maker *m, const char *key, const char *value)
{
	return (struct profile_label){.key = string(m->builder, key), .str = string(m->builder, value)};
}

static size_t labels_of(const struct maker *m, uint32_t process, struct profile_label labels[10])
{
	char text[128];
	size_t n = 0;

	labels[n++] = (struct profile_label){.key = string(m->builder, "pid"), .num = 1000 + process};
	snprintf(text, sizeof(text), "app%u", process);
	labels[n++] = text_label(m, "process", text);
	labels[n++] = text_label(m, "thread", "worker");
	snprintf(text, sizeof(text), "/usr/bin/app%u", process);
	labels[n++] = text_label(m, "executable", text);
	if (process % 2) {
		snprintf(text, sizeof(text), "%064x", process);
		labels[n++] = text_label(m, "container_id", text);
		snprintf(text, sizeof(text), "container%u", process);
		labels[n++] = text_label(m, "container", text);
		labels[n++] = text_label(m, "pod", "pod-of-tests");
		labels[n++] = text_label(m, "namespace", "default");
	} else {
		snprintf(text, sizeof(text), "app%u.service", process);
		labels[n++] = text_label(m, "unit", text);
	}
	snprintf(text, sizeof(text), process % 2 ? "container%u" : "app%u", process);
	labels[n++] = text_label(m, "service", text);
	return n;
}

static int add_stack(const struct maker *m, uint32_t process, uint32_t stack, const struct profile_label *labels, size_t n_labels)
{
	uint32_t locations[DEPTH_MAX];
	uint64_t chance = mix(m->window * 7919 + process, stack);
	uint32_t functions = m->shape->stacks / 10 > FUNCTIONS_MIN ? m->shape->stacks / 10 : FUNCTIONS_MIN;
	uint32_t depth = m->shape->depth < DEPTH_MAX ? m->shape->depth : DEPTH_MAX;

	if (chance % 3)
		return 0;
	for (uint32_t i = 0; i < depth; i++) {
		bool kernel = stack % 4 == 0 && i < depth / 4;
		int64_t id = frame(m, process, i + 1 == depth ? 0 : mix(process * 1000003ull + stack, i) % functions, kernel);
		if (id < 0)
			return (int)id;
		locations[i] = (uint32_t)id;
	}
	int64_t count = 1 + (int64_t)(mix(chance, 1) % 8 == 0 ? mix(chance, 2) % 50 : 0);
	int64_t index = profile_builder_sample(m->builder, locations, depth, labels, n_labels, (int64_t[]){count, count * PERIOD_NS});
	return index < 0 ? (int)index : 0;
}

static int begin(struct maker *m, uint32_t process)
{
	char path[64], build_id[48];

	snprintf(path, sizeof(path), "/usr/bin/app%u", process);
	snprintf(build_id, sizeof(build_id), "%040x", 0xabc000 + process);
	int64_t id = profile_builder_mapping(m->builder, &(struct profile_mapping){.start = 0x1000, .limit = 0x9000, .file_offset = 0x1000,
				.filename = string(m->builder, path), .build_id = string(m->builder, build_id), .has_functions = true});
	if (id < 0)
		return (int)id;
	m->image = (uint32_t)id;
	return 0;
}

static int fill(struct maker *m, int64_t time_ns)
{
	struct profile_builder *b = m->builder;
	char account[96];

	if (profile_builder_sample_type(b, "samples", "count") < 0 || profile_builder_sample_type(b, "cpu", "nanoseconds") < 0)
		return -ENOMEM;
	profile_builder_period(b, "cpu", "nanoseconds", PERIOD_NS);
	profile_builder_default_sample_type(b, "cpu");
	profile_builder_time(b, time_ns, m->shape->duration_ns);
	snprintf(account, sizeof(account), "hearth: window=%" PRIu64, m->window);
	profile_builder_comment(b, account);
	int64_t kernel = profile_builder_mapping(b, &(struct profile_mapping){.filename = string(b, "[kernel.kallsyms]"), .has_functions = true});
	if (kernel < 0)
		return (int)kernel;
	m->kernel = (uint32_t)kernel;
	for (uint32_t process = 0; process < m->shape->processes; process++) {
		struct profile_label labels[10];
		int err = begin(m, process);
		size_t n = labels_of(m, process, labels);
		for (uint32_t stack = 0; !err && stack < m->shape->stacks; stack++)
			err = add_stack(m, process, stack, labels, n);
		if (err)
			return err;
	}
	return 0;
}

int synthetic_window(const struct synthetic *shape, uint64_t number, int64_t time_ns, struct profile **window_out)
{
	struct maker m = {.shape = shape, .window = number};
	int err = profile_builder_create(&m.builder);

	if (!err)
		err = fill(&m, time_ns);
	if (!err)
		err = profile_builder_finish(m.builder, window_out);
	profile_builder_destroy(m.builder);
	return err;
}
