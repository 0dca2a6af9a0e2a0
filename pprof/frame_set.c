#include "pprof/frame_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/scope.h"

#define FRAMES_MIN 256
#define FRAMES_MAX (1u << 31)
#define UNKNOWN	   UINT32_MAX

int frame_set_init(struct frame_set *t, bool by_module)
{
	*t = (struct frame_set){.by_module = by_module};
	if (getrandom(&t->seed, sizeof(t->seed), 0) != (ssize_t)sizeof(t->seed))
		return -EIO;
	struct string_set *sets[] = {&t->names, &t->modules, &t->module_bases, &t->files};
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		int err = string_set_init(sets[i]);
		if (err < 0) {
			frame_set_deinit(t);
			return err;
		}
	}
	return 0;
}

void frame_set_deinit(struct frame_set *t)
{
	string_set_deinit(&t->names);
	string_set_deinit(&t->modules);
	string_set_deinit(&t->module_bases);
	string_set_deinit(&t->files);
	free(t->frames);
	free(t->slots);
	*t = (struct frame_set){0};
}

static bool same_frame(const struct frame_set *t, const struct named_frame *x, const struct named_frame *y)
{
	return x->name == y->name && x->is_kernel == y->is_kernel && x->is_process == y->is_process &&
	       (!t->by_module || x->module_base == y->module_base);
}

static size_t slot_of(const struct frame_set *t, const struct named_frame *frame)
{
	uint64_t key[2] = {frame->name, (uint64_t)(t->by_module ? frame->module_base : 0) << 2 | (uint64_t)frame->is_process << 1 | frame->is_kernel};
	size_t at = XXH3_64bits_withSeed(key, sizeof(key), t->seed) & (t->n_slots - 1);

	while (t->slots[at] && !same_frame(t, &t->frames[t->slots[at] - 1], frame))
		at = (at + 1) & (t->n_slots - 1);
	return at;
}

static int reserve(struct frame_set *t)
{
	if (t->n < t->capacity)
		return 0;
	if (t->n >= FRAMES_MAX)
		return -E2BIG;
	size_t capacity = t->capacity ? 2 * t->capacity : FRAMES_MIN;
	struct named_frame *frames = realloc(t->frames, capacity * sizeof(*frames));
	t->frames = frames ? frames : t->frames;
	uint32_t *slots = calloc(2 * capacity, sizeof(*slots));
	if (!frames || !slots) {
		free(slots);
		return -ENOMEM;
	}
	free(t->slots);
	t->slots = slots;
	t->n_slots = 2 * capacity;
	t->capacity = capacity;
	for (uint32_t i = 0; i < t->n; i++)
		t->slots[slot_of(t, &t->frames[i])] = i + 1;
	return 0;
}

static int64_t intern(struct frame_set *t, const struct named_frame *frame)
{
	int err = reserve(t);
	if (err < 0)
		return err;
	size_t slot = slot_of(t, frame);
	if (!t->slots[slot]) {
		t->frames[t->n] = *frame;
		t->slots[slot] = (uint32_t)++t->n;
	}
	struct named_frame *known = &t->frames[t->slots[slot] - 1];
	if (!known->file)
		known->file = frame->file;
	return t->slots[slot] - 1;
}

int64_t frame_set_process(struct frame_set *t, const char *name)
{
	int64_t id = string_set_add(&t->names, name);
	struct named_frame frame = {.name = (uint32_t)id, .is_process = true};

	return id < 0 ? id : intern(t, &frame);
}

/* What was found out about functions and mappings of a profile, by their numbers. */
struct resolving {
	struct frame_set *t;
	const struct profile *p;
	uint32_t *names, *files; /* of functions; UNKNOWN: not yet */
	struct named_frame *mappings;	 /* their part of a frame */
};

static int resolve_mappings(struct resolving *r)
{
	for (size_t i = 0; i < r->p->n_mappings; i++) {
		const char *path = profile_string(r->p, r->p->mappings[i].filename), *slash = strrchr(path, '/');
		int64_t module = string_set_add(&r->t->modules, path);
		int64_t base = string_set_add(&r->t->module_bases, slash && slash[1] ? slash + 1 : path);
		if (module < 0 || base < 0)
			return (int)(module < 0 ? module : base);
		r->mappings[i] = (struct named_frame){.module = (uint32_t)module, .module_base = (uint32_t)base, .is_kernel = strncmp(path, "[kernel", 7) == 0};
	}
	return 0;
}

static int resolve_function(struct resolving *r, uint32_t function)
{
	const struct profile_function *f = &r->p->functions[function];
	const char *name = profile_string(r->p, f->name);

	if (r->names[function] != UNKNOWN)
		return 0;
	int64_t name_id = string_set_add(&r->t->names, *name ? name : profile_string(r->p, f->system_name));
	int64_t file_id = string_set_add(&r->t->files, profile_string(r->p, f->filename));
	if (name_id < 0 || file_id < 0)
		return (int)(name_id < 0 ? name_id : file_id);
	r->names[function] = (uint32_t)name_id;
	r->files[function] = (uint32_t)file_id;
	return 0;
}

static int64_t resolve_line(struct resolving *r, const struct profile_location *location, uint32_t i)
{
	struct named_frame frame = location->mapping == PROFILE_NONE ? (struct named_frame){0} : r->mappings[location->mapping];
	char buffer[PROFILE_FRAME_NAME_MAX];

	if (i < location->n_lines) {
		uint32_t function = r->p->lines[location->first_line + i].function;
		int err = resolve_function(r, function);
		if (err < 0)
			return err;
		frame.name = r->names[function];
		frame.file = r->files[function];
	} else {
		int64_t name = string_set_copy(&r->t->names, profile_frame_name(r->p, location, i, buffer));
		if (name < 0)
			return name;
		frame.name = (uint32_t)name;
	}
	return intern(r->t, &frame);
}

static uint32_t frames_of(const struct profile_location *location)
{
	return location->n_lines < 1 ? 1 : location->n_lines > PROFILE_INLINED_MAX ? PROFILE_INLINED_MAX : location->n_lines;
}

static int resolve_locations(struct resolving *r, struct frame_map *map)
{
	uint32_t at = 0;

	for (size_t i = 0; i < r->p->n_locations; i++) {
		const struct profile_location *location = &r->p->locations[i];
		uint32_t n = frames_of(location);
		map->first[i] = at;
		for (uint32_t k = 0; k < n; k++) {
			int64_t frame = resolve_line(r, location, k);
			if (frame < 0)
				return (int)frame;
			map->frames[at++] = (uint32_t)frame;
		}
	}
	map->first[r->p->n_locations] = at;
	return 0;
}

int frame_set_add(struct frame_set *t, const struct profile *profile, struct frame_map *map_out)
{
	uint64_t n = 0;

	for (size_t i = 0; i < profile->n_locations; i++)
		n += frames_of(&profile->locations[i]);
	if (n >= FRAMES_MAX)
		return -E2BIG;
	AUTO_FREE uint32_t *names = malloc((profile->n_functions + 1) * sizeof(*names));
	AUTO_FREE uint32_t *files = malloc((profile->n_functions + 1) * sizeof(*files));
	AUTO_FREE struct named_frame *mappings = malloc((profile->n_mappings + 1) * sizeof(*mappings));
	struct frame_map map = {malloc((profile->n_locations + 1) * sizeof(uint32_t)), malloc((n + 1) * sizeof(uint32_t))};
	struct resolving r = {.t = t, .p = profile, .names = names, .files = files, .mappings = mappings};
	int err = names && files && mappings && map.first && map.frames ? 0 : -ENOMEM;
	if (err == 0) {
		memset(names, 0xff, (profile->n_functions + 1) * sizeof(*names));
		err = resolve_mappings(&r);
	}
	if (err == 0)
		err = resolve_locations(&r, &map);
	if (err < 0)
		frame_map_deinit(&map);
	else
		*map_out = map;
	return err;
}

void frame_map_deinit(struct frame_map *map)
{
	free(map->first);
	free(map->frames);
	*map = (struct frame_map){0};
}
