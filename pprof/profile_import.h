/* Takes parts of a profile over into a builder: each string, function, mapping, location and set of labels once, when the first sample needs it.
 * Functions return an index in the builder (>= 0) or the builder's negative errno. Not thread-safe. */
#ifndef HEARTH_PPROF_PROFILE_IMPORT_H
#define HEARTH_PPROF_PROFILE_IMPORT_H

#include "pprof/profile.h"
#include "pprof/profile_builder.h"

struct profile_import;

/* Choices of whoever takes over. */
struct profile_import_rules {
	void *context;
	/* Does line i of a location stay? NULL: all do. */
	bool (*keeps_line)(void *context, uint32_t location, uint32_t i);
	/* A mapping, its strings already the builder's; what it is changed to is taken instead. *shift_out: to be added to addresses of its locations. NULL: as it is. */
	int (*map)(void *context, struct profile_mapping *mapping, uint64_t *shift_out);
};

/* builder, profile, rules (NULL: none): borrowed. Returns 0 or -ENOMEM. */
int profile_import_create(struct profile_builder *builder, const struct profile *profile, const struct profile_import_rules *rules,
			  struct profile_import **import_out);

int64_t profile_import_string(struct profile_import *i, profile_str string);
int64_t profile_import_location(struct profile_import *i, uint32_t location);
int64_t profile_import_labels(struct profile_import *i, const struct profile_sample *sample);

/* Sample types, period, time, duration, default sample type; the rest of the head is for profile_import_finish(), comments are for the caller. */
int profile_import_head(struct profile_import *i);

/* Builder's profile, with what the builder cannot say of the head: drop_frames, keep_frames, doc_url. The builder is empty then. */
int profile_import_finish(struct profile_import *i, struct profile **profile_out);

/* NULL is legal. */
void profile_import_destroy(struct profile_import *i);

#endif
