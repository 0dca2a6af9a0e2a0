/* Names for the frames of a window: one batch for each image, one for the kernel, written into the profile as locations. */
#ifndef HEARTH_AGENT_FRAME_NAMES_H
#define HEARTH_AGENT_FRAME_NAMES_H

#include "agent/accounting.h"
#include "agent/frame_cache.h"
#include "agent/frame_table.h"
#include "agent/image_table.h"
#include "agent/jit_files.h"
#include "agent/name_tables.h"
#include "pprof/profile_builder.h"
#include "symbolizer/symbolizer.h"

/* What is known of the kernel's symbols, over windows. */
struct kernel_names {
	bool loaded;
	bool unreadable;	 /* kallsyms cannot be read, or shows zeros */
	uint64_t loaded_at_ns;	 /* CLOCK_MONOTONIC */
	bool unnamed;		 /* an address had no symbol: modules or programs came since */
	uint64_t loads;
};

/* Where names come from. All borrowed. */
struct name_sources {
	struct symbolizer *symbolizer;
	struct name_tables *tables; /* NULL: symbol tables only */
	struct frame_cache *cache;  /* NULL: everything is asked for in every window */
	struct jit_files *jit;
};

struct frame_names {
	struct profile_builder *builder;
	struct frame_table *frames;
	uint32_t cuts[ACCOUNT_CUTS]; /* locations of the marker frames + 1; 0: not made yet */
	uint32_t anonymous; /* location of code without a name */
	uint32_t jit_mapping; /* of JIT code + 1; 0: not made yet */
};

/* Functions that nothing calls. */
#define ENTRY_NAMES_MAX 24
struct entry_names {
	profile_str entries[ENTRY_NAMES_MAX];
	size_t n;
	profile_str main_names[4];
	size_t n_main;
};

int entry_names_init(struct entry_names *e, struct profile_builder *builder);
bool entry_names_is_entry(const struct entry_names *e, profile_str name);
bool entry_names_is_main(const struct entry_names *e, profile_str name);

/* Give every frame its location (frame.location) and name (frame.name). */
int frame_names_resolve(struct frame_names *n, struct frame_table *frames, struct profile_builder *builder,
			struct image_table *images, const struct name_sources *sources, struct kernel_names *kernel,
			bool kernel_addresses);

/* Whether a frame is JIT code whose name is not known. */
bool frame_names_lacks_name(const struct frame_names *n, const struct frame *frame);

/* The location of the marker frame of a cut stack, or a negative errno. */
int64_t frame_names_cut(struct frame_names *n, enum account_cut cut);

#endif
