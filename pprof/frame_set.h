/* Frames of one profile or of several as numbers: what people take for the same function is the same number. Each location is resolved once, not once for each sample.
 * Texts are borrowed from the profiles. Not thread-safe. */
#ifndef HEARTH_PPROF_FRAME_SET_H
#define HEARTH_PPROF_FRAME_SET_H

#include "pprof/profile.h"
#include "pprof/string_set.h"

struct named_frame {
	uint32_t name;		/* numbers in the table's sets */
	uint32_t module, module_base; /* file of the mapping, and the last part of its path */
	uint32_t file;		/* source, where any location knows it */
	bool is_kernel;
	bool is_process; /* of frame_set_process() */
};

struct frame_set {
	struct named_frame *frames;
	size_t n, capacity;
	uint32_t *slots; /* of frames, + 1; 0: free */
	size_t n_slots;
	struct string_set names, modules, module_bases, files;
	bool by_module;
	uint64_t seed;
};

/* The frames of a profile's locations: those of location i are frames[first[i]] .. first[i + 1], the innermost first, no more than PROFILE_INLINED_MAX. */
struct frame_map {
	uint32_t *first;
	uint32_t *frames;
};

/* A frame is a name and a side (kernel or not); by_module: and the last part of the module's path. Returns 0, -EIO, -ENOMEM. */
int frame_set_init(struct frame_set *t, bool by_module);
void frame_set_deinit(struct frame_set *t);

/* Add the frames of a profile, which must live as long as the table. Returns 0, -ENOMEM, -E2BIG. */
int frame_set_add(struct frame_set *t, const struct profile *profile, struct frame_map *map_out);
void frame_map_deinit(struct frame_map *map);

/* The frame that stands for a process. name: must live as long as the set. Returns its number, -ENOMEM, -E2BIG. */
int64_t frame_set_process(struct frame_set *t, const char *name);

#endif
