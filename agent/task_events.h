/* What processes do: exec, fork, exit, comm and new executable mappings, from one dummy perf event on each CPU.
 * Source of the record formats: perf_event_open(2), "PERF_RECORD_*". */
#ifndef HEARTH_AGENT_TASK_EVENTS_H
#define HEARTH_AGENT_TASK_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"

struct task_events;

enum task_record_type {
	TASK_FORK, /* a new process; threads are left out */
	TASK_EXIT, /* the last word of a process's first thread; other threads are left out */
	TASK_COMM, /* name of a process's first thread; is_exec when an exec set it */
	TASK_MMAP, /* a new executable mapping */
};

/* One record. Pointers are borrowed for the call. */
struct task_record {
	enum task_record_type type;
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	int32_t pid;	  /* process (tgid), in the agent's pid namespace */
	int32_t parent;	  /* FORK */
	bool is_exec;	  /* COMM */
	uint64_t start, end, file_offset; /* MMAP */
	bool has_build_id;		  /* MMAP: the kernel (5.12+) gives it in place of device and inode */
	uint8_t build_id[20];
	uint8_t build_id_bytes;
	uint32_t dev_major, dev_minor;
	uint64_t inode, inode_generation;
	const char *text; /* COMM: name; MMAP: path */
};

typedef void (*task_record_fn)(void *context, const struct task_record *record);

struct task_events_stats {
	uint64_t records;
	uint64_t lost;	    /* the kernel found no room in a buffer; processes are read again from /proc when needed */
	uint64_t malformed; /* shorter than their own format says: skipped */
};

/* Opens the events of all online CPUs. buffer_bytes: of each CPU, a power of two of pages. */
int task_events_open(uint64_t buffer_bytes, struct task_events **events_out, struct why *why);

/* Becomes readable (epoll) when there are records. */
int task_events_fd(const struct task_events *t);

/* Hand over all records up to a time, merged over the CPUs in the order of their times. Records behind it stay
 * for the next call. Returns true when some were left. */
bool task_events_read(struct task_events *t, uint64_t until_ns, task_record_fn fn, void *context);

/* Open the events of CPUs that came, close those that went. again: also those that are open (after a CPU was off for a moment). */
void task_events_follow(struct task_events *t, bool again);

void task_events_stats(const struct task_events *t, struct task_events_stats *stats_out);

/* NULL is legal. */
void task_events_close(struct task_events *t);

#endif
