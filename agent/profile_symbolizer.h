/* Names for the addresses of a profile that was read from a file, from the binaries that lie here. */
#ifndef HEARTH_AGENT_PROFILE_SYMBOLIZER_H
#define HEARTH_AGENT_PROFILE_SYMBOLIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/image_finder.h"
#include "base/why.h"
#include "pprof/profile.h"

struct profile_symbolizer {
	bool force; /* also locations that have names */
	/* As image_finder_find(). The symbolizer of profiles closes what was found before it looks for the next. */
	int (*find)(void *context, const char *filename, const char *build_id, struct found_image *found_out, struct why *why);
	/* As image_names_each(), of the image that was found last. */
	int (*names)(void *context, const struct found_image *image, const uint64_t *vaddrs, size_t n, symbolizer_take_fn *take, void *take_context);
	void *context;
};

/* What became of the addresses of one file, or of none. */
struct symbolized_image {
	profile_str filename, build_id; /* strings of the profile */
	char *path;	    /* of the file that was read; NULL: none */
	uint64_t wanted;    /* addresses without names */
	uint64_t named;
	uint64_t outside;   /* of no executable byte of the file */
	bool is_unchecked;  /* the profile has no build id: the file was believed by its name */
	int err;	    /* why nothing was named; 0: the file was read */
	struct why why;
};

struct symbolized_profile {
	uint64_t locations, had_names;
	struct symbolized_image *images; /* those of which addresses were wanted */
	size_t n_images;
};

/* Name what can be named; all else of the profile stays as it is, and so does the whole of it on failure.
 * result_out: symbolized_profile_deinit(). Returns 0, -ENOMEM, or -E2BIG. A file that cannot be found or read costs its names only. */
int profile_symbolize(const struct profile_symbolizer *symbolizer, struct profile *profile, struct symbolized_profile *result_out);

void symbolized_profile_deinit(struct symbolized_profile *result);

#endif
