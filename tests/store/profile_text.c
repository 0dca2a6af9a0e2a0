#include "tests/store/profile_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char *text_of(const struct profile *p, profile_str id)
{
	return profile_string(p, id);
}

static void put_frame(FILE *out, const struct profile *p, uint32_t id)
{
	const struct profile_location *l = &p->locations[id];

	fprintf(out, " {%" PRIx64 "%s", l->address, l->is_folded ? " folded" : "");
	if (l->mapping != PROFILE_NONE) {
		const struct profile_mapping *m = &p->mappings[l->mapping];
		fprintf(out, " [%s %s %" PRIx64 "-%" PRIx64 "+%" PRIx64 " %d%d%d%d]", text_of(p, m->filename), text_of(p, m->build_id), m->start,
			m->limit, m->file_offset, m->has_functions, m->has_filenames, m->has_line_numbers, m->has_inline_frames);
	}
	for (uint32_t i = 0; i < l->n_lines; i++) {
		const struct profile_line *line = &p->lines[l->first_line + i];
		const struct profile_function *f = &p->functions[line->function];
		fprintf(out, " %s|%s|%s:%" PRId64 "@%" PRId64 ":%" PRId64, text_of(p, f->name), text_of(p, f->system_name),
			text_of(p, f->filename), f->start_line, line->line, line->column);
	}
	fputc('}', out);
}

static char *sample_text(const struct profile *p, size_t i)
{
	const struct profile_sample *s = &p->samples[i];
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	if (!out)
		return NULL;
	for (uint32_t k = 0; k < s->n_labels; k++) {
		const struct profile_label *l = &p->labels[s->first_label + k];
		fprintf(out, "%s=%s/%" PRId64 "%s ", text_of(p, l->key), text_of(p, l->str), l->num, text_of(p, l->num_unit));
	}
	for (uint32_t k = 0; k < s->n_locations; k++)
		put_frame(out, p, p->stack_locations[s->first_location + k]);
	for (size_t t = 0; t < p->n_sample_types; t++)
		fprintf(out, " %" PRId64, p->values[i * p->n_sample_types + t]);
	fclose(out);
	return text;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_head(FILE *out, const struct profile *p)
{
	fprintf(out, "time %" PRId64 " duration %" PRId64 " period %" PRId64 " %s/%s default %s drop %s keep %s doc %s\n", p->time_ns, p->duration_ns,
		p->period, text_of(p, p->period_type.type), text_of(p, p->period_type.unit), text_of(p, p->default_sample_type),
		text_of(p, p->drop_frames), text_of(p, p->keep_frames), text_of(p, p->doc_url));
	for (size_t t = 0; t < p->n_sample_types; t++)
		fprintf(out, "type %s/%s\n", text_of(p, p->sample_types[t].type), text_of(p, p->sample_types[t].unit));
	for (size_t i = 0; i < p->n_comments; i++)
		fprintf(out, "comment %s\n", text_of(p, p->comments[i]));
}

char *profile_text(const struct profile *p)
{
	char **lines = calloc(p->n_samples + 1, sizeof(*lines)), *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	if (!lines || !out)
		return NULL;
	put_head(out, p);
	for (size_t i = 0; i < p->n_samples; i++)
		lines[i] = sample_text(p, i);
	qsort(lines, p->n_samples, sizeof(*lines), by_text);
	for (size_t i = 0; i < p->n_samples; i++) {
		fprintf(out, "%s\n", lines[i]);
		free(lines[i]);
	}
	free(lines);
	fclose(out);
	return text;
}

uint64_t profile_digest(const struct profile *p)
{
	char *text = profile_text(p);
	uint64_t digest = text ? XXH3_64bits(text, strlen(text)) : 0;

	free(text);
	return digest;
}
