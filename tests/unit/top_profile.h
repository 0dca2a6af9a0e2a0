/* Windows for the tests of `hearth top`. */
#ifndef HEARTH_TESTS_TOP_PROFILE_H
#define HEARTH_TESTS_TOP_PROFILE_H

#include <string.h>

#include "agent/accounting.h"
#include "agent/top_model.h"
#include "pprof/profile_builder.h"
#include "tests/unit/cmocka_prelude.h"

#define TOP_S 1000000000ll

/* stack: names, leaf first, separated by ';'; "k:" before a name makes it the kernel's. */
struct top_sample {
	int64_t pid;
	const char *process, *container, *stack;
	int64_t samples; /* each 10 ms */
};

static inline profile_str top_string(struct profile_builder *b, const char *text, size_t n)
{
	int64_t id = profile_builder_string(b, text, n);

	assert_true(id >= 0);
	return (profile_str)id;
}

static inline void top_put_sample(struct profile_builder *b, const struct top_sample *s, const uint32_t mappings[2])
{
	uint32_t locations[64];
	size_t n = 0;
	const char *at = s->stack;

	while (*at) {
		size_t bytes = strcspn(at, ";");
		bool is_kernel = strncmp(at, "k:", 2) == 0;
		struct profile_function function = {.name = top_string(b, at + 2 * is_kernel, bytes - 2 * is_kernel)};
		struct profile_line line = {.function = (uint32_t)profile_builder_function(b, &function)};
		locations[n++] = (uint32_t)profile_builder_location(b, mappings[is_kernel], 0x1000 + line.function, &line, 1);
		at += bytes + (at[bytes] == ';');
	}
	struct profile_label labels[3] = {
		{.key = top_string(b, "pid", 3), .num = s->pid},
		{.key = top_string(b, "process", 7), .str = top_string(b, s->process, strlen(s->process))},
		{.key = top_string(b, "container", 9), .str = top_string(b, s->container, strlen(s->container))},
	};
	assert_true(profile_builder_sample(b, locations, n, labels, s->container[0] ? 3 : 2, (int64_t[]){s->samples, s->samples * 10000000}) >= 0);
}

/* A window of a second that ends at end_s. */
static inline struct profile *top_profile(const struct top_sample *samples, size_t n, int64_t end_s)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	assert_int_equal(profile_builder_sample_type(b, "cpu", "nanoseconds"), 0);
	assert_int_equal(profile_builder_default_sample_type(b, "cpu"), 0);
	profile_builder_time(b, (end_s - 1) * TOP_S, TOP_S);
	struct profile_mapping app = {.start = 0x1000, .limit = 0x90000, .filename = top_string(b, "/usr/bin/app", 12)};
	struct profile_mapping kernel = {.filename = top_string(b, "[kernel.kallsyms]", 17)};
	uint32_t mappings[2] = {(uint32_t)profile_builder_mapping(b, &app), (uint32_t)profile_builder_mapping(b, &kernel)};
	for (size_t i = 0; i < n; i++)
		top_put_sample(b, &samples[i], mappings);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

static inline int top_add(struct top_model *m, const struct top_sample *samples, size_t n, int64_t end_s)
{
	struct profile *profile = top_profile(samples, n, end_s);
	struct accounting account = {.windows = 1};

	account.fired = account.samples = account.complete = (uint64_t)profile_total(profile, 0);
	int err = top_model_add(m, profile, &account, 5000000);
	profile_free(profile);
	return err;
}

#endif
