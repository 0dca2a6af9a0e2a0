/* What cgroups are called, and what their names tell: container, unit, pod.
 *
 * A sample has the id of its cgroup (v2). The kernel tells the path of an id as long as the cgroup is there (open_by_handle_at(); where that is not allowed the tree is
 * walked). What was learned is remembered when the cgroup is gone: all that are there at the start, all that are made meanwhile (struct cgroup_record from the
 * kernel program), each that was asked for.
 *
 * Where hierarchies of v1 are mounted (also beside v2), a container or service may have its cgroup there only: /proc/PID/cgroup is read for each process then, and what it
 * says has an id of its own.
 *
 * Paths are relative to the root of hearth's cgroup namespace. Not thread-safe. */
#ifndef HEARTH_AGENT_CGROUP_NAMES_H
#define HEARTH_AGENT_CGROUP_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/pod_names.h"

#define CGROUP_LABEL_MAX     512  /* bytes of a path in a label; a longer one is cut. What it tells is taken from the whole */
#define CGROUP_DIRS_A_STEP   1024 /* of the tree, that are read between two cgroup_names_begin() */
#define CGROUP_READS_A_STEP  1024 /* of /proc/PID/cgroup, the same */

struct cgroup_names;

struct cgroup_names_options {
	const char *host_root; /* before /sys/fs/cgroup and /var/log: of a container that has the host's files there; "": none */
	const char *v2_folder; /* where v2 is mounted, in place of looking for it; NULL: look */
	const char *proc;      /* NULL: /proc */
	uint64_t budget_bytes; /* of what is remembered */
};

/* One cgroup. Texts are clean (base/text_clean.h) and never NULL; "": there is none. Borrowed until the next cgroup_names_begin(). */
struct cgroup {
	const char *path; /* "" for the root */
	const char *container_id, *container, *unit, *pod, *namespace;
};

struct cgroup_names_stats {
	uint64_t known, bytes; /* now */
	uint64_t learned;      /* of those, told by the kernel program when they were made, or found at the start */
	uint64_t looked_up;    /* ids whose path was asked for */
	uint64_t unknown;      /* ... that were gone */
	uint64_t processes_read;
	uint64_t evicted, cut, no_memory;
	uint64_t over_limit; /* look-ups that were put off (CGROUP_..._A_STEP), cgroups not learned beyond twice the budget */
	bool by_process;
	bool by_walking; /* open_by_handle_at() is not allowed */
	struct pod_names_stats pods;
};

int cgroup_names_create(const struct cgroup_names_options *options, struct cgroup_names **names_out);

/* Learn the cgroups that are there, up to CGROUP_DIRS_A_STEP folders. */
void cgroup_names_scan(struct cgroup_names *n);

/* A cgroup of v2 was made. path: of bytes, need not end in NUL. */
void cgroup_names_learn(struct cgroup_names *n, uint64_t id, const char *path, size_t bytes);

/* A new step: limits hold anew, and what was borrowed may go for the budget. now_ns: CLOCK_MONOTONIC. */
void cgroup_names_begin(struct cgroup_names *n, uint64_t now_ns);

/* Whether cgroup_names_read() is to be used. */
bool cgroup_names_by_process(const struct cgroup_names *n);

/* The id of what /proc/PID/cgroup says. Returns it, or 0: the process is gone, or too many were read in this step. */
uint64_t cgroup_names_read(struct cgroup_names *n, pid_t pid);

/* id: of a cgroup (v2), or from cgroup_names_read(). NULL: not known. */
const struct cgroup *cgroup_names_find(struct cgroup_names *n, uint64_t id);

/* How much a cgroup tells: 3 a container, 2 a unit, 1 a path, 0 nothing. NULL is legal. */
int cgroup_tells(const struct cgroup *cgroup);

/* Whether hearth's cgroup namespace is not the machine's: paths then begin in the middle. proc: NULL: /proc. */
bool cgroup_names_is_inside(const char *proc);

void cgroup_names_stats(const struct cgroup_names *n, struct cgroup_names_stats *stats_out);

/* NULL is legal. */
void cgroup_names_destroy(struct cgroup_names *n);

#endif
