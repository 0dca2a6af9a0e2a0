/* What a process gives up that needs the network and nothing else. */
#ifndef HEARTH_DEBUGINFOD_NETWORK_ONLY_H
#define HEARTH_DEBUGINFOD_NETWORK_ONLY_H

#include <stdbool.h>
#include <stdint.h>

/* User, capabilities, privileges, descriptors but one, signals of the terminal. socket_inout: the one that stays, and becomes 3.
 * Returns 0 or a negative errno. */
int network_only_give_up(int *socket_inout);

/* In the process of one download: Landlock (where the kernel has it: 5.13), limits, then the list of system calls; any other call
 * ends it. fd: not among what is closed; becomes 4. Returns 0 or a negative errno. */
int network_only_enter(int *fd_inout, uint64_t file_bytes, bool bare);

#endif
