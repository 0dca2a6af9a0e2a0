/* The perf maps and jitdumps of the processes whose JIT code was sampled: found, opened by SAFETY.md's rules, never read here.
 *
 * A process is foreseen when it maps executable memory that has no file, and seen when a sample has a pc there: while it lives its root and files
 * are opened, so that their names are there when it has ended. Files are looked for again in each window that needs them, because a runtime
 * may begin to write later.
 * Not thread-safe. */
#ifndef HEARTH_AGENT_JIT_FILES_H
#define HEARTH_AGENT_JIT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/image_open.h"
#include "agent/jit_runtime.h"
#include "agent/process_table.h"
#include "symbolizer/symbolizer.h"

#define JIT_PROCESSES_MAX 1024 /* known at a time */
#define JIT_HELD_MAX	  32   /* of these with open files, up to four each */
#define JIT_NONE	  UINT32_MAX

struct jit_files;

/* One process. Valid until jit_files_end_window(). */
struct jit_process {
	uint64_t serial; /* of the process instance; 0: a free slot */
	int32_t tgid, ns_pid;
	int32_t parent;
	uint32_t origin; /* slot of the process that it was forked from: code of that one's may run here; JIT_NONE */
	uint64_t origin_serial;
	uint64_t start_ns;    /* as in struct process */
	uint64_t start_ticks; /* of the process with this pid, when it was seen first; 0: was gone */
	uint64_t last_used; /* window */
	uint64_t foreseen_ns; /* when its files were last looked for without a sample */
	bool is_held;	/* the descriptors below stay open, as far as there is something */
	bool was_gone;	/* it had ended when it was seen first */
	int proc_fd;	/* /proc/PID, O_PATH: this process or nothing */
	int root_fd;	/* its root, O_PATH: leads to its files when it has ended, too */
	int map_fd, dump_fd;
	uint64_t map_device, map_inode;
	int map_error; /* why there is no perf map: -ENOENT, -EPERM (another owner's), -EINVAL (no file), -EFBIG; 0: there is one */
	struct file_owners owners;
	struct jit_dump_place *dump;
	enum jit_runtime runtime;
	char name[PROCESS_NAME_MAX];
	uint64_t samples, unnamed; /* of this window, for the caller: with JIT code; of these with a pc that has no name */
};

struct jit_files_stats {
	uint64_t processes; /* known now */
	uint64_t held;	    /* with open files, now */
	uint64_t maps_opened, dumps_opened;
	uint64_t maps_refused; /* not a file, another owner's, too large, or older than the process */
	uint64_t forgotten;    /* processes given up for newer ones */
	uint64_t processes_refused; /* more than JIT_PROCESSES_MAX in one window: their code has no names */
};

/* images: borrowed, tells runtimes. */
int jit_files_create(struct image_table *images, struct jit_files **files_out);

/* This process has memory for JIT code, and may be gone before a sample of it is looked at. */
void jit_files_foresee(struct jit_files *f, const struct process *process, uint64_t window);

/* A sample of this process has JIT code. table: to find where it was forked from. Returns its slot, or JIT_NONE when there are too many. */
uint32_t jit_files_see(struct jit_files *f, struct process_table *table, const struct process *process, uint64_t window);

/* NULL for a slot that is not in use. */
struct jit_process *jit_files_get(struct jit_files *f, uint32_t slot);

/* Open what is there now. The descriptors are borrowed until jit_files_done(). */
void jit_files_open(struct jit_files *f, uint32_t slot, struct jit_source *source_out);
void jit_files_done(struct jit_files *f, uint32_t slot);

/* Close what was not used for a while, and forget the processes. */
void jit_files_end_window(struct jit_files *f, uint64_t window);

/* Call fn for each process that was seen in this window. */
void jit_files_each(const struct jit_files *f, uint64_t window, void (*fn)(void *context, const struct jit_process *process), void *context);

void jit_files_stats(const struct jit_files *f, struct jit_files_stats *stats_out);
/* NULL is legal. */
void jit_files_destroy(struct jit_files *f);

#endif
