/* A small profile for tests: two stacks of one process, one of them with kernel frames and an inlined function. */
#ifndef HEARTH_TESTS_SAMPLE_PROFILE_H
#define HEARTH_TESTS_SAMPLE_PROFILE_H

#include <string.h>

#include "pprof/profile_builder.h"
#include "tests/unit/cmocka_prelude.h"

static inline profile_str sample_string(struct profile_builder *b, const char *text)
{
	int64_t id = profile_builder_string(b, text, strlen(text));

	assert_true(id >= 0);
	return (profile_str)id;
}

static inline uint32_t sample_location(struct profile_builder *b, uint32_t mapping, uint64_t address, const char *name,
				       const char *caller)
{
	struct profile_line lines[2];
	const char *names[2] = {name, caller};
	size_t n = 0;

	for (; n < 2 && names[n]; n++) {
		struct profile_function function = {.name = sample_string(b, names[n]),
						    .system_name = sample_string(b, names[n]),
						    .filename = sample_string(b, "work.c")};
		int64_t id = profile_builder_function(b, &function);
		assert_true(id >= 0);
		lines[n] = (struct profile_line){.function = (uint32_t)id, .line = 10 + (int64_t)n};
	}
	int64_t location = profile_builder_location(b, mapping, address, lines, n);
	assert_true(location >= 0);
	return (uint32_t)location;
}

/* process "app": 30 samples in main;outer;inlined, 10 in main;read_it;[kernel] vfs_read, 2 without names. */
static inline struct profile *sample_profile(void)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	assert_int_equal(profile_builder_sample_type(b, "cpu", "nanoseconds"), 0);
	assert_int_equal(profile_builder_period(b, "cpu", "nanoseconds", 10101010), 0);
	assert_int_equal(profile_builder_default_sample_type(b, "cpu"), 0);
	profile_builder_time(b, 1700000000000000000, 10000000000);
	assert_int_equal(profile_builder_comment(b, "ticks=42 samples=42"), 0);
	struct profile_mapping app = {.start = 0x1000, .limit = 0x9000, .file_offset = 0x1000, .has_functions = true,
				      .filename = sample_string(b, "/usr/bin/app"),
				      .build_id = sample_string(b, "abcdef0123456789")};
	struct profile_mapping kernel = {.filename = sample_string(b, "[kernel.kallsyms]"), .has_functions = true};
	uint32_t app_id = (uint32_t)profile_builder_mapping(b, &app);
	uint32_t kernel_id = (uint32_t)profile_builder_mapping(b, &kernel);
	uint32_t main_at = sample_location(b, app_id, 0x1100, "main", NULL);
	uint32_t outer = sample_location(b, app_id, 0x1200, "inlined<int, \"x\">", "outer");
	uint32_t read_it = sample_location(b, app_id, 0x1300, "read_it", NULL);
	uint32_t vfs = sample_location(b, kernel_id, 0, "vfs_read", NULL);
	uint32_t nameless = (uint32_t)profile_builder_location(b, app_id, 0x2345, NULL, 0);
	struct profile_label labels[] = {
		{.key = sample_string(b, "pid"), .num = 77},
		{.key = sample_string(b, "process"), .str = sample_string(b, "app")},
	};
	assert_int_equal(profile_builder_sample(b, (uint32_t[]){outer, main_at}, 2, labels, 2, (int64_t[]){30, 300}), 0);
	assert_int_equal(profile_builder_sample(b, (uint32_t[]){vfs, read_it, main_at}, 3, labels, 2, (int64_t[]){10, 100}), 1);
	assert_int_equal(profile_builder_sample(b, (uint32_t[]){nameless, main_at}, 2, labels, 2, (int64_t[]){2, 20}), 2);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

#endif
