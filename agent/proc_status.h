/* Facts of /proc/PID/status and uid_map that /proc/PID/stat does not have. Source: proc(5), user_namespaces(7). */
#ifndef HEARTH_AGENT_PROC_STATUS_H
#define HEARTH_AGENT_PROC_STATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_status {
	uid_t uids[4]; /* real, effective, saved, file system */
	pid_t ns_pid;  /* in its own, the innermost, pid namespace */
	uint64_t start_ticks; /* when it began, in clock ticks since boot; 0 from proc_status_parse() */
};

/* Returns 0 or -EBADMSG. A kernel without NSpid (before 4.1) has one pid namespace for it: ns_pid is Pid then. */
int proc_status_parse(const char *text, struct proc_status *status_out);

/* Which of our users is root in a user namespace: from the text of a uid_map. False when nobody is. */
bool proc_uid_map_root(const char *text, uid_t *root_out);

/* All of it, of a process: a descriptor of /proc/PID (O_PATH). has_root_out: root_out is set. Returns 0, -ESRCH or -EBADMSG. */
int proc_status_read(int process, struct proc_status *status_out, bool *has_root_out, uid_t *root_out);

#endif
