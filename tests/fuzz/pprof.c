/* Profiles of any producer: decoded, drawn and analysed in every way, encoded and decoded again. */
#include <errno.h>
#include <string.h>

#include "pprof/decode.h"
#include "pprof/encode.h"
#include "pprof/function_table.h"
#include "pprof/profile_merge.h"
#include "pprof/profile_select.h"
#include "pprof/render.h"
#include "tests/fuzz/fuzz.h"

#define PROFILE_BYTES_MAX (4u << 20)

static void check(const struct profile *p)
{
	for (size_t i = 0; i < p->n_samples; i++) {
		PROMISE(p->samples[i].first_location + (uint64_t)p->samples[i].n_locations <= p->n_stack_locations);
		PROMISE(p->samples[i].first_label + (uint64_t)p->samples[i].n_labels <= p->n_labels);
	}
	for (size_t i = 0; i < p->n_stack_locations; i++)
		PROMISE(p->stack_locations[i] < p->n_locations);
	for (size_t i = 0; i < p->n_locations; i++) {
		PROMISE(p->locations[i].mapping == PROFILE_NONE || p->locations[i].mapping < p->n_mappings);
		PROMISE(p->locations[i].first_line + (uint64_t)p->locations[i].n_lines <= p->n_lines);
	}
	for (size_t i = 0; i < p->n_lines; i++)
		PROMISE(p->lines[i].function < p->n_functions);
}

static void draw(const struct profile *p)
{
	FILE *nowhere = fopen("/dev/null", "we");

	PROMISE(nowhere);
	profile_write_folded(p, PROFILE_NONE, nowhere);
	profile_write_text(p, PROFILE_NONE, 0, nowhere);
	profile_write_svg(p, PROFILE_NONE, NULL, nowhere);
	profile_write_diff_svg(p, p, PROFILE_NONE, &(struct profile_svg_options){.icicle = true}, nowhere);
	profile_write_speedscope(p, "fuzz", nowhere);
	profile_write_firefox(p, "fuzz", nowhere);
	fclose(nowhere);
}

static void analyse(const struct profile *p)
{
	static const struct profile_selection PART = {.side = PROFILE_USER_SIDE, .focus = "a", .ignore = "b", .hide = "[c-e]", .labels = {{"process", "a"}}};
	const struct profile *const twice[] = {p, p};
	struct profile *part, *sum;
	struct function_row *rows;
	struct line_row *lines;
	struct flame_tree *tree;
	struct why why;
	size_t n;

	if (profile_select(p, &PART, &part, &why) == 0) {
		PROMISE(part->n_samples <= p->n_samples);
		check(part);
		profile_free(part);
	}
	if (profile_merge(twice, 2, &sum, &why) == 0) {
		PROMISE(sum->n_locations <= p->n_locations);
		check(sum);
		profile_free(sum);
	}
	if (function_table_create(p, p, PROFILE_NONE, &rows, &n) == 0) {
		if (n && line_table_create(p, PROFILE_NONE, rows[n / 2].name, &lines, &n) == 0)
			free(lines);
		free(rows);
	}
	if (flame_tree_create(p, profile_default_value(p), &(struct flame_options){.from_leaf = true, .max_nodes = 10}, &tree) == 0) {
		for (size_t i = 0; i < tree->n_nodes; i++)
			PROMISE(tree->nodes[i].value <= tree->nodes[tree->nodes[i].parent].value && tree->nodes[i].parent <= i);
		flame_tree_destroy(tree);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct profile *profile, *again;
	const char *why = NULL;
	uint8_t *bytes;
	size_t n_bytes;

	int err = profile_decode(data, n, PROFILE_BYTES_MAX, &profile, &why);
	PROMISE(err == 0 || (err == -EBADMSG && why) || err == -E2BIG);
	if (err < 0)
		return 0;
	check(profile);
	draw(profile);
	analyse(profile);
	PROMISE(profile_encode(profile, &bytes, &n_bytes) == 0);
	PROMISE(profile_decode(bytes, n_bytes, 0, &again, &why) == 0);
	PROMISE(again->n_samples == profile->n_samples && again->n_locations == profile->n_locations);
	check(again);
	profile_free(again);
	profile_free(profile);
	free(bytes);
	return 0;
}
