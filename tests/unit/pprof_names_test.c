/* pprof/profile_names.c: names come in, nothing else changes. */
#include "tests/unit/cmocka_prelude.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pprof/decode.h"
#include "pprof/encode.h"
#include "pprof/profile_builder.h"
#include "pprof/profile_names.h"

static profile_str string(struct profile_builder *b, const char *text)
{
	int64_t id = profile_builder_string(b, text, strlen(text));
	assert_true(id >= 0);
	return (profile_str)id;
}

static uint32_t location(struct profile_builder *b, uint64_t address, const char *name)
{
	struct profile_function function = {.name = string(b, name), .system_name = string(b, name)};
	struct profile_line line = {.function = (uint32_t)profile_builder_function(b, &function)};
	int64_t id = profile_builder_location(b, 0, address, &line, *name ? 1 : 0);
	assert_true(id >= 0);
	return (uint32_t)id;
}

/* Five locations: no lines, a stand-in, a bare number, a name, no lines. */
static struct profile *make_profile(void)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	profile_builder_sample_type(b, "samples", "count");
	profile_builder_comment(b, "a comment");
	profile_builder_time(b, 123, 456);
	struct profile_mapping mapping = {.start = 0x1000, .limit = 0x9000, .filename = string(b, "/bin/x"), .build_id = string(b, "abcd")};
	assert_int_equal(profile_builder_mapping(b, &mapping), 0);
	uint32_t stack[] = {location(b, 0x1001, ""), location(b, 0x1002, "[x+0x1002]"), location(b, 0x1003, "0x1003"), location(b, 0x1004, "known"),
			    location(b, 0x1005, "")};
	struct profile_label label = {.key = string(b, "thread"), .str = string(b, "worker")};
	int64_t value = 7;
	assert_true(profile_builder_sample(b, stack, 5, &label, 1, &value) >= 0);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

static void unnamed_locations(void **state)
{
	struct profile *profile = make_profile();
	static const bool unnamed[] = {true, true, true, false, true};

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(profile_location_is_unnamed(profile, &profile->locations[i]), unnamed[i]);
	profile_free(profile);
}

static const char *frame_name(const struct profile *p, uint32_t at, uint32_t i)
{
	static char buffer[PROFILE_FRAME_NAME_MAX];

	return profile_frame_name(p, &p->locations[at], i, buffer);
}

/* All that a file may hold is still there after a way through it. */
static void check_rest(const struct profile *p)
{
	assert_int_equal(p->n_samples, 1);
	assert_int_equal(p->values[0], 7);
	assert_int_equal(p->samples[0].n_locations, 5);
	assert_string_equal(profile_label_string(p, &p->samples[0], "thread"), "worker");
	assert_string_equal(profile_string(p, p->comments[0]), "a comment");
	assert_string_equal(profile_string(p, p->mappings[0].build_id), "abcd");
	assert_int_equal(p->time_ns, 123);
	assert_int_equal(p->duration_ns, 456);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(p->locations[i].address, 0x1001 + i);
}

static void names_are_set(void **state)
{
	struct profile *profile = make_profile(), *read;
	struct profile_frame frames[] = {{"inner()", "_Z5innerv", "a.h", 11, 3, 10}, {"outer", "outer", "/src/\x1b" "a.c", 22, 4, 20}};
	struct profile_names *names;
	uint8_t *bytes;
	size_t n;

	(void)state;
	assert_int_equal(profile_names_create(profile, &names), 0);
	assert_int_equal(profile_names_set(names, 0, frames, 2), 0);
	assert_int_equal(profile_names_set(names, 4, frames + 1, 1), 0);
	assert_int_equal(profile_names_set(names, 5, frames, 1), -EINVAL);
	assert_int_equal(profile->n_functions, 4); /* with "", which has no location */
	assert_int_equal(profile_names_finish(names), 0);
	profile_names_destroy(names);

	assert_int_equal(profile_encode(profile, &bytes, &n), 0);
	assert_int_equal(profile_decode(bytes, n, 0, &read, NULL), 0);
	free(bytes);
	struct profile *both[] = {profile, read};
	for (size_t i = 0; i < 2; i++) {
		struct profile *p = both[i];
		check_rest(p);
		assert_string_equal(frame_name(p, 0, 0), "inner()");
		assert_string_equal(frame_name(p, 0, 1), "outer");
		assert_string_equal(frame_name(p, 1, 0), "[x+0x1002]");
		assert_string_equal(frame_name(p, 3, 0), "known");
		assert_string_equal(frame_name(p, 4, 0), "outer");
		const struct profile_line *line = &p->lines[p->locations[0].first_line];
		assert_int_equal(line[0].line, 11);
		assert_int_equal(line[0].column, 3);
		assert_int_equal(line[1].line, 22);
		const struct profile_function *function = &p->functions[line[0].function];
		assert_string_equal(profile_string(p, function->system_name), "_Z5innerv");
		assert_string_equal(profile_string(p, function->filename), "a.h");
		assert_int_equal(function->start_line, 10);
		assert_string_equal(profile_string(p, p->functions[line[1].function].filename), "/src/?a.c");
		assert_int_equal(line[1].function, p->lines[p->locations[4].first_line].function);
		assert_true(p->mappings[0].has_functions && p->mappings[0].has_filenames && p->mappings[0].has_line_numbers &&
			    p->mappings[0].has_inline_frames);
		profile_free(p);
	}
}

static void nothing_set_is_nothing_changed(void **state)
{
	struct profile *profile = make_profile();
	struct profile_names *names;

	(void)state;
	assert_int_equal(profile_names_create(profile, &names), 0);
	assert_int_equal(profile_names_finish(names), 0);
	profile_names_destroy(names);
	profile_names_destroy(NULL);
	check_rest(profile);
	assert_false(profile->mappings[0].has_functions);
	assert_string_equal(frame_name(profile, 3, 0), "known");
	profile_free(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unnamed_locations),
		cmocka_unit_test(names_are_set),
		cmocka_unit_test(nothing_set_is_nothing_changed),
	};
	return cmocka_run_group_tests_name("pprof/names", tests, NULL, NULL);
}
