/* hearth's own walk (bpf/unwind.h over the tables of symbolizer/unwind_compiler.h) of a process that is stopped: its memory is read where
 * it is, its code is what /proc/PID/maps says. Not thread-safe. */
#ifndef HEARTH_STEPPING_WALKER_H
#define HEARTH_STEPPING_WALKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "bpf/records.h"

struct walker;

/* A pc in a file. */
struct place {
	const char *path; /* borrowed until walker_refresh(); "?" where nothing is mapped */
	uint64_t vaddr;
	bool in_plt;
	bool has_cfi;
};

struct walked {
	size_t n;
	uint32_t end; /* enum stack_end */
	uint64_t frames[USER_FRAMES_MAX]; /* leaf first; interrupted pcs as they are */
};

/* damage: change the tables so that some walks go wrong. Returns 0 or -ENOMEM. */
int walker_create(pid_t pid, bool damage, struct walker **walker_out);

/* Read the process's mappings again. Returns 0 or a negative errno. */
int walker_refresh(struct walker *w);

/* Memory of the process. Returns 0 or -EFAULT. */
int walker_read(const struct walker *w, void *to, size_t bytes, uint64_t address);

/* Is there an executable mapping at pc? */
bool walker_knows(const struct walker *w, uint64_t pc);
struct place walker_place(const struct walker *w, uint64_t pc);

void walker_walk(struct walker *w, const struct user_regs_struct *registers, struct walked *walked_out);

/* NULL is legal. */
void walker_destroy(struct walker *w);

#endif
