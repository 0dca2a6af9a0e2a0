#include "pprof/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

/* One stack as text, and its value. */
struct folded_line {
	char *text;
	int64_t value;
};

struct folded_lines {
	struct folded_line *lines;
	size_t n;
};

static void lines_deinit(struct folded_lines *all)
{
	for (size_t i = 0; i < all->n; i++)
		free(all->lines[i].text);
	free(all->lines);
}

#define AUTO_LINES __attribute__((cleanup(lines_deinit)))

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct folded_line *)a)->text, ((const struct folded_line *)b)->text);
}

/* ';' separates frames and a line break ends a stack: neither may stand inside a name. */
static void put_name(const char *name, FILE *stream)
{
	for (; *name; name++)
		fputc(*name == ';' ? ':' : (unsigned char)*name < 0x20 || *name == 0x7f ? '?' : *name, stream);
}

static void put_location(const struct profile *profile, const struct profile_location *location, bool *first, FILE *stream)
{
	char buffer[PROFILE_FRAME_NAME_MAX];
	uint32_t n = location->n_lines ? location->n_lines : 1;

	for (uint32_t i = n; i-- > 0;) {
		if (!*first)
			fputc(';', stream);
		*first = false;
		put_name(profile_frame_name(profile, location, i, buffer), stream);
		if (profile_location_is_kernel(profile, location))
			fputs("_[k]", stream);
	}
}

static char *text_of(const struct profile *profile, const struct profile_sample *sample)
{
	const char *process = profile_label_string(profile, sample, "process");
	char *text = NULL;
	size_t bytes = 0;
	bool first = true;

	FILE *stream = open_memstream(&text, &bytes);
	if (!stream)
		return NULL;
	if (*process) {
		put_name(process, stream);
		first = false;
	}
	for (uint32_t i = sample->n_locations; i-- > 0;)
		put_location(profile, &profile->locations[profile->stack_locations[sample->first_location + i]], &first,
			     stream);
	if (fclose(stream) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static uint32_t sample_count_type(const struct profile *profile)
{
	for (uint32_t i = 0; i < profile->n_sample_types; i++)
		if (strcmp(profile_string(profile, profile->sample_types[i].type), "samples") == 0)
			return i;
	return profile_default_value(profile);
}

int profile_write_folded(const struct profile *profile, uint32_t value, FILE *stream)
{
	AUTO_LINES struct folded_lines all = {0};

	if (value == PROFILE_NONE)
		value = sample_count_type(profile);
	if (profile->n_samples && value >= profile->n_sample_types)
		return -EINVAL;
	all.lines = calloc(profile->n_samples + 1, sizeof(all.lines[0]));
	if (!all.lines)
		return -ENOMEM;
	for (; all.n < profile->n_samples; all.n++) {
		struct folded_line *line = &all.lines[all.n];
		line->text = text_of(profile, &profile->samples[all.n]);
		line->value = profile->values[all.n * profile->n_sample_types + value];
		if (!line->text)
			return -ENOMEM;
	}
	qsort(all.lines, all.n, sizeof(all.lines[0]), by_text);
	for (size_t i = 0; i < all.n; i++) {
		if (i + 1 < all.n && strcmp(all.lines[i].text, all.lines[i + 1].text) == 0)
			all.lines[i + 1].value += all.lines[i].value;
		else
			fprintf(stream, "%s %" PRId64 "\n", all.lines[i].text, all.lines[i].value);
	}
	errno = 0;
	return fflush(stream) != 0 || ferror(stream) ? (errno ? -errno : -EIO) : 0;
}
