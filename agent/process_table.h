/* Who ran what: processes, their names and address spaces, over time.
 *
 * Each exec begins a new instance of a process. A pid that is used again is another instance too: an instance is
 * (tgid, time of its fork or exec), so that a sample finds the address space that it ran in. Fed by task records; processes
 * that were there before are read from /proc, all at once at the start or when a sample needs them. Not thread-safe. */
#ifndef HEARTH_AGENT_PROCESS_TABLE_H
#define HEARTH_AGENT_PROCESS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/image_table.h"
#include "agent/mapset.h"
#include "agent/task_events.h"

#define PROCESS_NAME_MAX 64 /* of the executable's base name too: a longer one is cut */

struct process_table;

/* Where a runtime mapped the jitdump that it writes: this is how it tells profilers of it (symbolizer/jitdump.h). */
struct jit_dump_place {
	uint64_t start, end;
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	char path[];
};

/* NULL: no memory. Freed with free(). */
struct jit_dump_place *jit_dump_place_copy(const struct jit_dump_place *place);

/* One instance. */
struct process {
	int32_t tgid;
	int32_t parent;
	uint64_t start_ns;    /* CLOCK_MONOTONIC of its exec or fork; 0: was there before */
	uint64_t end_ns;      /* of its exit or next exec; UINT64_MAX: alive */
	uint64_t last_window; /* in which a sample asked for it */
	uint64_t serial;      /* identity for the caller: never used again */
	uint64_t replaced_ns; /* when a file's code was last mapped where another file's was; 0: never */
	uint64_t read_epoch;  /* losses known when /proc/PID/maps was last read */
	bool complete;	      /* its mappings are known from their beginning, or were read from /proc */
	bool is_kernel_thread;
	bool in_kernel;	      /* the kernel program may have its mappings: set by who puts them there */
	uint32_t space, space_serial; /* ... the address space there that it holds: slot + 1, 0: none of its own */
	uint64_t forked_from; /* serial of the process whose memory it began with; 0 after an exec */
	uint64_t cgroup;      /* of cgroup_names_read(), kept here for who asks for it; a fork and an exec take it over. 0: not read */
	uint64_t cgroup_ns;   /* CLOCK_MONOTONIC of that; 0: it was taken over */
	uint64_t cgroup_v2;   /* the id of its cgroup (v2) then */
	char name[PROCESS_NAME_MAX];
	char executable[PROCESS_NAME_MAX]; /* base name of the file that it executed; "": not known, or a kernel thread */
	struct mapset *mappings;
	struct jit_dump_place *jit_dump; /* NULL: none */
	struct process *older; /* earlier instance of the same tgid */
};

struct process_table_stats {
	uint64_t processes;	/* instances now held */
	uint64_t bytes;		/* of mappings and instances now held */
	uint64_t from_proc;	/* instances read from /proc */
	uint64_t evicted;	/* live processes given up for the budget; read again from /proc when needed */
	uint64_t mappings_lost; /* mappings that did not fit (memory, MAPSET_MAX, image table) */
	uint64_t bad_maps_lines;
};

/* images: borrowed. budget_bytes: for instances and mappings. */
int process_table_create(struct image_table *images, uint64_t budget_bytes, struct process_table **table_out);

/* Called when the mappings of a process that is in_kernel change, and when it ends. */
typedef void (*process_change_fn)(void *context, struct process *process);
void process_table_watch(struct process_table *t, process_change_fn fn, void *context);

/* Called for a record that a process has executable memory without a file: it may make code. */
typedef void (*process_jit_fn)(void *context, const struct process *process);
void process_table_watch_jit(struct process_table *t, process_jit_fn fn, void *context);

/* Called when a process executed something: it may be in a place of its own since its fork, and gone soon. */
typedef void (*process_exec_fn)(void *context, struct process *process);
void process_table_watch_exec(struct process_table *t, process_exec_fn fn, void *context);

/* Apply a record. In the order of their times. */
void process_table_apply(struct process_table *t, const struct task_record *record);

/* Read all processes of /proc that are not known yet. Returns their number or a negative errno. */
int process_table_scan(struct process_table *t);

/* The instance of a process at a time, NULL when it is not known; a process that is not known is looked up in /proc once a window.
 * epoch: records lost so far (task_events_stats.lost): more than at the last reading means that /proc is read again.
 * Borrowed until the next process_table_end_window(). */
struct process *process_table_find(struct process_table *t, int32_t tgid, uint64_t time_ns, uint64_t window,
				   uint64_t epoch);

/* The instance that a process was forked from, NULL when it is not known (any more) or the process executed something since. Of a process that was
 * there before, it is its parent when both have their libraries in the same places. Borrowed as above. */
const struct process *process_table_origin(struct process_table *t, const struct process *process);

/* Forget instances that ended before before_ns, and the longest unsampled live ones beyond the budget. */
void process_table_end_window(struct process_table *t, uint64_t before_ns, uint64_t window);

/* Let the image table forget files that no process maps any more, when it is nearly full. */
void process_table_sweep_images(struct process_table *t, uint64_t window);

void process_table_stats(const struct process_table *t, struct process_table_stats *stats_out);

/* NULL is legal. */
void process_table_destroy(struct process_table *t);

#endif
