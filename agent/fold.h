/* Folding: what the kernel counted becomes a profile.
 *
 * fold_add() turns each stack's pcs into (image, vaddr) while the process is still known; fold_finish() asks the symbolizer
 * once for each image and builds the profile. Not thread-safe. */
#ifndef HEARTH_AGENT_FOLD_H
#define HEARTH_AGENT_FOLD_H

#include "agent/accounting.h"
#include "agent/cgroup_names.h"
#include "agent/frame_names.h"
#include "agent/process_table.h"
#include "agent/unwinder.h"
#include "bpf/records.h"
#include "pprof/profile.h"
#include "symbolizer/symbolizer.h"

struct fold;

struct fold_options {
	struct event event;
	uint64_t rate_hz;
	uint64_t period; /* of events by occurrence */
	bool kernel_addresses; /* write kernel addresses into profiles */
	struct cgroup_names *cgroups; /* borrowed */
};

/* What a finished window was. */
struct fold_window {
	int64_t time_ns; /* wall clock of its start */
	int64_t duration_ns;
	uint64_t rate_hz;
	int cpus;
	double weight; /* of this window in a sum over windows; up to 1: it is one of all, and not written */
};

/* All borrowed; sources: copied. */
int fold_create(const struct fold_options *options, struct process_table *processes, struct image_table *images,
		const struct name_sources *sources, struct unwinder *unwinder, struct fold **fold_out);

/* The window and the losses known, for process_table_find(). now_ns: CLOCK_MONOTONIC. Before the fold_add()s of a drain. */
void fold_begin_drain(struct fold *f, uint64_t window, uint64_t epoch, uint64_t now_ns);

/* Take one stack: a sampler_entry_fn with the fold as context. */
int fold_add(void *fold, const struct arena_entry *entry, const uint64_t *frames);

/* Name all frames and build the profile; the fold is empty again after it.
 * account: of the window's drains; samples, complete, cut, user_samples, image_known and the jit counts are added from what is in the
 * profile. On failure all samples are added to its out_of_memory. */
int fold_finish(struct fold *f, const struct fold_window *window, struct accounting *account,
		struct profile **profile_out);

/* 1 when kernel addresses were met that could not be named because kallsyms is not readable. */
bool fold_lacks_kernel_names(const struct fold *f);

/* NULL is legal. */
void fold_destroy(struct fold *f);

#endif
