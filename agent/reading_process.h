/* A process that reads strangers' profiles for a command: hearth report, query and the like (docs/confinement.md).
 *
 * The command opens what is to be read and written, with the rights that it was started with; a process is forked that gives up all rights before the first foreign byte,
 * and writes to what is open. The command itself only waits. */
#ifndef HEARTH_AGENT_READING_PROCESS_H
#define HEARTH_AGENT_READING_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/why.h"

struct reading_options {
	const char *folder; /* the store: files below it may be opened, for reading only. NULL: nothing may be opened */
	bool bare;	    /* without the limit of memory, the list of system calls and Landlock: valgrind */
	/* What it may ask the command for, over a pair of sockets: [0] is its own, taken over, [1] the command's, borrowed. The command calls answer() whenever [1] can be read, until that
	 * returns a negative errno: -EPIPE is the end of the process, any other ends it. All else that is open, but 0 to 2 and fds, is closed in the process. NULL: it asks nothing. */
	int (*answer)(void *context);
	void *answer_context;
	int sockets[2];
	const int *fds;
	size_t n_fds;
};

/* Give up, in this process and for good: as root the user (nobody, or whose the folder is), all capabilities, new privileges, being looked at, core files; with Landlock
 * (Linux 5.13) all files but the folder's; then the list of system calls: what is open, reading below the folder, memory, clocks. Anything else ends the process; what
 * SQLite tries of a folder that it may only read (opening for writing, removing a journal) is an error. Returns 0 or a negative errno. Under sanitizers bare always. */
int reading_process_enter(const struct reading_options *options);

/* Fork, enter, run(context); its result (0 to 255) is the exit status. Waits for it; when it is ended by SIGINT, SIGTERM, SIGHUP or SIGPIPE, or we are told to end meanwhile, *signal_out is
 * that signal: clean up, and die of it. Returns the exit status, or a negative errno with why: -EIO it died of something else (a crash, or what it may not do), -EBADMSG it asked what cannot be, or no
 * process could be made. */
int reading_process_run(const struct reading_options *options, int (*run)(void *context), void *context, int *signal_out, struct why *why);

#endif
