/* Random profiles for tests of shaping: the same seed gives the same one. Labels are those of the agent (docs/profiles.md). */
#ifndef HEARTH_TESTS_RANDOM_PROFILE_H
#define HEARTH_TESTS_RANDOM_PROFILE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pprof/profile_builder.h"

#define RANDOM_DEPTH_MAX 128
#define RANDOM_FUNCTIONS 500

struct random_profile {
	uint64_t seed;
	uint32_t n_samples, n_processes, depth;
	uint32_t name_bytes; /* of functions' names, more or less */
	bool odd_values;     /* CPU time does not follow from the count */
};

struct random_source {
	uint64_t state;
	struct profile_builder *builder;
	const struct random_profile *how;
	uint32_t mappings[8], locations[RANDOM_FUNCTIONS];
};

#define RANDOM_NEED(condition)                                                                      \
	do {                                                                                        \
		if (!(condition)) {                                                                 \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);             \
			abort();                                                                    \
		}                                                                                   \
	} while (0)

/* splitmix64. Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators". */
static inline uint32_t random_below(struct random_source *r, uint32_t n)
{
	uint64_t z = (r->state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % n);
}

static inline profile_str random_string(struct random_source *r, const char *text)
{
	int64_t id = profile_builder_string(r->builder, text, strlen(text));

	RANDOM_NEED(id >= 0);
	return (profile_str)id;
}

static inline void random_mappings(struct random_source *r)
{
	static const char *const files[8] = {"[kernel.kallsyms]", "/usr/bin/app", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/opt/server/server",
					     "[jit]", "/usr/lib/libstdc++.so.6", "/usr/bin/python3.11", "/opt/no-build-id"};
	char build_id[41];

	for (unsigned i = 0; i < 8; i++) {
		snprintf(build_id, sizeof(build_id), "%040x", 0xabc000 + i);
		bool is_file = files[i][0] == '/';
		struct profile_mapping mapping = {.start = is_file ? 0x1000 : 0, .limit = is_file ? 0x900000 : 0,
						  .file_offset = is_file ? 0x1000 : 0, .filename = random_string(r, files[i]),
						  .build_id = random_string(r, is_file && i != 7 ? build_id : ""), .has_functions = true};
		int64_t id = profile_builder_mapping(r->builder, &mapping);
		RANDOM_NEED(id >= 0);
		r->mappings[i] = (uint32_t)id;
	}
}

/* One in eight has no name, one in eight is inlined into another function. */
static inline void random_locations(struct random_source *r)
{
	char name[4200], stand_in[64];

	for (uint32_t i = 0; i < RANDOM_FUNCTIONS; i++) {
		uint32_t mapping = random_below(r, 8), kind = random_below(r, 8), n = kind == 1 ? 2 : 1;
		struct profile_line lines[2];
		uint64_t address = mapping ? 0x1000 + 16 * (uint64_t)i : 0;
		for (uint32_t k = 0; k < n; k++) {
			int pad = (int)(r->how->name_bytes ? random_below(r, r->how->name_bytes) : 0) % 4000;
			snprintf(name, sizeof(name), "function_%u_%u%0*d", i, k, pad, 0);
			snprintf(stand_in, sizeof(stand_in), "[app+0x%x]", 0x1000 + 16 * i);
			struct profile_function function = {
				.name = random_string(r, kind == 2 ? stand_in : name),
				.system_name = random_string(r, kind == 2 ? stand_in : name),
				.filename = random_string(r, mapping == 3 ? "server/main.go" : mapping == 6 ? "src/lib.rs" : "src/work.c"),
				.start_line = i,
			};
			int64_t id = profile_builder_function(r->builder, &function);
			RANDOM_NEED(id >= 0);
			lines[k] = (struct profile_line){.function = (uint32_t)id, .line = 1 + i, .column = k};
		}
		int64_t id = profile_builder_location(r->builder, r->mappings[mapping], address, lines, kind == 3 ? 0 : n);
		RANDOM_NEED(id >= 0);
		r->locations[i] = (uint32_t)id;
	}
}

static inline void random_sample(struct random_source *r)
{
	uint32_t process = random_below(r, r->how->n_processes), kind = process % 5, depth = 1 + random_below(r, r->how->depth), n = 0;
	uint32_t locations[RANDOM_DEPTH_MAX];
	struct profile_label labels[12];
	char text[80];

	RANDOM_NEED(depth <= RANDOM_DEPTH_MAX);
	for (uint32_t i = 0; i < depth; i++)
		locations[i] = r->locations[random_below(r, random_below(r, 4) ? 64 : RANDOM_FUNCTIONS)];
#define RANDOM_LABEL(key_, ...)                                                                                                    \
	do {                                                                                                                       \
		snprintf(text, sizeof(text), __VA_ARGS__);                                                                         \
		labels[n++] = (struct profile_label){.key = random_string(r, key_), .str = random_string(r, text)};                \
	} while (0)
	labels[n++] = (struct profile_label){.key = random_string(r, "pid"), .num = 1000 + process};
	labels[n++] = (struct profile_label){.key = random_string(r, "tid"), .num = 1000 + process + random_below(r, 3)};
	RANDOM_LABEL("process", "process-%u", process);
	RANDOM_LABEL("thread", "worker/%u", random_below(r, 2));
	if (kind != 4) {
		RANDOM_LABEL("executable", "/usr/bin/process-%u", process);
		RANDOM_LABEL("cgroup", "/system.slice/part-%u", process / 2);
	}
	if (kind == 0) {
		RANDOM_LABEL("container_id", "%064x", process);
		RANDOM_LABEL("container", "box-%u", process % 7);
		RANDOM_LABEL("pod", "pod-%u", process % 7);
		RANDOM_LABEL("namespace", "shop \"%u\" \xc3\xa4&=%%", process % 2);
	}
	if (kind == 1)
		RANDOM_LABEL("unit", "unit-%u.service", process);
	if (kind < 3)
		RANDOM_LABEL("service", "service-%u", process % 11);
#undef RANDOM_LABEL
	int64_t count = 1 + random_below(r, random_below(r, 20) ? 3 : 500);
	int64_t values[2] = {count, count * 1000 + (r->how->odd_values ? random_below(r, 100) : 0)};
	RANDOM_NEED(profile_builder_sample(r->builder, locations, depth, labels, n, values) >= 0);
}

static inline struct profile *random_profile(const struct random_profile *how)
{
	struct random_source r = {.state = how->seed, .how = how};
	struct profile *profile;

	RANDOM_NEED(profile_builder_create(&r.builder) == 0);
	RANDOM_NEED(profile_builder_sample_type(r.builder, "samples", "count") == 0);
	RANDOM_NEED(profile_builder_sample_type(r.builder, "cpu", "nanoseconds") == 0);
	RANDOM_NEED(profile_builder_period(r.builder, "cpu", "nanoseconds", 1000) == 0);
	RANDOM_NEED(profile_builder_default_sample_type(r.builder, "cpu") == 0);
	profile_builder_time(r.builder, 1700000000000000000 + (int64_t)how->seed, 10000000000);
	RANDOM_NEED(profile_builder_comment(r.builder, "ticks=1 samples=1") == 0);
	random_mappings(&r);
	random_locations(&r);
	for (uint32_t i = 0; i < how->n_samples; i++)
		random_sample(&r);
	RANDOM_NEED(profile_builder_finish(r.builder, &profile) == 0);
	profile_builder_destroy(r.builder);
	return profile;
}

#endif
