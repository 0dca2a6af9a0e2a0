#include "agent/profile_symbolizer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/profile_vaddr.h"
#include "base/scope.h"
#include "pprof/profile_names.h"

#define NO_IMAGE UINT32_MAX

struct work {
	const struct profile_symbolizer *symbolizer;
	struct profile *profile;
	struct profile_names *names;
	struct symbolized_profile result;
	uint32_t *first_mapping;    /* of the same file */
	uint32_t *image_of_mapping; /* index into result.images; NO_IMAGE: none of its addresses is wanted */
	uint32_t *wanted;	    /* locations, those of one image side by side */
	uint64_t *vaddrs;	    /* of the image at hand */
	uint32_t *asked;	    /* their locations */
	struct profile_frame *frames;
	size_t frames_capacity;
};

static bool is_wanted(const struct work *w, const struct profile_location *location)
{
	return w->symbolizer->force || profile_location_is_unnamed(w->profile, location);
}

/* --- by image ------------------------------------------------------------------------------------------------------------- */

static int by_file(const void *a, const void *b, void *context)
{
	const struct profile *p = context;
	const struct profile_mapping *x = &p->mappings[*(const uint32_t *)a], *y = &p->mappings[*(const uint32_t *)b];

	if (x->filename != y->filename)
		return x->filename < y->filename ? -1 : 1;
	return x->build_id < y->build_id ? -1 : x->build_id > y->build_id;
}

/* Mappings of one file are one image: the image of the first of them. */
static int group_mappings(struct work *w)
{
	const struct profile *p = w->profile;
	AUTO_FREE uint32_t *order = calloc(p->n_mappings + 1, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_mappings; i++)
		order[i] = i;
	qsort_r(order, p->n_mappings, sizeof(order[0]), by_file, w->profile);
	for (size_t i = 0; i < p->n_mappings; i++)
		w->first_mapping[order[i]] =
			i && by_file(&order[i - 1], &order[i], w->profile) == 0 ? w->first_mapping[order[i - 1]] : order[i];
	w->first_mapping[p->n_mappings] = (uint32_t)p->n_mappings; /* of addresses in no mapping */
	return 0;
}

static uint32_t *image_slot(struct work *w, uint32_t mapping)
{
	return &w->image_of_mapping[w->first_mapping[mapping == PROFILE_NONE ? w->profile->n_mappings : mapping]];
}

static struct symbolized_image *image_of(struct work *w, uint32_t mapping)
{
	static const struct profile_mapping NONE = {0};
	const struct profile_mapping *m = mapping == PROFILE_NONE ? &NONE : &w->profile->mappings[mapping];
	uint32_t *image = image_slot(w, mapping);

	if (*image == NO_IMAGE) {
		*image = (uint32_t)w->result.n_images++;
		w->result.images[*image] = (struct symbolized_image){.filename = m->filename, .build_id = m->build_id};
	}
	return &w->result.images[*image];
}

static int begin(struct work *w)
{
	const struct profile *p = w->profile;

	w->first_mapping = calloc(p->n_mappings + 1, sizeof(w->first_mapping[0]));
	w->image_of_mapping = malloc((p->n_mappings + 1) * sizeof(w->image_of_mapping[0]));
	w->result.images = calloc(p->n_mappings + 1, sizeof(w->result.images[0]));
	w->wanted = calloc(p->n_locations + 1, sizeof(w->wanted[0]));
	w->vaddrs = calloc(p->n_locations + 1, sizeof(w->vaddrs[0]));
	w->asked = calloc(p->n_locations + 1, sizeof(w->asked[0]));
	if (!w->first_mapping || !w->image_of_mapping || !w->result.images || !w->wanted || !w->vaddrs || !w->asked)
		return -ENOMEM;
	memset(w->image_of_mapping, 0xff, (p->n_mappings + 1) * sizeof(w->image_of_mapping[0]));
	int err = group_mappings(w);
	return err < 0 ? err : profile_names_create(w->profile, &w->names);
}

/* Count each image's wanted locations, then put them side by side: a counting sort. */
static int sort_wanted(struct work *w)
{
	const struct profile *p = w->profile;

	w->result.locations = p->n_locations;
	for (size_t i = 0; i < p->n_locations; i++) {
		w->result.had_names += !profile_location_is_unnamed(p, &p->locations[i]);
		if (is_wanted(w, &p->locations[i]))
			image_of(w, p->locations[i].mapping)->wanted++;
	}
	AUTO_FREE uint64_t *next = calloc(w->result.n_images + 1, sizeof(*next));
	if (!next)
		return -ENOMEM;
	for (size_t i = 1; i < w->result.n_images; i++)
		next[i] = next[i - 1] + w->result.images[i - 1].wanted;
	for (uint32_t i = 0; i < p->n_locations; i++)
		if (is_wanted(w, &p->locations[i]))
			w->wanted[next[*image_slot(w, p->locations[i].mapping)]++] = i;
	return 0;
}

/* --- naming --------------------------------------------------------------------------------------------------------------- */

static int set_names(struct work *w, uint32_t location, const struct symbolizer_reply *reply, const struct symbolizer_answer *answer)
{
	if (answer->count > w->frames_capacity) {
		void *grown = reallocarray(w->frames, answer->count, sizeof(w->frames[0]));
		if (!grown)
			return -ENOMEM;
		w->frames = grown;
		w->frames_capacity = answer->count;
	}
	for (uint32_t i = 0; i < answer->count; i++) {
		const struct symbolizer_frame *from = &reply->frames[answer->first + i];
		w->frames[i] = (struct profile_frame){.name = from->name,
						      .system_name = from->system_name,
						      .file = from->file,
						      .line = from->line,
						      .column = from->column,
						      .start_line = from->start_line};
	}
	return profile_names_set(w->names, location, w->frames, answer->count);
}

struct taking {
	struct work *work;
	struct symbolized_image *image;
	size_t n; /* that were asked for */
	int err;  /* of ours */
};

static int take_names(void *context, size_t first, struct symbolizer_reply *reply)
{
	struct taking *t = context;

	for (size_t i = 0; t->err == 0 && i < reply->n_answers && first + i < t->n; i++) {
		if (!reply->answers[i].count)
			continue;
		t->err = set_names(t->work, t->work->asked[first + i], reply, &reply->answers[i]);
		t->image->named += t->err == 0;
	}
	symbolizer_reply_free(reply);
	return t->err;
}

static int name_found(struct work *w, struct symbolized_image *image, const struct found_image *found, const uint32_t *locations)
{
	struct taking taking = {.work = w, .image = image};
	size_t n = 0;

	for (uint64_t i = 0; i < image->wanted; i++) {
		const struct profile_location *location = &w->profile->locations[locations[i]];
		int err = profile_vaddr(&w->profile->mappings[location->mapping], location->address, &found->info, &w->vaddrs[n]);
		if (err == 0)
			w->asked[n++] = locations[i];
		image->outside += err < 0;
	}
	taking.n = n;
	int err = n ? w->symbolizer->names(w->symbolizer->context, found, w->vaddrs, n, take_names, &taking) : 0;
	if (err < 0 && !taking.err)
		image->err = why_set(&image->why, err, "reading %.300s: %s", found->path, strerror(-err));
	return taking.err;
}

static int name_image(struct work *w, struct symbolized_image *image, const uint32_t *locations)
{
	const struct profile *p = w->profile;
	struct found_image found = {.fd = -1};

	if (p->locations[locations[0]].mapping == PROFILE_NONE) {
		image->err = why_set(&image->why, -EOPNOTSUPP, "in no mapping");
		return 0;
	}
	if (profile_location_is_kernel(p, &p->locations[locations[0]])) {
		image->err = why_set(&image->why, -EOPNOTSUPP, "the kernel's: only its own boot can name them");
		return 0;
	}
	image->err = w->symbolizer->find(w->symbolizer->context, profile_string(p, image->filename), profile_string(p, image->build_id), &found, &image->why);
	if (image->err == -ENOMEM)
		return image->err;
	if (image->err < 0)
		return 0;
	int err = name_found(w, image, &found, locations);
	image->is_unchecked = !found.is_checked;
	image->path = take_ptr(found.path);
	found_image_deinit(&found);
	return err;
}

static int name_all(struct work *w)
{
	const uint32_t *locations = w->wanted;
	int err = 0;

	for (size_t i = 0; err == 0 && i < w->result.n_images; i++) {
		err = name_image(w, &w->result.images[i], locations);
		locations += w->result.images[i].wanted;
	}
	return err;
}

static void work_deinit(struct work *w)
{
	profile_names_destroy(w->names);
	symbolized_profile_deinit(&w->result);
	free(w->first_mapping);
	free(w->image_of_mapping);
	free(w->wanted);
	free(w->vaddrs);
	free(w->asked);
	free(w->frames);
}

int profile_symbolize(const struct profile_symbolizer *symbolizer, struct profile *profile, struct symbolized_profile *result_out)
{
	__attribute__((cleanup(work_deinit))) struct work w = {.symbolizer = symbolizer, .profile = profile};

	int err = begin(&w);
	if (err == 0)
		err = sort_wanted(&w);
	if (err == 0)
		err = name_all(&w);
	if (err == 0)
		err = profile_names_finish(w.names);
	if (err < 0)
		return err;
	*result_out = w.result;
	w.result = (struct symbolized_profile){0};
	return 0;
}

void symbolized_profile_deinit(struct symbolized_profile *result)
{
	for (size_t i = 0; i < result->n_images; i++)
		free(result->images[i].path);
	free(result->images);
	*result = (struct symbolized_profile){0};
}
