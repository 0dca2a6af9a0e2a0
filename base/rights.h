/* What a process gives up for good: the pieces that the confined processes have in common (docs/confinement.md). Which system calls are left is each one's own list.
 * Functions return 0 or a negative errno, unless they say otherwise. */
#ifndef HEARTH_BASE_RIGHTS_H
#define HEARTH_BASE_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define RIGHTS_NOBODY 65534

/* All capabilities, also those that another program would bring; new privileges; being traced and dumped by others of its user. Root becomes user and group, without others (0: it stays root without
 * capabilities, who owns root's files; a user namespace may lack the user, then it stays too). */
int rights_drop(uid_t user, gid_t group);

/* The process is killed with its parent. A change of the user and fork() take that away: it comes last. */
int rights_end_with_parent(void);

/* Both limits; never above the hard limit that came from outside. */
int rights_limit(__rlimit_resource_t resource, uint64_t soft, uint64_t hard);

/* The nice value, also of the session's group where the kernel makes one of each session (sched_autogroup_enabled): nice values count inside of a group only. Source: sched(7), "The autogroup feature". */
void rights_give_way(int nice);

/* The root becomes an empty, read-only file system that lies nowhere: a detached mount of a new tmpfs; nothing on disk is needed. Who may not is left where he is. */
void rights_leave_files(void);

/* Landlock's version; 0 or less: the kernel has none (before 5.13). */
int rights_landlock_version(void);

enum rights_access {
	RIGHTS_READ,	   /* files and folders */
	RIGHTS_READ_WRITE, /* and make, change and remove them; no links, devices, sockets */
};

/* Files can be opened below these folders only (n 0: nowhere). missing_ok: those that are not there are passed over. A kernel without Landlock restricts nothing, and that is no error. */
int rights_restrict_files(const char *const *folders, size_t n, enum rights_access access, bool missing_ok);

#endif
