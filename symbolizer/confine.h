/* What a process gives up before it reads a stranger's bytes (SAFETY 2 and 3, docs/confinement.md).
 *
 * Two steps: the zygote gives up rights, descriptors and the file system once; each process that it forks then gets its limits and the
 * list of system calls. Under AddressSanitizer, which needs terabytes of address space and opens files, the limit of the address space and
 * the list are left out: confine_is_partial() tells. Linux only. */
#ifndef HEARTH_SYMBOLIZER_CONFINE_H
#define HEARTH_SYMBOLIZER_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

struct confine_filter;

struct confine_limits {
	uint64_t address_bytes; /* RLIMIT_AS */
	uint64_t file_bytes;	/* RLIMIT_FSIZE: of each memfd */
	uint32_t cpu_s;		/* RLIMIT_CPU, until confine_renew_cpu() */
	uint32_t files;		/* RLIMIT_NOFILE */
};

/* Whether this build leaves out what a sanitizer cannot live with. */
bool confine_is_partial(void);

/* Give up everything but one descriptor, for good: other descriptors (0 to 2 become /dev/null), the terminal, signals of the terminal,
 * all capabilities, the user (nobody, where we were root), new privileges, being looked at by others of the same user; and, where the rights are
 * there, the network, the IPC objects and the file system (an empty one takes its place).
 * socket: becomes *socket_inout. Returns 0 or a negative errno. What would only add to seccomp is tried, and its failure is none. */
int confine_give_up(int *socket_inout);

/* The list of system calls of a process that parses. Returns 0, -EOPNOTSUPP (no seccomp in this kernel), or a negative errno. */
int confine_filter_create(struct confine_filter **filter_out);
void confine_filter_destroy(struct confine_filter *filter);

/* In the process that was forked: limits, then the list. From here on any other system call kills the process.
 * background: at the lowest priority. bare: neither the limit of the address space nor the list (valgrind). */
int confine_enter(const struct confine_filter *filter, const struct confine_limits *limits, bool background, bool bare);

/* Give a process cpu_s more seconds of CPU from now on. It must be of the caller's user. */
int confine_renew_cpu(int pid, uint32_t cpu_s);

#endif
