#include "pprof/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "pprof/frame_set.h"

#define END UINT32_MAX

/* Lines are compared, and written, by the texts of their frames: a text for each stack would take gigabytes for a week. */
struct folding {
	const struct profile *p;
	struct frame_set frames;
	struct frame_map map;
	struct string_set texts; /* as they are written */
	uint32_t *text_of;	 /* of each frame */
	uint32_t *ranks;	 /* of texts that are followed by ';' */
	uint32_t *processes;	 /* of each sample: its frame, or END */
};

static void folding_deinit(struct folding *f)
{
	frame_set_deinit(&f->frames);
	frame_map_deinit(&f->map);
	string_set_deinit(&f->texts);
	free(f->text_of);
	free(f->ranks);
	free(f->processes);
}

#define AUTO_FOLDING __attribute__((cleanup(folding_deinit)))

/* --- texts --------------------------------------------------------------------------------------------------- */

/* ';' separates frames and a line break ends a stack: neither may stand inside a name. */
static int64_t add_text(struct folding *f, const char *name, bool is_kernel)
{
	size_t n = strlen(name);
	AUTO_FREE char *text = malloc(n + sizeof("_[k]"));

	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		text[i] = (char)(name[i] == ';' ? ':' : (unsigned char)name[i] < 0x20 || name[i] == 0x7f ? '?' : name[i]);
	strcpy(text + n, is_kernel ? "_[k]" : "");
	return string_set_copy(&f->texts, text);
}

/* As strcmp() of both texts with a ';' behind those that are not the last of their line. */
static int compare_texts(const char *a, bool a_is_last, const char *b, bool b_is_last)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	unsigned char x = (unsigned char)(*a ? *a : a_is_last ? '\0' : ';'), y = (unsigned char)(*b ? *b : b_is_last ? '\0' : ';');
	return x < y ? -1 : x > y;
}

static int by_text(const void *a, const void *b, void *context)
{
	const struct string_set *texts = context;

	return compare_texts(texts->texts[*(const uint32_t *)a], false, texts->texts[*(const uint32_t *)b], false);
}

static int add_texts(struct folding *f)
{
	f->text_of = malloc((f->frames.n + 1) * sizeof(f->text_of[0]));
	if (!f->text_of)
		return -ENOMEM;
	for (size_t i = 0; i < f->frames.n; i++) {
		int64_t text = add_text(f, f->frames.names.texts[f->frames.frames[i].name], f->frames.frames[i].is_kernel);
		if (text < 0)
			return (int)text;
		f->text_of[i] = (uint32_t)text;
	}
	AUTO_FREE uint32_t *order = malloc(f->texts.n * sizeof(*order));
	f->ranks = malloc(f->texts.n * sizeof(f->ranks[0]));
	if (!order || !f->ranks)
		return -ENOMEM;
	for (uint32_t i = 0; i < f->texts.n; i++)
		order[i] = i;
	qsort_r(order, f->texts.n, sizeof(*order), by_text, &f->texts);
	for (uint32_t i = 0; i < f->texts.n; i++)
		f->ranks[order[i]] = i;
	return 0;
}

static int add_processes(struct folding *f)
{
	const struct profile_sample *before = NULL;

	f->processes = malloc((f->p->n_samples + 1) * sizeof(f->processes[0]));
	if (!f->processes)
		return -ENOMEM;
	for (size_t i = 0; i < f->p->n_samples; i++) {
		const struct profile_sample *sample = &f->p->samples[i];
		bool same = before && before->first_label == sample->first_label && before->n_labels == sample->n_labels;
		const char *process = same ? "" : profile_label_string(f->p, sample, "process");
		int64_t frame = *process ? frame_set_process(&f->frames, process) : END;
		if (frame < 0)
			return (int)frame;
		f->processes[i] = same ? f->processes[i - 1] : (uint32_t)frame;
		before = sample;
	}
	return 0;
}

/* --- stacks -------------------------------------------------------------------------------------------------- */

/* A way through the frames of a sample, from the root down. */
struct walk {
	const struct folding *f;
	const uint32_t *stack;
	uint32_t process, n_locations; /* that are left */
	uint32_t begin, end;	       /* frames of the location at hand that are left */
};

static struct walk walk_begin(const struct folding *f, uint32_t index)
{
	const struct profile_sample *sample = &f->p->samples[index];

	return (struct walk){.f = f, .stack = f->p->stack_locations + sample->first_location, .process = f->processes[index], .n_locations = sample->n_locations};
}

/* The text of the next frame, or END. */
static uint32_t walk_next(struct walk *w)
{
	if (w->process != END) {
		uint32_t process = w->process;
		w->process = END;
		return w->f->text_of[process];
	}
	if (w->begin == w->end) {
		if (!w->n_locations)
			return END;
		uint32_t location = w->stack[--w->n_locations];
		w->begin = w->f->map.first[location];
		w->end = w->f->map.first[location + 1]; /* each has a frame */
	}
	return w->f->text_of[w->f->map.frames[--w->end]];
}

static int by_stack(const void *a, const void *b, void *context)
{
	const struct folding *f = context;
	struct walk x = walk_begin(f, *(const uint32_t *)a), y = walk_begin(f, *(const uint32_t *)b);
	uint32_t i = walk_next(&x), j = walk_next(&y);

	/* No frame and one without a name look the same. */
	i = i == END ? 0 : i;
	j = j == END ? 0 : j;
	if (x.stack == y.stack && x.n_locations == y.n_locations && f->processes[*(const uint32_t *)a] == f->processes[*(const uint32_t *)b])
		return 0;
	for (;;) {
		uint32_t next_i = walk_next(&x), next_j = walk_next(&y);
		if (i != j && next_i != END && next_j != END)
			return f->ranks[i] < f->ranks[j] ? -1 : 1;
		if (i != j)
			return compare_texts(f->texts.texts[i], next_i == END, f->texts.texts[j], next_j == END);
		if (next_i == END || next_j == END)
			return (next_i != END) - (next_j != END);
		i = next_i;
		j = next_j;
	}
}

static void write_line(const struct folding *f, uint32_t index, int64_t value, FILE *stream)
{
	struct walk w = walk_begin(f, index);
	bool first = true;

	for (uint32_t text = walk_next(&w); text != END; text = walk_next(&w), first = false) {
		if (!first)
			fputc_unlocked(';', stream);
		fputs_unlocked(f->texts.texts[text], stream);
	}
	fprintf(stream, " %" PRId64 "\n", value);
}

static int write_lines(const struct folding *f, uint32_t value, FILE *stream)
{
	const struct profile *p = f->p;
	AUTO_FREE uint32_t *order = malloc((p->n_samples + 1) * sizeof(*order));
	uint64_t sum = 0;

	if (!order)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_samples; i++)
		order[i] = i;
	qsort_r(order, p->n_samples, sizeof(*order), by_stack, (void *)f);
	for (size_t i = 0; i < p->n_samples; i++) {
		sum += (uint64_t)p->values[order[i] * p->n_sample_types + value];
		if (i + 1 < p->n_samples && by_stack(&order[i], &order[i + 1], (void *)f) == 0)
			continue;
		write_line(f, order[i], (int64_t)sum, stream);
		sum = 0;
	}
	errno = 0;
	return fflush(stream) != 0 || ferror(stream) ? (errno ? -errno : -EIO) : 0;
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
	AUTO_FOLDING struct folding f = {.p = profile};

	if (value == PROFILE_NONE)
		value = sample_count_type(profile);
	if (profile->n_samples && value >= profile->n_sample_types)
		return -EINVAL;
	if (profile->n_samples >= UINT32_MAX)
		return -E2BIG;
	int err = frame_set_init(&f.frames, false);
	if (err == 0)
		err = string_set_init(&f.texts);
	if (err == 0)
		err = frame_set_add(&f.frames, profile, &f.map);
	if (err == 0)
		err = add_processes(&f);
	if (err == 0)
		err = add_texts(&f);
	return err < 0 ? err : write_lines(&f, value, stream);
}
