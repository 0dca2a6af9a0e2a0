/* The labels of samples: who ran, and where. Each distinct set is made once in a window (docs/profiles.md, "Labels"). Not thread-safe. */
#ifndef HEARTH_AGENT_SAMPLE_LABELS_H
#define HEARTH_AGENT_SAMPLE_LABELS_H

#include <stdint.h>

#include "agent/cgroup_names.h"
#include "agent/process_table.h"
#include "pprof/profile_builder.h"

#define SAMPLE_LABELS_MAX 12

struct sample_labels;

/* Whose sample it is. */
struct sample_owner {
	const struct process *process; /* NULL: not known */
	const struct cgroup *cgroup;   /* the same */
	int32_t tgid;		       /* 0: the idle task */
	uint32_t tid;		       /* 0: not asked for */
	uint64_t cgroup_id;	       /* what cgroup was found by: tells two cgroups apart */
	char comm[17];
};

int sample_labels_create(struct sample_labels **labels_out);

/* The set of an owner, whose strings are put into b. Returns its index, or -ENOMEM, -E2BIG. */
int64_t sample_labels_find(struct sample_labels *l, struct profile_builder *b, const struct sample_owner *owner);

/* A set. Borrowed until the next sample_labels_find(). */
const struct profile_label *sample_labels_get(const struct sample_labels *l, uint32_t set, size_t *n_out);

/* Forget all: the builder's strings are gone. */
void sample_labels_clear(struct sample_labels *l);

/* NULL is legal. */
void sample_labels_destroy(struct sample_labels *l);

#endif
