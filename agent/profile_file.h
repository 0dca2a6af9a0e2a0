/* pprof files that commands read: opened by the command, read and decoded by a process without rights (agent/reading_process.h). */
#ifndef HEARTH_AGENT_PROFILE_FILE_H
#define HEARTH_AGENT_PROFILE_FILE_H

#include "base/why.h"
#include "pprof/profile.h"

/* name: "-" is standard input. Regular files, and pipes as the shell makes them; a FIFO that nobody writes to is empty. fd_out: the caller's.
 * Returns 0, -EINVAL (what cannot be a profile: a folder, a device, a terminal), or another negative errno; why tells. */
int profile_file_open(const char *name, int *fd_out, struct why *why);

/* Read all of it, and decode. name: for why. Returns 0, -EBADMSG (no pprof file, or a damaged one), -E2BIG, -ENOMEM, or the errno of a failed read. */
int profile_file_read(const char *name, int fd, struct profile **profile_out, struct why *why);

#endif
