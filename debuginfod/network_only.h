/* What a process gives up that needs the network and nothing else. */
#ifndef HEARTH_DEBUGINFOD_NETWORK_ONLY_H
#define HEARTH_DEBUGINFOD_NETWORK_ONLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETWORK_ONLY_SOCKETS_MAX 4

/* User, capabilities, privileges, descriptors but these, signals of the terminal. sockets: they stay, and become 3, 4, ...
 * Returns 0 or a negative errno. */
int network_only_give_up(int *const sockets[], size_t n);

struct network_only_limits {
	uint64_t file_bytes; /* that may be written */
	uint64_t cpu_s;	     /* 0: no limit */
	bool bare;	     /* no list of system calls, no Landlock, no limit of the address space: sanitizers and valgrind live with none of them */
};

/* Before the first foreign byte: Landlock (where the kernel has it: 5.13), limits, then the list of system calls; any other call
 * ends the process. Returns 0 or a negative errno. */
int network_only_confine(const struct network_only_limits *limits);

/* In the process of one download: confine it. fd: not among what is closed; becomes 4. Returns 0 or a negative errno. */
int network_only_enter(int *fd_inout, uint64_t file_bytes, bool bare);

#endif
