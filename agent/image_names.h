/* Names for addresses of files that lie here, without a recording: what `hearth addr2line` and `hearth symbolize` ask.
 *
 * Everything is parsed in confined processes; only descriptors go there. A file's name table comes from the cache, else its debug information is
 * compiled: only what the addresses at hand need, or all of it, which is kept in the cache. Not thread-safe. */
#ifndef HEARTH_AGENT_IMAGE_NAMES_H
#define HEARTH_AGENT_IMAGE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "symbolizer/demangle.h"
#include "symbolizer/symbolizer.h"

struct image_names;
struct zygote;

struct image_names_options {
	const char *const *folders; /* with debug files, beside /usr/lib/debug: DIR/.build-id/xx/yyyy.debug, DIR/NAME; borrowed */
	size_t n_folders;
	enum demangle_style demangle;
	bool keep;		     /* compile all of a file at once, for the cache */
	const char *cache;	     /* its folder; NULL: where it is by itself (agent/name_cache.h) */
	uint64_t cache_budget_bytes; /* 0: no cache */
};

/* zygote: borrowed. Without a cache that can be used it works without: a line on standard error says why, when it was asked for. */
int image_names_create(struct zygote *zygote, const struct image_names_options *options, struct image_names **names_out, struct why *why);

/* A file's headers; as symbolizer_image(). */
int image_names_headers(struct image_names *n, int fd, struct image_info *info_out);

/* A file. */
struct named_image {
	uint64_t id; /* the caller's number for it */
	int fd;
	const char *path; /* where it lies, for the files that it refers to */
	const struct image_info *info;
	bool is_last; /* nothing more will be asked of it: of its debug information only what these addresses need is read */
};

/* Name a batch of addresses, taken piece by piece while the next is looked up: see symbolizer_names_each(). Debug information that cannot be read costs what it would have said:
 * image_names_problem() tells. */
int image_names_each(struct image_names *n, const struct named_image *image, const uint64_t *vaddrs, size_t n_vaddrs, symbolizer_take_fn *take,
		     void *context);

/* What was wrong with the debug information of the file that was asked for last; NULL: nothing. Borrowed until the next call. */
const char *image_names_problem(const struct image_names *n);

/* NULL is legal. */
void image_names_destroy(struct image_names *n);

#endif
