/* Profiles of any producer: decoded, drawn in every way, encoded and decoded again. */
#include <errno.h>
#include <string.h>

#include "pprof/decode.h"
#include "pprof/encode.h"
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
	fclose(nowhere);
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
	PROMISE(profile_encode(profile, &bytes, &n_bytes) == 0);
	PROMISE(profile_decode(bytes, n_bytes, 0, &again, &why) == 0);
	PROMISE(again->n_samples == profile->n_samples && again->n_locations == profile->n_locations);
	check(again);
	profile_free(again);
	profile_free(profile);
	free(bytes);
	return 0;
}
