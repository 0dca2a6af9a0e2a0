/* /proc/PID/maps, for processes that were there before hearth. Source: proc(5).
 * The text is chosen by strangers in part (paths): parsed strictly, never trusted. */
#ifndef HEARTH_AGENT_PROC_MAPS_H
#define HEARTH_AGENT_PROC_MAPS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct proc_mapping {
	uint64_t start, end, file_offset;
	uint32_t dev_major, dev_minor;
	uint64_t inode;
	bool executable;
	const char *path; /* "" for anonymous memory; octal escapes (\012) undone; borrowed until the next line */
};

/* Called for each mapping, in address order. A negative return ends the reading with that error. */
typedef int (*proc_mapping_fn)(void *context, const struct proc_mapping *mapping);

/* Parse one line (without or with its newline; it is modified). Returns 0 or -EBADMSG. */
int proc_maps_parse(char *line, struct proc_mapping *mapping_out);

/* Read all executable mappings of a process. Returns 0; -ESRCH when it is gone; -EACCES; fn's error.
 * Lines that cannot be parsed are skipped and counted in *bad_lines_out (may be NULL). */
int proc_maps_read(pid_t pid, proc_mapping_fn fn, void *context, uint64_t *bad_lines_out);

/* Facts of /proc/PID/stat: start time in clock ticks since boot, parent, name (may hold spaces and parentheses), kernel thread or not.
 * Returns 0, -ESRCH, -EBADMSG. */
struct proc_stat {
	char comm[64];
	pid_t parent;
	uint64_t start_ticks;
	bool is_kernel_thread;
};
int proc_stat_parse(const char *text, struct proc_stat *stat_out);
int proc_stat_read(pid_t pid, struct proc_stat *stat_out);

#endif
