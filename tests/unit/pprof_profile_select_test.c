#include "pprof/profile_select.h"

#include <errno.h>
#include <stdlib.h>

#include "base/scope.h"
#include "pprof/render.h"
#include "tests/unit/random_profile.h"
#include "tests/unit/sample_profile.h"

static struct profile *selected(const struct profile *profile, const struct profile_selection *s)
{
	struct profile *part = NULL;
	struct why why = {""};

	if (profile_select(profile, s, &part, &why) != 0)
		fail_msg("%s", why.text);
	return part;
}

static char *folded(const struct profile *profile)
{
	char *out = NULL;
	size_t bytes;
	FILE *stream = open_memstream(&out, &bytes);

	assert_int_equal(profile_write_folded(profile, PROFILE_NONE, stream), 0);
	fclose(stream);
	return out;
}

/* What of the sample profile is selected, as folded stacks. */
static void selects(const struct profile_selection *s, const char *expected)
{
	struct profile *profile = sample_profile(), *part = selected(profile, s);
	AUTO_FREE char *got = folded(part);

	assert_string_equal(got, expected);
	profile_free(part);
	profile_free(profile);
}

#define INLINED "app;main;outer;inlined<int, \"x\"> 30\n"
#define NAMELESS "app;main;[app+0x2345] 2\n"
#define KERNEL "app;main;read_it;vfs_read_[k] 10\n"

static void by_frames(void **state)
{
	(void)state;
	selects(&(struct profile_selection){0}, NAMELESS INLINED KERNEL);
	selects(&(struct profile_selection){.focus = "read"}, KERNEL);
	selects(&(struct profile_selection){.focus = "^outer$"}, INLINED);
	selects(&(struct profile_selection){.focus = "\\+0x23"}, NAMELESS);
	selects(&(struct profile_selection){.focus = "kallsyms"}, KERNEL);	   /* a mapping's file */
	selects(&(struct profile_selection){.focus = "^work\\.c$"}, NAMELESS INLINED KERNEL); /* a source */
	selects(&(struct profile_selection){.ignore = "vfs|inlined"}, NAMELESS);
	selects(&(struct profile_selection){.focus = "main", .ignore = "main"}, "");
	selects(&(struct profile_selection){.focus = "nobody"}, "");
	selects(&(struct profile_selection){.hide = "main|inlined"}, "app;[app+0x2345] 2\napp;outer 30\napp;read_it;vfs_read_[k] 10\n");
	selects(&(struct profile_selection){.show = "main|outer"}, "app;main 12\napp;main;outer 30\n");
	selects(&(struct profile_selection){.show = "outer"}, "app;outer 30\n");
	selects(&(struct profile_selection){.show = "kernel"}, "app;vfs_read_[k] 10\n");
	selects(&(struct profile_selection){.show = "/bin/app", .hide = "0x|outer"},
		"app;main 2\napp;main;inlined<int, \"x\"> 30\napp;main;read_it 10\n");
}

static void by_side(void **state)
{
	(void)state;
	selects(&(struct profile_selection){.side = PROFILE_KERNEL_SIDE}, "app;vfs_read_[k] 10\n");
	selects(&(struct profile_selection){.side = PROFILE_USER_SIDE}, NAMELESS INLINED "app;main;read_it 10\n");
	/* focus looks at whole stacks. */
	selects(&(struct profile_selection){.side = PROFILE_USER_SIDE, .focus = "vfs"}, "app;main;read_it 10\n");
	selects(&(struct profile_selection){.side = PROFILE_KERNEL_SIDE, .focus = "outer"}, "");
}

static void by_labels(void **state)
{
	(void)state;
	selects(&(struct profile_selection){.labels = {{"process", "app"}}, .n_labels = 1}, NAMELESS INLINED KERNEL);
	selects(&(struct profile_selection){.labels = {{"process", "ap"}}, .n_labels = 1}, "");
	selects(&(struct profile_selection){.labels = {{"pid", "77"}, {"process", "app"}}, .n_labels = 2}, NAMELESS INLINED KERNEL);
	selects(&(struct profile_selection){.labels = {{"pid", "077"}}, .n_labels = 1}, "");
	selects(&(struct profile_selection){.labels = {{"pid", "78"}, {"process", "app"}}, .n_labels = 2}, "");
	selects(&(struct profile_selection){.labels = {{"unit", "x"}}, .n_labels = 1}, "");
}

static bool has_string(const struct profile *profile, const char *text)
{
	for (size_t i = 0; i < profile->n_strings; i++)
		if (strcmp(profile->strings[i], text) == 0)
			return true;
	return false;
}

static void nothing_else_stays(void **state)
{
	struct profile *profile = sample_profile();

	(void)state;
	struct profile *part = selected(profile, &(struct profile_selection){.hide = "inlined", .focus = "outer"});
	assert_int_equal(part->n_samples, 1);
	assert_int_equal(part->n_mappings, 1);
	assert_int_equal(part->n_functions, 2);
	assert_int_equal(part->n_locations, 2);
	assert_int_equal(part->values[0], 30);
	assert_int_equal(part->values[1], 300);
	assert_false(has_string(part, "vfs_read") || has_string(part, "inlined<int, \"x\">") || has_string(part, "[kernel.kallsyms]"));
	assert_int_equal(part->time_ns, profile->time_ns);
	assert_int_equal(part->duration_ns, profile->duration_ns);
	assert_int_equal(part->period, profile->period);
	assert_string_equal(profile_string(part, part->default_sample_type), "cpu");
	assert_string_equal(profile_string(part, part->mappings[0].build_id), "abcdef0123456789");
	assert_int_equal(part->locations[0].address, 0x1200);
	/* The account counts all samples: it is not one of a part. */
	assert_int_equal(part->n_comments, 0);
	profile_free(part);
	part = selected(profile, &(struct profile_selection){0});
	assert_int_equal(part->n_comments, 1);
	profile_free(part);
	profile_free(profile);
}

/* Stacks that differ in what is hidden are one then. */
static void equal_samples_are_one(void **state)
{
	const struct random_profile how = {.seed = 3, .n_samples = 3000, .n_processes = 4, .depth = 30};
	struct profile *profile = random_profile(&how), *part = selected(profile, &(struct profile_selection){.side = PROFILE_KERNEL_SIDE, .show = "function_[0-9]_"});
	int64_t kernel = 0;

	(void)state;
	for (size_t i = 0; i < part->n_samples; i++)
		for (size_t k = 0; k < i; k++) {
			const struct profile_sample *x = &part->samples[i], *y = &part->samples[k];
			assert_false(x->first_label == y->first_label && x->n_locations == y->n_locations &&
				     memcmp(&part->stack_locations[x->first_location], &part->stack_locations[y->first_location], 4 * x->n_locations) == 0);
		}
	for (size_t i = 0; i < profile->n_samples; i++) {
		bool any = false;
		for (uint32_t k = 0; k < profile->samples[i].n_locations; k++) {
			const struct profile_location *l = &profile->locations[profile->stack_locations[profile->samples[i].first_location + k]];
			for (uint32_t line = 0; line < l->n_lines && profile_location_is_kernel(profile, l); line++) {
				const char *name = profile_string(profile, profile->functions[profile->lines[l->first_line + line].function].name);
				any = any || (strncmp(name, "function_", 9) == 0 && name[10] == '_');
			}
		}
		kernel += any ? profile->values[2 * i] : 0;
	}
	assert_true(kernel > 0);
	assert_int_equal(profile_total(part, 0), kernel);
	profile_free(part);
	profile_free(profile);
}

static void refused(void **state)
{
	struct profile *profile = sample_profile(), *part = NULL;
	struct profile_selection many = {.n_labels = PROFILE_SELECT_LABELS + 1};
	struct why why = {""};

	(void)state;
	assert_int_equal(profile_select(profile, &many, &part, &why), -EINVAL);
	assert_non_null(strstr(why.text, "8 labels"));
	assert_int_equal(profile_select(profile, &(struct profile_selection){.focus = "a", .hide = "(b"}, &part, &why), -EINVAL);
	assert_non_null(strstr(why.text, "hide: "));
	assert_non_null(strstr(why.text, "(at character 3)"));
	assert_int_equal(profile_select(profile, &(struct profile_selection){.ignore = "(?=a)"}, &part, &why), -EINVAL);
	assert_non_null(strstr(why.text, "ignore: look-around"));
	assert_null(part);
	profile_free(profile);
}

static void expressions_without_end(void **state)
{
	struct profile_builder *b;
	struct profile *profile, *part = NULL;
	struct why why = {""};
	char name[3000];

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	uint32_t at = sample_location(b, PROFILE_NONE, 1, name, NULL);
	assert_int_equal(profile_builder_sample(b, &at, 1, NULL, 0, (int64_t[]){1}), 0);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	assert_int_equal(profile_select(profile, &(struct profile_selection){.show = "(a+)+[bc]"}, &part, &why), -E2BIG);
	assert_non_null(strstr(why.text, "show: this expression takes too long"));
	profile_free(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_frames),	      cmocka_unit_test(by_side), cmocka_unit_test(by_labels),		   cmocka_unit_test(nothing_else_stays),
		cmocka_unit_test(equal_samples_are_one), cmocka_unit_test(refused), cmocka_unit_test(expressions_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
